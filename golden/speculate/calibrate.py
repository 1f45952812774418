# SPDX-License-Identifier: Apache-2.0
"""A layer's operands and scales for a predictor, from its float input: quantised, and each head brought into range."""

import numpy as np

from config.array import NumberSystem
from config.speculate import HeadSettings
from golden.models.minilm import AttentionWeights, Floats, LayerOperands, quantise_layer
from golden.speculate.planner import Weights, head_scales


def quantised(x: Floats, weights: AttentionWeights) -> LayerOperands:
    """All heads of a layer: X, W_Q and W_K symmetric per tensor, the biases in the units that follow."""
    return quantise_layer(x, weights)[0]


def head_settings(operands: LayerOperands, system: NumberSystem, score_bits: int) -> tuple[HeadSettings, ...]:
    """`golden.speculate.planner.head_scales` of these operands."""
    x, wq, wk, bq, bk = (getattr(operands, name).astype(np.int64) for name in ("x", "wq", "wk", "bq", "bk"))
    return head_scales(x, Weights(wq, wk, bq, bk), system, score_bits)
