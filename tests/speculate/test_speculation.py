# SPDX-License-Identifier: Apache-2.0
"""Every speculation unit through the same bench: its records in Verilator against the golden plan."""

from dataclasses import replace

import numpy as np
import pytest

from config import presets
from config.errors import Refusal
from config.speculate import CASCADES, LATE, METHODS, SYSTEM_OF, SpeculationConfig
from hdl.emit import verilog
from hdl.speculate.socket import settings_layout
from hdl.speculate.speculation import SpeculationUnit
from sim import dot, minilm, runner, speculation
from tests.arith import simulate
from tests.planted import Planted
from tests.speculate import layers

CHOSEN = {
    "spls": [
        {"k": 5, "k_similarity": 4, "s": 190, "f": 1},
        {"k": 3, "k_similarity": 3, "s": 256, "f": 2},
        {"k": 40, "k_similarity": 1, "s": 0, "f": 3},
    ],
    "lapa": [{"eta": (128, 128)}, {"eta": (40, 256)}, {"eta": (256, 0)}],
    "dense": [{}],
    "fact": [{"k": 5}, {"k": 1}, {"k": 40}],
}


def adversarial(config, seed, **chosen):
    """Queries and keys of few directions: rows all equal, all negative, one peak, two equal peaks, alternating."""
    layer = layers.layer(config, seed, config.tokens, **chosen)
    x = np.zeros_like(layer.x)
    x[: config.tokens // 2] = 100
    x[config.tokens // 2 :: 2] = -100
    x[3] = x[-2] = 127
    x[5] = -128
    return replace(layer, x=x)


@pytest.mark.parametrize("method", METHODS)
def test_equals_golden(method):
    """One unit, layer after layer without a reset: all ways of flow control, lengths, masks, settings."""
    config = presets.speculation("tiny")[method]
    rng = np.random.default_rng(9)
    given = []
    for seed, tokens in enumerate([16, 13, 1, 4, 7, 16, 5, 12, 15, 2]):
        chosen = CHOSEN[method][seed % len(CHOSEN[method])]
        attend = rng.random(tokens) < (0.7 if seed % 2 else 1.1)
        layer = layers.layer(config, seed, tokens, causal=seed % 3 == 1, attend=attend, **chosen)
        given.append((layer, list(dot.FLOWS.values())[seed % len(dot.FLOWS)]))
    for seed, chosen in enumerate(CHOSEN[method]):
        given.append((adversarial(config, seed, **chosen), dot.FULL_SPEED))
    nothing = layers.layer(config, 99, 6, attend=np.zeros(6, bool), **CHOSEN[method][0])
    given.append((nothing, dot.FULL_SPEED))
    results = speculation.run(config, given)
    assert len(results) == len(given)
    assert results[-1].plan.counts.scores == 0


def of_any_shape(config, count):
    """Layers of fewer heads, narrower heads and narrower tokens than the unit's, now and then of its own, each under
    its own flow control."""
    rng = np.random.default_rng(count)
    flows = [*dot.FLOWS.values(), dot.Flow(stall=0.8)]
    given = []
    for seed in range(count):
        shape = config if seed % 4 == 3 else layers.smaller(config, rng)
        chosen = CHOSEN[config.method][seed % len(CHOSEN[config.method])]
        tokens, causal = int(rng.integers(1, config.tokens + 1)), bool(rng.integers(2))
        attend = rng.random(tokens) < (0.8 if seed % 2 else 1.1)
        layer = layers.layer(shape, 100 + seed, tokens, causal=causal, attend=attend, **chosen)
        given.append((layer, flows[seed % len(flows)]))
    return given


@pytest.mark.parametrize("method", METHODS)
def test_layers_of_any_shape(method):
    """One unit, without a reset in between; a unit for each of them would find the same."""
    config = presets.speculation("tiny")[method]
    given = of_any_shape(config, 24)
    shapes = {layer.wq.shape for layer, _ in given}
    assert {(heads, -(-width // config.lanes)) for heads, _, width in shapes} == {
        (heads, slices) for heads in (1, 2) for slices in (1, 2, 3, 4)
    }
    assert len(speculation.run(config, given)) == len(given)


@pytest.mark.parametrize("method", ["dense", *(pytest.param(name, marks=pytest.mark.long) for name in SYSTEM_OF)])
def test_takes_the_cycles_of_a_unit_built_for_it(method):
    """The array waits for nothing that a smaller layer does not have."""
    config = presets.speculation("tiny")[method]
    fits = replace(config, heads=1, width=7)
    given = [
        (layers.layer(fits, tokens, tokens, causal=causal, **CHOSEN[method][0]), dot.FULL_SPEED)
        for tokens in (16, 9)
        for causal in (False, True)
    ]
    found, due = ([(each.cycles, each.busy) for each in speculation.run(unit, given)] for unit in (config, fits))
    assert found == due


def built(name):
    """In place of the layer's own, the number of heads or slices that the unit is built for."""

    def fault(config):
        field = settings_layout(config)[name]
        most = {"heads": config.heads, "slices": config.width_slices}[name] << field.offset
        return lambda settings: settings & ~((1 << field.width) - 1 << field.offset) | most

    return fault


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (method, name) if method == "dense" else pytest.param(method, name, marks=pytest.mark.long)
        for method in METHODS
        for name in ("heads", "slices")
    ],
)
def test_a_unit_that_knows_its_own_shape_alone_is_caught(method, name, monkeypatch):
    config = presets.speculation("tiny")[method]
    wrong = Planted(SpeculationUnit(config), settings__payload=built(name)(config))
    folder = runner.build(verilog(wrong, config.name), config.name)
    monkeypatch.setattr(speculation, "build", lambda _: folder)
    own = layers.layer(config, 1, 6, **CHOSEN[method][0])
    speculation.run(config, own)
    other = layers.layer(
        replace(config, **{"heads": {"heads": 1}, "slices": {"width": 12}}[name]), 2, 6, **CHOSEN[method][0]
    )
    with pytest.raises(runner.SimulationError):
        speculation.run(config, [(own, dot.FULL_SPEED), (other, dot.FULL_SPEED)])


SHAPES = {
    "groups": {"rows": 2, "lanes": 8, "load": 1, "tokens": 6, "width": 8, "heads": 2, "head_width": 5, "window": 2},
    "slices": {"rows": 4, "lanes": 3, "load": 4, "tokens": 8, "width": 5, "heads": 1, "head_width": 7, "window": 1},
}


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", SYSTEM_OF)
def test_other_shapes(method, shape):
    slices = (3, 3, 2) if shape == "groups" else (8,)
    config = SpeculationConfig(method, slices=slices, score_bits=6, **SHAPES[shape])
    chosen = dict(CHOSEN[method][0])
    if method == "lapa":
        chosen["eta"] = (150, 120, 140)[: len(slices)]
    given = [
        (layers.layer(config, tokens, tokens, causal=tokens % 2 == 1, **chosen), dot.Flow(0.2, 0.2))
        for tokens in range(1, config.tokens + 1)
    ]
    speculation.run(config, given)


@pytest.mark.parametrize("method", SYSTEM_OF)
def test_a_layer_of_minilm(method):
    """All heads of a layer, on a real sentence as long as the unit can take; the array must be busy."""
    config = presets.speculation("minilm")[method]
    ids = minilm.token_ids(config)
    assert len(ids) == config.tokens
    spls = {"k": 45, "k_similarity": 13, "s": 100, "f": 8}
    chosen = {"spls": spls, "lapa": {"eta": (128, 128)}, "fact": {"k": 45}}[method]
    result, *_ = speculation.run(config, minilm.layer(config, ids, 2, **chosen))
    assert result.busy_share >= 0.9


@pytest.mark.long
@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("method", SYSTEM_OF)
def test_every_layer_of_minilm(method, number):
    """All 72 heads: a whole sentence at full speed, then half of it under every flow, causal and not."""
    config = presets.speculation("minilm")[method]
    ids = minilm.token_ids(config)
    spls = {"k": 20, "k_similarity": 13, "s": 120, "f": 6}
    chosen = {"spls": spls, "lapa": {"eta": (140, 100)}, "fact": {"k": 20}}[method]
    given = [(minilm.layer(config, ids, number, **chosen), dot.FULL_SPEED)]
    for causal, flow in enumerate(dot.FLOWS.values()):
        given.append((minilm.layer(config, ids[:61], number, causal=bool(causal % 2), **chosen), flow))
    whole, *_ = speculation.run(config, given)
    assert whole.busy_share >= 0.9


@pytest.mark.long
@pytest.mark.parametrize("method", minilm.SINGLE_HEAD)
def test_a_single_head_keeps_the_array_busy(method):
    """From the first beat of X to the last record, without a head before or after it that could fill the gaps."""
    result, *_ = speculation.run(*minilm.single_head(method))
    assert result.busy_share >= 0.9


@pytest.mark.parametrize(("method", "chosen"), [("spls", {"k": 3, "k_similarity": 3}), ("fact", {"k": 3})])
def test_the_bench_finds_a_wrong_plan(method, chosen, monkeypatch):
    """A model that breaks ties towards the higher column."""
    config = presets.speculation("tiny")[method]
    layer = layers.layer(config, 1, 16, **chosen)
    layer = replace(layer, x=np.zeros_like(layer.x))
    right = speculation.golden_plan(config, layer)
    wrong = replace(right, mask=right.mask[:, :, ::-1], columns=right.columns[:, ::-1])
    monkeypatch.setattr(speculation, "golden_plan", lambda *_: wrong)
    with pytest.raises(runner.SimulationError, match=r"record 0 is \{'kind': 0"):
        speculation.run(config, layer)


def test_a_layer_that_does_not_fit():
    config = presets.speculation("tiny")["dense"]
    layer = layers.layer(replace(config, tokens=20), 0, 17)
    with pytest.raises(
        Refusal, match=r"^The layer must have at most 16 tokens of at most 16, and at most 2 .* 17 of 16"
    ):
        speculation.run(config, layer)
    for wrong in ({"width": 17}, {"heads": 3}, {"head_width": 5}):
        with pytest.raises(Refusal, match=r" not 4 of .*; build a unit for it\.$"):
            speculation.run(config, layers.layer(replace(config, **wrong), 0, 4))


@pytest.mark.parametrize("method", [*LATE, *CASCADES])
def test_methods_of_other_units_are_refused(method):
    config = replace(presets.speculation("tiny")["dense"], method=method)
    assert simulate.refusal_of(lambda: SpeculationUnit(config)) == (
        f"method must be one of spls, lapa, dense, fact, not '{method}'; build the unit of that method."
    )
