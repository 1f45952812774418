# SPDX-License-Identifier: Apache-2.0
"""Brings the array its stationary operand: weights from outside for Q̂ and K̂, codes of Q̂ for the scores."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.speculate.layouts import weights_layout as array_weights
from hdl.speculate.project import progress_layout
from hdl.speculate.socket import address_layout, token_shape, weights_layout
from hdl.speculate.stores import HeadStore
from hdl.speculate.tiles import tile_layout


class AddressFeed(wiring.Component):
    """Asks for the weights of the tiles that need some. One address a cycle.

    Members: `tiles`: In, stream of `tile_layout`; `o`: Out, stream of `address_layout`.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "tiles": In(stream.Signature(tile_layout(config))),
                "o": Out(stream.Signature(address_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        tile, address = self.tiles.payload, self.o.payload
        part = Signal(address.part.shape())
        parts = self._config.rows // self._config.load
        last = part == parts - 1
        m.d.comb += [
            self.o.valid.eq(self.tiles.valid & ~tile.score),
            self.tiles.ready.eq(tile.score | (self.o.ready & last)),
            *(address[name].eq(tile[name]) for name in ("head", "operand", "group", "slice")),
            address.part.eq(part),
        ]
        if parts > 1:
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += part.eq(Mux(last, 0, part + 1))
        return m


class WeightFeed(wiring.Component):
    """`load` rows of the array a cycle, tile after tile.

    Members
    -------
    tiles: In, stream of `tile_layout`. w: In, stream of `weights_layout`, for the tiles of Q̂ and K̂ in turn.
    write, token, group, codes: In: Q̂ is stored. progress: In, how much of it is; scores wait for the rows they need.
    o: Out, stream of the array's weights.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        self._store = HeadStore(config, config.array.system.w, together=config.load)
        super().__init__(
            {
                "tokens": In(range(config.tokens + 1)),
                "tiles": In(stream.Signature(tile_layout(config))),
                "w": In(stream.Signature(weights_layout(config))),
                "write": In(1),
                "token": In(token_shape(config)),
                "group": In(range(config.groups)),
                "codes": In(self._store.codes.shape()),
                "progress": In(progress_layout(config)),
                "o": Out(stream.Signature(array_weights(config.array))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, tile = self._config, self.tiles.payload
        parts = config.rows // config.load
        m.submodules.store = store = self._store
        part = Signal(range(parts))
        last = part == parts - 1
        # A read of the store stands at the output.
        stands, slice_ = Signal(), Signal.like(tile.slice)
        needed, last_block = Signal(range(config.tokens + 1)), Signal(tile.block.shape(), reset_less=True)
        ready = (self.progress.parity != tile.parity) & (self.progress.rows >= needed)
        passes, reads = Signal(), Signal()
        m.d.sync += last_block.eq((self.tokens - 1)[config.row_bits :])
        m.d.comb += [
            needed.eq(Mux(tile.block == last_block, self.tokens, (tile.block + 1) << config.row_bits)),
            reads.eq(self.tiles.valid & tile.score & ready & (~stands | self.o.ready)),
            passes.eq(self.tiles.valid & ~tile.score & ~stands),
            self.o.valid.eq(stands | (passes & self.w.valid)),
            self.w.ready.eq(passes & self.o.ready),
            self.tiles.ready.eq(last & (reads | (self.w.valid & self.w.ready))),
            store.write.eq(self.write),
            store.token.eq(self.token),
            store.group.eq(self.group),
            store.codes.eq(self.codes),
            store.read.eq(reads),
            store.read_at.eq(Cat(part, tile.block) if parts > 1 else tile.block),
        ]
        lanes = config.lanes
        for row, weights in enumerate(self.o.payload):
            codes = store.stored[row]
            slices = [
                Cat(Value.cast(codes[s * lanes + lane]) for lane in range(lanes)) for s in range(config.head_slices)
            ]
            stored = slices[0]
            for number, codes_ in enumerate(slices[1:], 1):
                stored = Mux(slice_ == number, codes_, stored)
            m.d.comb += weights.as_value().eq(Mux(stands, stored, self.w.payload[row].as_value()))
        with m.If(reads):
            m.d.sync += [stands.eq(1), slice_.eq(tile.slice)]
        with m.Elif(self.o.ready):
            m.d.sync += stands.eq(0)
        with m.If(reads | (self.w.valid & self.w.ready)):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
        return m
