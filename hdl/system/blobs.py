# SPDX-License-Identifier: Apache-2.0
"""Where a layer's tensors lie in memory: blobs of equal parts, one behind the other, in the order in which they are
used; and the jobs that ask the reader for them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import ADDRESS_BITS, ENTRY_BYTES, SystemConfig
from hdl.arith.adder import add_in_two
from hdl.speculate.socket import scale_layout, weights_layout
from hdl.system.axi import COUNT_BITS, TRANSFER
from hdl.system.dense_layouts import load_layout
from hdl.system.products import tiles_at_once


def whole_words(config: SystemConfig, count: int) -> int:
    """So many bytes, filled up to whole words of the bus."""
    return -(-count // config.bus_bytes) * config.bus_bytes


def filled(config: SystemConfig, count):
    """Likewise, of a value."""
    low = (config.bus_bytes - 1).bit_length()
    return Cat(Const(0, low), (count + config.bus_bytes - 1)[low:])


def code_bytes(config: SystemConfig) -> int:
    """Of a transfer of codes to the speculation unit."""
    return whole_words(config, -(-data.Layout.cast(weights_layout(config.speculation)).size // 8))


def scale_bytes(config: SystemConfig) -> int:
    """Of a transfer of a scale to the speculation unit."""
    return whole_words(config, -(-data.Layout.cast(scale_layout(config.speculation)).size // 8))


def tile_bytes(config: SystemConfig, words):
    """Of a tile of columns whose depth is so many words: their parameters, and their weights."""
    size = config.lanes * ENTRY_BYTES + words * config.lanes**2
    return whole_words(config, size) if isinstance(words, int) else filled(config, size)


class TileJobs(wiring.Component):
    """Asks for an array's weights, and says what they are, as far ahead as the reader takes jobs.

    Parameters: `config`, a `SystemConfig`. number: 0 or 1, of the array.

    Members
    -------
    start: In, 1: a layer begins, whose tiles lie from `address` on. heads, width_words, ffn_words: In, its own; they
    stand until `done`. o: Out, stream of `TRANSFER`, and loads: Out, stream of `load_layout(config)`, of each head's
    matrices and of each product. done: Out, 1: all tiles have been asked for.
    """

    def __init__(self, config: SystemConfig, number: int):
        self._config, self._number = config, number
        super().__init__(
            {
                "start": In(1),
                "address": In(ADDRESS_BITS),
                "heads": In(range(config.heads + 1)),
                "width_words": In(range(config.row_words + 1)),
                "ffn_words": In(range(config.row_words + 1)),
                "o": Out(stream.Signature(TRANSFER)),
                "loads": Out(stream.Signature(load_layout(config))),
                "done": Out(1, init=1),
            }
        )

    def _share(self, tiles):
        """Of the tiles of a product, this array's: the first half is array 0's, and the greater one."""
        return (tiles + 1 - self._number) >> 1

    def _ready(self):
        return Cat(self.o.ready, self.loads.ready)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        words = Signal(range(config.row_words + 1))
        size, tiles, address = Signal(COUNT_BITS), Signal(range(max(config.row_words, 2) + 1)), Signal(ADDRESS_BITS)
        head, job = Signal(range(config.heads)), self.o.payload
        m.d.comb += [job.address.eq(address), job.bytes.eq(size), job.rows.eq(tiles), job.stride.eq(size)]
        m.d.sync += size.eq(tile_bytes(config, words))
        left, alone, load = Signal.like(tiles), Signal(), self.loads.payload
        # Of the tiles, whether they have been asked for, and been told of.
        given, over = Signal(2), Signal()
        m.d.comb += [load.tiles.eq(tiles), load.words.eq(words), over.eq((given | self._ready()).all() | (tiles == 0))]
        # The address of the next tile: without a multiplier, tile by tile, in three cycles each.
        step = Signal(range(3))
        wide = Cat(size, Const(0, ADDRESS_BITS - COUNT_BITS))
        following_address = add_in_two(m, [address, wide], step == 0, step == 1)
        # Of a product whose jobs have a tile each.
        m.d.sync += alone.eq(tiles_at_once(config, words) == 1)

        def begin(state: str, depth, count) -> None:
            m.d.sync += [words.eq(depth), tiles.eq(count)]
            m.next = state

        with m.FSM():
            with m.State("DONE"), m.If(self.start):
                m.d.sync += [self.done.eq(0), address.eq(self.address), head.eq(0)]
                begin("HEAD_SIZE", self.width_words, 1 if self._number else 2)
            for state, following in (("HEAD", "HEADS"), ("PROJECT", "UP"), ("UP", "DOWN"), ("DOWN", "DONE")):
                # A cycle until the size of a tile is there.
                with m.State(f"{state}_SIZE"):
                    m.next = state
                with m.State(state):
                    m.d.comb += [
                        self.o.valid.eq((tiles != 0) & ~given[0]),
                        self.loads.valid.eq((tiles != 0) & ~given[1]),
                        load.single.eq(alone if state != "HEAD" else 0),
                    ]
                    m.d.sync += given.eq(Mux(over, 0, given | self._ready()))
                    with m.If(over):
                        m.d.sync += left.eq(tiles)
                        m.next = f"{state}_NEXT"
                with m.State(f"{state}_NEXT"):
                    with m.If(left != 0):
                        m.d.sync += step.eq(Mux(step == 2, 0, step + 1))
                        with m.If(step == 2):
                            m.d.sync += [left.eq(left - 1), address.eq(following_address)]
                    with m.Else():
                        if following == "HEADS":
                            m.d.sync += head.eq(head + 1)
                            with m.If(head == self.heads - 1):
                                begin("PROJECT_SIZE", self.heads, self._share(self.width_words))
                            with m.Else():
                                begin("HEAD_SIZE", self.width_words, Mux(head[0] ^ self._number, 2, 1))
                        elif following == "UP":
                            begin("UP_SIZE", self.width_words, self._share(self.ffn_words))
                        elif following == "DOWN":
                            begin("DOWN_SIZE", self.ffn_words, self._share(self.width_words))
                        else:
                            m.d.sync += self.done.eq(1)
                            m.next = "DONE"
        return m
