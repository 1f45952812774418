# SPDX-License-Identifier: Apache-2.0
"""The largest sums of a memory, exactly: a pass over all of them for each digit of the smallest that is kept.

cycle   0        1         2                       3             4
read ─► words ─► digit p-1 ─► still equal? above? ─┬─► counts ─► choice: digit p, places owed
                 digit p                           │
        flags ─► above, equal ─────────────────────┴─► flags     in the last pass ─► ranks ─► kept

So many places are owed as sums are kept. The choice finds the largest digit that, with all larger ones, fills them.
Sums with a larger one have a place; those with this one go on, digit by digit. In the last pass, the lowest of those
that are equal to the end take the places that are left.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.spatten import DIGIT_BITS, SpattenConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.spatten.layouts import chunks_of, number_of, words_layout
from hdl.speculate.spls.search import DigitChoice, DigitCounts, found_layout
from hdl.store import Store

STAGES = 5
"""From the request of a chunk until it is decided about."""


class Ranks(wiring.Component):
    """How many flags stand below each one, and how many in all. Combinational, of logarithmic depth.

    Parameters: `rows`, flags. Members: i: In, rows; o: Out, rows + 1 numbers.
    """

    def __init__(self, rows: int):
        super().__init__({"i": In(rows), "o": Out(data.ArrayLayout(range(rows + 1), rows + 1))})

    def elaborate(self, platform):
        m = Module()
        counts: list[Value] = list(self.i)
        distance = 1
        while distance < len(counts):
            counts = [n if i < distance else counts[i - distance] + n for i, n in enumerate(counts)]
            distance *= 2
        m.d.comb += [self.o[0].eq(0), *(self.o[i].eq(count) for i, count in enumerate(counts, 1))]
        return m


class Cut(wiring.Component):
    """Equals golden.arith.top.top of one row of sums, unsigned; on equal sums the lower place wins.

    Parameters
    ----------
    config: `SpattenConfig`.

    Members
    -------
    start: In, 1: a search begins; none is under way. last_chunk: In, of the sums; places: In, how many are kept, 1 or
    more. Both still until `done`.
    read: Out, 1; at: Out, a chunk; words: In, `words_layout`, its sums; allowed: In, rows, which of them may be kept:
    both in the next cycle.
    put: Out, 1: of chunk `put_at` (Out), `kept` (Out, rows) are kept; chunk by chunk, when none of `allowed` is asked
    for any more. done: Out, 1, with the last one.

    C chunks take (`config.digits` + 1)·(C + 4) cycles from `start` to `done`.
    """

    def __init__(self, config: SpattenConfig):
        self._config = config
        rows, chunk = config.rows, number_of(chunks_of(config))
        # Places of the search: more than there are sums, if the last chunk is not full.
        self._places = rows * chunks_of(config)
        self._tag = data.StructLayout({"chunk": chunk, "first": 1, "last": 1})
        super().__init__(
            {
                "start": In(1),
                "last_chunk": In(chunk),
                "places": In(range(self._places + 1)),
                "read": Out(1),
                "at": Out(chunk),
                "words": In(words_layout(config)),
                "allowed": In(rows),
                "put": Out(1),
                "put_at": Out(chunk),
                "kept": Out(rows),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Of a pass, by its digit from the top; the last bit is that of the pass that keeps.
        number, again = Signal(self._config.digits + 1, init=1), Signal()
        valids, tags = self._read(m, again)
        chosen = Signal(DIGIT_BITS, reset_less=True)
        owed = Signal(found_layout(0, self._places)["owed"].shape, reset_less=True)
        above, equal, digits = self._compare(m, number, chosen, valids, tags, platform)
        found = self._count(m, digits, equal, owed, ~number[-1], (valids, tags), platform)
        m.d.sync += again.eq(valids[3] & tags[3].last & ~number[-1])
        with m.If(self.start):
            m.d.sync += [owed.eq(-self.places), number.eq(1)]
        with m.If(again):
            m.d.sync += [chosen.eq(found.digits), owed.eq(found.owed), number.eq(number << 1)]
        self._keep(m, above, equal, owed, number[-1], (valids, tags), platform)
        return m

    def _read(self, m: Module, again: Value) -> tuple[list[Value], list[data.View]]:
        """Reads all chunks behind `start` and `again`. Returns valids and tags: of the chunk n cycles behind its
        request, at n."""
        valids = [Signal(name="reading"), *(Signal(name=f"valid{i}") for i in range(1, STAGES))]
        tags = [Signal(self._tag, name=f"tag{i}", reset_less=i > 0) for i in range(STAGES)]
        chunk = Signal.like(self.at)
        m.d.comb += [
            self.read.eq(valids[0]),
            self.at.eq(chunk),
            tags[0].chunk.eq(chunk),
            tags[0].first.eq(chunk == 0),
            tags[0].last.eq(chunk == self.last_chunk),
        ]
        for stage in range(1, STAGES):
            m.d.sync += valids[stage].eq(valids[stage - 1])
            with m.If(valids[stage - 1]):
                m.d.sync += tags[stage].eq(tags[stage - 1])
        with m.If(valids[0]):
            m.d.sync += [chunk.eq(Mux(tags[0].last, 0, chunk + 1)), valids[0].eq(~tags[0].last)]
        with m.Elif(self.start | again):
            m.d.sync += valids[0].eq(1)
        return valids, tags

    def _compare(
        self, m: Module, number: Signal, chosen: Signal, valids: list[Value], tags: list[data.View], platform
    ) -> tuple[Value, Value, list[Value]]:
        """Of the chunk in stage 2: which sums are above all digits chosen so far, which equal to them, and what digits
        are next."""
        rows, first = self._config.rows, number[0]
        shape = data.StructLayout({"above": rows, "equal": rows})
        flags = Store(chunks_of(self._config), shape)
        m.submodules.flags = share(flags, flags.name, platform)
        earlier = Signal(shape, reset_less=True)
        olds, news = (
            [Signal(DIGIT_BITS, name=f"{name}{i}", reset_less=True) for i in range(rows)] for name in ("old", "new")
        )
        with m.If(valids[1]):
            m.d.sync += [
                earlier.above.eq(flags.stored.above & ~first.replicate(rows)),
                earlier.equal.eq(Mux(first, self.allowed, flags.stored.equal)),
                *(old.eq(_digit(word, number[1:])) for old, word in zip(olds, self.words, strict=True)),
                *(new.eq(_digit(word, number[:-1])) for new, word in zip(news, self.words, strict=True)),
            ]
        same = Cat((old == chosen) | first for old in olds)
        larger = Cat(less(chosen, old) & ~first for old in olds)
        above, equal = Signal(rows, name="above"), Signal(rows, name="equal")
        m.d.comb += [
            equal.eq(earlier.equal & same),
            above.eq(earlier.above | earlier.equal & larger),
            flags.read.eq(valids[0]),
            flags.read_at.eq(tags[0].chunk),
            flags.write.eq(valids[2] & ~number[-1]),
            flags.write_at.eq(tags[2].chunk),
            flags.word.above.eq(above),
            flags.word.equal.eq(equal),
        ]
        return above, equal, news

    def _count(
        self, m: Module, digits: list[Value], equal: Value, owed: Value, on: Value, pipeline: tuple, platform
    ) -> data.View:
        """Behind the last chunk's count, the digit that is found, and what is owed to sums that have it."""
        rows, (valids, tags) = self._config.rows, pipeline
        counts = DigitCounts(rows=rows, digit=DIGIT_BITS)
        choice = DigitChoice(tokens=self._places, rows=rows, bits=0, digit=DIGIT_BITS)
        m.submodules.counts = share(counts, "spatten_counts", platform)
        m.submodules.choice = share(choice, "spatten_choice", platform)
        m.d.comb += [
            counts.enable.eq(valids[2] & on),
            counts.active.eq(equal),
            *(given.eq(digit) for given, digit in zip(map(Value.cast, counts.digits), digits, strict=True)),
            choice.pairs.eq(counts.pairs),
            choice.count.eq(valids[3] & on),
            choice.first.eq(tags[3].first),
            choice.given.owed.eq(owed),
        ]
        return choice.found

    def _keep(
        self, m: Module, above: Value, equal: Value, owed: Signal, final: Value, pipeline: tuple, platform
    ) -> None:
        """In the last pass: sums above the smallest one that is kept, and of those equal to it the lowest."""
        rows, (valids, tags) = self._config.rows, pipeline
        m.submodules.ranks = ranks = Ranks(rows)
        flags = [
            [Signal(rows, name=f"{name}{stage}", reset_less=True) for stage in (3, 4)] for name in ("above", "equal")
        ]
        counts = Signal(ranks.o.shape(), reset_less=True)
        with m.If(valids[2] & final):
            m.d.sync += [flags[0][0].eq(above), flags[1][0].eq(equal)]
        with m.If(valids[3] & final):
            m.d.sync += [flags[0][1].eq(flags[0][0]), flags[1][1].eq(flags[1][0]), counts.eq(ranks.o)]
        # What is owed is negative until it is paid.
        lacking = Cat((count + owed)[-1] for count in counts)
        m.d.comb += [
            ranks.i.eq(flags[1][0]),
            self.put.eq(valids[4] & final),
            self.put_at.eq(tags[4].chunk),
            self.kept.eq(flags[0][1] | flags[1][1] & lacking[:-1]),
            self.done.eq(self.put & tags[4].last),
        ]
        with m.If(self.put):
            m.d.sync += owed.eq(Mux(lacking[-1], counts[rows] + owed, 0))
        corner(m, platform, "tie_at_the_cut", self.put & (flags[1][1] & ~lacking[:-1]).any() & lacking[0])
        corner(m, platform, "more_places_than_sums", self.done & lacking[-1])


def _digit(word: Value, chosen: Value) -> Value:
    """The digit of a word, from the top, whose bit is set; 0 if none is."""
    word = Value.cast(word)
    last = len(chosen) - 1
    found = 0
    for n in range(len(chosen)):
        found |= word[(last - n) * DIGIT_BITS :][:DIGIT_BITS] & chosen[n].replicate(DIGIT_BITS)
    return found
