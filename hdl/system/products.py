# SPDX-License-Identifier: Apache-2.0
"""A dense product's jobs: of the tiles that are an array's, as many at a time as its weight store takes twice."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import CHUNK_TILES, SystemConfig
from hdl.arith.compare import less
from hdl.system.layouts import Region, Sink, index_shape, job_layout


def product_layout(config: SystemConfig) -> data.StructLayout:
    """`tiles` tiles, 1 or more, the first of which is word `first` of a row of results; the rest as of a job."""
    return data.StructLayout(
        {
            "rows": config.tokens,
            "region": Region,
            "words": range(config.row_words + 1),
            "sink": Sink,
            "first": index_shape(config),
            "tiles": range(config.row_words + 1),
        }
    )


def tiles_at_once(config: SystemConfig, words):
    """Of rows of so many words: what half of the weights' places hold, a power of two up to `CHUNK_TILES`."""
    chosen = 1
    for tiles in (2, 4, 8):
        if tiles <= CHUNK_TILES:
            chosen = Mux(less(config.weight_words // (tiles * config.lanes), words), chosen, tiles)
    return chosen


class ProductJobs(wiring.Component):
    """The jobs of an array's tiles, one behind the other.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    i: In, stream of `product_layout`, taken when its last job is. hold: In, 1: the last job does not go yet.
    o: Out, stream of `job_layout`.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(product_layout(config))),
                "hold": In(1),
                "o": Out(stream.Signature(job_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        product, job = self.i.payload, self.o.payload
        done, at_once, left = Signal.like(product.tiles), Signal(range(CHUNK_TILES + 1)), Signal.like(product.tiles)
        last, known = Signal(), Signal()
        m.d.sync += [at_once.eq(tiles_at_once(self._config, product.words)), known.eq(self.i.valid & ~self.i.ready)]
        m.d.comb += [
            left.eq(product.tiles - done),
            last.eq(~less(at_once, left)),
            self.o.valid.eq(self.i.valid & known & ~(last & self.hold)),
            self.i.ready.eq(self.o.valid & self.o.ready & last),
            job.rows.eq(product.rows),
            job.region.eq(product.region),
            job.words.eq(product.words),
            job.sink.eq(product.sink),
            job.index.eq(product.first + done),
            job.tiles.eq(Mux(last, left, at_once)),
            job.last.eq(last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += done.eq(Mux(last, 0, done + at_once))
        return m
