# SPDX-License-Identifier: Apache-2.0
"""Requantiser: golden model against exact fractions; hardware against the golden model under every flow control."""

import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Assume, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from config.requantise import MAX_SHIFT, MUL_BITS, SHIFT_BITS, internal_bits
from golden.arith.requantise import requantise
from hdl.arith.requantise import Requantiser
from tests.arith import simulate
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Fault, Planted

Case = tuple[int, int, int]

LATENCY = 6


def by_fractions(acc: int, mul: int, shift: int, bits: int = 8) -> int:
    """acc·mul / 2^shift, to the nearest integer, ties towards +infinity, saturated."""
    value = math.floor(Fraction(acc * mul, 1 << shift) + Fraction(1, 2))
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


def golden_of(cases: list[Case]) -> list[int]:
    return [int(requantise(np.array(acc), mul, shift)) for acc, mul, shift in cases]


def extremes(acc_bits: int) -> list[Case]:
    """Ends of all three ranges, zero, and sums one step from a tie."""
    low, high = -(1 << (acc_bits - 1)), (1 << (acc_bits - 1)) - 1
    ends = [(acc, mul, shift) for acc in (low, high, 0, -1, 1) for mul in (0, 1, 65535) for shift in (1, 40)]
    whole = [(acc, 1 << 15, 15) for acc in (-129, -128, -127, 126, 127, 128)]
    ties = [(acc, 1 << 14, 15) for acc in (-257, -256, -255, -3, -1, 1, 3, 253, 254, 255, 256)]
    return ends + [case for case in whole + ties if low <= case[0] <= high]


def random_cases(acc_bits: int, count: int) -> list[Case]:
    """Accumulators of every length, and shifts that bring most of them into the range of the output."""
    rng = np.random.default_rng(acc_bits)
    acc = rng.integers(-(1 << (acc_bits - 1)), 1 << (acc_bits - 1), count) >> rng.integers(0, acc_bits, count)
    mul = rng.integers(0, 1 << MUL_BITS, count) >> rng.integers(0, MUL_BITS, count)
    fitting = [int(abs(a) * m).bit_length() - 7 for a, m in zip(acc, mul, strict=True)]
    shift = np.clip(fitting + rng.integers(-2, 3, count), 1, MAX_SHIFT)
    return [(int(a), int(m), int(s)) for a, m, s in zip(acc, mul, shift, strict=True)]


# Construction and bad arguments


def test_ports() -> None:
    dut = Requantiser(acc_bits=33)
    assert (dut.acc_bits, dut.latency) == (33, LATENCY)
    assert simulate.ports(dut) == {
        "i__payload": signed(33),
        "i__valid": unsigned(1),
        "i__ready": unsigned(1),
        "mul": unsigned(16),
        "shift": unsigned(6),
        "o__payload": signed(8),
        "o__valid": unsigned(1),
        "o__ready": unsigned(1),
    }


@pytest.mark.parametrize("acc_bits", [1, 47, 20.0])
def test_illegal_widths_are_refused(acc_bits: int) -> None:
    assert simulate.refusal_of(lambda: Requantiser(acc_bits=acc_bits)) == (
        f"acc_bits must be an integer from 2 to 46, not {acc_bits}; set acc_bits to the accumulator's width."
    )


@pytest.mark.parametrize(
    ("acc", "mul", "shift", "sentence"),
    [
        (5.0, 1, 1, "acc must hold integers, not float64; quantise it first."),
        (2**46, 1, 1, "acc must be below 2^46 in magnitude, not 70368744177664; scale it down first."),
        (-(2**46), 1, 1, "acc must be below 2^46 in magnitude, not 70368744177664; scale it down first."),
        (5, -1, 1, "mul must be in [0, 65535], not -1; choose a larger shift for a larger factor."),
        (5, 65536, 1, "mul must be in [0, 65535], not 65536; choose a larger shift for a larger factor."),
        (5, 1, 0, "shift must be in [1, 40], not 0; move the difference into mul."),
        (5, 1, 41, "shift must be in [1, 40], not 41; move the difference into mul."),
    ],
)
def test_bad_arguments_are_refused(acc: float, mul: int, shift: int, sentence: str) -> None:
    assert simulate.refusal_of(lambda: requantise(np.array([acc]), mul, shift)) == sentence


# Worked examples


