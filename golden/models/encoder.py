# SPDX-License-Identifier: Apache-2.0
"""MiniLM's encoder in float64: what each of its layers is given for a sentence."""

import numpy as np

from golden.models import transformer
from golden.models.minilm import ARCHITECTURE, LAYERS, Floats, Int64, embed, layer_weights


def layer_inputs(ids: Int64) -> list[Floats]:
    """X of each of the six layers, float64 [T, 384], for token ids [T] without padding."""
    x: Floats = embed(ids).astype(np.float64)
    inputs: list[Floats] = []
    for layer in range(LAYERS):
        inputs.append(x)
        if layer < LAYERS - 1:
            x = encoder_layer(x, layer)
    return inputs


def encoder_layer(x: Floats, layer: int) -> Floats:
    """One layer's output, float64 [T, 384]."""
    weights = layer_weights(layer).map(lambda tensor: tensor.astype(np.float64))
    return np.asarray(transformer.layer(x, weights, ARCHITECTURE))
