# SPDX-License-Identifier: Apache-2.0
"""Stream contract of the dot-product array, proved at a tiny size for every sequence of so many cycles.

A sequence is everything that the outside may do: offers that come, go and change at will, tiles of any length, a sink
that takes results when it likes. Where sums are followed, operands are few: that products are right is proved in
`tests/arith/`; here they must tell rows, beats and tiles apart.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.array import ArrayConfig, number_system
from config.formats import Format
from golden.speculate import array as golden
from hdl.speculate.array import DotArray
from hdl.speculate.unit import DotUnit, EncoderBank
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Fault, Planted

pytestmark = pytest.mark.formal

X_OPERANDS, W_OPERANDS = (0, 3), (1, -2)


def tiny(system: str, rows: int = 2, lanes: int = 1) -> ArrayConfig:
    return ArrayConfig(number_system(system, bits=4), rows=rows, lanes=lanes, depth=2, terms=2 * lanes)


class Claim(contract.Claim):
    """Of an array or a unit built as `config`; `picked` is free."""

    def __init__(self, dut: wiring.Component, config: ArrayConfig, latency: int = 0):
        self._config, self._latency = config, latency
        super().__init__(dut, {"picked": In(1)})


class Tile:
    """Follows the transfers: whose turn it is, the row that the next weights belong to, the number of the next beat."""

    def __init__(self, m: Module, dut: wiring.Component, config: ArrayConfig):
        self.open = Signal()
        self.row = Signal(range(config.rows + 1))
        self.beat = Signal(range(config.depth + 1))
        self.w_fires, self.x_fires = contract.fires(dut.w), contract.fires(dut.x)
        with m.If(self.w_fires):
            m.d.sync += self.row.eq(self.row + 1)
            with m.If(self.row == config.rows - 1):
                m.d.sync += [self.row.eq(0), self.beat.eq(0), self.open.eq(1)]
        with m.If(self.x_fires):
            m.d.sync += self.beat.eq(self.beat + 1)
            with m.If(dut.x.payload.last):
                m.d.sync += self.open.eq(0)


class FlowClaim(Claim):
    """Weights and beats are taken in turn, one a cycle but for one cycle between; each beat marked `emit` gives one
    result, within the latency. All that while the sink takes what it is offered."""

    def claim(self, m: Module, dut: wiring.Component) -> None:
        tile = Tile(m, dut, self._config)
        enters, leaves = tile.x_fires & dut.x.payload.emit, contract.fires(dut.o)
        owed = contract.claim_balance(m, enters=enters, leaves=leaves)
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=dut.o.ready, bound=self._latency)
        waits, waited = Signal(), Signal()
        m.d.comb += [
            Assert(~tile.w_fires | ~tile.open),
            Assert(~tile.x_fires | tile.open),
            waits.eq(dut.o.ready & ~Mux(tile.open, dut.x.ready, dut.w.ready)),
            Assert(~waits | ~waited),
        ]
        m.d.sync += waited.eq(waits)


class SumClaim(Claim):
    """Results leave in order, each the exact sum of its tiles, as long as a tile has at most `depth` beats."""

    def claim(self, m: Module, dut: wiring.Component) -> None:
        config, x = self._config, dut.x.payload
        tile = Tile(m, dut, config)
        weights = [Signal.like(Value.cast(dut.w.payload), name=f"weights{row}") for row in range(config.rows)]
        for row, register in enumerate(weights):
            with m.If(tile.w_fires & (tile.row == row)):
                m.d.sync += register.eq(dut.w.payload)
        sums = Signal(config.rows * config.acc_bits)
        stored = Array(Signal.like(sums, name=f"stored{beat}") for beat in range(config.depth))
        known = Array(Signal(name=f"known{beat}") for beat in range(config.depth))
        before = Mux(x.clear, 0, stored[tile.beat])
        m.d.comb += sums.eq(Cat(self._sum(m, w, before, row) for row, w in enumerate(weights)))
        with m.If(tile.x_fires):
            m.d.comb += Assume((tile.beat < config.depth) & (x.clear | known[tile.beat]))
            m.d.sync += [known[tile.beat].eq(~x.emit), stored[tile.beat].eq(sums)]
        contract.claim_order(
            m,
            enters=tile.x_fires & x.emit,
            expected=Cat(sums, x.last),
            leaves=contract.fires(dut.o),
            result=Value.cast(dut.o.payload),
            picked=self.picked,
        )

    def _sum(self, m: Module, w: Value, before: Value, row: int) -> Value:
        """A row's sum with this beat's terms: what each operand stands for is looked up, then multiplied."""
        system, bits = self._config.system, self._config.acc_bits
        total = before.word_select(row, bits).as_signed()
        for lane in range(self._config.lanes):
            x = looked_up(m, Value.cast(self._dut.x.payload.code[lane]), system.x, X_OPERANDS)
            total = total + x * looked_up(m, w.word_select(lane, system.w.code_bits), system.w, W_OPERANDS)
        return total[:bits]


class BankClaim(Claim):
    """A beat leaves with the golden codes of its integers, in order and once, in the next cycle or when it can."""

    def claim(self, m: Module, dut: wiring.Component) -> None:
        coding = self._config.system.x
        operands = range(-(1 << (coding.bits - 1)), 1 << (coding.bits - 1))
        codes = [Signal(coding.code_bits) for _ in range(self._config.lanes)]
        for value, code in zip(dut.i.payload.value, codes, strict=True):
            with m.Switch(value):
                for operand in operands:
                    with m.Case(operand):
                        m.d.comb += code.eq(int(golden.encode(np.array(operand), coding)))
        leaves = contract.fires(dut.o)
        contract.claim_order(
            m,
            enters=contract.fires(dut.i),
            expected=Cat(*codes, dut.i.payload.clear, dut.i.payload.emit, dut.i.payload.last),
            leaves=leaves,
            result=Value.cast(dut.o.payload),
            picked=self.picked,
        )
        m.d.comb += [Assert(contract.held(m, dut.o)), Assert(~dut.o.ready | dut.i.ready)]


class LivenessClaim(Claim):
    """No deadlock: from whatever state it was brought to, once weights, beats marked `emit` and a sink are there for
    good, the unit is never long without a result. It may have to load weights twice: for a beat without a result that
    it took before and that closes its tile, and for the next one. One row takes as long to load as two."""

    def claim(self, m: Module, dut: wiring.Component) -> None:
        bound = 2 * max(self._config.rows, 2) + self._latency
        willing, waited = Signal(), Signal(range(bound + 2))
        m.d.sync += willing.eq(willing | self.picked)
        offers = dut.w.valid & dut.x.valid & dut.x.payload.emit & dut.o.ready
        m.d.comb += [Assume(~willing | offers), Assert(waited <= bound)]
        with m.If(~willing | contract.fires(dut.o)):
            m.d.sync += waited.eq(0)
        with m.Else():
            m.d.sync += waited.eq(waited + 1)


def looked_up(m: Module, code: Value, coding: Format, among: Sequence[int]) -> Value:
    """What the golden model says that a code stands for. Only the codes of the integers `among` occur."""
    value, legal = Signal(signed(coding.bits + 1)), Signal()
    with m.Switch(code.as_unsigned()):
        for operand in np.array(among):
            with m.Case(int(golden.encode(operand, coding))):
                m.d.comb += [value.eq(int(golden.coded_value(operand, coding))), legal.eq(1)]
    m.d.comb += Assume(legal)
    return value


# Proofs


@pytest.mark.parametrize("system", ["hlog", "aloc"])
def test_offers_are_proved_to_stand_for_all_time(system: str, tmp_path: Path) -> None:
    config = tiny(system, lanes=2)
    assert check(contract.OfferClaim(DotUnit(config), "o"), folder=tmp_path, depth=2, induction=True)


@pytest.mark.parametrize("rows", [1, 2])
def test_flow_is_proved(rows: int, tmp_path: Path) -> None:
    config = tiny("hlog", rows)
    array = DotArray(config)
    assert check(FlowClaim(array, config, array.latency), folder=tmp_path, depth=16, gates=True)


@pytest.mark.parametrize(("system", "rows"), [("hlog", 2), ("aloc", 1)])
def test_sums_are_proved(system: str, rows: int, tmp_path: Path) -> None:
    """Ten cycles hold two tiles and the way out, with a stop or two on the way."""
    config = tiny(system, rows)
    assert check(SumClaim(DotArray(config), config), folder=tmp_path, depth=10, gates=True)


@pytest.mark.parametrize("system", ["hlog", "aloc"])
def test_encoders_are_proved_to_keep_order(system: str, tmp_path: Path) -> None:
    config = tiny(system, lanes=2)
    assert check(BankClaim(EncoderBank(config), config), folder=tmp_path, depth=8, gates=True)


@pytest.mark.parametrize("rows", [1, 2])
def test_the_unit_is_proved_to_go_on(rows: int, tmp_path: Path) -> None:
    config = tiny("hlog", rows)
    unit = DotUnit(config)
    assert check(LivenessClaim(unit, config, unit.latency), folder=tmp_path, depth=18, gates=True)


def test_valid_is_proved_independent_of_ready(tmp_path: Path) -> None:
    config = tiny("hlog")
    assert check(contract.IndependenceClaim(DotUnit(config), DotUnit(config)), folder=tmp_path, depth=10, gates=True)


# Planted faults, which the proofs must catch


def faulty(config: ArrayConfig, faults: dict[str, Fault]) -> Planted:
    return Planted(DotArray(config), **faults)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({"x__ready": lambda ready: Const(1)}, id="beat lost"),
        pytest.param({"x__valid": lambda valid: Const(1)}, id="beat invented"),
        pytest.param({"w__ready": lambda ready: Const(1)}, id="weights lost"),
        pytest.param({"o__valid": lambda valid: Const(0)}, id="results lost"),
        pytest.param({"o__ready": lambda ready: Const(0)}, id="never moves"),
    ],
)
def test_wrong_flow_is_refuted(faults: dict[str, Fault], tmp_path: Path) -> None:
    config = tiny("hlog")
    assert not check(FlowClaim(faulty(config, faults), config, latency=3), folder=tmp_path, depth=16, gates=True)


def exchanged(payload: Value) -> Value:
    """The totals of two rows in each other's place."""
    bits = (len(payload) - 1) // 2
    return Cat(payload[bits : 2 * bits], payload[:bits], payload[-1])


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({"w__payload": lambda w: w & ~(w[-1] << len(w) - 1)}, id="sign dropped"),
        pytest.param({"x__payload": lambda x: x | 1 << len(x) - 3}, id="never accumulates"),
        pytest.param({"o__payload": exchanged}, id="rows exchanged"),
        pytest.param({"o__payload": lambda o: o[:-1]}, id="last lost"),
        pytest.param({"o__ready": lambda ready: Const(1)}, id="result overwritten"),
    ],
)
def test_wrong_sums_are_refuted(faults: dict[str, Fault], tmp_path: Path) -> None:
    config = tiny("hlog")
    assert not check(SumClaim(faulty(config, faults), config), folder=tmp_path, depth=10, gates=True)


def test_offer_that_does_not_stand_is_refuted(tmp_path: Path) -> None:
    config = tiny("hlog")
    wrong = faulty(config, {"o__ready": lambda ready: Const(1)})
    assert not check(contract.OfferClaim(wrong, "o"), folder=tmp_path, depth=10, gates=True)


def test_deadlock_is_refuted(tmp_path: Path) -> None:
    """A unit that takes weights only while it is offered a beat marked `last`."""
    config = tiny("hlog")
    unit = DotUnit(config)
    wrong = Planted(unit, w__valid=lambda valid: valid & unit.x.payload.last)
    assert not check(LivenessClaim(wrong, config, unit.latency), folder=tmp_path, depth=18, gates=True)
