# SPDX-License-Identifier: Apache-2.0
"""Column compressor: many words to one sum through carry-save adders, in a pipeline.

words   ▓▓▓▓▓▓▓▓▓      a carry-save adder turns three words into two (sum and carry) in the time of one full adder,
level 1 ▓▓▓▓▓▓         so n words need about log1.5(n/2) levels; one carry-propagating adder ends the tree.
level 2 ▓▓▓▓           Registers stand after the levels named in `cuts`.
…       ▓▓
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from hdl.shared import share


@dataclass(frozen=True)
class Word:
    """An unsigned word of the sum: `bits` bits, the lowest of them in column `column`."""

    bits: int
    column: int = 0

    @property
    def end(self) -> int:
        """The column above its top bit."""
        return self.column + self.bits


def words_layout(words: Sequence[Word]) -> data.StructLayout:
    """The words beside each other, as fields "0", "1", …"""
    return data.StructLayout({str(i): unsigned(word.bits) for i, word in enumerate(words)})


def levels(count: int) -> int:
    """Carry-save levels that take `count` words to two."""
    done = 0
    while count > 2:
        count -= count // 3
        done += 1
    return done


def cuts(count: int, first: int, later: int) -> tuple[int, ...]:
    """Levels behind which registers stand, the last of them behind the tree: at most `first` levels in the first stage,
    at most `later` in each one after it."""
    require(
        first >= 0 and later >= 1,
        f"stages must hold first >= 0 and later >= 1 levels, not {first} and {later}; raise them.",
    )
    return cuts_of(levels(count), first, later)


def cuts_of(total: int, first: int, later: int) -> tuple[int, ...]:
    """`cuts` of a tree of so many levels."""
    return (*range(first, total, later), total)


def _add_carry_save(m: Module, words: list[tuple[Word, Value]], end: int) -> list[tuple[Word, Value]]:
    """Three words to two: the sums of the columns, and their carries one column up. Columns from `end` on fall away."""
    low = min(word.column for word, _ in words)
    high = min(end, max(word.end for word, _ in words))
    a, b, c = (Cat(Const(0, word.column - low), value)[: high - low] for word, value in words)
    total, carry = Signal(high - low), Signal(high - low)
    m.d.comb += [total.eq(a ^ b ^ c), carry.eq(a & b | a & c | b & c)]
    carry_word = Word(min(high - low, end - low - 1), low + 1)
    return [(Word(high - low, low), total), (carry_word, carry[: carry_word.bits])]


def _level(m: Module, words: list[tuple[Word, Value]], end: int) -> list[tuple[Word, Value]]:
    """One level of the tree: words that lie in the same columns meet, so that few adders see an empty column."""
    words = sorted(words, key=lambda item: (item[0].column, item[0].bits))
    reduced = [pair for i in range(0, len(words) - 2, 3) for pair in _add_carry_save(m, words[i : i + 3], end)]
    return [pair for pair in reduced if pair[0].bits > 0] + words[3 * (len(words) // 3) :]


class CarrySaveTree(wiring.Component):
    """Sums words modulo 2^`bits` to a pair of words whose sum it is.

    Parameters
    ----------
    words: the words; `bits`: width of the sum; `cuts`: levels behind which registers stand, 0 for the words themselves,
    `levels(len(words))` for the pair.

    Members
    -------
    i: In, `words_layout(words)`.
    enable: In, one bit per register stage; a stage keeps its content while its bit is 0. Absent without stages.
    o: Out, two words of `bits` bits. Valid `latency` cycles after `i`; a sum enters every cycle.
    """

    def __init__(self, *, words: Sequence[Word], bits: int, cuts: Sequence[int] = ()):
        require(len(words) >= 1, "words must name at least one word, not none; give the shape of each word.")
        require(
            all(word.bits >= 1 and 0 <= word.column < bits for word in words),
            f"every word must have bits and begin below column {bits}, the width of the sum; widen the sum.",
        )
        require(
            all(0 <= cut <= levels(len(words)) for cut in cuts) and len(set(cuts)) == len(cuts),
            f"cuts must be different levels from 0 to {levels(len(words))}, not {tuple(cuts)}; drop the others.",
        )
        self._words = tuple(words)
        self._bits = bits
        self._cuts = tuple(cuts)
        enable = {"enable": In(len(cuts))} if cuts else {}
        super().__init__({"i": In(words_layout(words)), **enable, "o": Out(data.ArrayLayout(bits, 2))})

    @property
    def words(self) -> tuple[Word, ...]:
        return self._words

    @property
    def bits(self) -> int:
        return self._bits

    @property
    def cuts(self) -> tuple[int, ...]:
        return self._cuts

    @property
    def latency(self) -> int:
        """Register stages from `i` to `o`."""
        return len(self._cuts)

    def elaborate(self, platform):
        m = Module()
        words = [(word, self.i[str(i)]) for i, word in enumerate(self._words)]
        stage = 0
        for level in range(levels(len(words)) + 1):
            if level:
                words = _level(m, words, self._bits)
            if level in self._cuts:
                words = self._register(m, words, self.enable[stage])
                stage += 1
        for (word, value), o in zip(words, self.o, strict=False):
            m.d.comb += o.eq(Cat(Const(0, word.column), value))
        return m

    @staticmethod
    def _register(m: Module, words: list[tuple[Word, Value]], enable: Value) -> list[tuple[Word, Value]]:
        held = [(word, Signal(word.bits, reset_less=True)) for word, _ in words]
        with m.If(enable):
            m.d.sync += [register.eq(value) for (_, register), (_, value) in zip(held, words, strict=True)]
        return held


class SumTree(wiring.Component):
    """Sums `count` signed words of `bits` bits exactly, in a pipeline.

    Parameters
    ----------
    count: words, at least 1. bits: width of each. first, later: carry-save levels in the first and in later stages.

    Members
    -------
    i: In, `count` signed(bits) words. enable: In, 1: the pipeline moves.
    o: Out, signed(bits + ceil(log2 count)). Valid `latency` enabled cycles after `i`; a sum enters every cycle.
    """

    def __init__(self, *, count: int, bits: int, first: int = 5, later: int = 7):
        require(isinstance(count, int) and count >= 1, f"count must be an integer from 1, not {count!r}; raise it.")
        require(isinstance(bits, int) and bits >= 2, f"bits must be an integer from 2, not {bits!r}; raise it.")
        self._count, self._word_bits = count, bits
        sum_bits = bits + (count - 1).bit_length()
        # A signed word is its pattern with the top bit inverted, less 2^(bits-1): unsigned words and one constant.
        self._tree = CarrySaveTree(
            words=[Word(bits)] * count + [Word(sum_bits)], bits=sum_bits, cuts=cuts(count + 1, first, later)
        )
        super().__init__({"i": In(data.ArrayLayout(signed(bits), count)), "enable": In(1), "o": Out(signed(sum_bits))})

    @property
    def latency(self) -> int:
        """Register stages from `i` to `o`."""
        return self._tree.latency + 1

    def elaborate(self, platform):
        m = Module()
        tree = self._tree
        m.submodules.tree = share(tree, "tree", platform)
        top = 1 << (self._word_bits - 1)
        m.d.comb += [tree.i[str(i)].eq(word.as_unsigned() ^ top) for i, word in enumerate(self.i)]
        m.d.comb += [
            tree.i[str(self._count)].eq(Const(-top * self._count, signed(tree.bits + 1))[: tree.bits]),
            tree.enable.eq(self.enable.replicate(tree.latency)),
        ]
        total = Signal(self.o.shape(), reset_less=True)
        m.d.comb += self.o.eq(total)
        with m.If(self.enable):
            m.d.sync += total.eq((tree.o[0] + tree.o[1])[: tree.bits])
        return m
