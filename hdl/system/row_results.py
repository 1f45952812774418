# SPDX-License-Identifier: Apache-2.0
"""Results that are to be added to the residual stream: words as they come, rows as they are wanted.

result ─► address ─► results ─► beats of a word ─► o
                        ▲
row ─► whose? ─► copy ─► address, as soon as it is below `limit`
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.store import Store
from hdl.system.layouts import Copies, copy_layout, count_shape, result_layout, token_shape, values_layout
from hdl.system.two_places import TwoPlaces, reads


class RowResults(wiring.Component):
    """A row of results for each token, its own or that of another one.

    Parameters
    ----------
    config: `SystemConfig`.

    Members
    -------
    result: In, stream of `result_layout`: word `index` of a token's row, always taken.
    run: In, 1: rows 0 to `tokens` - 1 leave; tokens, last_beat, copies: In: of the sequence, of a row, of the pass.
    These stand while it is high. Low, for a cycle or more, everything begins again.
    limit: In: results of tokens below it were taken, in the cycle before at the latest. A row begins when the one that
    it takes is below.
    copy_read: Out, 1; copy_at: Out, token; copy: In, `copy_layout`, of that token, in the next cycle.
    o: Out, stream of `values_layout`, a beat a cycle for rows of four beats and more, else a row every four cycles.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        self._parts = config.lanes // config.values
        self._store = Store(config.tokens * config.width_words, result_layout(config)["values"].shape)
        self._places = TwoPlaces(values_layout(config))
        super().__init__(
            {
                "result": In(stream.Signature(result_layout(config))),
                "run": In(1),
                "tokens": In(count_shape(config)),
                "last_beat": In(range(config.speculation.width // config.values)),
                "copies": In(Copies),
                "limit": In(count_shape(config)),
                "copy_read": Out(1),
                "copy_at": Out(token_shape(config)),
                "copy": In(copy_layout(config)),
                "o": Out(stream.Signature(values_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        store, places = self._store, self._places
        m.submodules.store = share(store, store.name, platform)
        m.submodules.places = share(places, f"places_{len(self.o.payload.as_value())}", platform)
        self._write(m)
        begins = Signal()
        known, base = self._source(m, begins, platform)
        self._read(m, known, base, begins)
        return m

    def _write(self, m: Module) -> None:
        """A word, two cycles behind: a product for its row, a sum for its place in it."""
        store, result = self._store, self.result
        valid, base = Signal(), Signal(store.write_at.shape(), reset_less=True)
        index = Signal(result.payload.index.shape(), reset_less=True)
        word = Signal(store.word.shape(), reset_less=True)
        m.d.comb += [result.ready.eq(1), store.write.eq(valid), store.write_at.eq(base + index), store.word.eq(word)]
        m.d.sync += valid.eq(result.valid)
        with m.If(result.valid):
            m.d.sync += [
                base.eq(result.payload.token * self._config.width_words),
                index.eq(result.payload.index),
                word.eq(result.payload.values),
            ]

    def _source(self, m: Module, begins: Value, platform) -> tuple[Value, Value]:
        """Where the next row's results are, found while the row before is read. Returns whether they are known and
        there, and their address. `begins`: they are read now."""
        row, source = Signal(count_shape(self._config)), Signal(token_shape(self._config), reset_less=True)
        base = Signal(self._store.read_at.shape(), reset_less=True)
        # One behind the other; the last one stands until the row begins.
        asked, answered, known, there = Signal(), Signal(), Signal(), Signal()
        asks = Signal()
        m.d.comb += [
            asks.eq(self.run & (row != self.tokens) & ~(asked | answered | known)),
            self.copy_read.eq(asks & (self.copies != Copies.NONE)),
            self.copy_at.eq(row),
        ]
        m.d.sync += [
            asked.eq(asks),
            answered.eq(asked & self.run),
            known.eq((answered | (known & ~begins)) & self.run),
            there.eq(less(source, self.limit)),
        ]
        with m.If(~self.run):
            m.d.sync += row.eq(0)
        with m.Elif(begins):
            m.d.sync += row.eq(row + 1)
        with m.If(asked):
            with m.Switch(self.copies):
                with m.Case(Copies.PROJECTION):
                    m.d.sync += source.eq(Mux(self.copy.agreed, self.copy.first, row))
                with m.Case(Copies.FFN):
                    m.d.sync += source.eq(self.copy.leader)
                with m.Default():
                    m.d.sync += source.eq(row)
        with m.If(answered):
            m.d.sync += base.eq(source * self._config.width_words)
        corner(m, platform, "results_late", known & ~there)
        return known & there, base

    def _read(self, m: Module, known: Value, base: Value, begins: Signal) -> None:
        """Each word once, then its beats out of it."""
        store, places = self._store, self._places
        part, beat, at = Signal(range(self._parts)), Signal(self.last_beat.shape()), Signal.like(base)
        ends_word, ends_row, more = Signal(), Signal(), Signal()
        read, there = reads(m, places, more, ends_word)
        goes_on = there & ~ends_row
        now = Mux(goes_on, at, base)
        bits = len(self.o.payload.as_value())
        beats = [store.stored.as_value()[n * bits : (n + 1) * bits] for n in range(self._parts)]
        m.d.comb += [
            ends_word.eq(part == self._parts - 1),
            ends_row.eq(beat == self.last_beat),
            more.eq(goes_on | known),
            begins.eq(read & ~goes_on),
            store.read.eq(read),
            store.read_at.eq(now),
            places.i.valid.eq(there),
            places.i.payload.eq(one_of(Cat(part == n for n in range(self._parts)), beats)),
            places.clear.eq(~self.run),
        ]
        with m.If(read):
            m.d.sync += at.eq(now + 1)
        with m.If(~self.run):
            m.d.sync += [part.eq(0), beat.eq(0)]
        with m.Elif(places.i.valid & places.i.ready):
            m.d.sync += [part.eq(Mux(ends_word, 0, part + 1)), beat.eq(Mux(ends_row, 0, beat + 1))]
        wiring.connect(m, places.o, wiring.flipped(self.o))
