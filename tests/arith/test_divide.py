# SPDX-License-Identifier: Apache-2.0
"""The divider against Python's integer division, under every flow control, and proved to be it."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hdl.arith.divide import Divider, DivideStep, excess_layout
from tests.arith import simulate
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Fault, Planted

Case = tuple[int, int]
EVERY = [1, 2, 4, 8, 16]


def extremes(bits: int) -> list[Case]:
    """Ends of both ranges, and quotients that are just whole, or just not."""
    top, half = (1 << bits) - 1, 1 << (bits - 1)
    divisors = sorted({half, half + 1, top - 1, top})
    return [(n, d) for n in (0, 1, half - 1, half, top - 1, top) for d in divisors] + [
        (d + step, d) for d in divisors for step in (-1, 0, 1) if d + step <= top
    ]


def random_cases(bits: int, count: int) -> list[Case]:
    rng = np.random.default_rng(bits)
    dividends = rng.integers(0, 1 << bits, count) >> rng.integers(0, bits, count)
    divisors = rng.integers(1 << (bits - 1), 1 << bits, count)
    return list(zip(dividends.tolist(), divisors.tolist(), strict=True))


def quotients(cases: list[Case], bits: int) -> list[int]:
    return [(n << (bits - 1)) // d for n, d in cases]


def divided(dut: wiring.Component, cases: list[Case], bits: int, *, idle: bool, stall: bool) -> list[int]:
    patterns = simulate.patterns(zip(*cases, strict=True), [bits, bits])
    return simulate.stream_through(dut, patterns, latency=bits, idle=idle, stall=stall)


# Construction and bad arguments


def test_ports() -> None:
    dut = Divider(bits=16, cycles=16)
    assert (dut.cycles, dut.latency) == (16, 16)
    assert {name: (shape.width, shape.signed) for name, shape in simulate.ports(dut).items()} == {
        "i__payload": (32, False),
        "i__valid": (1, False),
        "i__ready": (1, False),
        "o__payload": (16, False),
        "o__valid": (1, False),
        "o__ready": (1, False),
    }


@pytest.mark.parametrize("bits", [1, 4.0])
def test_illegal_widths_are_refused(bits: int) -> None:
    said = simulate.refusal_of(lambda: Divider(bits=bits, cycles=1))
    assert said == f"bits must be an integer from 2, not {bits}; raise it."


@pytest.mark.parametrize("cycles", [0, 3, 32, 2.0])
def test_illegal_rates_are_refused(cycles: int) -> None:
    said = simulate.refusal_of(lambda: Divider(bits=16, cycles=cycles))
    assert said == f"cycles must divide the 16 bits, not be {cycles}; set cycles to 1, 16, or one between."


# The hardware, under every flow control


@pytest.mark.parametrize("stall", [False, True], ids=["no back-pressure", "back-pressure"])
@pytest.mark.parametrize("idle", [False, True], ids=["no idle", "idle"])
def test_one_a_cycle(idle: bool, stall: bool) -> None:
    cases = extremes(16) + random_cases(16, 200)
    assert divided(Divider(bits=16, cycles=1), cases, 16, idle=idle, stall=stall) == quotients(cases, 16)


@pytest.mark.parametrize("bits", [2, 4, 5])
def test_every_operand_of_few_bits(bits: int) -> None:
    cases = [(n, d) for n in range(1 << bits) for d in range(1 << (bits - 1), 1 << bits)]
    assert divided(Divider(bits=bits, cycles=1), cases, bits, idle=False, stall=False) == quotients(cases, bits)


@pytest.mark.parametrize("rest", [0.0, 0.6], ids=["no rests", "rests"])
@pytest.mark.parametrize("cycles", EVERY)
def test_every_rate(cycles: int, rest: float) -> None:
    """Without rests, one in `cycles` cycles, and each 16 cycles on its way."""
    dut = Divider(bits=16, cycles=cycles)
    cases = extremes(16) + random_cases(16, 40)
    rng = np.random.default_rng(cycles)
    entered: list[int] = []
    left: list[int] = []
    sink = simulate.Sink(dut.o)

    async def bench(context):
        queue, offered = simulate.patterns(zip(*cases, strict=True), [16, 16]), False
        for now in range((16 * len(cases) + 100) * (4 if rest else 1)):
            offered = bool(queue) and (offered or rng.random() >= rest)
            context.set(dut.i.valid, offered)
            context.set(dut.i.payload.as_value(), queue[0] if offered else int(rng.integers(1 << 32)))
            context.set(dut.o.ready, rng.random() >= rest)
            sink.sample(context)
            if len(sink.seen) > len(left):
                left.append(now)
            if offered and context.get(dut.i.ready):
                queue.pop(0)
                entered.append(now)
                offered = False
            await context.tick()

    simulate.run(dut, bench)
    assert sink.seen == quotients(cases, 16)
    if not rest:
        assert entered == [cycles * n for n in range(len(cases))]
        assert left == [cycle + dut.latency for cycle in entered]


# Proofs


class StepClaim(wiring.Component):
    """Of a remainder less than twice the divisor, remainder = bit·divisor + what is left, which is less than the
    divisor; twice that is the next remainder, less than twice the divisor again. So `bits` steps are integer division,
    whatever the width.

    A remainder r of a divisor d is there as 2·x, with 2·x = r where it is not negative, and 2·x = r - 2·d where it is.
    What is left is the excess, or where that is negative, the excess and d; so twice that is there in the same way.
    """

    def __init__(self, step: wiring.Component, bits: int):
        self._step, self._bits = step, bits
        layout = excess_layout(bits)
        super().__init__({"begins": In(1), "given": In(layout), "held": In(layout)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.step = step = self._step
        source, wide = Signal(self.held.shape()), signed(self._bits + 3)
        remainder, excess, left = Signal(wide), Signal(wide), Signal(wide)
        twice = source.divisor << 1
        m.d.comb += [
            step.begins.eq(self.begins),
            step.given.eq(self.given),
            step.held.eq(self.held),
            source.eq(Mux(self.begins, self.given, self.held)),
            remainder.eq(Cat(source.doubled, source.negative).as_signed() + Mux(source.negative, twice, 0)),
            excess.eq(step.excess.as_signed()),
            left.eq(excess + Mux(step.quotient_bit, 0, source.divisor)),
            Assume(source.divisor[-1]),
            Assume(remainder >= 0),
            Assume(remainder < twice),
            Assert(remainder == Mux(step.quotient_bit, source.divisor, 0) + left),
            Assert(left >= 0),
            Assert(left < source.divisor),
            Assert(step.quotient_bit == (excess >= 0)),
        ]
        return m


class QuotientClaim(wiring.Component):
    """What enters first leaves as quotient·divisor <= dividend·2^(bits-1) < (quotient + 1)·divisor."""

    def __init__(self, divider: wiring.Component, bits: int):
        self._divider, self._bits = divider, bits
        super().__init__({"dividend": In(bits), "divisor": In(bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.divider = dut = self._divider
        first = Signal(init=1)
        dividend, divisor = Signal(self._bits), Signal(self._bits)
        least = Signal(2 * self._bits)
        m.d.sync += first.eq(0)
        with m.If(first):
            m.d.sync += [dividend.eq(self.dividend), divisor.eq(self.divisor)]
        m.d.comb += [
            Assume(self.divisor[-1]),
            dut.i.payload.dividend.eq(self.dividend),
            dut.i.payload.divisor.eq(self.divisor),
            dut.i.valid.eq(first),
            dut.o.ready.eq(1),
            least.eq(dut.o.payload.quotient * divisor),
            Assert(~dut.o.valid | (least <= (dividend << (self._bits - 1)))),
            Assert(~dut.o.valid | ((dividend << (self._bits - 1)) < least + divisor)),
        ]
        return m


class FlowClaim(wiring.Component):
    """As many results leave as transfers entered, each in time; offers are held."""

    def __init__(self, divider: wiring.Component, bits: int):
        self._divider, self._bits = divider, bits
        super().__init__({"valid": In(1), "ready": In(1), "operands": In(2 * bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.divider = dut = self._divider
        m.d.comb += [
            dut.i.valid.eq(self.valid),
            dut.i.payload.eq(self.operands),
            dut.o.ready.eq(self.ready),
            Assert(contract.held(m, dut.o)),
        ]
        leaves = contract.fires(dut.o)
        owed = contract.claim_balance(m, enters=contract.fires(dut.i), leaves=leaves)
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=self.ready, bound=self._bits)
        return m


@pytest.mark.formal
def test_step_is_proved(tmp_path: Path) -> None:
    """At the width that is built."""
    assert check(StepClaim(DivideStep(16), 16), folder=tmp_path)


@pytest.mark.formal
@pytest.mark.parametrize("cycles", [1, 2, 6])
def test_division_is_proved(cycles: int, tmp_path: Path) -> None:
    assert check(QuotientClaim(Divider(bits=6, cycles=cycles), 6), folder=tmp_path, depth=8)


@pytest.mark.formal
@pytest.mark.parametrize("cycles", [1, 2, 4])
def test_flow_is_proved(cycles: int, tmp_path: Path) -> None:
    assert check(FlowClaim(Divider(bits=4, cycles=cycles), 4), folder=tmp_path, depth=14, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize("cycles", [1, 4])
def test_valid_is_proved_independent_of_ready(cycles: int, tmp_path: Path) -> None:
    claim = contract.IndependenceClaim(*(Divider(bits=4, cycles=cycles) for _ in range(2)))
    assert check(claim, folder=tmp_path, depth=8)


# Planted faults, which the tests and the proofs must catch


WRONG_QUOTIENTS = [
    pytest.param({"o__payload": lambda o: o | 1}, id="rounded up"),
    pytest.param({"i__payload": lambda i: i & ~1}, id="dividend cut"),
]
WRONG_FLOWS = [
    pytest.param({"i__ready": lambda ready: Const(1)}, id="transfer lost"),
    pytest.param({"i__valid": lambda valid: Const(1)}, id="transfer invented"),
    pytest.param({"o__ready": lambda ready: Const(0)}, id="never moves"),
    pytest.param({"o__ready": lambda ready: Const(1)}, id="not held"),
]


@pytest.mark.parametrize("faults", WRONG_QUOTIENTS)
def test_wrong_quotient_is_caught(faults: dict[str, Fault]) -> None:
    wrong = Planted(Divider(bits=16, cycles=1), **faults)
    assert divided(wrong, extremes(16), 16, idle=False, stall=False) != quotients(extremes(16), 16)


@pytest.mark.formal
@pytest.mark.parametrize("faults", WRONG_QUOTIENTS)
def test_wrong_quotient_is_refuted(faults: dict[str, Fault], tmp_path: Path) -> None:
    assert not check(QuotientClaim(Planted(Divider(bits=6, cycles=6), **faults), 6), folder=tmp_path, depth=8)


class StepThatNeverAdds(DivideStep):
    """Subtracts once more from what is already too little."""

    def elaborate(self, platform):
        m = Module()
        source = Mux(self.begins, self.given, self.held)
        source = data.View(self.held.shape(), source)
        m.d.comb += [
            self.excess.eq(source.doubled - source.divisor),
            self.quotient_bit.eq(~self.excess[-1]),
        ]
        return m


@pytest.mark.formal
def test_wrong_step_is_refuted(tmp_path: Path) -> None:
    assert not check(StepClaim(StepThatNeverAdds(16), 16), folder=tmp_path)


@pytest.mark.formal
@pytest.mark.parametrize("faults", WRONG_FLOWS)
def test_wrong_flow_is_refuted(faults: dict[str, Fault], tmp_path: Path) -> None:
    wrong = Planted(Divider(bits=4, cycles=2), **faults)
    assert not check(FlowClaim(wrong, 4), folder=tmp_path, depth=14, gates=True)
