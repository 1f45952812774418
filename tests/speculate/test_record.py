# SPDX-License-Identifier: Apache-2.0
"""Recorder: against the golden records under every flow control, its cycles, and the contract of its stream."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Assume, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring

from config.speculate import Kind, SpeculationConfig
from hdl.speculate import record
from hdl.speculate.record import Leaders, Recorder
from hdl.speculate.socket import settings_layout
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Fault, Planted
from tests.speculate.plans import Layer, layer, recorded

FLOWS = {"full speed": (0, 0), "idle": (0.5, 0), "stall": (0, 0.5), "idle and stall": (0.4, 0.4), "slow sink": (0, 0.9)}


def config_of(window: int = 4, *, rows: int = 4, tokens: int = 16, heads: int = 3, method: str = "spls"):
    return SpeculationConfig(
        method=method, rows=rows, lanes=4, load=2, tokens=tokens, width=8, heads=heads, head_width=4, window=window
    )


def expected(layers: list[Layer]) -> list[int]:
    return [pattern for one in layers for pattern in one.expected]


# Against the golden records


@pytest.mark.parametrize(
    "flow", ["idle and stall", *(pytest.param(f, marks=pytest.mark.long) for f in FLOWS if f != "idle and stall")]
)
@pytest.mark.parametrize(("rows", "window"), [(2, 1), (4, 1), (2, 2), (4, 2), (4, 4), (8, 8), (16, 16)])
def test_is_golden(rows: int, window: int, flow: str) -> None:
    """Layers of every length behind each other, each with its own settings and number of heads."""
    rng = np.random.default_rng(rows + window)
    config = config_of(window, rows=rows, tokens=2 * max(rows, 8))
    heads = [3, 1, 2, 3, 2, 1, 1, 2, 3]
    lengths = [config.tokens, 1, 2, 3, window + 1, 1, rows, config.tokens - 1, int(rng.integers(1, config.tokens))]
    layers = [
        layer(config, rng, min(n, config.tokens), causal=bool(rng.integers(2)), heads=count)
        for n, count in zip(lengths, heads, strict=True)
    ]
    idle, stall = FLOWS[flow]
    assert recorded(Recorder(config), layers, idle=idle, stall=stall)[0] == expected(layers)


@pytest.mark.parametrize("heads", [1, 2, 5, pytest.param(16, marks=pytest.mark.long)])
def test_any_number_of_heads(heads: int) -> None:
    """Votes for every threshold, among them those that no count and that every count reaches."""
    rng = np.random.default_rng(heads)
    config = config_of(4, tokens=12, heads=heads)
    layers = [layer(config, rng, 11, least_votes=f, similar=0.9) for f in (1, 2, heads, heads + 1) if f <= heads + 1]
    assert recorded(Recorder(config), layers, idle=0.2, stall=0.2)[0] == expected(layers)


@pytest.mark.parametrize("tokens", [4, 12])
@pytest.mark.parametrize("method", ["lapa", "dense", "fact"])
def test_methods_without_similar_rows(method: str, tokens: int) -> None:
    """One chunk, and a number of chunks that is no power of two."""
    rng = np.random.default_rng(tokens)
    config = config_of(method=method, tokens=tokens)
    layers = [
        layer(config, rng, n, causal=causal, heads=heads)
        for heads, n in enumerate((1, tokens - 1, tokens), 1)
        for causal in (False, True)
    ]
    assert recorded(Recorder(config), layers, stall=0.2)[0] == expected(layers)


@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("similar", [0.0, 1.0])
def test_extreme_plans(similar: float, density: float) -> None:
    rng = np.random.default_rng(3)
    config = config_of(8, rows=8, tokens=24, heads=4)
    layers = [layer(config, rng, n, similar=similar, density=density) for n in (24, 17)]
    assert recorded(Recorder(config), layers)[0] == expected(layers)


# Cycles


@pytest.mark.parametrize(("window", "levels"), [(1, 0), (4, 2), (8, 3)])
def test_one_beat_a_cycle(window: int, levels: int) -> None:
    """And behind each window of the last head, its leaders and the levels of the tree."""
    config = config_of(window, rows=16, tokens=48)
    one = layer(config, np.random.default_rng(window), 41)
    windows = -(-41 // window)
    _, cycles = recorded(Recorder(config), [one])
    assert cycles == len(one.beats) + 41 + windows * levels + Recorder.latency


# The contract of stream o


class FlowClaim(contract.Claim):
    """Layers of rows of a single beat, which come in order: each gives one record, and in the layer's last head one
    more for its token. The layer's last record, and no other, is marked. Rows on offer never wait for more than `bound`
    cycles while nothing leaves."""

    def __init__(self, dut: Recorder, bound: int):
        self._bound = bound
        super().__init__(dut)

    def claim(self, m: Module, dut: wiring.Component) -> None:
        rows, tokens, heads = dut.rows.payload, dut.settings.tokens, dut.settings.heads
        row, head = Signal.like(rows.row), Signal(range(TINY_HEADS))
        begun, before = Signal(), Signal.like(Value.cast(dut.settings))
        enters, leaves = contract.fires(dut.rows), contract.fires(dut.o)
        ends_head, last_head, between = row + 1 == tokens, head + 1 == heads, (row == 0) & (head == 0)
        m.d.sync += [before.eq(dut.settings), begun.eq(1)]
        with m.If(enters):
            m.d.sync += row.eq(Mux(ends_head, 0, row + 1))
            with m.If(ends_head):
                m.d.sync += head.eq(Mux(last_head, 0, head + 1))
        owed, stuck = Signal(contract.OWED_BITS), Signal(range(self._bound + 2))
        waits = dut.rows.valid & dut.o.ready & ~enters & ~leaves
        m.d.sync += [owed.eq(owed + enters + (enters & last_head) - leaves), stuck.eq(Mux(waits, stuck + 1, 0))]
        m.d.comb += [
            Assume((tokens >= 1) & (tokens <= TINY_TOKENS) & (heads >= 1) & (heads <= TINY_HEADS)),
            Assume(~begun | (before == Value.cast(dut.settings))),
            Assume((rows.row == row) & (rows.reference <= row) & rows.last & ~(dut.rows.valid & between & (owed != 0))),
            Assert(~leaves | (owed != 0)),
            Assert(~leaves | (dut.o.payload.last == (between & (owed == 1)))),
            Assert(stuck <= self._bound),
        ]


TINY_HEADS, TINY_TOKENS, TINY_BOUND = 2, 3, 3


def tiny(window: int = 2) -> SpeculationConfig:
    return config_of(window, rows=2, tokens=4, heads=TINY_HEADS)


@pytest.mark.formal
@pytest.mark.parametrize("window", [1, 2])
def test_offers_are_proved_to_stand(window: int, tmp_path: Path) -> None:
    assert check(contract.OfferClaim(Recorder(tiny(window)), "o"), folder=tmp_path, depth=10)


@pytest.mark.formal
@pytest.mark.parametrize("window", [1, 2])
def test_flow_is_proved(window: int, tmp_path: Path) -> None:
    assert check(FlowClaim(Recorder(tiny(window)), TINY_BOUND), folder=tmp_path, depth=15, gates=True)


@pytest.mark.formal
def test_valid_is_proved_independent_of_ready(tmp_path: Path) -> None:
    claim = contract.IndependenceClaim(Recorder(tiny()), Recorder(tiny()))
    assert check(claim, folder=tmp_path, depth=8)


# Planted faults, which the tests and the proofs must catch


class UpperWinsTies(Leaders):
    def _winner(self, lower, upper=None):
        if upper is None:
            return lower
        wins = upper[0] >= lower[0]
        return Mux(wins, upper[0], lower[0]), Mux(wins, upper[1], lower[1])


class FollowsCopies(Leaders):
    """Takes the result of a token whose own is a copy."""

    def _decide(self, m, token, most, named):
        super()._decide(m, token, most, named)
        first = token[: self._window.bit_length() - 1] == 0
        with m.If(~first & (most >= self.settings.f) & (most != 0)):
            m.d.comb += self.reference[: self._window.bit_length() - 1].eq(named)


class Overtaken(Leaders):
    """Lets rows pass leaders that are still in the tree."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.ready.eq(1)
        return m


