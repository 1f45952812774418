# SPDX-License-Identifier: Apache-2.0
"""The plan of what is left: which tokens go on, then the keys of every row of every head.

chunk ─► kept, attend ─┬─► kept | not attend ─► alive
                       └─► & row's own bit & head's ─► rows
"""

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.spatten import SpattenConfig
from hdl.cover import corner
from hdl.speculate.socket import row_layout
from hdl.speculate.spatten.layouts import number_of, settings_layout


class PlanWriter(wiring.Component):
    """Reads the chunks of tokens that are kept, once for the tokens themselves, then once for each row of each head.

    Parameters
    ----------
    config: `SpattenConfig`.

    Members
    -------
    settings: In, `settings_layout`; last_chunk: In; tail: In, rows: places of the last chunk that exist; kept_heads:
    In, one bit for each head. All still from `start` until the last row is taken.
    start: In, 1; none is under way.
    show: Out, 1; show_at: Out, a chunk; kept, attend: In, rows: in the next cycle.
    alive: Out, stream of chunks of `rows` bits: tokens whose rows are computed: those that are kept, and padding.
    rows: Out, stream of `row_layout(config.plan)`: of all rows of all heads, behind `alive`.

    Both valids do not depend on their ready. A beat a cycle, and two cycles in front of each `rows` rows.
    """

    def __init__(self, config: SpattenConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "last_chunk": In(number_of(config.blocks)),
                "tail": In(config.rows),
                "kept_heads": In(config.heads),
                "start": In(1),
                "show": Out(1),
                "show_at": Out(number_of(config.blocks)),
                "kept": In(config.rows),
                "attend": In(config.rows),
                "alive": Out(stream.Signature(config.rows)),
                "rows": Out(stream.Signature(row_layout(config.plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        head = Signal(range(self._config.heads))
        row, chunk = Signal.like(self.rows.payload.row), Signal.like(self.show_at)
        free, ends, own = Signal(), Signal(), Signal(self._config.rows, reset_less=True)
        # Of the chunk that is shown, whether it is the sequence's last.
        last = Signal(reset_less=True)
        alive = self.kept | ~self.attend
        m.d.comb += [
            free.eq((~self.alive.valid | self.alive.ready) & (~self.rows.valid | self.rows.ready)),
            ends.eq(chunk == self.last_chunk),
            self.show_at.eq(chunk),
            self.alive.payload.eq(alive & (self.tail | ~last.replicate(len(self.tail)))),
        ]
        with m.If(free):
            m.d.sync += [self.alive.valid.eq(0), self.rows.valid.eq(0)]
        with m.If(self.show):
            m.d.sync += last.eq(ends)
        with m.FSM():
            with m.State("REST"):
                with m.If(self.start):
                    m.next = "ALIVE"
            with m.State("ALIVE"):
                m.d.comb += self.show.eq(free)
                with m.If(free):
                    m.d.sync += [self.alive.valid.eq(1), chunk.eq(Mux(ends, 0, chunk + 1))]
                    with m.If(ends):
                        m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.comb += [self.show.eq(free), self.show_at.eq(row[self._config.row_bits :])]
                with m.If(free):
                    m.next = "OWN"
            with m.State("OWN"):
                m.d.sync += own.eq(alive)
                m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += self.show.eq(free)
                with m.If(free):
                    m.d.sync += [self.rows.valid.eq(1), chunk.eq(Mux(ends, 0, chunk + 1))]
                    self._step(m, head, row, ends)
        computed = Array(own)[row[: self._config.row_bits]] & Array(self.kept_heads)[head]
        self._offer(m, (row, chunk, last), computed, platform)
        corner(m, platform, "alive_waits", self.alive.valid & ~self.alive.ready)
        return m

    def _step(self, m: Module, head: Signal, row: Signal, ends: Value) -> None:
        """Behind a row's last chunk, the next row; behind a block's last row, the next block; and the next head."""
        last_row, last_head = Signal(), Signal()
        m.d.comb += [
            last_row.eq(row == (self.settings.tokens - 1)[: len(row)]),
            last_head.eq(head == (self.settings.heads - 1)[: len(head)]),
        ]
        with m.If(ends):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            with m.If(row[: self._config.row_bits].all() | last_row):
                m.next = "BLOCK"
            with m.If(last_row):
                m.d.sync += head.eq(Mux(last_head, 0, head + 1))
                with m.If(last_head):
                    m.next = "REST"

    def _offer(self, m: Module, shown: tuple[Value, Value, Value], computes: Value, platform) -> None:
        """What is known of the chunk of a row that is shown, and whether the row is computed in this head."""
        row, chunk, last = shown
        beat = self.rows.payload
        # The row and its reference are not one signal: bits of a payload would depend on others of it.
        held = Signal(
            data.StructLayout({name: Value.cast(beat[name]).shape() for name in ("row", "reference", "chunk")}),
            reset_less=True,
        )
        computed = Signal(reset_less=True)
        with m.If(self.show):
            m.d.sync += [held.row.eq(row), held.reference.eq(row), held.chunk.eq(chunk), computed.eq(computes)]
        m.d.comb += [
            beat.row.eq(held.row),
            beat.reference.eq(held.reference),
            beat.chunk.eq(held.chunk),
            beat.keys.eq(self.kept & computed.replicate(len(self.kept))),
            beat.last.eq(last),
        ]
        corner(m, platform, "padding_is_carried_along", self.rows.valid & computed & ~self.attend.all())
        corner(m, platform, "row_or_head_dropped", self.rows.valid & ~computed)
