# SPDX-License-Identifier: Apache-2.0
"""Layers of a model in integers, one behind the other, as an accelerator runs them: what it is given of each, and what
it has to give back.

float weights ─► integer model ─► layers ─┐
        └► predictors, a setting each ────┴─► plans, every tensor, the output of each layer
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.array import number_system
from config.spatten import SpattenConfig
from config.speculate import (
    PROBABILITY_UNITY,
    SYSTEM_OF,
    UNITY,
    FactSettings,
    LapaSettings,
    SangerSettings,
    Settings,
    SpattenSettings,
    SplsSettings,
)
from config.system import SystemConfig
from golden.execute.layer import Layer, execute
from golden.models import integer
from golden.models.transformer import Architecture, LayerWeights
from golden.speculate import dense, fact, lapa, planner, spls
from golden.speculate.plan import Plan
from golden.speculate.planner import CascadePredictor, ExactPredictor, Predict, Predictor
from golden.speculate.spatten import Spatten

Int64 = NDArray[np.int64]
PREDICT: dict[str, Predict] = {
    "spls": spls.predict,
    "lapa": lapa.predict,
    "dense": dense.predict,
    "fact": fact.predict,
}
AnyPredictor = Predictor | ExactPredictor | CascadePredictor


@dataclass(frozen=True)
class Step:
    """A layer under its plan. tensors: by name, those that `golden.execute.layer.execute` shows, [T, …] or [H, T, …].
    x, y: int64 [T, D], within int8 (post) or 16 bits (pre). attend: bool [T], tokens that may be attended to, or none
    for all."""

    layer: Layer
    predictor: AnyPredictor
    plan: Plan
    x: Int64
    y: Int64
    tensors: dict[str, Int64]
    attend: NDArray[np.bool_] | None = None


def steps(
    config: SystemConfig,
    model: integer.IntegerModel,
    codes: Int64,
    settings: Sequence[Settings],
    attend: NDArray[np.bool_] | None = None,
) -> list[Step]:
    """Runs codes [T, D] through the model's layers, each with its settings, whose scales are found here; SpAtten's are
    those of all layers, each time. attend: bool [T], tokens that may be attended to, or none for all."""
    found: list[Step] = []
    cascade = Spatten(settings[0], attend) if isinstance(settings[0], SpattenSettings) else None
    for number, each in enumerate(settings):
        layer = model.layers[number].layer
        predictor = predictor_of(config, model, number, codes, each)
        seen: dict[str, Any] = {}
        plans: list[Plan] = []

        def plan_of(*given: Any, by: AnyPredictor = predictor, kept: list[Plan] = plans) -> Plan:
            if isinstance(by, CascadePredictor):
                assert cascade is not None
                kept.append(cascade.plan(*given))
            else:
                kept.append(by.planner(attend)(*given))
            return kept[0]

        y = execute(codes, layer, plan_of, watch=seen.__setitem__)
        if cascade is not None:
            for name, tensor in seen.items():
                cascade.watch(name, tensor)
        found.append(Step(layer, predictor, plans[0], codes, y, seen, attend))
        codes = y
    return found


def predictor_of(
    config: SystemConfig, model: integer.IntegerModel, number: int, codes: Int64, settings: Settings
) -> AnyPredictor:
    """A layer's, with the scales that fit these codes."""
    unit, method = config.speculation, config.speculation.method
    if isinstance(settings, SangerSettings):
        return ExactPredictor(settings, model.layers[number].layer.exponent)
    if isinstance(settings, SpattenSettings):
        SpattenConfig.within(unit).check(settings)
        return CascadePredictor(settings, number)
    layer, heads = model.layers[number], model.shape.heads
    coded = planner.coded(model.weights[number], heads, layer.qkv_scale)
    if method == "dense":
        return Predictor(PREDICT[method], coded, settings)
    x = codes if model.shape.order == "post" else _normed(layer.layer, codes)
    scales = planner.head_scales(x, coded, number_system(SYSTEM_OF[method]), unit.score_bits)
    built = {"spls": ("window", "score_bits"), "lapa": ("slices",), "fact": ("score_bits",)}[method]
    options = {name: getattr(unit, name) for name in built}
    return Predictor(PREDICT[method], coded, replace(settings, scales=scales), options)


