# SPDX-License-Identifier: Apache-2.0
"""Selection of the method that predicts nothing: every key that a row may attend to is kept.

start ─► head, row, chunk counters ─► chunk of attend & keys up to the limit ─► rows register ─► rows
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.arith.compare import less
from hdl.speculate.socket import row_layout, settings_layout


class DenseSelection(wiring.Component):
    """Rows of all heads, all of them critical, with all the keys that exist, may be attended to and, in a causal layer,
    do not lie behind the row.

    Parameters
    ----------
    config: `SpeculationConfig` with method dense.

    Members
    -------
    settings: In, `settings_layout`; attend: In, one bit per token, it may be attended to. Both held still from `start`
    until the layer's last beat is taken.
    start: In, 1. A layer begins. Passed over while `busy`.
    busy: Out, 1. From the cycle behind `start` until the layer's last beat is taken.
    rows: Out, stream of `row_layout`, registered; `rows.valid` does not depend on `rows.ready`.

    The first beat is offered 2 cycles behind `start`; one beat a cycle.
    """

    latency = 2

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "attend": In(config.tokens),
                "start": In(1),
                "busy": Out(1),
                "rows": Out(stream.Signature(row_layout(config))),
            }
        )

    @property
    def config(self) -> SpeculationConfig:
        return self._config

    def elaborate(self, platform):
        m = Module()
        layout = row_layout(self._config)
        beat, held = Signal(layout), Signal(layout, reset_less=True)
        active, ends = Signal(), Signal()
        m.d.comb += [self.busy.eq(active | self.rows.valid), self.rows.payload.eq(held)]
        with m.If(self.start & ~self.busy):
            m.d.sync += active.eq(1)
        with m.If(~self.rows.valid | self.rows.ready):
            m.d.sync += self.rows.valid.eq(active)
            with m.If(active):
                m.d.sync += [held.eq(beat), active.eq(~ends)]
                self._count(m, beat, ends)
        self._keep(m, beat)
        return m

    def _count(self, m: Module, beat: data.View, ends: Signal) -> None:
        """Counts chunks, rows and heads; all are back at zero when a layer ends."""
        head, row, chunk = Signal(range(self._config.heads)), Signal.like(beat.row), Signal.like(beat.chunk)
        last_row, last_head = Signal(), Signal()
        m.d.comb += [
            beat.row.eq(row),
            beat.reference.eq(row),
            beat.chunk.eq(chunk),
            last_row.eq(row == self._final),
            last_head.eq(head == (self.settings.heads - 1)[: len(head)]),
            ends.eq(beat.last & last_row & last_head),
        ]
        m.d.sync += chunk.eq(Mux(beat.last, 0, chunk + 1))
        with m.If(beat.last):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            with m.If(last_row):
                m.d.sync += head.eq(Mux(last_head, 0, head + 1))

    def _keep(self, m: Module, beat: data.View) -> None:
        """The keys of a chunk. The last key is the row itself or the sequence's last: all of a chunk before its own are
        up to it."""
        rows, place_bits = self._config.rows, self._config.rows.bit_length() - 1
        limit = Signal.like(beat.row)
        upto = Cat(~less(limit[:place_bits], place) for place in range(rows))
        chunks = Array(self.attend[first : first + rows] for first in range(0, self._config.tokens, rows))
        m.d.comb += [
            limit.eq(Mux(self.settings.causal, beat.row, self._final)),
            beat.last.eq(beat.chunk == limit[place_bits:]),
            beat.keys.eq(chunks[beat.chunk] & Mux(beat.last, upto, ~Const(0, rows))),
        ]

    @property
    def _final(self) -> Value:
        """The layer's last token."""
        return (self.settings.tokens - 1)[: len(self.rows.payload.row)]