class AgreedAsBuilt(Leaders):
    """Has as many heads agree as the unit is built for."""

    def _decide(self, m, token, most, named):
        super()._decide(m, token, most, named)
        m.d.comb += self.agreed.eq(most == self._config.heads)


class LedAsBuilt(Recorder):
    """Names the last head that the unit is built for in each leader's record."""

    def _send(self, m, advance, valid, beat, fresh, leaders):
        super()._send(m, advance, valid, beat, fresh, leaders)
        with m.If(self.o.payload.kind == Kind.LEADER):
            m.d.comb += self.o.payload.head.eq(self._config.heads - 1)


def built_heads(settings: Value) -> Value:
    """As many heads as the unit is built for."""
    field = settings_layout(FAULTY)["heads"]
    return settings & ~(((1 << field.width) - 1) << field.offset) | FAULTY.heads << field.offset


def without(name: str) -> Fault:
    """A setting is always zero."""
    field = settings_layout(FAULTY)[name]
    return lambda settings: settings & ~(((1 << Shape.cast(field.shape).width) - 1) << field.offset)


FAULTY = config_of(4, heads=5)
WRONG = {
    "no threshold": {"settings": without("f")},
    "never causal": {"settings": without("causal")},
    "heads as built": {"settings": built_heads},
    "row lost": {"rows__ready": lambda ready: Const(1)},
    "record invented": {"o__valid": lambda valid: Const(1)},
    "record not held": {"o__ready": lambda ready: Const(1)},
    "never moves": {"o__ready": lambda ready: Const(0)},
}


