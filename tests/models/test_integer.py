# SPDX-License-Identifier: Apache-2.0
"""Whole models in integers, and predictors that plan their layers; of MiniLM see tests/tasks/test_methods.py."""

import numpy as np
import pytest
import torch

from config.array import SYSTEMS, number_system
from config.errors import Refusal
from config.speculate import LapaSettings, SplsSettings
from golden.execute.layer import execute
from golden.models import integer, transformer
from golden.models.transformer import Architecture
from golden.speculate import lapa, planner, spls
from golden.speculate.operands import predicted, predicted_scores
from tests.execute.test_layer import weights_of


def small(order: str, causal: bool):
    """Two random layers and what they are given, a batch with padding."""
    shape, rng = Architecture(3, order, causal, 1e-5), np.random.default_rng(5)
    x = rng.normal(0, 1, (3, 10, 24))
    attend = np.arange(10) < np.array([10, 7, 4])[:, None]
    return integer.build([weights_of(1), weights_of(2)], shape, [integer.Batch(x, attend)]), x, attend


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("order", transformer.ORDERS)
def test_padding_changes_nothing(order, causal):
    found, x, attend = small(order, causal)
    together = integer.run(found, found.like(x), found.codes(x), attend)
    for row, length in enumerate((10, 7, 4)):
        part = x[row : row + 1, :length]
        alone = integer.run(found, found.like(x), found.codes(part), attend[row : row + 1, :length])
        assert np.array_equal(together[row, :length], alone[0])


@pytest.mark.parametrize("order", transformer.ORDERS)
def test_causal_models_do_not_look_ahead(order):
    found, x, attend = small(order, True)
    changed = x.copy()
    changed[:, 6:] += 1
    before, after = (integer.run(found, found.like(x), found.codes(given), attend) for given in (x, changed))
    assert np.array_equal(before[:, :6], after[:, :6])
    assert not np.array_equal(before[:, 6], after[:, 6])


def predictor_of(module, found, number: int, inputs):
    system = module.SYSTEM
    weights = planner.coded(found.weights[number], 3, found.layers[number].qkv_scale)
    scales = planner.head_scales(inputs, weights, system, 8)
    if module is spls:
        chosen = SplsSettings(scales=scales, k=4, k_similarity=3, s=200, f=1)
        return planner.Predictor(spls.predict, weights, chosen, {"window": 4})
    return planner.Predictor(lapa.predict, weights, LapaSettings(scales=scales, eta=(200, 100)))


@pytest.mark.parametrize("module", [spls, lapa])
def test_predictors_plan_layers(module):
    """What a planner gives is what `predict` gives of the layer's own int8 input, in torch as in NumPy."""
    found, x, attend = small("pre", False)
    seen = {}
    integer.run(found, found.like(x), found.codes(x), attend, watch=lambda n, name, t: seen.setdefault((n, name), t))
    predictors = [predictor_of(module, found, number, seen[number, "norm1"]) for number in (0, 1)]
    plans = []

    def plans_of(number, keys):
        def plan(*given):
            plans.append(predictors[number].planner(keys)(*given))
            return plans[-1]

        return plan

    codes = integer.run(found, found.like(x), found.codes(x), attend, plans_of)
    w = predictors[0].weights
    given = {"bq": w.bq, "bk": w.bk, "attend": attend} | predictors[0].options
    expected = module.predict(seen[0, "norm1"], w.wq, w.wk, predictors[0].settings, **given)
    assert np.array_equal(plans[0].mask, expected.mask)
    assert np.array_equal(plans[0].reference, expected.reference)
    assert 0 < plans[0].mask.mean() < 0.7
    there = torch.asarray(x)
    twin = integer.run(found, found.like(there), found.codes(there), torch.asarray(attend), plans_of)
    assert np.array_equal(codes, twin.numpy())
    assert not np.array_equal(codes, integer.run(found, found.like(x), found.codes(x), attend))


@pytest.mark.parametrize("system", SYSTEMS)
def test_scales_use_the_range(system):
    """The largest |Q̂| is 127, and no score of the inputs that the scales were found from saturates."""
    found, x, attend = small("post", False)
    weights = planner.coded(found.weights[0], 3, found.layers[0].qkv_scale)
    codes, coding = found.codes(x), number_system(system)
    scales = planner.head_scales(codes, weights, coding, 8)
    given = SplsSettings(scales=scales)
    operands = predicted(codes, weights.wq, weights.wk, given, coding, bq=weights.bq, bk=weights.bk, attend=attend)
    for part in (operands.q, operands.k):
        assert np.abs(part).max(axis=(0, 2, 3)).tolist() == [127] * 3
    scores = predicted_scores(operands.q, operands.k, coding)
    shifts = np.array([scale.score_shift for scale in scales])[:, None, None]
    largest = np.abs(scores >> shifts).max(axis=(0, 2, 3))
    assert (largest <= 128).all()
    assert (largest >= 32).all()


def test_chosen_settings_leave_the_scales():
    found, x, _ = small("post", False)
    one = predictor_of(spls, found, 0, found.codes(x))
    other = one.choose(k=9)
    assert (other.settings.k, other.settings.scales) == (9, one.settings.scales)
    assert one.settings.k == 4


def test_calibration_needs_inputs():
    with pytest.raises(Refusal, match=r"^Calibration must be given at least one batch, and was given none; a few"):
        integer.build([weights_of(0)], Architecture(3, "post", False, 1e-5), [])


def test_a_layer_alone_is_that_of_the_model():
    found, x, attend = small("post", False)
    codes = found.codes(x)
    first = execute(codes, found.layers[0].layer, integer.dense(attend, found.shape))
    second = execute(first, found.layers[1].layer, integer.dense(attend, found.shape))
    assert np.array_equal(second, integer.run(found, found.like(x), codes, attend))
