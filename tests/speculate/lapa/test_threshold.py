# SPDX-License-Identifier: Apache-2.0
"""The threshold unit is LAPA's rule, proved for small sums; survivors only become fewer."""

from pathlib import Path

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.speculate import UNITY, SpeculationConfig
from hdl.speculate.lapa.accumulate import Accumulator, Judge
from hdl.speculate.lapa.layouts import SLOTS, thresholds_layout, word_layout
from hdl.speculate.lapa.threshold import FRACTION_BITS, ThresholdUnit
from hdl.speculate.socket import column_layout
from tests.formal.prove import check

pytestmark = pytest.mark.formal

KEYS = 3
SUM_BITS = 3


class Tiny(SpeculationConfig):
    """A unit whose sums have few bits."""

    sum_bits = SUM_BITS


TINY = Tiny(method="lapa", rows=2, lanes=1, load=1, tokens=2, width=1, heads=1, head_width=1, window=1, slices=(4, 4))
LONGEST = KEYS + 4 + FRACTION_BITS
"""Cycles until thresholds are offered, under any eta."""


class Strict(Judge):
    """Drops keys on the threshold."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.kept.eq(self.survives & (self.a > self.threshold))
        return m


class RuleClaim(wiring.Component):
    """Of three keys of a round, a row keeps just those that the rule keeps, and the largest is among them.

    The solver chooses eta, sums, and which of the keys survived until now.
    """

    def __init__(self, judge: type[Judge]):
        self._unit, self._judge = ThresholdUnit(TINY), judge
        sums = {f"a{i}": In(signed(SUM_BITS)) for i in range(KEYS)}
        super().__init__({**sums, "survives": In(KEYS), "eta": In(FRACTION_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        inputs = Cat(getattr(self, f"a{i}") for i in range(KEYS)), self.survives, self.eta
        first = Signal(init=1)
        m.d.sync += first.eq(0)
        for value in inputs:
            before = Signal(len(value))
            m.d.sync += before.eq(value)
            m.d.comb += Assume(first | (before == value))
        a = [getattr(self, f"a{i}") for i in range(KEYS)]
        taken = Signal(range(KEYS + 1))
        m.d.comb += [
            Assume(self.eta <= UNITY),
            unit.settings.eta[0].eq(self.eta),
            unit.coming.eq(taken < KEYS),
            unit.arriving.last.eq(taken == KEYS - 1),
        ]
        with m.If(unit.coming):
            m.d.sync += [
                taken.eq(taken + 1),
                unit.word[0].a.eq(Array(a)[taken]),
                unit.word[0].survives.eq(Array(self.survives)[taken]),
            ]
        with m.If(unit.job.valid):
            self._claim(m, a)
        return m

    def _claim(self, m: Module, a: list[Value]) -> None:
        highest, lowest = Const(-(1 << (SUM_BITS - 1)), SUM_BITS + 1), Const((1 << (SUM_BITS - 1)) - 1, SUM_BITS + 1)
        highest, lowest = highest.as_signed(), lowest
        for i, value in enumerate(a):
            highest = Mux(self.survives[i] & (value > highest), value, highest)
            lowest = Mux(self.survives[i] & (value < lowest), value, lowest)
        dropped = []
        for i, value in enumerate(a):
            judge = self._judge(SUM_BITS)
            m.submodules[f"judge{i}"] = judge
            ruled = self.survives[i] & (UNITY * (highest - value) <= self.eta * (highest - lowest))
            m.d.comb += [
                judge.a.eq(value),
                judge.survives.eq(self.survives[i]),
                judge.threshold.eq(self._unit.thresholds[0]),
                Assert(judge.kept == ruled),
                Assert(judge.kept | ~self.survives[i] | (value != highest)),
            ]
            dropped.append(self.survives[i] & ~judge.kept)
        # The other row has no survivors, and does not keep the job from being whole.
        m.d.comb += Assert(self._unit.job.payload.whole == ~Cat(dropped).any())


class TimeClaim(wiring.Component):
    """Thresholds are offered in time."""

    def __init__(self):
        self._unit = ThresholdUnit(TINY)
        super().__init__({"eta": In(FRACTION_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        now = Signal(range(LONGEST + 1))
        m.d.sync += now.eq(now + 1)
        m.d.comb += [
            unit.settings.eta[0].eq(self.eta),
            unit.coming.eq(now < KEYS),
            unit.arriving.last.eq(now == KEYS - 1),
            Assert((now != LONGEST - 1) | unit.job.valid),
        ]
        return m


class ShrinkClaim(wiring.Component):
    """A key survives later rounds only if it did before, and was not below the threshold then."""

    def __init__(self, *, wrong: bool = False):
        self._dut, self._wrong = Accumulator(TINY), wrong
        super().__init__(
            {
                "column": In(len(Value.cast(Signal(column_layout(TINY))))),
                "valid": In(1),
                "thresholds": In(2 * thresholds_layout(TINY).size),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._dut
        column = dut.columns.payload
        place = Cat(column.key, column.slot)
        places = 2 * SLOTS
        m.d.comb += [
            column.eq(self.column),
            dut.columns.valid.eq(self.valid),
            dut.thresholds.eq(self.thresholds),
        ]
        # No key twice within three transfers of a slot.
        recent = [Signal(places, name=f"recent{i}") for i in range(2)]
        fire = dut.columns.valid & dut.columns.ready
        m.d.sync += [recent[0].eq(Mux(fire, 1 << place, 0)), recent[1].eq(recent[0])]
        m.d.comb += Assume(~fire | ~(recent[0] | recent[1]).bit_select(place, 1))
        known = [Signal(word_layout(TINY), name=f"known{i}") for i in range(places)]
        before, limits = Signal(word_layout(TINY)), Signal(thresholds_layout(TINY))
        m.d.sync += limits.eq(Mux(dut.tag.slot, dut.thresholds[1], dut.thresholds[0]))
        m.d.comb += before.eq(Array(map(Value.cast, known))[Cat(dut.tag.key, dut.tag.slot)])
        with m.If(dut.enable):
            for i in range(places):
                with m.If(Cat(dut.tag.key, dut.tag.slot) == i):
                    m.d.sync += known[i].eq(dut.word)
            with m.If(~dut.tag.first):
                for row in range(TINY.rows):
                    old, survives = before[row], dut.word[row].survives
                    m.d.comb += Assert(~survives | old.survives)
                    if self._wrong:
                        m.d.comb += Assert(~survives | ~old.survives)
        return m


def test_rule_is_proved(tmp_path: Path) -> None:
    assert check(RuleClaim(Judge), folder=tmp_path, depth=LONGEST + 1, gates=True)


def test_strict_rule_is_refuted(tmp_path: Path) -> None:
    assert not check(RuleClaim(Strict), folder=tmp_path, depth=LONGEST + 1, gates=True)


def test_time_is_proved(tmp_path: Path) -> None:
    assert check(TimeClaim(), folder=tmp_path, depth=LONGEST + 1)


def test_shrinking_is_proved(tmp_path: Path) -> None:
    assert check(ShrinkClaim(), folder=tmp_path, depth=9)


def test_wrong_shrinking_is_refuted(tmp_path: Path) -> None:
    """Claimed beside it that no key survives a second round."""
    assert not check(ShrinkClaim(wrong=True), folder=tmp_path, depth=9)