def mixed(config: SpeculationConfig) -> list[Layer]:
    rng = np.random.default_rng(9)
    shapes = ((16, 1, 5), (15, 2, 5), (3, 1, 4), (16, 1, 2), (14, 3, 5), (16, 1, 5))
    return [layer(config, rng, n, least_votes=f, similar=0.6, causal=True, heads=heads) for n, f, heads in shapes]


def is_golden(dut: wiring.Component) -> bool:
    layers = mixed(FAULTY)
    try:
        return recorded(dut, layers, idle=0.1, stall=0.1)[0] == expected(layers)
    except AssertionError:
        return False


def test_sound_recorder_passes() -> None:
    assert is_golden(Planted(Recorder(FAULTY)))


@pytest.mark.parametrize("leaders", [UpperWinsTies, FollowsCopies, Overtaken, AgreedAsBuilt])
def test_wrong_leaders_are_caught(leaders: type[Leaders], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "Leaders", leaders)
    assert not is_golden(Recorder(FAULTY))


def test_leaders_of_another_head_are_caught() -> None:
    assert not is_golden(LedAsBuilt(FAULTY))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_recorder_is_caught(name: str) -> None:
    assert not is_golden(Planted(Recorder(FAULTY), **WRONG[name]))


@pytest.mark.formal
@pytest.mark.parametrize("name", ["row lost", "record invented", "never moves"])
def test_wrong_flow_is_refuted(name: str, tmp_path: Path) -> None:
    assert not check(
        FlowClaim(Planted(Recorder(tiny()), **WRONG[name]), TINY_BOUND), folder=tmp_path, depth=15, gates=True
    )


@pytest.mark.formal
def test_offer_that_does_not_stand_is_refuted(tmp_path: Path) -> None:
    wrong = Planted(Recorder(tiny()), **WRONG["record not held"])
    assert not check(contract.OfferClaim(wrong, "o"), folder=tmp_path, depth=10)
