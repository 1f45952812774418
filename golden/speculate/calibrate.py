# SPDX-License-Identifier: Apache-2.0
"""A layer's operands and scales for a predictor, from its float input: quantised, and each head brought into range."""

import numpy as np

from config.array import NumberSystem
from config.requantise import Multiplier
from config.speculate import HeadSettings
from golden.arith.requantise import requantise
from golden.models.minilm import AttentionWeights, Floats, Int8, Int64, LayerOperands, quantise_layer
from golden.speculate.array import dot
from golden.speculate.compare import calibrate


def quantised(x: Floats, weights: AttentionWeights) -> LayerOperands:
    """All heads of a layer: X, W_Q and W_K symmetric per tensor, the biases in the units that follow."""
    return quantise_layer(x, weights)[0]


def head_settings(operands: LayerOperands, system: NumberSystem, score_bits: int) -> tuple[HeadSettings, ...]:
    """Per head: multipliers that take the largest |Q̂| and |K̂| to 127, and the smallest score_shift that brings every
    score into `score_bits`."""
    return tuple(_head(operands, head, system, score_bits) for head in range(len(operands.wq)))


def _head(operands: LayerOperands, head: int, system: NumberSystem, score_bits: int) -> HeadSettings:
    q, q_multiplier = _project(operands.x, operands.wq[head], operands.bq[head], system)
    k, k_multiplier = _project(operands.x, operands.wk[head], operands.bk[head], system)
    scores = np.asarray(dot(q, k, system) if system.name != "aloc" else dot(k, q, system).T)
    # A negative score fits one further than a positive one.
    largest = max(int(scores.max()), int(~scores.min()), 0)
    return HeadSettings(q_multiplier, k_multiplier, max(0, largest.bit_length() - (score_bits - 1)))


def _project(x: Int8, w: Int8, bias: Int64, system: NumberSystem) -> tuple[Int64, Multiplier]:
    """Q̂ or K̂ of a head, and the multiplier that makes it."""
    sums = np.asarray(dot(x, w, system)) + bias
    multiplier = calibrate(sums)
    return np.asarray(requantise(sums, multiplier.mul, multiplier.shift), dtype=np.int64), multiplier
