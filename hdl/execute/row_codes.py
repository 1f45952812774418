# SPDX-License-Identifier: Apache-2.0
"""Softmax codes of a line's items as rows of chunks, for somebody who looks at whole rows beside the context.

i ─┬─► codes, a bank for each key of a chunk ─┐
   └─► keys so far ─► those of an item ───────┴─► codes of a chunk, 0 for what is not kept ─┐
total ────────────────────────────────────────────────────────────────────────────────────┴─► o
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import POWER_BITS, PROBABILITY_BITS
from config.items import ItemsConfig
from hdl.cover import corner
from hdl.execute.dot_line import untimed
from hdl.execute.line_powers import code_layout
from hdl.shared import share
from hdl.store import Store
from hdl.system.flow import Shown

ENTRIES = 2
"""Items of a line: one whose codes come, one that leaves."""


def total_bits(config: ItemsConfig) -> int:
    """Of the sum of an item's powers."""
    return POWER_BITS + config.chunk.bit_length()


def told_layout(config: ItemsConfig) -> data.StructLayout:
    """A chunk of `record` keys of an item: `codes`; `total` and `row`: the item's; `first`, `last`: of its chunks."""
    return data.StructLayout(
        {
            "codes": data.ArrayLayout(PROBABILITY_BITS, config.record),
            "total": total_bits(config),
            "row": range(config.tokens),
            "first": 1,
            "last": 1,
        }
    )


def told_members(config: ItemsConfig) -> dict[str, wiring.Member]:
    """Ports of whoever has a `RowCodes`."""
    chunks = config.tokens // config.record
    return {"last_chunk": In(range(max(chunks, 2))), "told": Out(stream.Signature(told_layout(config)))}


class RowCodes(wiring.Component):
    """Holds the codes of items until they are taken.

    Parameters: `config`, an `ItemsConfig` of one chunk.

    Members
    -------
    last_chunk: In, of `record` keys, of the sequence; it stands while items come.
    begins: In, 1: an item begins whose codes will come; only if it opens: Out, 1, of registers.
    i: In, `untimed(code_layout(config))`. total: In, `untimed(total_bits(config))`: of each item, behind its last code.
    o: Out, stream of `told_layout(config)`: items in their order, all chunks of each, rising; a chunk a cycle, and one
    cycle more for each item. Its valid does not depend on its ready.
    """

    def __init__(self, config: ItemsConfig):
        self._config = config
        self._chunks = config.tokens // config.record
        super().__init__(
            {
                "last_chunk": In(range(max(self._chunks, 2))),
                "begins": In(1),
                "opens": Out(1),
                "i": In(untimed(code_layout(config))),
                "total": In(untimed(total_bits(config))),
                "o": Out(stream.Signature(told_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        used, there, leaves = Signal(range(ENTRIES + 1)), Signal(range(ENTRIES + 1)), Signal()
        m.d.comb += self.opens.eq(used != ENTRIES)
        m.d.sync += [used.eq(used + self.begins - leaves), there.eq(there + self.total.valid - leaves)]
        codes, known, totals = self._keep(m, platform)
        self._give(m, (codes, known, totals), there, leaves)
        corner(m, platform, "rows_of_codes_wait", ~self.opens)
        return m

    def _keep(self, m: Module, platform) -> tuple[Store, Store, Store]:
        """Codes by entry and key; of an entry, its keys and row; and its total."""
        config, code = self._config, self.i.payload
        low = (config.record - 1).bit_length()
        codes = Store(ENTRIES * self._chunks, data.ArrayLayout(PROBABILITY_BITS, config.record), config.record)
        known = Store(ENTRIES, data.StructLayout({"keys": config.tokens, "row": range(config.tokens)}))
        totals = Store(ENTRIES, total_bits(config))
        for name, store in (("codes", codes), ("known", known), ("totals", totals)):
            m.submodules[name] = share(store, f"row_{name}_store", platform)
        written, summed = Signal(range(ENTRIES)), Signal(range(ENTRIES))
        so_far, keys = Signal(config.tokens, reset_less=True), Signal(config.tokens)
        m.d.comb += [
            keys.eq(Mux(code.first, 0, so_far) | Cat(code.key == key for key in range(config.tokens))),
            codes.write.eq(Cat(self.i.valid & (code.key[:low] == place) for place in range(config.record))),
            codes.write_at.eq(Cat(code.key[low:], written)),
            codes.word.as_value().eq(code.code.replicate(config.record)),
            known.write.eq(self.i.valid & code.last),
            known.write_at.eq(written),
            known.word.keys.eq(keys),
            known.word.row.eq(code.row),
            totals.write.eq(self.total.valid),
            totals.write_at.eq(summed),
            totals.word.eq(self.total.payload),
        ]
        with m.If(self.i.valid):
            m.d.sync += [so_far.eq(keys), written.eq(written + code.last)]
        m.d.sync += summed.eq(summed + self.total.valid)
        return codes, known, totals

    def _give(self, m: Module, stores: tuple[Store, Store, Store], there: Value, leaves: Value) -> None:
        config, (codes, known, totals) = self._config, stores
        m.submodules.shown = shown = Shown(told_layout(config))
        reading, chunk, open_, reads = Signal(range(ENTRIES)), Signal.like(self.last_chunk), Signal(), Signal()
        ends, begins, keys = Signal(), Signal(), known.stored["keys"]
        kept, first, last = Signal(config.record, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            begins.eq(shown.moves & ~open_ & (there != 0)),
            reads.eq(shown.moves & open_),
            ends.eq(chunk == self.last_chunk),
            leaves.eq(reads & ends),
            shown.enters.eq(reads),
            codes.read.eq(reads),
            codes.read_at.eq(Cat(chunk[: (self._chunks - 1).bit_length()], reading)),
            *(stored.eq(code & bit.replicate(PROBABILITY_BITS))
              for stored, code, bit in zip(shown.word.codes, codes.stored, kept, strict=True)),
            shown.word.total.eq(totals.stored),
            shown.word.row.eq(known.stored.row),
            shown.word.first.eq(first),
            shown.word.last.eq(last),
        ]  # fmt: skip
        for store in (known, totals):
            m.d.comb += [store.read.eq(begins), store.read_at.eq(reading)]
        wiring.connect(m, shown.o, wiring.flipped(self.o))
        with m.If(begins):
            m.d.sync += open_.eq(1)
        with m.If(reads):
            m.d.sync += [
                kept.eq(Array(keys[n : n + config.record] for n in range(0, config.tokens, config.record))[chunk]),
                first.eq(chunk == 0),
                last.eq(ends),
                chunk.eq(Mux(ends, 0, chunk + 1)),
                open_.eq(~ends),
                reading.eq(reading + ends),
            ]
