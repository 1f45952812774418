# SPDX-License-Identifier: Apache-2.0
"""One row of the dot-product array: stationary weights, lanes, compressor, accumulation.

multiples of x ─┬─► lane 0 ─┐  ┌─ cut ─┐   ┌ pair ┐                             ┌ total ┐
(broadcast)     ├─► lane 1 ─┼─►│ CSA … │──►│ s, c │──► s + c - offset + psum ──►│       │──►
                └─► …      ─┘  └───────┘   └──────┘           ▲                 └───────┘
                                             offset: s + c for x = 0, taken once per set of weights
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.array import ArrayConfig
from hdl.arith.adder import IncrementingAdder
from hdl.arith.compress import CarrySaveTree, Word, cuts
from hdl.shared import share
from hdl.speculate.lanes import Product, lane_of
from hdl.speculate.layouts import control_layout

LATER_STAGE_LEVELS = 7
"""Carry-save levels that fit a nanosecond in 45 nm; how many fit behind a product is the lane's own figure."""


class Row(wiring.Component):
    """A dot product of `lanes` terms a cycle, accumulated onto a partial sum. Latency: `latency` cycles.

    Parameters
    ----------
    config: the array's configuration; `rows` and `depth` play no part in a row.

    Members
    -------
    load: In, 1. Take the weights `w` at the end of this cycle.
    w: In, `lanes` weight codes.
    x: In, `lanes` multiples, as a `Decoder` makes them; held in a register by the sender.
    control: In, `control_layout`. Bit i of `enable` lets register stage i take what stands in front of it.
    psum: In, signed(acc_bits). The partial sum, in step with the last stage.
    total: Out, signed(acc_bits).
    """

    def __init__(self, config: ArrayConfig):
        self._config = config
        self._lane = lane = lane_of(config)
        words = list(lane.words) * config.lanes
        # All sums are modulo 2^acc_bits; a sum of unsigned words that never reaches that needs fewer columns.
        largest = sum(((1 << word.bits) - 1) << word.column for word in words)
        self._tree = CarrySaveTree(
            words=words,
            bits=min(largest.bit_length(), config.acc_bits),
            cuts=cuts(len(words), lane.levels_behind, LATER_STAGE_LEVELS),
        )
        super().__init__(
            {
                "load": In(1),
                "w": In(data.ArrayLayout(lane.w_code, config.lanes)),
                "x": In(data.ArrayLayout(lane.multiples, config.lanes)),
                "control": In(control_layout(self.latency)),
                "psum": In(signed(config.acc_bits)),
                "total": Out(signed(config.acc_bits)),
            }
        )

    @property
    def config(self) -> ArrayConfig:
        return self._config

    @property
    def latency(self) -> int:
        """Register stages from `x` to `total`: the tree's, and the total."""
        return self._tree.latency + 1

    def elaborate(self, platform):
        m = Module()
        tree = self._tree
        m.submodules.tree = share(tree, "tree", platform)
        weights = Signal(self.w.shape(), reset_less=True)
        with m.If(self.load):
            m.d.sync += weights.eq(self.w)
        words = []
        for i in range(self._config.lanes):
            product = Product(self._lane)
            m.submodules[f"lane{i}"] = share(product, "lane", platform)
            m.d.comb += [product.x.eq(self.x[i]), product.w.eq(weights[i])]
            words.append(product.o)
        m.d.comb += [tree.i.eq(Cat(words)), tree.enable.eq(self.control.enable[: tree.latency])]
        self._accumulate(m, platform)
        return m

    def _accumulate(self, m: Module, platform) -> None:
        """total = s + c - offset + psum, as s + c + ~offset + psum + 1. The offset is kept inverted; all ones are 0."""
        bits = self._config.acc_bits
        pair = self._tree.bits
        merge = CarrySaveTree(words=[Word(pair), Word(pair), Word(bits), Word(bits)], bits=bits)
        m.submodules.merge = share(merge, "merge", platform)
        adder = IncrementingAdder(bits)
        m.submodules.adder = share(adder, "adder", platform)
        inverse_offset = Signal(pair, reset_less=True)
        total = Signal(signed(bits), reset_less=True)
        m.d.comb += [
            merge.i["0"].eq(self._tree.o[0]),
            merge.i["1"].eq(self._tree.o[1]),
            merge.i["2"].eq(
                Cat(inverse_offset | self.control.offset.replicate(pair), Const((1 << (bits - pair)) - 1, bits - pair))
            ),
            merge.i["3"].eq(Mux(self.control.clear, 0, self.psum)),
            adder.a.eq(merge.o[0]),
            adder.b.eq(merge.o[1]),
            self.total.eq(total),
        ]
        with m.If(self.control.enable[-1]):
            m.d.sync += total.eq(adder.o)
            with m.If(self.control.offset):
                m.d.sync += inverse_offset.eq(~adder.o[:pair])
