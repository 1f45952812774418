# SPDX-License-Identifier: Apache-2.0
"""X for the speculation unit: for each word of a row in turn, that of all tokens."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.speculate.socket import x_layout
from hdl.system.layouts import Region, count_shape, fetch_layout, word_layout


class PredictorFeed(wiring.Component):
    """Asks for all words of x, and hands them on.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    start: In, 1: x is there; `tokens`, `words` (of a row) stand until the next one. fetch: Out, stream of
    `fetch_layout`; fetched: In, stream of `word_layout`. mask: In, a bit for each token: it may be attended to. x: Out,
    stream of the speculation unit's `x_layout`. busy: Out, 1: words have still to be asked for.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "tokens": In(count_shape(config)),
                "words": In(range(config.row_words + 1)),
                "fetch": Out(stream.Signature(fetch_layout(config))),
                "fetched": In(stream.Signature(word_layout(config))),
                "mask": In(config.tokens),
                "x": Out(stream.Signature(x_layout(config.speculation))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        wanted = self.fetch.payload
        token, word = Signal.like(wanted.token), Signal.like(wanted.word)
        comes, seen = Signal.like(token), Signal.like(self.mask)
        m.d.comb += [
            self.fetch.valid.eq(self.busy),
            wanted.region.eq(Region.INPUT),
            wanted.token.eq(token),
            wanted.word.eq(word),
            self.x.valid.eq(self.fetched.valid),
            self.x.payload.value.eq(self.fetched.payload),
            seen.eq(self.mask >> comes),
            self.x.payload.attend.eq(seen[0]),
            self.fetched.ready.eq(self.x.ready),
        ]
        with m.If(self.fetch.valid & self.fetch.ready):
            m.d.sync += token.eq(token + 1)
            with m.If(token == self.tokens - 1):
                m.d.sync += [token.eq(0), word.eq(word + 1)]
                with m.If(word == self.words - 1):
                    m.d.sync += [word.eq(0), self.busy.eq(0)]
        with m.If(self.x.valid & self.x.ready):
            m.d.sync += comes.eq(Mux(comes == self.tokens - 1, 0, comes + 1))
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        return m
