# SPDX-License-Identifier: Apache-2.0
"""Predictors for the layers of a model: their coded weights, their scales, and the plans they make; of Sanger's, which
has neither, the plans.

W_Q, W_K, scales of X ─► int8 per head ─┐
X of a few real inputs ─────────────────┴─► multipliers, shifts ─► `Predictor` ─► plan of any X
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.array import NumberSystem
from config.requantise import Multiplier
from config.speculate import HeadSettings, SangerSettings, Settings, SpattenSettings
from golden.arith.quantise import LARGEST_CODE, round_half_up
from golden.arrays import Array, namespace, to_numpy
from golden.execute.scales import Scale, multipliers
from golden.models.transformer import LayerWeights
from golden.speculate import sanger
from golden.speculate.operands import allowed, predicted_scores, project, projected
from golden.speculate.plan import Plan, Planner

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """A layer's W_Q and W_K as a predictor has them: int8 [H, dh, D], each head at a scale of its own, and their biases
    int64 [H, dh] in units of int8's sums."""

    wq: Array
    wk: Array
    bq: Array
    bk: Array

    def like(self, x: Array) -> "Weights":
        """In the library and on the device of `x`."""
        xp = namespace(x)
        return Weights(**{name: xp.asarray(value, device=x.device) for name, value in vars(self).items()})


def coded(weights: LayerWeights, heads: int, x_scale: Floats) -> Weights:
    """For X whose channels [D] are worth `x_scale` each."""
    (wq, bq), (wk, bk) = (_coded(w, b, heads, x_scale) for w, b in ((weights.wq, weights.bq), (weights.wk, weights.bk)))
    return Weights(wq, wk, bq, bk)


def _coded(w: Array, b: Array, heads: int, x_scale: Floats) -> tuple[Array, Array]:
    real = to_numpy(w).astype(np.float64).reshape(heads, -1, w.shape[1]) * x_scale
    scale = np.maximum(np.abs(real).max(axis=(1, 2), keepdims=True), 1e-12) / LARGEST_CODE
    bias = to_numpy(b).astype(np.float64).reshape(heads, -1) / scale[..., 0]
    return round_half_up(real / scale), round_half_up(bias)


def head_scales(x: Array, weights: Weights, system: NumberSystem, score_bits: int) -> tuple[HeadSettings, ...]:
    """Per head, from int8 X [..., T, D] of real inputs: multipliers that take the largest |Q̂| and |K̂| to 127, and the
    smallest score_shift that brings every score into `score_bits`."""
    (q, q_scales), (k, k_scales) = (
        _projected(x, w, b, system) for w, b in ((weights.wq, weights.bq), (weights.wk, weights.bk))
    )
    scores = predicted_scores(q, k, system)
    # A negative score fits one further than a positive one.
    folded = namespace(scores).where(scores < 0, ~scores, scores)
    shifts = [max(0, int(value).bit_length() - (score_bits - 1)) for value in _largest(folded)]
    return tuple(HeadSettings(*fields) for fields in zip(q_scales, k_scales, shifts, strict=True))


def _projected(x: Array, w: Array, b: Array, system: NumberSystem) -> tuple[Array, list[Multiplier]]:
    scale = multipliers(LARGEST_CODE / np.maximum(_largest(projected(x, w, b, system)), 1))
    by_head = [Multiplier(int(mul), int(shift)) for mul, shift in zip(scale.mul, scale.shift, strict=True)]
    return project(x, w, b, by_head, system), by_head


def _largest(values: Array) -> NDArray[np.int64]:
    """The largest magnitude of each head of [..., H, T, N]."""
    xp = namespace(values)
    heads = xp.reshape(xp.moveaxis(xp.abs(values), -3, 0), (values.shape[-3], -1))
    return np.asarray(to_numpy(xp.max(heads, axis=1)))


Predict = Callable[..., Plan]
"""`predict` of `golden.speculate.spls` and its like."""


@dataclass(frozen=True)
class Predictor:
    """A method for one layer. settings: with the layer's scales. options: how the unit is built, as `predict` takes
    it."""

    predict: Predict
    weights: Weights
    settings: Settings
    options: dict[str, Any] = field(default_factory=dict)

    def planner(self, attend: Array | None = None) -> Planner:
        """For `golden.execute.layer.execute`: predicts from what Q, K and V are made of."""

        def plan(x: Array, q: Array, k: Array) -> Plan:
            w = self.weights.like(x)
            return self.predict(x, w.wq, w.wk, self.settings, bq=w.bq, bk=w.bk, attend=attend, **self.options)

        return plan

    def choose(self, **chosen: Any) -> "Predictor":
        """The same with other settings."""
        return replace(self, settings=replace(self.settings, **chosen))


@dataclass(frozen=True)
class CascadePredictor:
    """SpAtten for layer `number` of a sequence: its plan is `golden.speculate.spatten.Spatten`'s. settings: of all
    layers."""

    settings: SpattenSettings
    number: int


@dataclass(frozen=True)
class ExactPredictor:
    """Sanger for one layer, which has nothing of its own but settings. exponent: the layer's, of the scores."""

    settings: SangerSettings
    exponent: Scale

    def planner(self, attend: Array | None = None) -> Planner:
        """For `golden.execute.layer.execute`: predicts from the exact Q and K."""

        def plan(x: Array, q: Array, k: Array) -> Plan:
            return sanger.predict(q, k, allowed(x, self.settings, attend), self.settings, self.exponent)

        return plan
