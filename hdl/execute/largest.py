# SPDX-License-Identifier: Apache-2.0
"""The largest score of each row.

score 0 ─┐
         ├─ max ─┐ register
score 1 ─┘       ├─ max ─┐ register
…       ─ … ─────┘       ├─ … ─► max ─┬─► largest so far ─► largest
                                  ▲   │  register
                                  └───┘ unless a row begins
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


def greater(a: Value, b: Value) -> Value:
    """a > b, of unsigned words of equal width: neighbours in pairs, in logarithmic depth."""
    parts = [(x & ~y, ~(x ^ y)) for x, y in zip(a, b, strict=True)]
    while len(parts) > 1:
        above = [
            (high[0] | high[1] & low[0], high[1] & low[1]) for low, high in zip(parts[::2], parts[1::2], strict=False)
        ]
        parts = above + parts[len(above) * 2 :]
    return parts[0][0]


class RowLargest(wiring.Component):
    """The largest of a row's kept scores, 0 without any. Takes a beat in any cycle.

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
        words = [score & kept.replicate(self._score_bits) for score, kept in zip(self.scores, self.kept, strict=True)]
        valid, last = self.valid, self.last
        for level in range(self.latency - 1):
            pairs = [Mux(greater(a, b), a, b) for a, b in zip(words[::2], words[1::2], strict=False)]
            pairs += words[len(pairs) * 2 :]
            words = [Signal(self._score_bits, name=f"largest{level}_{i}", reset_less=True) for i in range(len(pairs))]
            before = valid
            with m.If(before):
                m.d.sync += Cat(words).eq(Cat(pairs))
            valid, last = self._follow(m, level, before, last)
        within, so_far = Signal(), Signal(self._score_bits, reset_less=True)
        m.d.sync += [self.passed.eq(valid), self.done.eq(valid & last)]
        m.d.comb += self.largest.eq(so_far)
        with m.If(valid):
            m.d.sync += within.eq(~last)
            with m.If(~within | greater(words[0], so_far)):
                m.d.sync += so_far.eq(words[0])
        return m

    @staticmethod
    def _follow(m: Module, level: int, valid: Value, last: Value) -> tuple[Signal, Signal]:
        """`valid` and `last` a stage later."""
        valid_after = Signal(name=f"valid{level}")
        last_after = Signal(name=f"last{level}", reset_less=True)
        m.d.sync += valid_after.eq(valid)
        with m.If(valid):
            m.d.sync += last_after.eq(last)
        return valid_after, last_after
