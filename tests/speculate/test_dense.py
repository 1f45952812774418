# SPDX-License-Identifier: Apache-2.0
"""Dense selection: against the golden plan under every flow control, alone and with a recorder behind it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from config.speculate import Settings, SpeculationConfig
from golden.speculate import dense
from hdl.speculate.dense import DenseSelection
from hdl.speculate.record import Recorder
from hdl.speculate.socket import settings_layout
from tests.arith import simulate
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted
from tests.speculate.plans import Layer, record_patterns, records_of, row_beats

FLOWS = {"full speed": 0, "stall": 0.5, "slow sink": 0.9}


def config_of(rows: int = 4, tokens: int = 12, heads: int = 2) -> SpeculationConfig:
    return SpeculationConfig(
        "dense", rows=rows, lanes=4, load=2, tokens=tokens, width=8, heads=heads, head_width=4, window=1
    )


class DenseUnit(wiring.Component):
    """The selection with a recorder behind it."""

    def __init__(self, config: SpeculationConfig):
        self._selection, self._recorder = DenseSelection(config), Recorder(config)
        members = {name: member for name, member in self._selection.signature.members.items() if name != "rows"}
        super().__init__({**members, "o": Out(self._recorder.signature.members["o"].signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.selection, m.submodules.recorder = self._selection, self._recorder
        for name in ("settings", "attend", "start"):
            m.d.comb += Value.cast(getattr(self._selection, name)).eq(Value.cast(getattr(self, name)))
        m.d.comb += [self._recorder.settings.eq(self.settings), self.busy.eq(self._selection.busy)]
        wiring.connect(m, self._selection.rows, self._recorder.rows)
        wiring.connect(m, self._recorder.o, wiring.flipped(self.o))
        return m


def layer(config: SpeculationConfig, rng: np.random.Generator, tokens: int, causal: bool) -> tuple[int, Layer]:
    """Which tokens may be attended to, with noise beyond the sequence, and the golden layer, of any number of heads."""
    heads = int(rng.integers(1, config.heads + 1))
    attend = rng.random(config.tokens) < rng.choice([0.0, 0.5, 0.9, 1.0])
    x, w = np.zeros((tokens, 1), dtype=np.int8), np.zeros((heads, 1, 1), dtype=np.int8)
    plan = dense.predict(x, w, w, Settings(causal=causal), attend=attend[:tokens])
    sent = records_of(config, plan, causal)
    settings = {"tokens": tokens, "heads": heads, "causal": int(causal)}
    bitmap = sum(1 << int(token) for token in np.flatnonzero(attend))
    return bitmap, Layer(settings, row_beats(config, sent, rng), record_patterns(config, sent))


def run(dut: Any, stream: str, layers: list[tuple[int, Layer]], counts: list[int], stall: float) -> tuple[list, int]:
    """What leaves `stream` in layers started behind each other, `counts` transfers each, and the cycles from start to
    the last transfer, summed. Checks `busy`, and that an offer stands."""
    rng = np.random.default_rng(len(layers))
    out = getattr(dut, stream)
    sink, cycles = simulate.Sink(out), 0

    async def bench(context: Any) -> None:
        nonlocal cycles
        for (attend, one), count in zip(layers, counts, strict=True):
            context.set(dut.settings, one.settings)
            context.set(dut.attend, attend)
            target, started = len(sink.seen) + count, False
            assert not context.get(dut.busy)
            while len(sink.seen) < target:
                context.set(dut.start, not started)
                started = True
                context.set(out.ready, rng.random() >= stall)
                sink.sample(context)
                await context.tick()
                cycles += 1
                assert cycles < 20 * sum(counts) + 500, "nothing comes any more"
            assert not context.get(dut.busy)

    simulate.run(dut, bench)
    return sink.seen, cycles


def layers_of(config: SpeculationConfig) -> list[tuple[int, Layer]]:
    rng = np.random.default_rng(config.tokens + config.heads)
    lengths = [config.tokens, 1, 2, config.rows + 1, config.tokens - 1, config.rows]
    return [layer(config, rng, min(n, config.tokens), causal) for n in lengths for causal in (False, True)]


@pytest.mark.parametrize("flow", ["stall", *(pytest.param(f, marks=pytest.mark.long) for f in FLOWS if f != "stall")])
@pytest.mark.parametrize(("rows", "tokens", "heads"), [(2, 2, 1), (4, 4, 3), (4, 12, 2), (8, 16, 1)])
def test_rows_are_golden(rows: int, tokens: int, heads: int, flow: str) -> None:
    """At full speed a beat a cycle, the first 2 cycles behind `start`."""
    config = config_of(rows, tokens, heads)
    layers = layers_of(config)
    counts = [len(one.beats) for _, one in layers]
    seen, cycles = run(DenseSelection(config), "rows", layers, counts, FLOWS[flow])
    assert seen == [beat for _, one in layers for beat in one.beats]
    if flow == "full speed":
        assert cycles == len(seen) + DenseSelection.latency * len(layers)


@pytest.mark.parametrize("flow", FLOWS)
def test_records_are_golden(flow: str) -> None:
    config = config_of()
    layers = layers_of(config)
    counts = [len(one.expected) for _, one in layers]
    seen, _ = run(DenseUnit(config), "o", layers, counts, FLOWS[flow])
    assert seen == [pattern for _, one in layers for pattern in one.expected]


def built_heads(settings: Value) -> Value:
    """Of `config_of`: the field's bit of one head is never set, that of two always."""
    field = settings_layout(config_of())["heads"]
    return settings & ~(1 << field.offset) | 2 << field.offset


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({"settings": lambda settings: settings[:-1]}, id="never causal"),
        pytest.param({"settings": built_heads}, id="heads as built"),
        pytest.param({"settings": lambda settings: settings | 1}, id="one token more"),
        pytest.param({"attend": lambda attend: ~Const(0, len(attend))}, id="all may be attended to"),
        pytest.param({"rows__ready": lambda ready: Const(1)}, id="beat lost"),
    ],
)
def test_wrong_rows_are_caught(faults: dict[str, Any]) -> None:
    config = config_of()
    layers = layers_of(config)
    wrong = Planted(DenseSelection(config), **faults)
    try:
        seen, _ = run(wrong, "rows", layers, [len(one.beats) for _, one in layers], 0.3)
    except AssertionError:
        return
    assert seen != [beat for _, one in layers for beat in one.beats]


@pytest.mark.formal
def test_offers_are_proved_to_stand(tmp_path: Path) -> None:
    assert check(contract.OfferClaim(DenseSelection(config_of(2, 4)), "rows"), folder=tmp_path, depth=10)


@pytest.mark.formal
def test_offer_that_does_not_stand_is_refuted(tmp_path: Path) -> None:
    wrong = Planted(DenseSelection(config_of(2, 4)), rows__ready=lambda ready: Const(1))
    assert not check(contract.OfferClaim(wrong, "rows"), folder=tmp_path, depth=10)