def _normed(layer: Layer, codes: Int64) -> Int64:
    seen: dict[str, Any] = {}
    plan = integer.dense(np.ones(len(codes), np.bool_), Architecture(layer.heads, layer.order, False, 0.0))
    execute(codes, layer, plan, watch=seen.__setitem__)
    return np.asarray(seen["norm1"])


@dataclass(frozen=True)
class Size:
    """Of a layer's matrices."""

    width: int
    heads: int
    head_width: int
    ffn: int


def largest(config: SystemConfig) -> Size:
    """What the accelerator is built for."""
    unit = config.speculation
    return Size(unit.width, unit.heads, unit.head_width, config.ffn)


def random_size(config: SystemConfig, rng: np.random.Generator) -> Size:
    """Any that the accelerator takes."""
    most, lanes = largest(config), config.lanes
    width, ffn = (lanes * int(rng.integers(2, each // lanes + 1)) for each in (most.width, most.ffn))
    heads, head_width = (int(rng.integers(1, each + 1)) for each in (most.heads, most.head_width))
    return Size(width, heads, head_width, ffn)


def random_weights(size: Size, rng: np.random.Generator) -> LayerWeights:
    """Of a layer."""
    width, inner, hidden = size.width, size.heads * size.head_width, size.ffn

    def matrix(rows: int, columns: int) -> NDArray[np.float64]:
        return rng.normal(0, columns**-0.5, (rows, columns))

    def vector(size: int) -> NDArray[np.float64]:
        return rng.normal(0, 0.1, size)

    return LayerWeights(
        **{name: matrix(inner, width) for name in ("wq", "wk", "wv")},
        **{name: vector(inner) for name in ("bq", "bk", "bv")},
        wo=matrix(width, inner),
        w_up=matrix(hidden, width),
        b_up=vector(hidden),
        w_down=matrix(width, hidden),
        **{name: vector(width) for name in ("bo", "b_down", "offset1", "offset2")},
        **{name: rng.uniform(0.5, 1.5, width) for name in ("gain1", "gain2")},
    )


def random_settings(config: SystemConfig, rng: np.random.Generator, causal: bool, count: int) -> list[Settings]:
    """Of so many layers, for the method that the accelerator is built for."""
    if config.speculation.prunes:
        tokens, heads = ((0, *sorted(map(int, rng.integers(0, UNITY, count - 1)))) for _ in range(2))
        return [SpattenSettings(causal=causal, tokens=tokens, heads=heads)] * count
    return [_random_setting(config, rng, causal) for _ in range(count)]


def _random_setting(config: SystemConfig, rng: np.random.Generator, causal: bool) -> Settings:
    method, tokens = config.speculation.method, config.tokens
    if method == "spls":
        k = int(rng.integers(1, tokens + 1))
        similar, f = int(rng.integers(1, k + 1)), int(rng.integers(1, config.heads + 2))
        return SplsSettings(causal=causal, k=k, k_similarity=similar, s=int(rng.integers(0, 257)), f=f)
    if method == "lapa":
        return LapaSettings(causal=causal, eta=tuple(int(rng.integers(0, 257)) for _ in config.speculation.slices))
    if method == "fact":
        return FactSettings(causal=causal, k=int(rng.integers(1, tokens + 1)))
    if method == "sanger":
        # As often from nearly all keys to nearly none as in between.
        return SangerSettings(causal=causal, threshold=int(PROBABILITY_UNITY ** rng.uniform()) - 1)
    return Settings(causal=causal)


def random_steps(
    config: SystemConfig,
    order: str,
    tokens: int,
    count: int,
    seed: int,
    causal: bool = False,
    size: Size | None = None,
    attend: NDArray[np.bool_] | None = None,
) -> list[Step]:
    """Layers of a random model, each with settings of its own, on random input. size: the largest if it is none.
    attend: as of `steps`."""
    rng = np.random.default_rng(seed)
    size = size or largest(config)
    weights = [random_weights(size, rng) for _ in range(count)]
    shape = Architecture(size.heads, order, causal, 1e-5)
    x = rng.normal(0, 1, (1, tokens, size.width))
    model = integer.build(weights, shape, [integer.Batch(x, np.ones((1, tokens), np.bool_))], percentile=100.0)
    settings = random_settings(config, rng, causal, count)
    return steps(config, model, model.codes(x)[0], settings, attend)
