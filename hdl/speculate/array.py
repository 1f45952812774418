# SPDX-License-Identifier: Apache-2.0
"""Dot-product array: rows × lanes products a cycle, weights stationary, x decoded once and broadcast.

    w ──────────────────────────────► row 0 … row R-1: weight registers
    x ─► decode ─► broadcast register ─► row 0 … row R-1 ─► totals ─┬─► o          (beats marked `emit`)
                                            ▲                       │
                                          psum ◄── accumulators ◄───┘              (the others)

A *tile* is R weight rows, `load` of them a transfer, then any number of x beats, the last of them marked. The array
turns by itself from taking weights to taking x and back. Behind the last weight row it sends one beat of zeros through,
whose sum is the offset of these weights (`hdl/arith/shift.py`). A dot product longer than the lanes runs over several
tiles with the same number of beats: beat n of each tile adds to accumulator n.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from config.array import ArrayConfig
from hdl.shared import share
from hdl.speculate.front import Front
from hdl.speculate.lanes import Lane, lane_of
from hdl.speculate.layouts import beat_layout, tag_layout, totals_layout, weights_layout
from hdl.speculate.row import Row


class Accumulators(wiring.Component):
    """Partial sums of a tile, all rows beside each other: a memory of `depth` words, one read and one write port.

    Members: `fetch`, `store`: In, the word; `fetch_enable`: In, `psum` (Out) is that word from the next cycle on;
    `store_enable`: In, `total` (In) is written at the end of this cycle.
    """

    def __init__(self, config: ArrayConfig):
        self._config = config
        words = totals_layout(config)["total"].shape
        beat = tag_layout(config)["beat"].shape
        super().__init__(
            {
                "fetch": In(beat),
                "fetch_enable": In(1),
                "psum": Out(words),
                "store": In(beat),
                "store_enable": In(1),
                "total": In(words),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.psum.shape(), depth=self._config.depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            read.addr.eq(self.fetch),
            read.en.eq(self.fetch_enable),
            self.psum.eq(read.data),
            write.addr.eq(self.store),
            write.data.eq(self.total),
            write.en.eq(self.store_enable),
        ]
        return m


class DotArray(wiring.Component):
    """Streams x past stationary weights; exact sums. One beat a cycle, `latency` cycles from x to o.

    Parameters
    ----------
    config: `config.array.ArrayConfig`.

    Members
    -------
    w: In, stream of `weights_layout(config)`: row 0 first, rows / load transfers a tile.
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
                "w": In(stream.Signature(weights_layout(config))),
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
        accumulators = Accumulators(self._config)
        m.submodules.accumulators = share(accumulators, "accumulators", platform)
        totals = Signal(totals_layout(self._config)["total"].shape)
        for i, row in enumerate(self._rows):
            m.submodules[f"row{i}"] = share(row, "row", platform)
            m.d.comb += [
                row.load.eq(front.load[i]),
                row.w.eq(self.w.payload[i % self._config.load]),
                row.x.eq(front.multiples),
                row.control.eq(front.control),
                row.psum.eq(accumulators.psum[i]),
                totals[i].eq(row.total),
            ]
        m.d.comb += [
            front.advance.eq(~self.o.valid | self.o.ready),
            self.o.valid.eq(front.done.valid & front.done.emit),
            accumulators.fetch.eq(front.fetch.beat),
            accumulators.fetch_enable.eq(front.fetch.valid & ~front.fetch.clear & front.advance),
            accumulators.store.eq(front.done.beat),
            accumulators.store_enable.eq(front.done.valid & ~front.done.emit),
            accumulators.total.eq(totals),
            self.o.payload.total.eq(totals),
            self.o.payload.last.eq(front.done.last),
        ]
        return m
