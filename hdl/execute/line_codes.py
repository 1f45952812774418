# SPDX-License-Identifier: Apache-2.0
"""Codes at a line: softmax's codes of its items wait until the rows of V come, and go on with them as scalars.

codes ─► entries, one for each item ─┐ key
i: rows ─────────────────────────────┴─┤reg├─► o: scalar and row
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from config.execute import PROBABILITY_BITS
from config.items import ItemsConfig
from hdl.cover import corner
from hdl.execute.gather_lines import row_layout
from hdl.shared import share
from hdl.store import Store


def scaled_layout(config: ItemsConfig) -> data.StructLayout:
    """`row_layout`, and `a`, what its bytes are to be multiplied by."""
    fields = {name: field.shape for name, field in row_layout(config)}
    return data.StructLayout({"a": signed(PROBABILITY_BITS + 1), **fields})


class LineCodes(wiring.Component):
    """Holds the codes of a line's items, and gives each row its own.

    Parameters
    ----------
    config: `ItemsConfig`. together: codes of a beat, a power of two up to `chunk`.
    entries: items whose codes are held, a power of two from 2: the current one, and those whose rows are under way.
    Raises `Refusal` for anything else.

    Members
    -------
    given: In, 1: the line gets an item, with this cycle; `Gather`'s `given` and `advance`.
    codes: In, stream of `together` codes: the chunk of each item in turn, lowest key first; taken when the item was
    given and an entry is free. Codes of keys that are not kept do not matter.
    opens: Out, 1, registered: the codes of the item that was given last are there; for `Gather`.
    i: In, stream of `row_layout`: the line's rows. o: Out, stream of `scaled_layout`: each with its code, a cycle
    later.

    A row a cycle; no `valid` depends on a `ready`.
    """

    def __init__(self, config: ItemsConfig, *, together: int, entries: int = 4):
        for name, value, least, most in (("together", together, 1, config.chunk), ("entries", entries, 2, 1024)):
            require(
                isinstance(value, int) and least <= value <= most and value & (value - 1) == 0,
                f"{name} must be a power of two from {least} to {most}, not {value!r}; choose one of them.",
            )
        self._config, self._together, self._entries = config, together, entries
        self._beats = config.chunk // together
        super().__init__(
            {
                "given": In(1),
                "codes": In(stream.Signature(data.ArrayLayout(PROBABILITY_BITS, together))),
                "opens": Out(1),
                "i": In(stream.Signature(row_layout(config))),
                "o": Out(stream.Signature(scaled_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat, entry = Signal(range(self._beats)), Signal(range(self._entries))
        wants, used, done, leaves = Signal(), Signal(range(self._entries + 1)), Signal(), Signal()
        takes = self.codes.valid & self.codes.ready
        m.d.comb += [
            self.codes.ready.eq(wants & (used != self._entries)),
            done.eq(takes & (beat == self._beats - 1)),
        ]
        with m.If(takes):
            m.d.sync += beat.eq(Mux(done, 0, beat + 1))
        with m.If(self.given):
            m.d.sync += [wants.eq(1), self.opens.eq(0)]
        with m.Elif(done):
            m.d.sync += [wants.eq(0), self.opens.eq(1), entry.eq(entry + 1)]
        m.d.sync += used.eq(used + done - leaves)
        store = Store(self._entries * self._beats, self.codes.payload.shape())
        m.submodules.store = share(store, "code_store", platform)
        m.d.comb += [
            store.write.eq(takes),
            store.write_at.eq(Cat(beat, entry)),
            store.word.eq(self.codes.payload),
        ]
        m.d.comb += leaves.eq(self._join(m, store))
        corner(m, platform, "codes_wait", self.codes.valid & wants & ~self.codes.ready)
        corner(m, platform, "item_waits_for_codes", wants)
        return m

    def _join(self, m: Module, store: Store):
        """Rows with their codes; returns whether an item's last row goes by."""
        config, low = self._config, (self._together - 1).bit_length()
        entry, takes = Signal(range(self._entries)), Signal()
        row = Signal(row_layout(config), reset_less=True)
        key = self.i.payload.key[: (config.chunk - 1).bit_length()]
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            takes.eq(self.i.valid & self.i.ready),
            store.read.eq(takes),
            store.read_at.eq(Cat(key[low:], entry)),
            self.o.payload.a.eq(Array(Value.cast(code) for code in store.stored)[row.key[:low]]),
            *(self.o.payload[name].eq(row[name]) for name, _ in row_layout(config)),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += row.eq(self.i.payload)
        last = takes & self.i.payload.last
        with m.If(last):
            m.d.sync += entry.eq(entry + 1)
        return last
