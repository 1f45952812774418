# SPDX-License-Identifier: Apache-2.0
"""MiniLM's encoder in float64: what each of its layers is given for a sentence."""

import math

import numpy as np
from numpy.typing import NDArray

from golden.models.minilm import HEAD_WIDTH, HEADS, LAYERS, WIDTH, Floats, Int64, embed, tensors

_LAYER_NORM_EPS = 1e-12  # the model's config.json
_erf = np.vectorize(math.erf, otypes=[np.float64])


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
    at = f"encoder.layer.{layer}"
    attended = _linear(_attention(x, at), f"{at}.attention.output.dense")
    x = _layer_norm(x + attended, f"{at}.attention.output.LayerNorm")
    hidden = _gelu(_linear(x, f"{at}.intermediate.dense"))
    return _layer_norm(x + _linear(hidden, f"{at}.output.dense"), f"{at}.output.LayerNorm")


def _linear(x: Floats, name: str) -> Floats:
    weight, bias = (tensor.astype(np.float64) for tensor in tensors(f"{name}.weight", f"{name}.bias"))
    return np.asarray(x @ weight.T + bias)


def _attention(x: Floats, at: str) -> Floats:
    """The heads' results beside each other, [T, 384]."""
    q, k, v = (
        _linear(x, f"{at}.attention.self.{name}").reshape(len(x), HEADS, HEAD_WIDTH).swapaxes(0, 1)
        for name in ("query", "key", "value")
    )
    scores = q @ k.swapaxes(1, 2) / math.sqrt(HEAD_WIDTH)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    context = powers / powers.sum(axis=-1, keepdims=True) @ v
    return np.asarray(context.swapaxes(0, 1).reshape(len(x), WIDTH))


def _layer_norm(x: Floats, name: str) -> Floats:
    gain, offset = (tensor.astype(np.float64) for tensor in tensors(f"{name}.weight", f"{name}.bias"))
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + _LAYER_NORM_EPS) * gain + offset)


def _gelu(x: Floats) -> NDArray[np.float64]:
    return np.asarray(x * 0.5 * (1 + _erf(x / math.sqrt(2))), dtype=np.float64)
