# SPDX-License-Identifier: Apache-2.0
"""One row of the dot-product array: stationary weights, lanes, compressor, accumulation.

    multiples of x ─┬─► lane 0 ─┐  ┌─ cut ─┐   ┌ pair ┐                     ┌ sum ┐           ┌ acc ┐
    (broadcast)     ├─► lane 1 ─┼─►│ CSA … │──►│ s, c │─► s + c - offset ──►│     │─► + psum ─►│     │─► total
                    └─► …      ─┘  └───────┘   └──────┘        ▲            └─────┘           └─────┘
                                                            offset: the same sum for x = 0, taken once per weights
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.array import ArrayConfig
from hdl.arith.compress import CarrySaveTree, cuts
from hdl.speculate.lanes import Lane, lane_of
from hdl.speculate.layouts import control_layout

FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS = 5, 7
"""Carry-save levels that fit a nanosecond in 45 nm: behind the lane's own logic, and in a stage of their own."""


class Row(wiring.Component):
    """A dot product of `lanes` terms a cycle, accumulated onto a partial sum. Latency: `latency` cycles.

    Parameters
    ----------
    config: the array's configuration; `rows` and `depth` play no part in a row.

    Members
    -------
    load: In, 1. Take the weights `w` at the end of this cycle.
    w: In, `lanes` weight codes.
    x: In, `lanes` multiples, as the lane's `decode` makes them; held in a register by the sender.
    control: In, `control_layout`. Bit i of `enable` lets register stage i take what stands in front of it.
    psum: In, signed(acc_bits). The partial sum, in step with the accumulating stage.
    total: Out, signed(acc_bits).
    """

    def __init__(self, config: ArrayConfig):
        self._config = config
        self._lane = lane = lane_of(config.system)
        words = lane.words * config.lanes
        stages = cuts(len(words), FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS)
        self._tree = CarrySaveTree(words=words, bits=config.sum_bits, cuts=stages)
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
    def lane(self) -> Lane:
        return self._lane

    @property
    def latency(self) -> int:
        """Register stages from `x` to `total`: the tree's, the sum, the accumulation."""
        return self._tree.latency + 2

    def elaborate(self, platform):
        m = Module()
        m.submodules.tree = tree = self._tree
        weights = Signal(self.w.shape())
        with m.If(self.load):
            m.d.sync += weights.eq(self.w)
        per_lane = len(self._lane.words)
        for i in range(self._config.lanes):
            for j, word in enumerate(self._lane.products(self.x[i], weights[i])):
                m.d.comb += tree.i[str(i * per_lane + j)].eq(word)
        m.d.comb += tree.enable.eq(self.control.enable[: tree.latency])
        self._accumulate(m)
        return m

    def _accumulate(self, m: Module) -> None:
        bits = self._config.sum_bits
        # Kept inverted: s + c - offset is s + c + ~offset + 1, and all ones stand for an offset of 0.
        inverse_offset, total = Signal(bits), Signal(signed(bits))
        subtracted = inverse_offset | self.control.offset.replicate(bits)
        current = (self._tree.o[0] + self._tree.o[1] + subtracted + 1)[:bits]
        with m.If(self.control.enable[-2]):
            m.d.sync += total.eq(current)
            with m.If(self.control.offset):
                m.d.sync += inverse_offset.eq(~current)
        with m.If(self.control.enable[-1]):
            m.d.sync += self.total.eq(Mux(self.control.clear, 0, self.psum) + total)
