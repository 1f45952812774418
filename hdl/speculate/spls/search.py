# SPDX-License-Identifier: Apache-2.0
"""The k-th largest score of a row, exactly: radix selection from the top bit down.

candidates ─► those whose digit is ≥ d ─► counts ┊ counts ≥ places left? ─► digit of the threshold ─┐
    ▲                for every digit d > 0       ┊                                                  │
    └── those with this digit ◄─────────────────────────────────────────────────────────────────────┘
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.compress import CarrySaveTree, Word, levels
from hdl.shared import share
from hdl.speculate.spls.compare import less
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
        self._rows, self._chunks, self._digit = rows, chunks, digit
        self._word = word_layout(score_bits)
        self._steps = -(-score_bits // digit)
        words = data.ArrayLayout(self._word, rows)
        super().__init__(
            {
                "write": In(1),
                "write_chunk": In(range(max(2, chunks))),
                "words": In(words),
                "read": In(1),
                "read_chunk": In(range(max(2, chunks))),
                "chunk": Out(words),
                "search": In(self._steps),
                "digits": Out(data.ArrayLayout(digit, rows * chunks)),
                "valid": Out(rows * chunks),
            }
        )

    def elaborate(self, platform):
        m = Module()
        held = [Signal(self.words.shape(), name=f"stored{c}", reset_less=True) for c in range(self._chunks)]
        shown = 0
        for c, chunk in enumerate(held):
            with m.If(self.write & (self.write_chunk == c)):
                m.d.sync += chunk.eq(self.words)
            chosen = self.read & (self.read_chunk == c)
            shown |= chunk.as_value() & chosen.replicate(len(chunk.as_value()))
        m.d.comb += [
            self.chunk.as_value().eq(shown),
            self.valid.eq(Cat(word.valid for chunk in held for word in chunk)),
        ]
        for digit, word in zip(self.digits, (word for chunk in held for word in chunk), strict=True):
            m.d.comb += digit.eq(self._digit_of(word.score.as_unsigned()))
        return m

    def _digit_of(self, score):
        """The digit that is searched."""
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
    tokens: scores of a row. score_bits: of each. digit: bits taken at a time.

    Members
    -------
    k: In, range(tokens + 1), 1 or more, still during a search.
    digits: In, `tokens` digits, still during both cycles; valid: In, tokens: which scores there are.
    count: In, 1: first cycle of a digit. decide: In, 1: second cycle. first: In, 1: in both, it is the row's top digit.
    threshold: Out, score_bits, unsigned; left: Out: how many of the scores that equal the threshold are to be kept, 1
    or more; both stand from the last `decide` to the next.
    """

    def __init__(self, *, tokens: int, score_bits: int, digit: int):
        self._tokens, self._score_bits, self._digit = tokens, score_bits, digit
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
        candidates, active = Signal(self._tokens, reset_less=True), Signal(self._tokens)
        m.d.comb += [
            owed_now.eq(Mux(self.first, -self.k, owed)),
            active.eq(self.valid & (candidates | self.first.replicate(self._tokens))),
            self.left.eq(-owed),
        ]
        over = self._counts(m, active, owed_now, platform)
        enough = [1, *(~total[-1] for total in over), 0]
        chosen = Signal(largest + 1)
        m.d.comb += chosen.eq(Cat(enough[d] & ~enough[d + 1] for d in range(largest)))
        m.d.comb += chosen[largest].eq(enough[largest])
        found = Cat(Cat(chosen[d] for d in range(largest + 1) if d >> i & 1).any() for i in range(self._digit))
        next_owed = owed_now & chosen[largest].replicate(bits)
        for d in range(largest):
            next_owed |= over[d] & chosen[d].replicate(bits)
        threshold = Signal(self._score_bits, reset_less=True)
        m.d.comb += self.threshold.eq(threshold)
        with m.If(self.decide):
            m.d.sync += [
                owed.eq(next_owed),
                threshold.eq(Cat(found, threshold)),
                candidates.eq(Cat(a & (digit == found) for a, digit in zip(active, self.digits, strict=True))),
            ]
        return m

    def _counts(self, m: Module, active: Signal, owed: Signal, platform) -> list[Signal]:
        """For each digit from 1: how many candidates have it or a larger one, less the places left."""
        bits, totals = len(owed), []
        words = [Word(1)] * self._tokens + [Word(bits)]
        for d in range(1, 1 << self._digit):
            tree = CarrySaveTree(words=words, bits=bits, cuts=(levels(len(words)) // 2,))
            m.submodules[f"count{d}"] = share(tree, "spls_count", platform)
            m.d.comb += [tree.i[str(i)].eq(active[i] & ~less(digit, d)) for i, digit in enumerate(self.digits)]
            m.d.comb += [tree.i[str(self._tokens)].eq(owed), tree.enable.eq(self.count)]
            total = Signal(bits, name=f"over{d}")
            m.d.comb += total.eq(tree.o[0] + tree.o[1])
            totals.append(total)
        return totals
