# SPDX-License-Identifier: Apache-2.0
"""Dot-product array: rows × lanes products a cycle, weights stationary, x decoded once and broadcast.

    w ──────────────────────────────► row 0 … row R-1: weight registers
    x ─► decode ─► broadcast register ─► row 0 … row R-1 ─► totals ─┬─► o          (beats marked `emit`)
                                            ▲                       │
                                          psum ◄── accumulators ◄───┘              (the others)

A *tile* is R weight rows, then any number of x beats, the last of them marked. The array turns by itself from taking
weights to taking x and back. Behind the last weight row it sends one beat of zeros through, whose sum is the offset of
these weights (`hdl/arith/shift.py`). A dot product longer than the lanes runs over several tiles with the same number
of beats: beat n of each tile adds to accumulator n.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from config.array import ArrayConfig
from hdl.shared import share
from hdl.speculate.front import Front
from hdl.speculate.lanes import Lane, lane_of
from hdl.speculate.layouts import beat_layout, totals_layout
from hdl.speculate.row import Row


class DotArray(wiring.Component):
    """Streams x past stationary weights; exact sums. One beat a cycle, `latency` cycles from x to o.

    Parameters
    ----------
    config: `config.array.ArrayConfig`.

    Members
    -------
    w: In, stream of `lanes` weight codes: row 0 first, R transfers a tile.
    x: In, stream of `beat_layout(config)`. A sum that runs over several tiles has at most `depth` beats in each.
    o: Out, stream of `totals_layout(config)`, in the order of the beats marked `emit`.

    `o.ready` low holds the whole pipeline; `o.valid` does not depend on it.
    """

    def __init__(self, config: ArrayConfig):
        self._config = config
        self._lane = lane_of(config)
        self._rows = [Row(config) for _ in range(config.rows)]
        super().__init__(
            {
                "w": In(stream.Signature(data.ArrayLayout(self._lane.w_code, config.lanes))),
                "x": In(stream.Signature(beat_layout(config))),
                "o": Out(stream.Signature(totals_layout(config))),
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
        """Cycles from taking x to offering its totals, when nothing holds the pipeline."""
        return 1 + self._rows[0].latency

    def elaborate(self, platform):
        m = Module()
        front = Front(self._config, stages=self._rows[0].latency)
        m.submodules.front = share(front, "front", platform)
        wiring.connect(m, wiring.flipped(self.w), front.w)
        wiring.connect(m, wiring.flipped(self.x), front.x)
        totals = Signal(totals_layout(self._config)["total"].shape)
        psums = self._accumulators(m, front, totals)
        for i, row in enumerate(self._rows):
            m.submodules[f"row{i}"] = share(row, "row", platform)
            m.d.comb += [
                row.load.eq(front.load[i]),
                row.w.eq(self.w.payload),
                row.x.eq(front.multiples),
                row.control.eq(front.control),
                row.psum.eq(psums[i]),
                totals[i].eq(row.total),
            ]
        m.d.comb += [
            front.advance.eq(~self.o.valid | self.o.ready),
            self.o.valid.eq(front.done.valid & front.done.emit),
            self.o.payload.total.eq(totals),
            self.o.payload.last.eq(front.done.last),
        ]
        return m

    def _accumulators(self, m, front, totals):
        """One entry per beat of a tile, all rows beside each other: one read and one write port."""
        memory = Memory(shape=totals.shape(), depth=self._config.depth, init=[])
        m.submodules.accumulators = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            read.addr.eq(front.fetch.beat),
            read.en.eq(front.fetch.valid & ~front.fetch.clear & front.advance),
            write.addr.eq(front.done.beat),
            write.data.eq(totals),
            write.en.eq(front.done.valid & ~front.done.emit),
        ]
        return read.data
