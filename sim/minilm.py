# SPDX-License-Identifier: Apache-2.0
"""Layers of MiniLM as what a speculation unit is given, and one of its heads alone; and as the integer model has them.

token ids ─► golden encoder ─► X of a layer ─► int8, a scale per head ─► Layer
          └► golden integer model ─► every tensor of a layer
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from config import presets
from config.speculate import SpeculationConfig, SplsSettings
from golden.execute.layer import Layer as IntegerLayer
from golden.execute.layer import execute
from golden.models import integer
from golden.models.encoder import layer_inputs
from golden.models.minilm import ARCHITECTURE, Int64, attention_weights, embed_batch, layer_weights, tokens
from golden.speculate import planner, spls
from golden.speculate.calibrate import head_settings, quantised
from golden.speculate.plan import Plan
from sim.layer import KINDS, Layer

TEXT = (
    "Return the indices of the elements that are non-zero, in a tuple of arrays, one for each dimension of the input, "
    "containing the indices of the non-zero elements in that dimension. The values are always tested and returned in "
    "row-major, C-style order. To group the indices by element, rather than dimension, use the function argwhere, "
    "which returns a row for each non-zero element. When called on a zero-dimensional array or scalar, it is treated "
    "as an array of one element, which is deprecated behaviour; use the function atleast_1d explicitly if wanted."
)
"""More tokens than the unit of the preset takes at once."""
SINGLE_HEAD: dict[str, dict[str, Any]] = {
    "spls": {"k": 45, "k_similarity": 13, "s": 100, "f": 1},
    "lapa": {"eta": (128, 128)},
    "fact": {"k": 45},
}
"""Settings of the head that is measured alone: about a third of its keys, of which a tenth are compared."""


def token_ids(config: SpeculationConfig) -> Int64:
    """As many tokens of `TEXT` as a unit takes."""
    return tokens(TEXT, limit=200).ids[: config.tokens]


def layer(
    config: SpeculationConfig, ids: Int64, number: int, heads: Sequence[int] | None = None, **chosen: Any
) -> Layer:
    """Layer `number` of MiniLM on token ids: all heads, or those in `heads`. `chosen`: settings of the method."""
    every = list(range(config.heads) if heads is None else heads)
    found = quantised(layer_inputs(ids)[number], attention_weights(number))
    scales = head_settings(found, config.array.system, config.score_bits)
    return Layer(
        x=found.x.astype(np.int64),
        **{name: getattr(found, name)[every].astype(np.int64) for name in ("wq", "wk", "bq", "bk")},
        attend=np.ones(len(ids), np.bool_),
        settings=KINDS[config.method](scales=tuple(scales[head] for head in every), **chosen),
    )


def single_head(method: str) -> tuple[SpeculationConfig, Layer]:
    """A unit of the preset `minilm`, built for one head, and head 0 of layer 2 at full length."""
    config = replace(presets.speculation("minilm")[method], heads=1)
    return config, layer(config, token_ids(config), 2, heads=[0], **SINGLE_HEAD[method])


def tensors(ids: Int64, number: int, **chosen: Any) -> tuple[IntegerLayer, dict[str, Any]]:
    """Layer `number` of the integer MiniLM, calibrated on these token ids, under a plan of SPLS with the settings
    `chosen`; and by name every tensor of it that `golden.execute.layer.execute` shows, x [T, D] and the plan's mask
    [H, T, T] as well."""
    weights = [layer_weights(each) for each in range(number + 1)]
    x, attend = embed_batch(ids[None]), np.ones((1, len(ids)), np.bool_)
    model = integer.build(weights, ARCHITECTURE, [integer.Batch(x, attend)])
    found = model.layers[number]
    seen: dict[str, Any] = {}
    codes = model.codes(x)
    if number:
        codes = integer.run(model, [each.layer for each in model.layers[:number]], codes, attend)
    predicted = planner.coded(weights[number], found.layer.heads, found.qkv_scale)
    scales = planner.head_scales(codes, predicted, spls.SYSTEM, 8)
    predictor = planner.Predictor(spls.predict, predicted, SplsSettings(scales=scales, **chosen), {"window": 8})

    def plan(*given: Any) -> Plan:
        made = predictor.planner(attend)(*given)
        seen["mask"] = made.mask
        return made

    execute(codes, found.layer, plan, watch=seen.__setitem__)
    return found.layer, {"x": codes[0], **{name: tensor[0] for name, tensor in seen.items()}}
