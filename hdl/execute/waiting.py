# SPDX-License-Identifier: Apache-2.0
"""Rows of scores that wait until their largest is known.

    i ─┬─► ring of beats ───────────────► beat
       │                                   │ first of its row
       ├─► RowLargest ─► queue ─► next ─►  ▼
       ├─► exponents ──► queue ─► next ─► largest, exponent
       └─► multipliers ► queue ─────────────────────────────► multiplier

A ring, so that rows of different lengths share its words: it holds the longest row, and the beats that come while the
last level of its comparisons is under way. Then it never fills while what is behind it takes a beat a cycle.
"""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.execute.largest import RowLargest
from hdl.execute.layouts import MULTIPLIER, ROW, scores_layout
from hdl.shared import share
from hdl.store import Store


class WaitingRows(wiring.Component):
    """Takes rows, and gives each beat, a row's largest first.

    Parameters
    ----------
    lanes, score_bits: of a beat. beats: of the longest row. rows: how many may be under way at once, at least 2: from
    their last beat until `leave`.

    Members
    -------
    i: In, stream of `scores_layout`. row: In, `ROW`, taken with the last beat of a row.
    advance: In, 1: what stands at the output is taken, and the next one comes. valid: Out, 1; beat: Out, scores in
    offset binary, kept and last, the next beat if `valid`.
    largest: Out, score_bits, offset binary; exponent: Out, `MULTIPLIER`: of the row of the beat that was taken last.
    leave: In, 1: the row that has been under way for longest is at its end. multiplier: Out, `MULTIPLIER`, its own,
    from the next cycle until the next `leave`.
    error: Out, 1: a row was longer than `beats`, and was cut there. Stays.
    """

    def __init__(self, lanes: int, score_bits: int, beats: int, rows: int):
        self._beats, self._rows, self._score_bits = beats, rows, score_bits
        self._search = RowLargest(lanes, score_bits)
        self._kept_layout = data.StructLayout({"scores": data.ArrayLayout(score_bits, lanes), "kept": lanes, "last": 1})
        super().__init__(
            {
                "i": In(stream.Signature(scores_layout(lanes, score_bits))),
                "row": In(ROW),
                "advance": In(1),
                "valid": Out(1),
                "beat": Out(self._kept_layout),
                "largest": Out(score_bits),
                "exponent": Out(MULTIPLIER),
                "leave": In(1),
                "multiplier": Out(MULTIPLIER),
                "error": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat until its first one can be read."""
        return self._search.latency + 1

    @property
    def words(self) -> int:
        """Beats that are held: of the longest row, and as many as come until it is read."""
        return self._beats + self.latency

    def elaborate(self, platform):
        m = Module()
        entering, ending = Signal(), Signal()
        beat = Signal(self._kept_layout)
        payload, top = self.i.payload, 1 << (self._score_bits - 1)
        m.d.comb += [
            entering.eq(self.i.valid & self.i.ready),
            Cat(beat.scores).eq(Cat(score.as_unsigned() ^ top for score in payload.scores)),
            beat.kept.eq(payload.kept),
            beat.last.eq(ending),
            ending.eq(payload.last | self._cut(m, entering)),
        ]
        m.submodules.search = search = self._search
        m.d.comb += [
            search.valid.eq(entering),
            search.last.eq(ending),
            search.scores.eq(beat.scores),
            search.kept.eq(beat.kept),
        ]
        m.d.comb += self.i.ready.eq(
            self._ring(m, beat, entering, platform) & self._queues(m, entering & ending, platform)
        )
        return m

    def _cut(self, m: Module, entering: Value) -> Value:
        """Is this beat the last one that a row may have?"""
        count = Signal(range(max(self._beats, 2)))
        longest = count == self._beats - 1
        with m.If(entering):
            m.d.sync += count.eq(Mux(self.i.payload.last | longest, 0, count + 1))
            with m.If(longest & ~self.i.payload.last):
                m.d.sync += self.error.eq(1)
        return longest

    def _ring(self, m: Module, beat: Value, entering: Value, platform) -> Value:
        """The beats, read as soon as their row is complete. Returns whether there is room for one."""
        ring = Store(self.words, self._kept_layout)
        m.submodules.ring = share(ring, "score_ring", platform)
        write, searched, complete, read = (
            place_in_ring(self.words, name) for name in ("write", "searched", "complete", "read")
        )
        reads = Signal()
        m.d.comb += [
            ring.write.eq(entering),
            ring.write_at.eq(write.index),
            ring.word.eq(beat),
            reads.eq((complete.as_value() != read.as_value()) & (self.advance | ~self.valid)),
            ring.read.eq(reads),
            ring.read_at.eq(read.index),
            self.beat.eq(ring.stored),
        ]
        for place, moves in ((write, entering), (searched, self._search.passed), (read, reads)):
            with m.If(moves):
                m.d.sync += place.eq(next_place(place, self.words))
        with m.If(self._search.done):
            m.d.sync += complete.eq(next_place(searched, self.words))
        m.d.sync += self.valid.eq(reads | (self.valid & ~self.advance))
        return (write.index != read.index) | (write.lap == read.lap)

    def _queues(self, m: Module, ends: Value, platform) -> Value:
        """What is known of each row; the foremost comes out as its first beat is taken. Returns whether there is room.

        A row's beats are read after it is complete, and so is what is known of it, unless that of the row before still
        waits for its own first beat: so it is there in time.
        """
        ended, found, fetched, left = (
            place_in_ring(self._rows, name) for name in ("ended", "found", "fetched", "left")
        )
        takes, first, waits, fetches = Signal(), Signal(init=1), Signal(), Signal()
        m.d.comb += [
            takes.eq(self.valid & self.advance & first),
            fetches.eq((found.as_value() != fetched.as_value()) & (~waits | takes)),
        ]
        m.d.sync += waits.eq(fetches | (waits & ~takes))
        with m.If(self.valid & self.advance):
            m.d.sync += first.eq(self.beat.last)
        for place, moves in ((ended, ends), (found, self._search.done), (fetched, fetches), (left, self.leave)):
            with m.If(moves):
                m.d.sync += place.eq(next_place(place, self._rows))
        search, row = self._search, self.row
        largest = self._queue(m, "largest", (search.done, found, search.largest), (fetches, fetched), platform)
        exponent = self._queue(m, "exponent", (ends, ended, row.exponent), (fetches, fetched), platform)
        multiplier = self._queue(m, "multiplier", (ends, ended, row.context), (self.leave, left), platform)
        m.d.comb += self.multiplier.eq(multiplier)
        with m.If(takes):
            m.d.sync += [self.largest.eq(largest), self.exponent.eq(exponent)]
        return (ended.index != left.index) | (ended.lap == left.lap)

    def _queue(self, m: Module, name: str, write: tuple, read: tuple, platform) -> Value:
        """A memory for a value of each row, written and read when and where the first two of each say."""
        store = Store(self._rows, write[2].shape())
        m.submodules[name] = share(store, f"queue_{Shape.cast(store.word.shape()).width}", platform)
        m.d.comb += [
            store.write.eq(write[0]),
            store.write_at.eq(write[1].index),
            store.word.eq(write[2]),
            store.read.eq(read[0]),
            store.read_at.eq(read[1].index),
        ]
        return store.stored


def place_in_ring(words: int, name: str) -> data.View:
    """Where a ring is written or read: a word, and the parity of how often it has begun again."""
    return Signal(data.StructLayout({"index": (words - 1).bit_length(), "lap": 1}), name=name)


def next_place(place: data.View, words: int) -> Value:
    wraps = place.index == words - 1
    return Cat(Mux(wraps, 0, place.index + 1)[: len(place.index)], place.lap ^ wraps)
