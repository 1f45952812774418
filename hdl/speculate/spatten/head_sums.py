# SPDX-License-Identifier: Apache-2.0
"""How much each head has mattered: the sums of |context|, over rows and layers.

context ─► | | ─► carry-save tree ─► + ─► beat's ─┬─► + ─► sum ─► memory, a bank for each head of a chunk
                                          read ─► old ─┘   ▲ │
                    what is on its way into the memory ────┘─┘
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.spatten import SpattenConfig
from hdl.arith.adder import add_in_slices
from hdl.arith.compress import CarrySaveTree, Word, cuts
from hdl.arith.leading_one import magnitude
from hdl.arith.multiply import FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.spatten.layouts import context_layout, number_of
from hdl.store import Store


class HeadSums(wiring.Component):
    """Adds the magnitudes of a layer's context to the sums of their heads. Equals what
    `golden.speculate.spatten.gathered` does with head_sums.

    Parameters
    ----------
    config: `SpattenConfig`.

    Members
    -------
    start: In, 1: the context of a layer may come. fed: Out, 1, after reset as well: its last beat is in the sums.
    context: In, stream of `context_layout`: the layer's rows and heads in any order; those of zeros alone, and rows of
    padding, may be left out, but one beat at least there is. A beat a cycle.
    clear: In, 1: the sums of chunk `read_at` of the heads begin at 0. read: In, 1; words: Out, the sums of chunk
    `read_at`, from the next cycle on. Only while `fed`.
    """

    def __init__(self, config: SpattenConfig):
        self._config = config
        self._total_bits = (config.lanes << (OPERAND_BITS - 1)).bit_length()
        self._tree = CarrySaveTree(
            words=[Word(OPERAND_BITS)] * config.lanes,
            bits=self._total_bits,
            cuts=cuts(config.lanes, FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS),
        )
        super().__init__(
            {
                "start": In(1),
                "fed": Out(1, init=1),
                "context": In(stream.Signature(context_layout(config))),
                "clear": In(1),
                "read": In(1),
                "read_at": In(number_of(config.head_chunks)),
                "words": Out(data.ArrayLayout(config.head_sum_bits, config.rows)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a beat taken until it is in the sums: magnitudes, the tree, its sum, the addition, the memory."""
        return 1 + self._tree.latency + 3

    def elaborate(self, platform):
        m = Module()
        open_, tag = Signal(), data.StructLayout({"head": range(self._config.heads), "last": 1})
        valids = [Signal(name="enters"), *(Signal(name=f"valid{i}") for i in range(1, self.latency))]
        tags = [Signal(tag, name=f"tag{i}", reset_less=i > 0) for i in range(self.latency)]
        for stage in range(1, self.latency):
            m.d.sync += valids[stage].eq(valids[stage - 1])
            with m.If(valids[stage - 1]):
                m.d.sync += tags[stage].eq(tags[stage - 1])
        m.d.comb += [
            self.context.ready.eq(open_),
            valids[0].eq(self.context.valid & open_),
            tags[0].head.eq(self.context.payload.head),
            tags[0].last.eq(self.context.payload.last),
        ]
        with m.If(self.start):
            m.d.sync += [open_.eq(1), self.fed.eq(0)]
        with m.If(valids[0] & tags[0].last):
            m.d.sync += open_.eq(0)
        with m.If(valids[-1] & tags[-1].last):
            m.d.sync += self.fed.eq(1)
        total = self._total(m, valids, platform)
        self._add(m, total, valids, tags, platform)
        return m

    def _total(self, m: Module, valids: list[Signal], platform) -> Value:
        """The sum of a beat's magnitudes."""
        tree, beat = self._tree, self.context.payload
        m.submodules.tree = share(tree, "spatten_context_tree", platform)
        sizes = Signal(data.ArrayLayout(OPERAND_BITS, self._config.lanes), reset_less=True)
        with m.If(valids[0]):
            m.d.sync += [
                size.eq(magnitude(Value.cast(value), OPERAND_BITS) & beat.attend.replicate(OPERAND_BITS))
                for size, value in zip(map(Value.cast, sizes), beat.value, strict=True)
            ]
        total = Signal(self._total_bits, reset_less=True)
        m.d.comb += [tree.i[str(i)].eq(size) for i, size in enumerate(sizes)]
        m.d.comb += tree.enable.eq(Cat(valids[1 : 1 + tree.latency]))
        with m.If(valids[1 + tree.latency]):
            m.d.sync += total.eq((tree.o[0] + tree.o[1])[: self._total_bits])
        return total

    def _add(self, m: Module, total: Value, valids: list[Signal], tags: list[data.View], platform) -> None:
        """Two sums are known before the memory has them: the latest one and the one before it."""
        config, bits = self._config, self._config.head_sum_bits
        store = Store(config.head_chunks, self.words.shape(), config.rows)
        m.submodules.store = share(store, store.name, platform)
        asks, adds, writes = tags[-3].head, tags[-2].head, tags[-1].head
        latest, previous = (Signal(bits, name=name, reset_less=True) for name in ("latest", "previous"))
        known, before_head = Signal(2), Signal.like(adds, name="before_head", reset_less=True)
        again = known[0] & (writes == adds)
        again_behind = known[1] & (before_head == adds)
        stored = Array(map(Value.cast, store.stored))[adds[: config.row_bits]]
        old = Mux(again, latest, Mux(again_behind, previous, stored))
        with m.If(valids[-2]):
            m.d.sync += [
                latest.eq(add_in_slices(old, Cat(total, Const(0, bits))[:bits])[:-1]),
                previous.eq(latest),
                before_head.eq(writes),
                known.eq(Cat(1, known[0])),
            ]
        with m.If(self.clear):
            m.d.sync += known.eq(0)
        lane = Cat(writes[: config.row_bits] == i for i in range(config.rows))
        m.d.comb += [
            store.read.eq(self.read | valids[-3]),
            store.read_at.eq(Mux(valids[-3], asks[config.row_bits :], self.read_at)),
            store.write.eq((lane & valids[-1].replicate(config.rows)) | self.clear.replicate(config.rows)),
            store.write_at.eq(Mux(self.clear, self.read_at, writes[config.row_bits :])),
            store.word.as_value().eq((latest & ~self.clear.replicate(bits)).replicate(config.rows)),
            self.words.eq(store.stored),
        ]
        corner(m, platform, "same_head_again", valids[-2] & again)
        corner(m, platform, "same_head_behind_another", valids[-2] & ~again & again_behind)
