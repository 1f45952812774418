# SPDX-License-Identifier: Apache-2.0
"""Root: equal to math.isqrt, exhaustively where it is small, under every flow control; proved at a small width."""

import math
import random
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.arith.digits import State
from hdl.arith.root import Root
from tests.arith import digits, simulate
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

FLOWS = [(False, False), (True, False), (False, True), (True, True)]


def rooted(dut: wiring.Component, numbers: list[int], *, parts: int = 1, idle: bool = False, stall: bool = False):
    steps = len(dut.o.payload.number) // parts + 1
    return digits.through(dut, numbers, steps, parts * steps, idle=idle, stall=stall)


def edges() -> list[int]:
    """Ends of the range, and squares with their neighbours."""
    roots = [2**15, 2**15 + 1, 46340, 46341, 2**16 - 2, 2**16 - 1]
    near = [root * root + step for root in roots for step in (-1, 0, 1, 2 * root)]
    return [2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 2] + [v for v in near if 2**30 <= v < 2**32]


def test_every_small_number() -> None:
    numbers = list(range(2**8))
    assert rooted(Root(bits=4, parts=2, tag=digits.TAG), numbers, parts=2) == [math.isqrt(v) for v in numbers]


@pytest.mark.parametrize(("idle", "stall"), FLOWS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_is_the_root(parts: int, idle: bool, stall: bool) -> None:
    rng = random.Random(parts)
    numbers = edges() + [rng.randrange(2**30, 2**32) for _ in range(40)]
    found = rooted(Root(parts=parts, tag=digits.TAG), numbers, parts=parts, idle=idle, stall=stall)
    assert found == [math.isqrt(v) for v in numbers]


@pytest.mark.parametrize(("bits", "parts"), [(16, 3), (16, 16), (16, 0), (4.0, 2)])
def test_parts_that_do_not_divide_are_refused(bits: int, parts: int) -> None:
    assert simulate.refusal_of(lambda: Root(bits=bits, parts=parts)) == (
        f"parts must be a divisor of the {bits} bits and less than that, not {parts}; choose another one."
    )


def test_a_negative_tag_is_refused() -> None:
    assert simulate.refusal_of(lambda: Root(tag=-1)) == "tag must be an integer from 0, not -1; raise it."


# Proofs


def is_root(v: Value, root: Value) -> Value:
    return (root * root <= v) & (v < (root + 1) * (root + 1))


@pytest.mark.formal
@pytest.mark.parametrize("parts", [1, 3])
def test_root_is_proved(parts: int, tmp_path: Path) -> None:
    dut = Root(bits=6, parts=parts)
    claim = digits.ResultClaim(dut, dut.latency, lambda v: Const(1), is_root)
    assert check(claim, folder=tmp_path, depth=dut.latency + 2)


class StepClaim(wiring.Component):
    """Each step of a part takes in two more bits of the number, and one more of the root.

    If the bits so far are root² + remainder, and the remainder is at most 2·root, then root is the floor of their root;
    as (2·root + b)² = 4·root² + b·(4·root + 1), it is enough that a step leaves 4·remainder + the two bits
    - b·(4·root + 1), and again at most twice the root. So all steps are the floor of the root, whatever the width.
    """

    def __init__(self, dut: Root, first: int, last: int):
        self._dut, self._last = dut, last
        super().__init__({name: In(width) for name, width in dut._widths(first, last).items()})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self._dut
        before = {name: getattr(self, name) for name in ("remainder", "root", "rest")}
        after = self._dut._step(m, before, "step", platform)
        wide = signed(self._last + 5)
        remainder, root, left, found = (Signal(wide, name=name) for name in ("remainder_", "root_", "left", "found"))
        bit = after["root"][0]
        m.d.comb += [
            remainder.eq(self.remainder),
            root.eq(self.root),
            left.eq(after["remainder"]),
            found.eq(after["root"]),
            # There is a bit to be found, and the remainder is one.
            Assume(~self.root[-1]),
            Assume(remainder <= (root << 1)),
            Assert(found == (root << 1) + bit),
            Assert(left == (remainder << 2) + self.rest[-2:] - Mux(bit, (root << 2) + 1, 0)),
            Assert(left <= (found << 1)),
            Assert(after["rest"] == (self.rest << 2)[: len(self.rest)]),
        ]
        return m


@pytest.mark.formal
@pytest.mark.parametrize(("parts", "first", "last"), [(1, 0, 16), (2, 0, 8), (2, 8, 16)])
def test_step_is_proved(parts: int, first: int, last: int, tmp_path: Path) -> None:
    """At the width that is built."""
    assert check(StepClaim(Root(bits=16, parts=parts), first, last), folder=tmp_path)


@pytest.mark.formal
def test_flow_is_proved(tmp_path: Path) -> None:
    dut = Root(bits=4, parts=2, tag=1)
    assert check(digits.FlowClaim(dut, dut.latency), folder=tmp_path, depth=3 * dut.latency, gates=True)


@pytest.mark.formal
def test_valid_is_proved_independent_of_ready(tmp_path: Path) -> None:
    claim = contract.IndependenceClaim(Root(bits=4, parts=2), Root(bits=4, parts=2))
    assert check(claim, folder=tmp_path, depth=14, gates=True)


# Planted faults


class RoundsUp(Root):
    """Takes the next bit where nothing may be left."""

    def _step(self, m, state: State, name: str, platform) -> State:
        stepped = super()._step(m, state, name, platform)
        return stepped | {"root": stepped["root"] | (stepped["remainder"] == 2)}


def test_wrong_root_is_caught() -> None:
    numbers = list(range(2**8))
    assert rooted(RoundsUp(bits=4, parts=2, tag=digits.TAG), numbers, parts=2) != [math.isqrt(v) for v in numbers]


@pytest.mark.formal
def test_wrong_root_is_refuted(tmp_path: Path) -> None:
    dut = RoundsUp(bits=4)
    claim = digits.ResultClaim(dut, dut.latency, lambda v: Const(1), is_root)
    assert not check(claim, folder=tmp_path, depth=dut.latency + 2)


@pytest.mark.formal
def test_wrong_step_is_refuted(tmp_path: Path) -> None:
    assert not check(StepClaim(RoundsUp(bits=16, parts=2), 8, 16), folder=tmp_path)


@pytest.mark.formal
@pytest.mark.parametrize("fault", [{"i__ready": lambda r: Const(1)}, {"o__ready": lambda r: Const(1)}])
def test_wrong_flow_is_refuted(fault, tmp_path: Path) -> None:
    dut = Root(bits=4, parts=2, tag=1)
    claim = digits.FlowClaim(Planted(dut, **fault), dut.latency)
    assert not check(claim, folder=tmp_path, depth=3 * dut.latency, gates=True)