def test_ties_go_up() -> None:
    """Halves of 1 to -1.5, and saturation at both ends."""
    assert requantise(np.array([2, 1, 0, -1, -2, -3]), 1, 1).tolist() == [1, 1, 0, 0, -1, -1]
    assert requantise(np.array([253, 254, 255, 10**6, -256, -257, -258, -(10**6)]), 1, 1).tolist() == (
        [127, 127, 127, 127, -128, -128, -128, -128]
    )
    assert requantise(np.array([100, -100]), 20000, 14).tolist() == [122, -122]
    assert requantise(np.array([7, -8, 8]), 1, 4, bits=4).tolist() == [0, 0, 1]


# The golden model


ACCUMULATORS = hnp.arrays(
    np.int64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0), elements=st.integers(-(2**46) + 1, 2**46 - 1)
)


@settings(deadline=None, derandomize=True, database=None)
@given(ACCUMULATORS, st.integers(0, 65535), st.integers(1, 40), st.sampled_from([4, 8]))
def test_golden_is_the_definition(acc: np.ndarray, mul: int, shift: int, bits: int) -> None:
    import torch

    expected = np.array([by_fractions(int(a), mul, shift, bits) for a in acc.ravel()], dtype=np.int64)
    for result in (requantise(acc, mul, shift, bits), requantise(torch.from_numpy(acc), mul, shift, bits).numpy()):
        assert result.dtype == np.int64
        assert (result == expected.reshape(acc.shape)).all()


@pytest.mark.parametrize("acc_bits", [8, 46])
def test_golden_at_the_ends(acc_bits: int) -> None:
    cases = extremes(acc_bits) + random_cases(acc_bits, 500)
    assert golden_of(cases) == [by_fractions(*case) for case in cases]


# The hardware, under every flow control


def requantised(dut: wiring.Component, cases: list[Case], acc_bits: int, *, idle: bool, stall: bool) -> list[int]:
    """What the requantiser makes of the cases, each with its own setting."""
    patterns = simulate.patterns(zip(*cases, strict=True), [acc_bits, 16, 6])
    return simulate.stream_through(dut, patterns, [dut.mul, dut.shift], latency=LATENCY, idle=idle, stall=stall)


@pytest.mark.parametrize("stall", [False, True], ids=["no back-pressure", "back-pressure"])
@pytest.mark.parametrize("idle", [False, True], ids=["no idle", "idle"])
@pytest.mark.parametrize("acc_bits", [2, 19, 33, 46])
def test_requantiser_is_golden(acc_bits: int, idle: bool, stall: bool) -> None:
    cases = extremes(acc_bits) + random_cases(acc_bits, 120)
    assert requantised(Requantiser(acc_bits=acc_bits), cases, acc_bits, idle=idle, stall=stall) == golden_of(cases)


Scaled = tuple[int, int, int, int]


def scaled_cases(acc_bits: int, offset_bits: int, signed_mul: bool) -> list[Scaled]:
    """acc, mul, shift, offset: the ends of all ranges with each other, and random ones."""
    low, high = (-(1 << 15), (1 << 15) - 1) if signed_mul else (0, (1 << 16) - 1)
    top = 1 << (offset_bits - 1) if offset_bits else 0
    ends = itertools.product(
        (-(1 << (acc_bits - 1)), -1, 0, 1, (1 << (acc_bits - 1)) - 1),
        (low, 0, 1, high),
        (1, 17, 40),
        {-top, max(top - 1, 0)},
    )
    rng = np.random.default_rng(acc_bits)
    offsets = rng.integers(-top, max(top, 1), 120) >> rng.integers(0, 40, 120)
    muls = rng.integers(low, high + 1, 120)
    cases = random_cases(acc_bits, 120)
    return [*ends] + [(a, int(m), s, int(o)) for (a, _, s), m, o in zip(cases, muls, offsets, strict=True)]


def scaled(dut: wiring.Component, cases: list[Scaled], *, idle: bool, stall: bool) -> list[int]:
    """What leaves for the cases, signed."""
    settings = [dut.mul, dut.shift, *([dut.offset] if hasattr(dut, "offset") else [])]
    widths = [len(dut.i.payload), *map(len, settings)]
    columns = list(zip(*cases, strict=True))[: len(widths)]
    patterns = simulate.patterns(columns, widths)
    return simulate.stream_through(dut, patterns, settings, latency=LATENCY, idle=idle, stall=stall)


WIDER = [(16, 16, False, 0), (18, 8, True, 32), (16, 8, True, 0), (2, 4, False, 40), (40, 24, True, 40)]


