# SPDX-License-Identifier: Apache-2.0
"""Scorer: columns of scores of 4-bit operands, head by head, the array busy nearly all the time.

q ─► query feed ── weights ──┐
                             ▼
k ─► key feed ─┬─ beats ─► array ─► totals ─► column register ─► o
               └─ tags ──► FIFO ──────────────────┘
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.sanger import SangerConfig
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.array import DotArray
from hdl.speculate.predictor import attending
from hdl.speculate.sanger.feeds import KeyFeed, QueryFeed
from hdl.speculate.sanger.layouts import (
    column_layout,
    key_layout,
    query_layout,
    score_tag_layout,
    settings_layout,
)
from hdl.speculate.socket import token_shape


class Scorer(wiring.Component):
    """For each head, for each block of queries, a column for each key that the block may attend to; one a cycle.

    Members
    -------
    settings: In, still while a layer is under way; start: In, 1: it begins.
    k: In, stream of `key_layout`; q: In, stream of `query_layout`: as in `SangerUnit`.
    o: Out, stream of `column_layout`, registered; `o.valid` does not depend on `o.ready`.
    busy: Out, 1: the array takes a beat.

    A block takes rows / load cycles for its queries, one more if load = rows, and one for each key; both for each slice
    of the head.
    """

    def __init__(self, config: SangerConfig):
        self._config = config
        self._array = DotArray(config.array)
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "start": In(1),
                "k": In(stream.Signature(key_layout(config))),
                "q": In(stream.Signature(query_layout(config))),
                "o": Out(stream.Signature(column_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, array = self._config, self._array
        queries, keys = QueryFeed(config), KeyFeed(config)
        m.submodules.array = share(array, "array", platform)
        m.submodules.query_feed = share(queries, "sanger_query_feed", platform)
        m.submodules.key_feed = share(keys, "sanger_key_feed", platform)
        wiring.connect(m, wiring.flipped(self.q), queries.q)
        wiring.connect(m, wiring.flipped(self.k), keys.k)
        wiring.connect(m, queries.o, array.w)
        wiring.connect(m, keys.o, array.x)
        for feed in (queries, keys):
            m.d.comb += [feed.settings.eq(self.settings), feed.start.eq(self.start)]
        m.d.comb += self.busy.eq(array.x.valid & array.x.ready)
        self._collect(m, keys, platform)
        return m

    def _collect(self, m: Module, keys: KeyFeed, platform) -> None:
        """Totals and the tag of their beat become a column."""
        config, array = self._config, self._array
        shape = score_tag_layout(config)
        # A tag for every beat in the array, and then some for the FIFO's own latency.
        m.submodules.tags = fifo = SyncFIFOBuffered(width=shape.size, depth=array.latency + 4)
        tag, last_token = Signal(shape), Signal(token_shape(config.plan), reset_less=True)
        column, comes = Signal(column_layout(config), reset_less=True), Signal()
        m.d.sync += last_token.eq(self.settings.tokens - 1)
        m.d.comb += [
            fifo.w_data.eq(keys.tag),
            fifo.w_en.eq(self.busy & keys.o.payload.emit),
            fifo.r_en.eq(comes),
            tag.eq(fifo.r_data),
            array.o.ready.eq(~self.o.valid | self.o.ready),
            comes.eq(array.o.valid & array.o.ready),
            self.o.payload.eq(column),
        ]
        with m.If(array.o.ready):
            m.d.sync += self.o.valid.eq(array.o.valid)
        with m.If(comes):
            m.d.sync += [
                *(sum_.eq(total) for sum_, total in zip(column.sum, array.o.payload.total, strict=True)),
                column.valid.eq(attending(config.plan, tag, self.settings.causal, last_token)),
                column.last.eq(tag.last),
            ]
        corner(m, platform, "key_not_attended", comes & ~tag.attend)
        corner(m, platform, "causal", comes & self.settings.causal)
