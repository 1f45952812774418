# SPDX-License-Identifier: Apache-2.0
"""Kept keys on their way out: chunks of rows, in order, until they are taken.

kept ─► FIFO ─► rows
               row, chunk: counted
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.sanger import SangerConfig
from hdl.arith.compare import less
from hdl.speculate.sanger.layouts import settings_layout
from hdl.speculate.socket import row_layout, token_shape


class KeptQueue(wiring.Component):
    """Takes chunks of kept keys in any cycle, as long as each had been claimed.

    Parameters
    ----------
    config: `SangerConfig`. delay: cycles from a chunk's claim to its `put`.

    Members
    -------
    settings: In, still from before a layer's first row until its last has left.
    room: Out, 1: the chunks of a whole row can be claimed. claim: In, 1: a chunk is.
    put: In, 1: `kept` (In, `rows` bits) are the keys of the next chunk, rows rising, chunks rising.
    rows: Out, stream of `row_layout`, all rows critical; a beat a cycle.
    """

    def __init__(self, config: SangerConfig, *, delay: int):
        self._config = config
        # Between a claim and the beat's leave there are two cycles of the FIFO, and one until that is counted.
        self._depth = delay + config.blocks + 4
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "room": Out(1),
                "claim": In(1),
                "put": In(1),
                "kept": In(config.rows),
                "rows": Out(stream.Signature(row_layout(config.plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, beat = self._config, self.rows.payload
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=config.rows, depth=self._depth)
        claimed, leaves = Signal(range(self._depth + 1)), Signal()
        last_token, row = (Signal(token_shape(config.plan), name=name) for name in ("last_token", "row"))
        chunk, last_row = Signal(range(config.blocks)), row == last_token
        bits = config.plan.row_bits
        m.d.sync += last_token.eq(self.settings.tokens - 1)
        m.d.comb += [
            self.room.eq(less(claimed, self._depth - config.blocks + 1)),
            fifo.w_data.eq(self.kept),
            fifo.w_en.eq(self.put),
            fifo.r_en.eq(self.rows.ready),
            leaves.eq(self.rows.valid & self.rows.ready),
            self.rows.valid.eq(fifo.r_rdy),
            beat.row.eq(row),
            beat.reference.eq(row),
            beat.chunk.eq(chunk),
            beat.keys.eq(fifo.r_data),
            beat.last.eq(chunk == Mux(self.settings.causal, row[bits:], last_token[bits:])),
        ]
        with m.If(self.claim != leaves):
            m.d.sync += claimed.eq(Mux(self.claim, claimed + 1, claimed - 1))
        with m.If(leaves):
            m.d.sync += chunk.eq(Mux(beat.last, 0, chunk + 1))
            with m.If(beat.last):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        return m