@pytest.mark.parametrize("stall", [False, True], ids=["no back-pressure", "back-pressure"])
@pytest.mark.parametrize(("acc_bits", "out_bits", "signed_mul", "offset_bits"), WIDER)
def test_other_widths_signs_and_offsets(
    acc_bits: int, out_bits: int, signed_mul: bool, offset_bits: int, stall: bool
) -> None:
    dut = Requantiser(acc_bits=acc_bits, out_bits=out_bits, signed_mul=signed_mul, offset_bits=offset_bits)
    assert dut.latency == LATENCY
    cases = scaled_cases(acc_bits, offset_bits, signed_mul)
    low, high = -(1 << (out_bits - 1)), (1 << (out_bits - 1)) - 1
    expected = [max(low, min(high, (a * m + o + (1 << (s - 1))) >> s)) for a, m, s, o in cases]
    assert scaled(dut, cases, idle=stall, stall=stall) == expected


def test_a_lost_sign_of_mul_is_caught() -> None:
    cases = scaled_cases(16, 0, True)
    sound, wrong = (Requantiser(acc_bits=16, signed_mul=sign) for sign in (True, False))
    assert scaled(sound, cases, idle=False, stall=False) != scaled(wrong, cases, idle=False, stall=False)


@pytest.mark.parametrize(
    ("widths", "sentence"),
    [
        ({"out_bits": 1}, "out_bits must be an integer from 2 to 24, not 1; set it to the result's width."),
        ({"out_bits": 25}, "out_bits must be an integer from 2 to 24, not 25; set it to the result's width."),
        ({"offset_bits": 1}, "offset_bits must be 0 or an integer from 2 to 40, not 1; narrow the offset."),
        ({"offset_bits": 41}, "offset_bits must be 0 or an integer from 2 to 40, not 41; narrow the offset."),
    ],
)
def test_other_illegal_widths_are_refused(widths: dict[str, int], sentence: str) -> None:
    assert simulate.refusal_of(lambda: Requantiser(acc_bits=20, **widths)) == sentence


# Proofs


