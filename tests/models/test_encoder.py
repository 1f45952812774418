# SPDX-License-Identifier: Apache-2.0
"""MiniLM's encoder in float64 against PyTorch's own functions."""

import numpy as np
import torch
from torch.nn import functional

from golden.models.encoder import encoder_layer, layer_inputs
from golden.models.minilm import EXAMPLE, embed, tensors, tokens


def reference(x, layer):
    def linear(y, name):
        weight, bias = (torch.asarray(t).double() for t in tensors(f"{at}.{name}.weight", f"{at}.{name}.bias"))
        return functional.linear(y, weight, bias)

    def norm(y, name):
        gain, offset = (torch.asarray(t).double() for t in tensors(f"{at}.{name}.weight", f"{at}.{name}.bias"))
        return functional.layer_norm(y, (384,), gain, offset, 1e-12)

    at = f"encoder.layer.{layer}"
    heads = (
        linear(x, f"attention.self.{name}").reshape(-1, 12, 32).swapaxes(0, 1) for name in ("query", "key", "value")
    )
    context = functional.scaled_dot_product_attention(*heads).swapaxes(0, 1).reshape(-1, 384)
    x = norm(x + linear(context, "attention.output.dense"), "attention.output.LayerNorm")
    hidden = functional.gelu(linear(x, "intermediate.dense"))
    return norm(x + linear(hidden, "output.dense"), "output.LayerNorm")


def test_layers_are_those_of_torch():
    ids = tokens(EXAMPLE).ids
    inputs = layer_inputs(ids)
    assert len(inputs) == 6
    assert np.array_equal(inputs[0], embed(ids))
    for layer, (x, y) in enumerate(zip(inputs, [*inputs[1:], encoder_layer(inputs[5], 5)], strict=True)):
        found = reference(torch.asarray(x).double(), layer).numpy()
        assert np.abs(found - y).max() < 1e-12
