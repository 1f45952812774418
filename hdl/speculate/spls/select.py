# SPDX-License-Identifier: Apache-2.0
"""Top k of each row of scores, exactly, one row behind the other in two registers as wide as a row.

period        0      1      2      3
register 0   load   work   leave            a row leaves chunk by chunk while the one after the next is loaded in its
                           load   work …    place, and the one between is worked on in the other register
register 1          load   work   leave
                                  load …
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.compare import less
from hdl.shared import share
from hdl.speculate.spls.keep import Keeper
from hdl.speculate.spls.layouts import chunk_layout, tag_layout, ticket_layout, word_layout
from hdl.speculate.spls.search import HeldRow, RadixSearch

MAX_DIGIT = 4


def digit_of(score_bits: int, chunks: int) -> int:
    """Bits taken at a time: the fewest with which a row is worked on no longer than it takes to load, two cycles for
    each digit; at most 4."""
    return next((d for d in range(1, MAX_DIGIT) if 2 * -(-score_bits // d) <= chunks), MAX_DIGIT)


class TopK(wiring.Component):
    """Fetches rows, and tells for each which keys have its k largest scores; on equal scores the lower key wins.

    Parameters
    ----------
    rows: words of a chunk. chunks: of the longest row. score_bits: of a score. selections: with different k, of the
    same scores, made side by side. pace: least number of cycles from the last chunk of
    one row to that of the next.

    Members
    -------
    k: In, per selection, 1 or more, still while there are rows.
    available, ticket: In; start, step: Out; words: In: as in `ScoreRing`, from which the rows come.
    room: In, 1: a row may leave; claim: Out, 1: one does from the next cycle on. The rest of its way nothing holds it.
    early: Out, `tag_layout`: that of `o` in the next cycle. o: Out, `chunk_layout`.

    A row takes max(its chunks, 2·digits, pace) cycles: `period` at most.
    """

    def __init__(self, *, rows: int, chunks: int, score_bits: int, selections: int = 2, pace: int = 1):
        self._shape = {"rows": rows, "chunks": chunks, "score_bits": score_bits}
        self._rows, self._chunks, self._score_bits = rows, chunks, score_bits
        self._selections, self._pace = selections, pace
        self._digit = digit_of(score_bits, chunks)
        super().__init__(
            {
                "k": In(data.ArrayLayout(range(rows * chunks + 1), selections)),
                "available": In(1),
                "ticket": In(ticket_layout(rows, chunks)),
                "start": Out(1),
                "step": Out(1),
                "words": In(data.ArrayLayout(word_layout(score_bits), rows)),
                "room": In(1),
                "claim": Out(1),
                "early": Out(tag_layout(rows, chunks)),
                "o": Out(chunk_layout(rows, chunks, score_bits, selections)),
            }
        )

    @property
    def digit(self) -> int:
        """Bits of the threshold found at a time."""
        return self._digit

    @property
    def steps(self) -> int:
        """Digits of a threshold."""
        return -(-self._score_bits // self._digit)

    @property
    def period(self) -> int:
        """Cycles that a row of the longest sequence takes."""
        return max(self._chunks, 2 * self.steps, self._pace)

    def elaborate(self, platform):
        m = Module()
        held = [HeldRow(**self._shape, digit=self._digit) for _ in range(2)]
        turn, side = Signal(), Signal()
        for i, row in enumerate(held):
            m.submodules[f"held{i}"] = share(row, "spls_held", platform)
            m.d.comb += row.words.eq(self.words)
        loading, loaded, load_ends = self._load(m, turn, side, held)
        working, worked, work_ends, found = self._work(m, turn, side, held, (loading, loaded), platform)
        leave_ends = self._leave(m, turn, side, held, (working, worked), found, platform)
        m.d.comb += [
            # The row that is worked on leaves next: it needs room.
            turn.eq(load_ends & work_ends & leave_ends & (~working | self.room)),
            self.start.eq(turn & self.available),
            self.claim.eq(turn & working),
        ]
        with m.If(turn & (loading | working)):
            m.d.sync += side.eq(~side)
        return m

    # A phase is over, and stays so until all turn to their next rows together.

    def _load(self, m: Module, turn: Signal, side: Signal, held: list[HeldRow]) -> tuple[Signal, data.View, Signal]:
        """A row into register `side`: the words come the cycle after `start` and each `step`."""
        loading, full = Signal(), Signal()
        ticket = Signal(self.ticket.shape(), name="loaded", reset_less=True)
        chunk = Signal(range(self._chunks), name="load_chunk", reset_less=True)
        at_last, ends = Signal(name="load_at_last"), Signal(name="load_ends")
        m.d.comb += [
            at_last.eq(chunk == ticket.last_chunk),
            ends.eq(~loading | full | at_last),
            self.step.eq(loading & ~full & ~at_last),
        ]
        for i, row in enumerate(held):
            m.d.comb += [row.write.eq(loading & ~full & (side == i)), row.write_chunk.eq(chunk)]
        m.d.sync += full.eq(full | at_last)
        with m.If(self.step):
            m.d.sync += chunk.eq(chunk + 1)
        with m.If(turn):
            m.d.sync += [loading.eq(self.available), full.eq(0)]
        with m.If(self.start):
            m.d.sync += [ticket.eq(self.ticket), chunk.eq(0)]
        return loading, ticket, ends

    def _work(
        self, m: Module, turn: Signal, side: Signal, held: list[HeldRow], loaded: tuple[Signal, data.View], platform
    ) -> tuple[Signal, data.View, Signal, list[RadixSearch]]:
        """The search in the register that is not `side`."""
        working, odd, first = Signal(), Signal(), Signal()
        # The digit that is searched, from the top; none when the threshold is found.
        place = Signal(self.steps)
        present = Signal(self._chunks, reset_less=True)
        ticket, ends = Signal(self.ticket.shape(), name="worked", reset_less=True), Signal(name="work_ends")
        m.d.comb += [first.eq(place[0]), ends.eq(~place.any() | (place[-1] & odd))]
        for i, row in enumerate(held):
            m.d.comb += row.search.eq(place & (side != i).replicate(self.steps))
        with m.If(place.any()):
            m.d.sync += odd.eq(~odd)
            with m.If(odd):
                m.d.sync += place.eq(place << 1)
        with m.If(turn):
            m.d.sync += [working.eq(loaded[0]), place.eq(loaded[0])]
            with m.If(loaded[0]):
                m.d.sync += ticket.eq(loaded[1])
                m.d.sync += present.eq(Cat(~less(loaded[1].last_chunk, c) for c in range(self._chunks)))
        mask = Cat(bit.replicate(self._rows) for bit in present)
        digits, valid = Signal(held[0].digits.shape()), Signal(len(mask))
        m.d.comb += [
            digits.as_value().eq(held[0].digits.as_value() | held[1].digits.as_value()),
            valid.eq(Mux(side, held[0].valid, held[1].valid) & mask),
        ]
        searches = []
        for s in range(self._selections):
            search = RadixSearch(**self._shape, digit=self._digit)
            m.submodules[f"search{s}"] = share(search, "spls_search", platform)
            m.d.comb += [
                search.k.eq(self.k[s]),
                search.digits.eq(digits),
                search.valid.eq(valid),
                search.count.eq(place.any() & ~odd),
                search.decide.eq(place.any() & odd),
                search.first.eq(first),
            ]
            searches.append(search)
        return working, ticket, ends, searches

    def _leave(
        self,
        m: Module,
        turn: Signal,
        side: Signal,
        held: list[HeldRow],
        worked: tuple[Signal, data.View],
        found: list[RadixSearch],
        platform,
    ) -> Signal:
        """The row in register `side`, a chunk a cycle; over when the next can follow it without breaking the pace."""
        keeper = Keeper(**self._shape, selections=self._selections)
        m.submodules.keeper = share(keeper, "spls_keeper", platform)
        leaving = Signal()
        ticket = Signal(self.ticket.shape(), name="left", reset_less=True)
        chunk = Signal(range(self._chunks), name="leave_chunk", reset_less=True)
        # Cycles from now before another row's last chunk may follow.
        pause, still = Signal(range(self._pace + 1)), Signal(range(self._pace + 1))
        ends, tag = Signal(name="leave_ends"), keeper.tag
        m.d.comb += [
            tag.valid.eq(leaving),
            tag.first.eq(chunk == 0),
            tag.last.eq(chunk == ticket.last_chunk),
            tag.place.eq(ticket.place),
            tag.chunk.eq(chunk),
            still.eq(Mux(leaving, self._pace, pause)),
            ends.eq((~leaving | tag.last) & (~worked[0] | ~less(worked[1].last_chunk + 1, still))),
            keeper.words.as_value().eq(held[0].chunk.as_value() | held[1].chunk.as_value()),
            self.early.eq(keeper.early),
            self.o.eq(keeper.o),
        ]
        for i, row in enumerate(held):
            m.d.comb += [row.read.eq(leaving & (side == i)), row.read_chunk.eq(chunk)]
        for s, search in enumerate(found):
            m.d.comb += [keeper.threshold[s].eq(search.threshold), keeper.left[s].eq(search.left)]
        with m.If(still != 0):
            m.d.sync += pause.eq(still - 1)
        with m.If(leaving):
            m.d.sync += [chunk.eq(chunk + 1), leaving.eq(~tag.last)]
        with m.If(turn):
            m.d.sync += leaving.eq(worked[0])
            with m.If(worked[0]):
                m.d.sync += [ticket.eq(worked[1]), chunk.eq(0)]
        return ends
