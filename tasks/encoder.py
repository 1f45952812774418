# SPDX-License-Identifier: Apache-2.0
"""What runs a model's layers: the floating-point layers here, or anything else that takes and gives the same."""

from collections.abc import Callable, Sequence

import torch

from golden.arrays import Array
from golden.models.transformer import Architecture, LayerWeights, layer

Encoder = Callable[[Array, Array], Array]
"""From layer 0's input, torch float32 [B, T, D], and `attend`, bool [B, T], false for padding, to the output of the
last layer [B, T, D]. What it gives for padding is ignored."""
Progress = Callable[[int], object]
"""Is told how many more items are done: `update` of a tqdm bar."""


def float_encoder(layers: Sequence[LayerWeights], shape: Architecture) -> Encoder:
    """The layers in float32, by the project's own definition of them."""
    weights = [each.map(lambda tensor: torch.as_tensor(tensor, dtype=torch.float32)) for each in layers]

    def run(x: Array, attend: Array) -> Array:
        with torch.no_grad():
            for each in weights:
                x = layer(x, each, shape, attend=attend)
        return x

    return run


def silent(count: int) -> None:
    """A `Progress` for those who do not want to know."""
