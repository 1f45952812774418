# SPDX-License-Identifier: Apache-2.0
"""Predictor: Q̂, K̂ and their scores, head by head, on one log-domain array.

x ─► beat feed ◄── K̂ codes ───┐
        │                     │
        ▼                     │
     array ──► totals ──┬─► projector ──► Q̂ codes ─┐
        ▲               └─► columns of scores       │
        └── weight feed ◄── w                       │
                ▲───────────────────────────────────┘
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.array import DotArray
from hdl.speculate.beat_feed import BeatFeed, tag_layout
from hdl.speculate.project import Projector
from hdl.speculate.socket import (
    address_layout,
    column_layout,
    scale_layout,
    settings_layout,
    token_shape,
    visit_layout,
    weights_layout,
    x_layout,
)
from hdl.speculate.tiles import Tiles
from hdl.speculate.weight_feed import AddressFeed, WeightFeed


def attending(config: SpeculationConfig, tag: data.View, causal: Value, last_token: Value) -> Value:
    """Per row of the block: it exists, up to `last_token`, and may attend to the key."""
    low = config.row_bits
    exist = [(tag.block != last_token[low:]) | ~less(last_token[:low], i) for i in range(config.rows)]
    earlier = ~causal | (tag.block != tag.key[low:])
    seen = [earlier | ~less(i, tag.key[:low]) for i in range(config.rows)]
    return Cat(a & b for a, b in zip(exist, seen, strict=True)) & tag.attend.replicate(config.rows)


class Predictor(wiring.Component):
    """Scores of every head of a layer, a column of `rows` of them a cycle, the array busy nearly all the time.

    Members
    -------
    settings: In, still while `active`; start: In, 1, begins a layer; active: Out, 1, tiles are still to be sent.
    x, address, w, scale: as in `hdl.speculate.socket.socket`.
    visit: In, stream of `visit_layout`; used by LAPA alone.
    o: Out, stream of `column_layout`, in the order of `hdl/speculate/tiles.py`.
    busy: Out, 1: the array takes a beat.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        self._array = DotArray(config.array)
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "start": In(1),
                "active": Out(1),
                "x": In(stream.Signature(x_layout(config))),
                "address": Out(stream.Signature(address_layout(config))),
                "w": In(stream.Signature(weights_layout(config))),
                "scale": In(stream.Signature(scale_layout(config))),
                "visit": In(stream.Signature(visit_layout(config))),
                "o": Out(stream.Signature(column_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, array = self._config, self._array
        m.submodules.array = share(array, "array", platform)
        m.submodules.address_feed = addresses = AddressFeed(config)
        m.submodules.weight_feed = weights = WeightFeed(config)
        m.submodules.beat_feed = beats = BeatFeed(config)
        m.submodules.projector = projector = Projector(config)
        active = []
        for name, feed in (("addresses", addresses), ("weights", weights), ("beats", beats)):
            tiles = Tiles(config)
            m.submodules[f"{name}_tiles"] = share(tiles, "tiles", platform)
            wiring.connect(m, tiles.o, feed.tiles)
            m.d.comb += [tiles.settings.eq(self.settings), tiles.start.eq(self.start)]
            active.append(tiles.busy)
        wiring.connect(m, addresses.o, wiring.flipped(self.address))
        wiring.connect(m, wiring.flipped(self.w), weights.w)
        wiring.connect(m, weights.o, array.w)
        wiring.connect(m, wiring.flipped(self.x), beats.x)
        wiring.connect(m, wiring.flipped(self.visit), beats.visit)
        wiring.connect(m, beats.o, array.x)
        wiring.connect(m, wiring.flipped(self.scale), projector.scale)
        m.d.comb += [
            self.active.eq(Cat(active).any()),
            self.busy.eq(array.x.valid & array.x.ready),
            projector.tokens.eq(self.settings.tokens),
            weights.tokens.eq(self.settings.tokens),
            beats.settings.eq(self.settings),
            weights.write.eq(projector.write_q),
            weights.codes.eq(projector.q_codes),
            beats.write.eq(projector.write_k),
            beats.codes.eq(projector.k_codes),
        ]
        for feed in (weights, beats):
            m.d.comb += [
                feed.token.eq(projector.token),
                feed.group.eq(projector.group),
                feed.progress.eq(projector.progress),
            ]
        self._collect(m, beats, projector, platform)
        return m

    def _collect(self, m: Module, beats: BeatFeed, projector: Projector, platform) -> None:
        """Totals go to the projector or become a column, as the tag of their beat says."""
        config, array = self._config, self._array
        shape = tag_layout(config)
        # A tag for every beat in the array, and then some for the FIFO's own latency.
        m.submodules.tags = fifo = SyncFIFOBuffered(width=shape.size, depth=array.latency + 4)
        tag = Signal(shape)
        column = Signal(column_layout(config), reset_less=True)
        free = ~self.o.valid | self.o.ready
        last_token = Signal(token_shape(config), reset_less=True)
        m.d.sync += last_token.eq(self.settings.tokens - 1)
        takes = Mux(tag.score, free, projector.i.ready)
        m.d.comb += [
            fifo.w_data.eq(beats.tag),
            fifo.w_en.eq(self.busy & beats.o.payload.emit),
            fifo.r_en.eq(array.o.valid & array.o.ready),
            tag.eq(fifo.r_data),
            array.o.ready.eq(takes),
            projector.i.valid.eq(array.o.valid & ~tag.score),
            projector.i.payload.eq(array.o.payload.total),
            self.o.payload.eq(column),
        ]
        scores = array.o.valid & tag.score
        corner(m, platform, "key_not_attended", scores & ~tag.attend)
        corner(m, platform, "causal", scores & self.settings.causal)
        with m.If(free):
            m.d.sync += self.o.valid.eq(array.o.valid & tag.score)
            with m.If(array.o.valid & tag.score):
                m.d.sync += [
                    *(sum_.eq(total) for sum_, total in zip(column.sum, array.o.payload.total, strict=True)),
                    *(column[name].eq(tag[name]) for name in ("key", "block", "last")),
                    column.valid.eq(attending(config, tag, self.settings.causal, last_token)),
                ]
                if config.top_k:
                    m.d.sync += column.shift.eq(projector.score_shift)
                if config.method == "lapa":
                    m.d.sync += [
                        column.round.eq(tag.round),
                        column.slot.eq(tag.block[:1]),
                        column.first.eq(tag.round == 0),
                        column.final.eq(tag.final),
                    ]