class SumClaim(wiring.Component):
    """What enters first leaves rounded and clipped as specified, under any setting whose mul is below `muls`, or, if
    `muls` is None, a power of two."""

    def __init__(self, requantiser: wiring.Component, acc_bits: int, muls: int | None):
        self._requantiser, self._acc_bits, self._muls = requantiser, acc_bits, muls
        super().__init__({"acc": In(signed(acc_bits)), "factor": In(range(muls or MUL_BITS)), "shift": In(SHIFT_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.requantiser = dut = self._requantiser
        first = Signal(init=1)
        exact = Signal(signed(internal_bits(self._acc_bits)))
        clipped, expected = Signal(signed(8)), Signal(signed(8))
        shifted = exact >> self.shift
        mul, product = (
            (self.factor, self.acc * self.factor) if self._muls else (1 << self.factor, self.acc << self.factor)
        )
        m.d.comb += [
            dut.i.payload.eq(self.acc),
            dut.i.valid.eq(first),
            dut.mul.eq(mul),
            dut.shift.eq(self.shift),
            dut.o.ready.eq(1),
            exact.eq(product + ((1 << self.shift) >> 1)),
            clipped.eq(Mux(shifted > 127, 127, Mux(shifted < -128, -128, shifted))),
            Assume((self.shift >= 1) & (self.shift <= MAX_SHIFT)),
            Assert(~dut.o.valid | (dut.o.payload == expected)),
        ]
        m.d.sync += first.eq(0)
        with m.If(first):
            m.d.sync += expected.eq(clipped)
        return m


class FlowClaim(wiring.Component):
    """As many results leave as transfers entered, each within the latency."""

    def __init__(self, requantiser: wiring.Component):
        self._requantiser = requantiser
        super().__init__({"valid": In(1), "ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.requantiser = dut = self._requantiser
        m.d.comb += [dut.i.valid.eq(self.valid), dut.o.ready.eq(self.ready)]
        leaves = contract.fires(dut.o)
        owed = contract.claim_balance(m, enters=contract.fires(dut.i), leaves=leaves)
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=self.ready, bound=LATENCY)
        return m


class OrderClaim(wiring.Component):
    """In order, once each; offers are held. The setting is 2 / 2^1, which gives back what came."""

    def __init__(self, requantiser: wiring.Component):
        self._requantiser = requantiser
        super().__init__({"acc": In(1), "valid": In(1), "ready": In(1), "picked": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.requantiser = dut = self._requantiser
        m.d.comb += [
            dut.i.payload.eq(self.acc),
            dut.i.valid.eq(self.valid),
            dut.mul.eq(2),
            dut.shift.eq(1),
            dut.o.ready.eq(self.ready),
            Assert(contract.held(m, dut.o)),
        ]
        contract.claim_order(
            m,
            enters=contract.fires(dut.i),
            expected=self.acc,
            leaves=contract.fires(dut.o),
            result=dut.o.payload,
            picked=self.picked,
        )
        return m


@pytest.mark.formal
@pytest.mark.parametrize(("acc_bits", "muls"), [(2, 1 << MUL_BITS), (5, None)], ids=["any mul", "powers of two"])
def test_sum_is_proved(acc_bits: int, muls: int | None, tmp_path: Path) -> None:
    claim = SumClaim(Requantiser(acc_bits=acc_bits), acc_bits, muls)
    assert check(claim, folder=tmp_path, depth=LATENCY + 1)


@pytest.mark.formal
def test_flow_is_proved(tmp_path: Path) -> None:
    """For every pattern of offers and pauses in so many cycles that a full pipeline can empty itself twice."""
    assert check(FlowClaim(Requantiser(acc_bits=2)), folder=tmp_path, depth=3 * LATENCY, gates=True)


@pytest.mark.formal
def test_order_is_proved(tmp_path: Path) -> None:
    """For every pattern of offers and pauses in twice the latency."""
    assert check(OrderClaim(Requantiser(acc_bits=2)), folder=tmp_path, depth=2 * LATENCY, gates=True)


@pytest.mark.formal
def test_valid_is_proved_independent_of_ready(tmp_path: Path) -> None:
    claim = contract.IndependenceClaim(Requantiser(acc_bits=2), Requantiser(acc_bits=2))
    assert check(claim, folder=tmp_path, depth=LATENCY + 2)


# Planted faults, which the tests and the proofs must catch


class RoundsHalfDown(Requantiser):
    """Adds 2^(shift-1) - 1."""

    def _words(self) -> list[Value]:
        words = super()._words()
        words[MUL_BITS] = (words[MUL_BITS] - 1)[:MAX_SHIFT]
        return words


WRONG_SUMS = [
    pytest.param(RoundsHalfDown, {}, id="ties down"),
    pytest.param(Requantiser, {"i__payload": lambda acc: acc & ~(1 << 1)}, id="sign dropped"),
]
WRONG_FLOWS = [
    pytest.param({"i__ready": lambda ready: Const(1)}, id="transfer lost"),
    pytest.param({"i__valid": lambda valid: Const(1)}, id="transfer invented"),
    pytest.param({"o__ready": lambda ready: Const(0)}, id="never moves"),
]


@pytest.mark.parametrize(("requantiser", "faults"), WRONG_SUMS)
def test_wrong_sum_is_caught(requantiser: type[Requantiser], faults: dict[str, Fault]) -> None:
    cases = extremes(2)
    wrong = Planted(requantiser(acc_bits=2), **faults)
    assert requantised(wrong, cases, 2, idle=False, stall=False) != golden_of(cases)


@pytest.mark.formal
@pytest.mark.parametrize(("requantiser", "faults"), WRONG_SUMS)
def test_wrong_sum_is_refuted(requantiser: type[Requantiser], faults: dict[str, Fault], tmp_path: Path) -> None:
    wrong = Planted(requantiser(acc_bits=2), **faults)
    assert not check(SumClaim(wrong, 2, None), folder=tmp_path, depth=LATENCY + 1)


@pytest.mark.parametrize("faults", WRONG_FLOWS)
def test_wrong_flow_is_caught(faults: dict[str, Fault]) -> None:
    cases = random_cases(19, 50)
    wrong = Planted(Requantiser(acc_bits=19), **faults)
    with pytest.raises(AssertionError):
        assert requantised(wrong, cases, 19, idle=True, stall=True) == golden_of(cases)


@pytest.mark.formal
@pytest.mark.parametrize("faults", WRONG_FLOWS)
def test_wrong_flow_is_refuted(faults: dict[str, Fault], tmp_path: Path) -> None:
    wrong = Planted(Requantiser(acc_bits=2), **faults)
    assert not check(FlowClaim(wrong), folder=tmp_path, depth=3 * LATENCY, gates=True)


@pytest.mark.formal
def test_payload_that_is_not_held_is_refuted(tmp_path: Path) -> None:
    wrong = Planted(Requantiser(acc_bits=2), o__ready=lambda ready: Const(1))
    assert not check(OrderClaim(wrong), folder=tmp_path, depth=2 * LATENCY, gates=True)


class OffersOnceAsked(Planted):
    """Shows a result only to a sink that is ready."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.o.valid.eq(self._sound.o.valid & self.o.ready)
        return m


@pytest.mark.formal
def test_valid_that_waits_for_ready_is_refuted(tmp_path: Path) -> None:
    claim = contract.IndependenceClaim(*(OffersOnceAsked(Requantiser(acc_bits=2)) for _ in range(2)))
    assert not check(claim, folder=tmp_path, depth=LATENCY + 2)
