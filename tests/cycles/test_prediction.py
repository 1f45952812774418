# SPDX-License-Identifier: Apache-2.0
"""The cycles of the speculation units, by the model and in simulation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from config import presets
from config.errors import Refusal
from config.speculate import METHODS, SYSTEM_OF, SpeculationConfig
from golden.cycles.prediction import predict
from golden.cycles.statistics import Statistics, of_plan, visited
from golden.speculate import lapa
from golden.speculate.operands import predicted
from sim import minilm, speculation
from sim.dot import FULL_SPEED
from tests.speculate import layers

TOLERANCE = 0.02
# Groups of outputs, slices of heads that fill no lane, weights taken in one transfer; a unit of the usual kind.
SHAPES = {
    "tiny": {"rows": 4, "lanes": 4, "load": 2, "tokens": 16, "width": 16, "heads": 2, "head_width": 4, "window": 4},
    "small": {"rows": 8, "lanes": 16, "load": 2, "tokens": 64, "width": 64, "heads": 3, "head_width": 16},
    "slices": {"rows": 8, "lanes": 8, "load": 8, "tokens": 64, "width": 36, "heads": 2, "head_width": 20, "window": 4},
}
LENGTHS = {"tiny": [16, 13, 8, 4], "small": [64, 61, 33, 8, 5], "slices": [64, 50, 17, 7]}


def statistics(config, layer, plan):
    """Of the plan that the unit has to find."""
    seen, eta = (), (128,) * len(config.slices)
    if config.method == "lapa":
        eta = layer.settings.eta
        codes = predicted(
            layer.x, layer.wq, layer.wk, layer.settings, lapa.SYSTEM, bq=layer.bq, bk=layer.bk, attend=layer.attend
        )
        survivors = lapa.rounds(codes.q, codes.k, codes.pairs, eta, config.slices)
        # Rounds at the end that drop nothing are left out.
        last = max((number for number, value in enumerate(eta) if value != 256), default=0)
        seen = visited(survivors[:last], config.rows, layer.settings.causal)
    return of_plan(plan, layer.settings.causal, visited=seen, eta=eta)


def chosen(method, tokens, number):
    """Settings of a layer; they change from one to the next."""
    if method == "spls":
        return {"k": max(1, tokens // 3), "k_similarity": max(1, tokens // 8), "s": (40, 120, 200)[number % 3], "f": 2}
    if method == "fact":
        return {"k": max(1, tokens // (3 + number % 3))}
    return {"eta": ((128, 128, 128), (60, 100, 60), (256, 256, 256))[number % 3]} if method == "lapa" else {}


def model_of(config, layer, plan):
    """A layer that does not fill the unit takes what it takes a unit built for it."""
    fits = replace(config, heads=len(layer.wq), width=layer.x.shape[1])
    return predict(fits, len(layer.x), statistics(config, layer, plan), layer.settings.causal)


def unit(method, shape):
    return SpeculationConfig(method, slices=(3, 3, 2) if shape == "slices" else (4, 4), **SHAPES[shape])


def sequence(config, lengths):
    """Layers of the unit's own shape, then, as long as can be, of fewer heads and less width."""
    given = []
    fewer = replace(config, heads=config.heads - 1, width=config.width // 2)
    shapes = [*product([config], enumerate(lengths)), *product([fewer], enumerate(lengths[:1]))]
    for (shape, (number, tokens)), causal in product(shapes, (False, True)):
        settings = chosen(config.method, tokens, number + causal)
        if "eta" in settings:
            settings["eta"] = settings["eta"][: len(config.slices)]
        given.append(layers.layer(shape, 7 * tokens, tokens, causal=causal, **settings))
    return given


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_is_as_simulated(method, shape):
    """Lengths that fill blocks of rows and such that do not, causal and not, dropping much and nothing."""
    config = unit(method, shape)
    given = sequence(config, LENGTHS[shape])
    results = speculation.run(config, [(layer, FULL_SPEED) for layer in given])
    for layer, result in zip(given, results, strict=True):
        found = model_of(config, layer, result.plan)
        case = f"{len(layer.x)} tokens, {layer.wq.shape}, causal {layer.settings.causal}, {layer.settings}"
        assert abs(found.layer - result.cycles) <= TOLERANCE * result.cycles, (case, found.layer, result.cycles)
        # Beats are counted exactly, up to the rounding of shares.
        assert abs(found.busy - result.busy) <= 2, (case, found.busy, result.busy)


RECORDED = {"spls": 7581, "lapa": 8564, "fact": 7665}
"""docs/speculation.md: one head of MiniLM, simulated."""


@pytest.mark.parametrize("method", RECORDED)
def test_is_as_recorded_of_minilm(method):
    config, layer = minilm.single_head(method)
    found = model_of(config, layer, speculation.golden_plan(config, layer))
    # Its head is long enough for more than the least that is asked.
    assert abs(found.layer - RECORDED[method]) <= 0.005 * RECORDED[method]


@pytest.mark.long
@pytest.mark.parametrize("method", RECORDED)
def test_is_as_simulated_of_minilm(method):
    config, layer = minilm.single_head(method)
    (result,) = speculation.run(config, layer)
    assert result.cycles == RECORDED[method]
    found = model_of(config, layer, result.plan)
    assert abs(found.layer - result.cycles) <= 0.005 * result.cycles
    assert abs(found.busy - result.busy) <= 2


@pytest.mark.parametrize("method", SYSTEM_OF)
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_no_fewer_than_the_array_needs(method, preset):
    """Heads follow each other without overlap, and the array takes a beat in a cycle."""
    config = presets.speculation(preset)[method]
    seen = Statistics(visited=(0.5,) if method == "lapa" else ())
    found = predict(config, config.tokens, seen)
    assert found.first < found.layer
    assert found.busy < found.layer < found.busy * 1.5 + 1000
    assert (config.heads - 1) * found.head < found.layer
    assert predict(config, config.tokens, seen, causal=True).layer < found.layer


@pytest.mark.parametrize("tokens", [0, 17, 4.0])
def test_lengths_it_is_not_built_for(tokens):
    with pytest.raises(Refusal, match=r"^tokens must be an integer from 1 to 16, what the unit is built for, not"):
        predict(presets.speculation("tiny")["spls"], tokens, Statistics())


def test_visited_counts_keys_that_any_row_wants():
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 0, 1] = mask[0, 1, 1] = mask[0, 3, 0] = True
    assert visited([mask], 2) == (2 / 8,)
    assert visited([mask], 2, causal=True) == (2 / 6,)
