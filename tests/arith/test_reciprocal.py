# SPDX-License-Identifier: Apache-2.0
"""Reciprocal: equal to integer division, exhaustively where it is small, under every flow control; proved as well."""

import random
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.arith.digits import State
from hdl.arith.reciprocal import Reciprocal
from tests.arith import digits
from tests.formal.prove import check

FLOWS = [(False, False), (True, False), (False, True), (True, True)]


def inverted(dut: wiring.Component, numbers: list[int], *, parts: int = 1, idle: bool = False, stall: bool = False):
    steps = len(dut.i.payload.number) // parts + 1
    return digits.through(dut, numbers, steps, parts * steps, idle=idle, stall=stall)


def test_every_small_number() -> None:
    numbers = list(range(2**7, 2**8))
    assert inverted(Reciprocal(bits=8, parts=2, tag=digits.TAG), numbers, parts=2) == [2**15 // d for d in numbers]


@pytest.mark.parametrize(("idle", "stall"), FLOWS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_is_the_reciprocal(parts: int, idle: bool, stall: bool) -> None:
    rng = random.Random(parts)
    numbers = [2**15, 2**15 + 1, 2**15 + 2, 43690, 43691, 2**16 - 2, 2**16 - 1, 2**15]
    numbers += [rng.randrange(2**15, 2**16) for _ in range(40)]
    found = inverted(Reciprocal(parts=parts, tag=digits.TAG), numbers, parts=parts, idle=idle, stall=stall)
    assert found == [2**31 // d for d in numbers]
    assert found[0] == 2**16


def is_quotient(divisor: Value, quotient: Value) -> Value:
    dividend = 1 << (2 * len(divisor) - 1)
    return (quotient * divisor <= dividend) & (dividend < (quotient + 1) * divisor)


def claim_of(dut: Reciprocal) -> digits.ResultClaim:
    return digits.ResultClaim(dut, dut.latency, lambda divisor: divisor[-1], is_quotient)


@pytest.mark.formal
@pytest.mark.parametrize("parts", [1, 2])
def test_reciprocal_is_proved(parts: int, tmp_path: Path) -> None:
    dut = Reciprocal(bits=6, parts=parts)
    assert check(claim_of(dut), folder=tmp_path, depth=dut.latency + 2)


class StepClaim(wiring.Component):
    """2^(bits-1) = quotient·divisor + remainder as it begins, and each step doubles both sides: the remainder, less
    than the divisor, becomes bit·divisor and what is left, less than the divisor again. So `bits` steps are the integer
    division, whatever the width."""

    def __init__(self, dut: Reciprocal, bits: int):
        self._dut, self._bits = dut, bits
        super().__init__({name: In(width) for name, width in dut._widths(0, bits).items()})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self._dut
        state = {name: getattr(self, name) for name in ("remainder", "divisor", "quotient")}
        after, begun = self._dut._step(m, state, "step", platform), self._dut._begin(self.divisor)
        bit = after["quotient"][0]
        m.d.comb += [
            Assume(self.divisor[-1]),
            Assume(self.remainder < self.divisor),
            Assert((self.remainder << 1) == Mux(bit, self.divisor, 0) + after["remainder"]),
            Assert(after["remainder"] < self.divisor),
            Assert(after["divisor"] == self.divisor),
            Assert(after["quotient"] == ((self.quotient << 1) | bit)[: len(self.quotient)]),
            Assert(Mux(begun["quotient"], self.divisor, 0) + begun["remainder"] == 1 << (self._bits - 1)),
            Assert(begun["remainder"] < self.divisor),
        ]
        return m


@pytest.mark.formal
def test_step_is_proved(tmp_path: Path) -> None:
    """At the width that is built."""
    assert check(StepClaim(Reciprocal(bits=16, parts=2), 16), folder=tmp_path)


class NeverOnce(Reciprocal):
    """Forgets that the smallest divisor has a quotient of one bit more."""

    def _begin(self, number: Value) -> State:
        return super()._begin(number) | {"quotient": number[:1] & 0}


def test_wrong_reciprocal_is_caught() -> None:
    numbers = list(range(2**7, 2**8))
    assert inverted(NeverOnce(bits=8, tag=digits.TAG), numbers) != [2**15 // d for d in numbers]


@pytest.mark.formal
def test_wrong_step_is_refuted(tmp_path: Path) -> None:
    assert not check(StepClaim(NeverOnce(bits=16), 16), folder=tmp_path)


@pytest.mark.formal
def test_wrong_reciprocal_is_refuted(tmp_path: Path) -> None:
    dut = NeverOnce(bits=4)
    assert not check(claim_of(dut), folder=tmp_path, depth=dut.latency + 2)
