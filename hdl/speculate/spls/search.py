# SPDX-License-Identifier: Apache-2.0
"""A digit of the k-th largest score of each row, found while the row streams by.

words ─► register ─► candidates: digits above match ─┬─► how many have this digit ≥ 1 ─► Σ ─► enough? ─┐
                                                     ├─► how many have this digit ≥ 2 ─► Σ ─► enough? ─┼─► digit
                                                     └─► …                                             ┘

The sums begin at minus the places to be filled, so that a sum that is not negative is enough. The largest digit with
enough is the threshold's; what was found above it no longer needs a place.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.compare import less
from hdl.arith.compress import CarrySaveTree, Word, levels
from hdl.shared import share
from hdl.speculate.spls.layouts import stage_layout

MAX_DIGIT = 4
"""Bits of a digit: 15 counts of 4 bits cost about as much as the row's way through another pass."""


def digits_of(score_bits: int) -> list[int]:
    """Widths of the digits from the top: as few as there can be, as equal as they can be."""
    count = -(-score_bits // MAX_DIGIT)
    return [(score_bits + i) // count for i in reversed(range(count))]


def found_layout(bits: int, tokens: int) -> data.StructLayout:
    """What is known of a row's threshold: `digits`, its topmost `bits` bits, of the score with the sign bit inverted,
    so that scores compare as unsigned; `owed`, minus the places left to be filled by scores with these digits."""
    digits = {"digits": bits} if bits else {}
    return data.StructLayout({**digits, "owed": signed(tokens.bit_length() + 1)})


class DigitCounts(wiring.Component):
    """How many scores of a chunk are candidates with a digit of d or more, for each d from 1 on.

    Parameters
    ----------
    rows: scores of a chunk. digit: bits of a digit.

    Members
    -------
    enable: In, 1; digits: In, `rows` digits; active: In, rows: which of them are candidates.
    pairs: Out, two words for each d whose sum is the count, from the next cycle until the next `enable`.
    """

    def __init__(self, *, rows: int, digit: int):
        self._rows = rows
        pair = data.ArrayLayout(range(rows + 1), 2)
        super().__init__(
            {
                "enable": In(1),
                "digits": In(data.ArrayLayout(digit, rows)),
                "active": In(rows),
                "pairs": Out(data.ArrayLayout(pair, (1 << digit) - 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words = [Word(1)] * self._rows
        for d, pair in enumerate(self.pairs, 1):
            tree = CarrySaveTree(words=words, bits=len(pair[0]), cuts=(levels(len(words)),))
            m.submodules[f"count{d}"] = share(tree, "spls_count_tree", platform)
            m.d.comb += [tree.enable.eq(self.enable), pair[0].eq(tree.o[0]), pair[1].eq(tree.o[1])]
            m.d.comb += [
                tree.i[str(i)].eq(active & ~less(digit, d))
                for i, (active, digit) in enumerate(zip(self.active, self.digits, strict=True))
            ]
        return m


class DigitChoice(wiring.Component):
    """Sums the counts of a row's chunks, and chooses the digit.

    Parameters
    ----------
    tokens: of the longest row. rows: scores of a chunk. bits: of the threshold that are known. digit: bits of a digit.

    Members
    -------
    count: In, 1: `pairs` (In, as in `DigitCounts`) are those of a chunk; first: In, 1: of a row's first; then
    given: In, `found_layout` of `bits`, is the row's.
    choose: In, 1, the cycle behind a row's last count; found: Out, `found_layout` with the digit, in that cycle.
    """

    def __init__(self, *, tokens: int, rows: int, bits: int, digit: int):
        self._digit = digit
        pair = data.ArrayLayout(range(rows + 1), 2)
        super().__init__(
            {
                "count": In(1),
                "first": In(1),
                "pairs": In(data.ArrayLayout(pair, (1 << digit) - 1)),
                "given": In(found_layout(bits, tokens)),
                "found": Out(found_layout(bits + digit, tokens)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given = Signal.like(self.given, reset_less=True)
        with m.If(self.count & self.first):
            m.d.sync += given.eq(self.given)
        sums = [self._sum(m, d, pair, platform) for d, pair in enumerate(self.pairs, 1)]
        enough = [Const(1), *(~total[-1] for total in sums), Const(0, 1)]
        chosen = [enough[d] & ~enough[d + 1] for d in range(len(sums) + 1)]
        digit = Cat(Cat(bit for d, bit in enumerate(chosen) if d >> i & 1).any() for i in range(self._digit))
        # The count for one digit more has all scores above the threshold's.
        owed = 0
        for bit, above in zip(chosen, [*sums, given.owed], strict=True):
            owed |= Value.cast(above) & bit.replicate(len(given.owed))
        known = [given.digits] if "digits" in given.shape().members else []
        m.d.comb += [self.found.digits.eq(Cat(digit, *known)), self.found.owed.eq(owed)]
        return m

    def _sum(self, m: Module, d: int, pair: data.View, platform) -> Signal:
        """Counts until now, less the places to be filled."""
        bits = len(self.given.owed)
        total, start = Signal(bits, name=f"sum{d}", reset_less=True), Signal(bits, name=f"start{d}")
        tree = CarrySaveTree(words=[Word(bits), Word(len(pair[0])), Word(len(pair[1]))], bits=bits)
        m.submodules[f"sum{d}"] = share(tree, "spls_sum_tree", platform)
        m.d.comb += start.eq(Mux(self.first, self.given.owed, total))
        m.d.comb += [tree.i[str(i)].eq(word) for i, word in enumerate((start, *pair))]
        with m.If(self.count):
            m.d.sync += total.eq(tree.o[0] + tree.o[1])
        return total


class DigitSearch(wiring.Component):
    """Finds the next digit of the thresholds of rows that stream by. Nothing holds it up.

    Parameters
    ----------
    rows: words of a chunk. chunks: of the longest row. score_bits: of a score. bits: of the threshold that are known.
    digit: bits of the next digit. selections: with thresholds of their own, made side by side.

    Members
    -------
    stage: In, `stage_layout`: a chunk. given: In, per selection `found_layout` of `bits`, taken with a row's first.
    passed: Out, `stage_layout`: the chunk of the cycle before.
    done: Out, 1, `latency` cycles behind a row's last chunk; found: Out, per selection `found_layout` with the digit.
    """

    latency = 3

    def __init__(self, *, rows: int, chunks: int, score_bits: int, bits: int, digit: int, selections: int):
        self._rows, self._score_bits, self._bits, self._digit = rows, score_bits, bits, digit
        self._tokens, self._selections = rows * chunks, selections
        stage = stage_layout(rows, chunks, score_bits)
        super().__init__(
            {
                "stage": In(stage),
                "given": In(data.ArrayLayout(found_layout(bits, self._tokens), selections)),
                "passed": Out(stage),
                "done": Out(1),
                "found": Out(data.ArrayLayout(found_layout(bits + digit, self._tokens), selections)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        valids, firsts, lasts = ([Signal(name=f"{name}{i}") for i in range(3)] for name in ("valid", "first", "last"))
        tag = self.stage.tag
        m.d.sync += [Cat(valids).eq(Cat(tag.valid, valids)), Cat(lasts).eq(Cat(tag.valid & tag.last, lasts))]
        m.d.sync += Cat(firsts).eq(Cat(tag.valid & tag.first, firsts))
        held = Signal.like(self.stage, reset_less=True)
        with m.If(tag.valid):
            m.d.sync += held.eq(self.stage)
        m.d.comb += [self.passed.eq(held), self.passed.tag.valid.eq(valids[0]), self.done.eq(lasts[2])]
        givens = [Signal.like(self.given, name=f"given{i}", reset_less=True) for i in range(2)]
        for comes, before, given in zip(
            [tag.valid & tag.first, firsts[0]], [self.given, *givens], givens, strict=False
        ):
            with m.If(comes):
                m.d.sync += given.eq(before)
        counts = self._count(m, held.words, valids[0], givens[0], platform)
        for s in range(self._selections):
            choice = DigitChoice(tokens=self._tokens, rows=self._rows, bits=self._bits, digit=self._digit)
            m.submodules[f"choice{s}"] = share(choice, f"spls_choice{self._bits}", platform)
            m.d.comb += [
                choice.count.eq(valids[1]),
                choice.first.eq(firsts[1]),
                choice.pairs.eq(counts[s].pairs),
                choice.given.eq(givens[1][s]),
                self.found[s].eq(choice.found),
            ]
        return m

    def _count(self, m: Module, words: data.View, enable: Signal, given: data.View, platform) -> list[DigitCounts]:
        """The counts of each selection; before the first digit all have the same candidates."""
        low = self._score_bits - self._bits - self._digit
        keys = [Cat(word.score[:-1], ~word.score[-1]) for word in words]
        distinct = []
        for s in range(self._selections if self._bits else 1):
            counts = DigitCounts(rows=self._rows, digit=self._digit)
            m.submodules[f"counts{s}"] = share(counts, f"spls_counts{self._digit}", platform)
            distinct.append(counts)
            m.d.comb += counts.enable.eq(enable)
            for i, (word, key) in enumerate(zip(words, keys, strict=True)):
                fits = key[low + self._digit :] == given[s].digits if self._bits else 1
                m.d.comb += [counts.digits[i].eq(key[low : low + self._digit]), counts.active[i].eq(word.valid & fits)]
        return distinct if self._bits else distinct * self._selections


class Findings(wiring.Component):
    """Keeps what was found of up to `slots` rows until the row itself has come after it.

    Members: `put`: In, 1; `found`: In, `shape`: of the next row. `take`: In, 1, in order; `o`: Out, `shape`, of the row
    that is to be taken, from the cycle behind its `put` on.
    """

    def __init__(self, shape: data.Layout, *, slots: int):
        self._slots = slots
        super().__init__({"put": In(1), "found": In(shape), "take": In(1), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        kept = [Signal(self.o.shape(), name=f"found{i}", reset_less=True) for i in range(self._slots)]
        putting, taking = Signal(range(self._slots)), Signal(range(self._slots))
        for pointer, moves in ((putting, self.put), (taking, self.take)):
            with m.If(moves):
                m.d.sync += pointer.eq(Mux(pointer == self._slots - 1, 0, pointer + 1))
        with m.If(self.put):
            for i, register in enumerate(kept):
                with m.If(putting == i):
                    m.d.sync += register.eq(self.found)
        m.d.comb += self.o.eq(Array(map(Value.cast, kept))[taking])
        return m
