# SPDX-License-Identifier: Apache-2.0
"""Layers of MiniLM in integers under the plans of a method at its chosen settings: what the execution unit is given,
and every tensor that is to come of it.

token ids ─► float model: scales ─► integer model, layer by layer ─► tensors
                    settings.json ─► predictor ─► plan ▲
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.array import NumberSystem
from config.settings import SCORE_BITS, build, chosen, keys, votes
from config.speculate import LapaSettings, SplsSettings
from golden.execute.layer import Layer
from golden.models import integer
from golden.models.minilm import ARCHITECTURE, embed_batch, layer_weights, truncated
from golden.speculate import lapa, planner, spls
from golden.speculate.plan import Plan, Planner

Int64 = NDArray[np.int64]
LAYERS = 6
METHODS = ("dense", "spls", "lapa")
SENTENCES = (np.einsum, np.linalg.svd, np.loadtxt)
"""Real text: the first tokens of what they say of themselves."""


@dataclass(frozen=True)
class Planned:
    """A layer, its plan without the batch's axis, and by name every tensor that `golden.execute.layer.execute` shows,
    with x, the layer's input; [T, …] or [H, T, …] each."""

    layer: Layer
    plan: Plan
    tensors: dict[str, Int64]


def sentence(number: int, length: int) -> Int64:
    """Token ids of one of `SENTENCES`, int64 [length]."""
    return truncated([inspect.getdoc(SENTENCES[number]) or ""], limit=length)[0]


def layers(ids: Int64, method: str, count: int = LAYERS) -> list[Planned]:
    """The first layers of MiniLM on these tokens, calibrated on them; each layer's input is what the one before makes
    of its own under the plan."""
    x, attend = embed_batch(ids[None]), np.ones((1, len(ids)), np.bool_)
    model = integer.build([layer_weights(n) for n in range(count)], ARCHITECTURE, [integer.Batch(x, attend)])
    codes = model.codes(x)
    exact = _watched(model, codes, attend, None)[1]
    planners = None if method == "dense" else [
        _planner(model, method, n, exact[n]["x"][None], attend) for n in range(count)
    ]  # fmt: skip
    plans, seen = _watched(model, codes, attend, planners)
    found = zip((each.layer for each in model.layers), plans, seen, strict=True)
    return [Planned(layer, plan, tensors) for layer, plan, tensors in found]


def _watched(
    model: integer.IntegerModel, codes: Int64, attend: NDArray[np.bool_], planners: Sequence[Planner] | None
) -> tuple[list[Plan], list[dict[str, Int64]]]:
    """Plans and tensors of each layer."""
    count = len(model.layers)
    plans: list[Plan] = [integer.dense(attend, model.shape)] * count
    seen: list[dict[str, Any]] = [{} for _ in range(count)]

    def plan_of(number: int, _: NDArray[np.bool_]) -> Plan | Planner:
        def noted(*given: Any) -> Plan:
            plans[number] = planners[number](*given) if planners else plans[number]
            return plans[number]

        return noted

    integer.run(
        model,
        [each.layer for each in model.layers],
        codes,
        attend,
        plan_of,
        watch=lambda number, name, tensor: seen[number].__setitem__(name, tensor[0]),
    )
    for number, tensors in enumerate(seen):
        tensors["x"] = codes[0] if number == 0 else seen[number - 1]["norm2"]
    return [_first(plan) for plan in plans], seen


def _first(plan: Plan) -> Plan:
    names = ("mask", "reference", "columns", "leader", "agreed")
    return Plan(**{name: getattr(plan, name)[0] for name in names})


def _planner(model: integer.IntegerModel, method: str, number: int, x: Int64, attend: NDArray[np.bool_]) -> Planner:
    """The method's, at the setting of this layer."""
    setting = {name: each[number] for name, each in (chosen(method, "minilm") or {}).items()}
    system: NumberSystem = {"spls": spls.SYSTEM, "lapa": lapa.SYSTEM}[method]
    heads, length = model.shape.heads, x.shape[-2]
    coded = planner.coded(model.weights[number], heads, model.layers[number].qkv_scale)
    scales = planner.head_scales(x, coded, system, SCORE_BITS)
    unit = build(method)
    if method == "lapa":
        eta = tuple(int(setting[f"eta{n}"]) for n in range(1, 1 + len(unit["slices"])))
        return planner.Predictor(lapa.predict, coded, LapaSettings(scales=scales, eta=eta), unit).planner(attend)
    k, k_similarity = (keys(setting[name], length) for name in ("k", "k_similarity"))
    settings = SplsSettings(
        scales=scales,
        k=k,
        k_similarity=min(k, k_similarity),
        s=int(setting["s"]),
        f=votes(setting["f"], heads),
    )
    return planner.Predictor(spls.predict, coded, settings, unit).planner(attend)
