# SPDX-License-Identifier: Apache-2.0
"""The k-th largest score of a row, exactly: radix selection from the top bit down.

candidates ─► those whose digit is ≥ d ─► counts ┊ counts ≥ places left? ─► digit of the threshold ─┐
    ▲                for every digit d > 0       ┊                                                  │
    └── those with this digit ◄─────────────────────────────────────────────────────────────────────┘
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.compare import less
from hdl.arith.compress import CarrySaveTree, Word
from hdl.shared import share
from hdl.speculate.spls.layouts import word_layout


class HeldRow(wiring.Component):
    """A register as wide as a whole row of scores: written and read chunk by chunk, searched all at once.

    Parameters
    ----------
    rows: words of a chunk. chunks: of a row. score_bits: of a score. digit: bits of a digit.

    Members
    -------
    write: In, 1; write_chunk, words: In; `rows` words are held from the next cycle on.
    read: In, 1; read_chunk: In; chunk: Out, `rows` words, at once; zeros while `read` is low.
    search: In, one bit per digit from the top: the one that is searched; digits: Out, tokens of them, of the scores
    with their sign bits inverted, so that they compare as unsigned; zeros, and still, while no bit is set.
    valid: Out, tokens.
    """

    def __init__(self, *, rows: int, chunks: int, score_bits: int, digit: int):
        self._rows, self._chunks, self._score_bits, self._digit = rows, chunks, score_bits, digit
        words = data.ArrayLayout(word_layout(score_bits), rows)
        super().__init__(
            {
                "write": In(1),
                "write_chunk": In(range(max(2, chunks))),
                "words": In(words),
                "read": In(1),
                "read_chunk": In(range(max(2, chunks))),
                "chunk": Out(words),
                "search": In(-(-score_bits // digit)),
                "digits": Out(data.ArrayLayout(digit, rows * chunks)),
                "valid": Out(rows * chunks),
            }
        )

    def elaborate(self, platform):
        m = Module()
        digits, valids, shown = [], [], 0
        for c in range(self._chunks):
            part = HeldChunk(rows=self._rows, score_bits=self._score_bits, digit=self._digit)
            m.submodules[f"part{c}"] = share(part, "spls_held_chunk", platform)
            m.d.comb += [
                part.write.eq(self.write & (self.write_chunk == c)),
                part.words.eq(self.words),
                part.read.eq(self.read & (self.read_chunk == c)),
                part.search.eq(self.search),
            ]
            shown |= part.chunk.as_value()
            digits.append(part.digits.as_value())
            valids.append(part.valid)
        m.d.comb += [
            self.chunk.as_value().eq(shown),
            self.digits.as_value().eq(Cat(digits)),
            self.valid.eq(Cat(valids)),
        ]
        return m


class HeldChunk(wiring.Component):
    """A chunk of a `HeldRow`; members as there, for the chunk alone."""

    def __init__(self, *, rows: int, score_bits: int, digit: int):
        self._digit, self._steps = digit, -(-score_bits // digit)
        words = data.ArrayLayout(word_layout(score_bits), rows)
        super().__init__(
            {
                "write": In(1),
                "words": In(words),
                "read": In(1),
                "chunk": Out(words),
                "search": In(self._steps),
                "digits": Out(data.ArrayLayout(digit, rows)),
                "valid": Out(rows),
            }
        )

    def elaborate(self, platform):
        m = Module()
        stored = Signal(self.words.shape(), reset_less=True)
        with m.If(self.write):
            m.d.sync += stored.eq(self.words)
        m.d.comb += [
            self.chunk.as_value().eq(stored.as_value() & self.read.replicate(len(stored.as_value()))),
            self.valid.eq(Cat(word.valid for word in stored)),
            *(digit.eq(self._digit_of(word.score)) for digit, word in zip(self.digits, stored, strict=True)),
        ]
        return m

    def _digit_of(self, score):
        """The digit that is searched."""
        # The sign bit inverted, scores compare as unsigned.
        padded = Cat(score[:-1], ~score[-1])
        found = 0
        for step, chosen in enumerate(self.search):
            low = (self._steps - 1 - step) * self._digit
            found |= padded[low : low + self._digit] & chosen.replicate(self._digit)
        return found


class RadixSearch(wiring.Component):
    """Finds the k-th largest score of a row, a digit in two cycles; all candidates are kept if there are fewer than k.

    Parameters
    ----------
    rows: scores of a chunk. chunks: of a row. score_bits: of a score. digit: bits taken at a time.

    Members
    -------
    k: In, range(tokens + 1), 1 or more, still during a search.
    digits: In, `tokens` digits, still during both cycles; valid: In, tokens: which scores there are.
    count: In, 1: first cycle of a digit. decide: In, 1: second cycle. first: In, 1: in both, it is the row's top digit.
    threshold: Out, score_bits, unsigned; left: Out: how many of the scores that equal the threshold are to be kept, 1
    or more; both stand from the last `decide` to the next.
    """

    def __init__(self, *, rows: int, chunks: int, score_bits: int, digit: int):
        self._rows, self._chunks, self._score_bits, self._digit = rows, chunks, score_bits, digit
        tokens = rows * chunks
        super().__init__(
            {
                "k": In(range(tokens + 1)),
                "digits": In(data.ArrayLayout(digit, tokens)),
                "valid": In(tokens),
                "count": In(1),
                "decide": In(1),
                "first": In(1),
                "threshold": Out(score_bits),
                "left": Out(range(tokens + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        largest = (1 << self._digit) - 1
        # Less the places left, from -tokens to -1; a sum with a count is from -tokens to tokens - 1.
        bits = len(self.left) + 1
        owed, owed_now = Signal(bits, reset_less=True), Signal(bits)
        m.d.comb += [owed_now.eq(Mux(self.first, -self.k, owed)), self.left.eq(-owed)]
        found = Signal(self._digit)
        over = self._counts(m, owed_now, found, platform)
        enough = [1, *(~total[-1] for total in over), 0]
        chosen = Signal(largest + 1)
        m.d.comb += chosen.eq(Cat(enough[d] & ~enough[d + 1] for d in range(largest)))
        m.d.comb += chosen[largest].eq(enough[largest])
        m.d.comb += found.eq(
            Cat(Cat(chosen[d] for d in range(largest + 1) if d >> i & 1).any() for i in range(self._digit))
        )
        next_owed = owed_now & chosen[largest].replicate(bits)
        for d in range(largest):
            next_owed |= over[d] & chosen[d].replicate(bits)
        threshold = Signal(self._score_bits, reset_less=True)
        m.d.comb += self.threshold.eq(threshold)
        with m.If(self.decide):
            m.d.sync += [owed.eq(next_owed), threshold.eq(Cat(found, threshold))]
        return m

    def _counts(self, m: Module, owed: Signal, found: Signal, platform) -> list[Signal]:
        """For each digit from 1: how many candidates have it or a larger one, less the places left."""
        parts = []
        for c in range(self._chunks):
            part = Candidates(rows=self._rows, digit=self._digit)
            m.submodules[f"part{c}"] = share(part, "spls_candidates", platform)
            place = slice(c * self._rows, (c + 1) * self._rows)
            m.d.comb += [
                part.digits.as_value().eq(Cat(list(self.digits)[place])),
                part.valid.eq(self.valid[place]),
                *(getattr(part, name).eq(getattr(self, name)) for name in ("count", "decide", "first")),
                part.found.eq(found),
            ]
            parts.append(part)
        bits, totals = len(owed), []
        words = [*(Word(len(part.counts[0])) for part in parts), Word(bits)]
        for d in range(1, 1 << self._digit):
            tree = CarrySaveTree(words=words, bits=bits)
            m.submodules[f"sum{d}"] = share(tree, "spls_sum", platform)
            m.d.comb += [tree.i[str(c)].eq(part.counts[d - 1]) for c, part in enumerate(parts)]
            m.d.comb += tree.i[str(self._chunks)].eq(owed)
            total = Signal(bits, name=f"over{d}")
            m.d.comb += total.eq(tree.o[0] + tree.o[1])
            totals.append(total)
        return totals


class Candidates(wiring.Component):
    """A chunk's part of a `RadixSearch`: which of its scores have had the digits of the threshold so far.

    Members: `digits`, `valid`, `count`, `decide`, `first`: In, as there, for the chunk; `found`: In, the threshold's
    digit. `counts`: Out, for each digit from 1, how many candidates have it or a larger one, from the cycle behind
    `count` on.
    """

    def __init__(self, *, rows: int, digit: int):
        self._rows, self._digit = rows, digit
        super().__init__(
            {
                "digits": In(data.ArrayLayout(digit, rows)),
                "valid": In(rows),
                "count": In(1),
                "decide": In(1),
                "first": In(1),
                "found": In(digit),
                "counts": Out(data.ArrayLayout(range(rows + 1), (1 << digit) - 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        candidates, active = Signal(self._rows, reset_less=True), Signal(self._rows)
        counts = Signal(self.counts.shape(), reset_less=True)
        m.d.comb += [
            active.eq(self.valid & (candidates | self.first.replicate(self._rows))),
            self.counts.eq(counts),
        ]
        for d, count in enumerate(counts, 1):
            tree = CarrySaveTree(words=[Word(1)] * self._rows, bits=len(count))
            m.submodules[f"count{d}"] = share(tree, "spls_count", platform)
            m.d.comb += [tree.i[str(i)].eq(active[i] & ~less(digit, d)) for i, digit in enumerate(self.digits)]
            with m.If(self.count):
                m.d.sync += count.eq(tree.o[0] + tree.o[1])
        with m.If(self.decide):
            m.d.sync += candidates.eq(
                Cat(a & (digit == self.found) for a, digit in zip(active, self.digits, strict=True))
            )
        return m
