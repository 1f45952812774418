# SPDX-License-Identifier: Apache-2.0
"""Top k of each row of scores, exactly, as the rows stream by: a pass for each digit of the threshold, then the keeper.

words ─► pass 0 ─► delay ─► pass 1 ─► delay ─► keeper ─► kept
            └─ digit 0 ─────► └─ digits 0, 1 ─────►
"""

import itertools

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.compare import less
from hdl.shared import share
from hdl.speculate.spls.keep import Keeper
from hdl.speculate.spls.layouts import chunk_layout, stage_layout, tag_layout, ticket_layout, word_layout
from hdl.speculate.spls.search import DigitSearch, Findings, digits_of, found_layout
from hdl.store import Store


class Delay(wiring.Component):
    """Chunks, the same number of cycles later; in a memory, which is used when there are any.

    Parameters
    ----------
    shape: `stage_layout`. cycles: 2 or more.

    Members
    -------
    i: In, shape. o: Out, shape.
    """

    def __init__(self, shape: data.StructLayout, *, cycles: int):
        self._cycles = cycles
        super().__init__({"i": In(shape), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        store = Store(self._cycles, self.i.shape())
        m.submodules.store = share(store, "spls_delay_store", platform)
        valids = [self.i.tag.valid, *(Signal(name=f"valid{i}") for i in range(self._cycles))]
        for before, valid in itertools.pairwise(valids):
            m.d.sync += valid.eq(before)
        m.d.comb += [
            store.write.eq(valids[0]),
            store.word.eq(self.i),
            store.read.eq(valids[-2]),
            self.o.eq(store.stored),
            self.o.tag.valid.eq(valids[-1]),
        ]
        for moves, place in ((store.write, store.write_at), (store.read, store.read_at)):
            pointer = Signal.like(place, name=f"{place.name}_next")
            m.d.comb += place.eq(pointer)
            with m.If(moves):
                m.d.sync += pointer.eq(Mux(pointer == self._cycles - 1, 0, pointer + 1))
        return m


class TopK(wiring.Component):
    """Fetches rows, and tells for each which keys have its k largest scores; on equal scores the lower key wins.

    Parameters
    ----------
    rows: words of a chunk. chunks: of the longest row. score_bits: of a score. selections: with different k, of the
    same scores, made side by side. pace: least number of cycles from the last chunk of one row to that of the next.

    Members
    -------
    k: In, per selection, 1 or more, still while there are rows and in the cycle before.
    available, ticket: In; start, step: Out; words: In: as in `ScoreRing`, from which the rows come.
    room: In, 1: a row may start; nothing holds it any more then. Each `start` takes the room of a row.
    early: Out, `tag_layout`: that of `o` in the next cycle. o: Out, `chunk_layout`, `latency` cycles behind the
    `start` or `step` of the chunk.

    A row takes max(its chunks, pace) cycles.
    """

    def __init__(self, *, rows: int, chunks: int, score_bits: int, selections: int = 2, pace: int = 1):
        self._shape = {"rows": rows, "chunks": chunks, "score_bits": score_bits}
        self._chunks, self._selections, self._pace = chunks, selections, pace
        self._digits = digits_of(score_bits)
        super().__init__(
            {
                "k": In(data.ArrayLayout(range(rows * chunks + 1), selections)),
                "available": In(1),
                "ticket": In(ticket_layout(rows, chunks)),
                "start": Out(1),
                "step": Out(1),
                "words": In(data.ArrayLayout(word_layout(score_bits), rows)),
                "room": In(1),
                "early": Out(tag_layout(rows, chunks)),
                "o": Out(chunk_layout(rows, chunks, score_bits, selections)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the request of a chunk until it is decided about."""
        return 1 + len(self._digits) * (1 + self._wait) + Keeper.latency

    @property
    def _wait(self) -> int:
        """Cycles that a chunk waits behind a pass, until the digit of the longest row it can belong to is found."""
        return self._chunks + DigitSearch.latency - 1

    def elaborate(self, platform):
        m = Module()
        stage, bits = self._fetch(m), 0
        # What is owed before any digit is found: as many places as are to be filled.
        tokens = self._shape["rows"] * self._chunks
        given = Signal(data.ArrayLayout(found_layout(0, tokens), self._selections))
        m.d.sync += [place.owed.eq(-k) for place, k in zip(given, self.k, strict=True)]
        for i, digit in enumerate(self._digits):
            search = DigitSearch(**self._shape, bits=bits, digit=digit, selections=self._selections)
            delay = Delay(stage.shape(), cycles=self._wait)
            # As many rows as can start while the longest streams by; with a single one, nothing would have to be taken.
            findings = Findings(search.found.shape(), slots=max(2, -(-self._chunks // self._pace)))
            m.submodules[f"search{i}"] = share(search, f"spls_search{i}", platform)
            m.submodules[f"delay{i}"] = share(delay, "spls_delay", platform)
            m.submodules[f"findings{i}"] = share(findings, f"spls_findings{i}", platform)
            m.d.comb += [
                search.stage.eq(stage),
                search.given.eq(given),
                delay.i.eq(search.passed),
                findings.put.eq(search.done),
                findings.found.eq(search.found),
                findings.take.eq(delay.o.tag.valid & delay.o.tag.first),
            ]
            stage, given, bits = delay.o, findings.o, bits + digit
        self._keep(m, stage, given, platform)
        return m

    def _fetch(self, m: Module) -> data.View:
        """Starts rows and reads their chunks; returns the chunk that came of it."""
        stage = Signal(stage_layout(**self._shape))
        fields = {name: field.shape for name, field in stage.tag.shape() if name != "valid"}
        first, last, place, number = (Signal(shape, name=name, reset_less=True) for name, shape in fields.items())
        last_chunk, chunk = Signal.like(self.ticket.last_chunk, reset_less=True), Signal.like(number, reset_less=True)
        reading, comes, ends = Signal(), Signal(), Signal()
        # Cycles from now before another row's last chunk may follow.
        pause = Signal(range(self._pace + 1))
        m.d.comb += [
            self.start.eq(~reading & self.available & self.room & ~less(self.ticket.last_chunk, pause)),
            self.step.eq(reading),
            ends.eq(Mux(reading, chunk == last_chunk, self.start & (self.ticket.last_chunk == 0))),
            Cat(stage.tag[name] for name in fields).eq(Cat(first, last, place, number)),
            stage.tag.valid.eq(comes),
            stage.words.eq(self.words),
        ]
        m.d.sync += comes.eq(self.start | self.step)
        with m.If(self.start):
            m.d.sync += [last_chunk.eq(self.ticket.last_chunk), place.eq(self.ticket.place), number.eq(0), chunk.eq(1)]
        with m.If(self.step):
            m.d.sync += [number.eq(chunk), chunk.eq(chunk + 1)]
        with m.If(self.start | self.step):
            m.d.sync += [first.eq(self.start), last.eq(ends), reading.eq(~ends)]
        with m.If(ends):
            m.d.sync += pause.eq(self._pace - 1)
        with m.Elif(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        return stage

    def _keep(self, m: Module, stage: data.View, found: data.View, platform) -> None:
        keeper = Keeper(**self._shape, selections=self._selections)
        m.submodules.keeper = share(keeper, "spls_keeper", platform)
        m.d.comb += [
            keeper.tag.eq(stage.tag),
            keeper.words.eq(stage.words),
            self.early.eq(keeper.early),
            self.o.eq(keeper.o),
        ]
        for s, row in enumerate(found):
            m.d.comb += [keeper.threshold[s].eq(row.digits), keeper.left[s].eq(-row.owed)]
