# SPDX-License-Identifier: Apache-2.0
"""The largest score of each row.

score 0 ─┐
         ├─ max ─┐ register
score 1 ─┘       ├─ max ─┐ register
…       ─ … ─────┘       ├─ … ─► max ─┬─► largest so far ─► largest
                                  ▲   │  register
                                  └───┘ unless a row begins
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.larger import Larger
from hdl.shared import share


class RowLargest(wiring.Component):
    """The largest of a row's kept scores, anything without any. Takes a beat in any cycle.

    Parameters
    ----------
    lanes: scores of a beat. score_bits: width of each, unsigned.

    Members
    -------
    valid: In, 1: a beat comes; `last`: In, 1: the last one of its row; `scores`: In, lanes; `kept`: In, lanes.
    passed: Out, 1: a beat is through, `latency` cycles after it came; `done`: Out, 1: likewise the last one of a row.
    largest: Out, score_bits. With `done`, of the row.
    """

    def __init__(self, lanes: int, score_bits: int):
        self._lanes, self._score_bits = lanes, score_bits
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "scores": In(data.ArrayLayout(score_bits, lanes)),
                "kept": In(lanes),
                "passed": Out(1),
                "done": Out(1),
                "largest": Out(score_bits),
            }
        )

    @property
    def latency(self) -> int:
        """Register stages: one a level, but at least one, and the largest so far."""
        return max((self._lanes - 1).bit_length(), 1) + 1

    def elaborate(self, platform):
        m = Module()
        # What is kept is above all else: no score has to be cleared first.
        words = [Cat(score, kept) for score, kept in zip(self.scores, self.kept, strict=True)]
        valid, last = self.valid, self.last
        for level in range(self.latency - 1):
            pairs = self._pairs(m, words, level, platform)
            words = [
                Signal(self._score_bits + 1, name=f"largest{level}_{i}", reset_less=True) for i in range(len(pairs))
            ]
            before = valid
            with m.If(before):
                m.d.sync += Cat(words).eq(Cat(pairs))
            valid, last = self._follow(m, level, before, last)
        within, so_far = Signal(), Signal(self._score_bits + 1, reset_less=True)
        ((_, above),) = self._compare(m, [words[0], so_far], "with_row", platform)
        m.d.sync += [self.passed.eq(valid), self.done.eq(valid & last)]
        m.d.comb += self.largest.eq(so_far[:-1])
        with m.If(valid):
            m.d.sync += within.eq(~last)
            with m.If(~within | above):
                m.d.sync += so_far.eq(words[0])
        return m

    def _pairs(self, m: Module, words: list[Value], level: int, platform) -> list[Value]:
        """The larger of each two words, and the one that is left."""
        larger = [o for o, _ in self._compare(m, words, f"level{level}", platform)]
        return larger + words[len(larger) * 2 :]

    def _compare(self, m: Module, words: list[Value], name: str, platform) -> list[tuple[Value, Value]]:
        """Of each two words, the larger one, and whether that is the first."""
        compared = []
        for number, (a, b) in enumerate(zip(words[::2], words[1::2], strict=False)):
            larger = Larger(self._score_bits + 1)
            m.submodules[f"{name}_{number}"] = share(larger, "larger", platform)
            m.d.comb += [larger.a.eq(a), larger.b.eq(b)]
            compared.append((larger.o, larger.above))
        return compared

    @staticmethod
    def _follow(m: Module, level: int, valid: Value, last: Value) -> tuple[Signal, Signal]:
        """`valid` and `last` a stage later."""
        valid_after = Signal(name=f"valid{level}")
        last_after = Signal(name=f"last{level}", reset_less=True)
        m.d.sync += valid_after.eq(valid)
        with m.If(valid):
            m.d.sync += last_after.eq(last)
        return valid_after, last_after
