# SPDX-License-Identifier: Apache-2.0
"""Reciprocal: equal to integer division, exhaustively where it is small, under every flow control; proved as well."""

import random
from pathlib import Path

import pytest
from amaranth.hdl import Value
from amaranth.lib import wiring

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


class NeverOnce(Reciprocal):
    """Forgets that the smallest divisor has a quotient of one bit more."""

    def _begin(self, number: Value) -> State:
        return super()._begin(number) | {"quotient": number[:1] & 0}


def test_wrong_reciprocal_is_caught() -> None:
    numbers = list(range(2**7, 2**8))
    assert inverted(NeverOnce(bits=8, tag=digits.TAG), numbers) != [2**15 // d for d in numbers]


@pytest.mark.formal
def test_wrong_reciprocal_is_refuted(tmp_path: Path) -> None:
    dut = NeverOnce(bits=4)
    assert not check(claim_of(dut), folder=tmp_path, depth=dut.latency + 2)
