# SPDX-License-Identifier: Apache-2.0
"""Columns of bits to two words, with as few adders as there can be (Dadda): for words that lie beside each other more
than on top of each other, as those of one product do.

columns  ▓▓▓▓▓      in each level, each column is brought down to the next of the heights 2, 3, 4, 6, 9, …, so as to
height   ▓▓▓        be done after as many levels as the tallest one needs; a column that is lower rests
         ▓
"""

from collections.abc import Callable, Sequence

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from hdl.arith.compress import Word, words_layout


def heights(tallest: int) -> list[int]:
    """Those that columns are brought down to, one after the other, from `tallest`; the last one is 2."""
    found = [2]
    while 3 * found[-1] // 2 < tallest:
        found.append(3 * found[-1] // 2)
    return found[::-1] if tallest > 2 else []


class ColumnTree(wiring.Component):
    """Sums words exactly to a pair of words.

    Parameters
    ----------
    words: the words. bits: of each of the pair; the sum of a column's bits may come to lie above them only as bits of
    the last column, of which there must be no more than two. Raises `Refusal` if there are.
    cuts: of so many levels, those behind which registers stand: none, and it is combinational.

    Where the lowest column has one or three bits, bit 0 of the second word is 0.

    Members: `i`: In, `words_layout(words)`. `enable`: In, one bit per register stage, which keeps its content while its
    bit is 0; absent without stages. `o`: Out, two words of `bits` bits, whose sum it is, `latency` cycles behind `i`.
    """

    def __init__(self, *, words: Sequence[Word], bits: int, cuts: Callable[[int], Sequence[int]] = lambda levels: ()):
        require(
            all(word.bits >= 1 and word.end <= bits for word in words),
            f"every word must have bits and end below column {bits}, the width of the pair; widen the pair.",
        )
        self._words, self._bits = tuple(words), bits
        counts = [0] * bits
        for word in words:
            for column in range(word.column, word.end):
                counts[column] += 1
        self._levels = _plan(counts)
        self._cuts = tuple(cuts(len(self._levels)))
        enable = {"enable": In(len(self._cuts))} if self._cuts else {}
        super().__init__({"i": In(words_layout(words)), **enable, "o": Out(data.ArrayLayout(bits, 2))})

    @property
    def words(self) -> tuple[Word, ...]:
        return self._words

    @property
    def bits(self) -> int:
        return self._bits

    @property
    def levels(self) -> int:
        """Adders one behind the other."""
        return len(self._levels)

    @property
    def latency(self) -> int:
        """Register stages from `i` to `o`."""
        return len(self._cuts)

    def elaborate(self, platform):
        m = Module()
        columns: list[list[Value]] = [[] for _ in range(self._bits)]
        for i, word in enumerate(self._words):
            for bit in range(word.bits):
                columns[word.column + bit].append(self.i[str(i)][bit])
        for number, level in enumerate(self._levels):
            columns = _add(m, columns, level, f"level{number}")
            if number + 1 in self._cuts:
                columns = self._register(m, columns, self._cuts.index(number + 1))
        for row, o in enumerate(self.o):
            m.d.comb += o.eq(Cat(column[row] if row < len(column) else 0 for column in columns))
        return m

    def _register(self, m: Module, columns: list[list[Value]], stage: int) -> list[list[Value]]:
        held = Signal(sum(map(len, columns)), name=f"stage{stage}", reset_less=True)
        with m.If(self.enable[stage]):
            m.d.sync += held.eq(Cat(*columns))
        bits = iter(held)
        return [[next(bits) for _ in column] for column in columns]


def _plan(counts: list[int]) -> list[list[tuple[int, int]]]:
    """For each level, and in it for each column, how many full and half adders it has."""
    levels = []
    for target in heights(max(counts)):
        level, after, carried = [], [], 0
        for count in counts:
            # Carries of this level are bits of the next; they count for its height. Three bits of the lowest column
            # are one in the end, as none comes from below.
            goal = 1 if target == 2 and not level and count == 3 else target
            over = max(0, count + carried - goal)
            full, half = over // 2, over % 2
            level.append((full, half))
            after.append(count + carried - 2 * full - half)
            carried = full + half
        require(carried == 0, f"the sum must fit its {len(counts)} columns, but carries leave them; widen the pair.")
        levels.append(level)
        counts = after
    return levels


def _add(m: Module, columns: list[list[Value]], level: list[tuple[int, int]], name: str) -> list[list[Value]]:
    result: list[list[Value]] = [[] for _ in columns]
    for at, (bits, (full, half)) in enumerate(zip(columns, level, strict=True)):
        for number, count in enumerate([3] * full + [2] * half):
            operands, bits = bits[:count], bits[count:]
            total, carry = (Signal(name=f"{name}_{kind}{at}_{number}") for kind in ("sum", "carry"))
            a, b = operands[:2]
            if count == 3:
                c = operands[2]
                m.d.comb += [total.eq(a ^ b ^ c), carry.eq(a & b | a & c | b & c)]
            else:
                m.d.comb += [total.eq(a ^ b), carry.eq(a & b)]
            result[at].append(total)
            result[at + 1].append(carry)
        result[at] = [*bits, *result[at]]
    return result
