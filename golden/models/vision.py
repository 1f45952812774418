# SPDX-License-Identifier: Apache-2.0
"""A vision transformer that the project trained on scikit-learn's digits (`python -m tasks.train vision`).

An image of 16×16 grey values is 64 patches of 2×2, a token each; norms before attention and FFN, learned positions,
and the class from the mean of all tokens. Everything takes NumPy arrays or torch tensors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.errors import require
from golden.arrays import Array, namespace
from golden.models import checkpoint
from golden.models.transformer import Architecture, LayerWeights, layer, layer_norm, linear

NAME = "vision"
WIDTH, HEADS, LAYERS = 64, 4, 4
SIDE, PATCH, CLASSES = 16, 2, 10
TOKENS = (SIDE // PATCH) ** 2
ARCHITECTURE = Architecture(HEADS, order="pre", causal=False, eps=1e-5)
SHAPES: dict[str, tuple[int, ...]] = {
    "patch": (WIDTH, PATCH * PATCH),
    "patch_bias": (WIDTH,),
    "positions": (TOKENS, WIDTH),
    "gain": (WIDTH,),
    "offset": (WIDTH,),
    "head": (CLASSES, WIDTH),
    "head_bias": (CLASSES,),
} | checkpoint.layer_shapes(WIDTH, LAYERS)


@dataclass(frozen=True)
class VisionModel:
    """patch [64, 4] and its bias [64], positions [64, 64], the layers, gain and offset [64] of the last norm, and the
    head [10, 64] with its bias [10]."""

    patch: Array
    patch_bias: Array
    positions: Array
    gain: Array
    offset: Array
    head: Array
    head_bias: Array
    layers: tuple[LayerWeights, ...]

    def map(self, change: Callable[[Array], Array]) -> "VisionModel":
        """Every tensor changed alike, such as into another array library."""
        return _model(lambda name: change(getattr(self, name)), tuple(weights.map(change) for weights in self.layers))

    def embed(self, images: Array) -> Array:
        """Layer 0's input [B, 64, D] for images [B, 16, 16] of grey values 0 to 1."""
        return linear(patches(images), self.patch, self.patch_bias) + self.positions

    def logits(self, y: Array) -> Array:
        """Of the classes [B, 10], for the last layer's output [B, 64, D]."""
        normed = layer_norm(y, self.gain, self.offset, ARCHITECTURE.eps)
        return linear(namespace(y).mean(normed, axis=-2), self.head, self.head_bias)

    def __call__(self, images: Array) -> Array:
        """Logits [B, 10] for images [B, 16, 16], in floating point."""
        x = self.embed(images)
        for weights in self.layers:
            x = layer(x, weights, ARCHITECTURE)
        return self.logits(x)


def patches(images: Array) -> Array:
    """[B, 16, 16] cut into [B, 64, 4]: patches row by row, and so the four pixels of each."""
    require(
        images.ndim == 3 and tuple(images.shape[1:]) == (SIDE, SIDE),
        f"Images must be [B, {SIDE}, {SIDE}], not {tuple(images.shape)}; scale them to {SIDE} by {SIDE} pixels.",
    )
    xp, across = namespace(images), SIDE // PATCH
    cut = xp.reshape(images, (-1, across, PATCH, across, PATCH))
    return xp.reshape(xp.permute_dims(cut, (0, 1, 3, 2, 4)), (-1, TOKENS, PATCH * PATCH))


def assemble(tensors: Mapping[str, Array]) -> VisionModel:
    """A model of tensors with the names and shapes of `SHAPES`."""
    return _model(lambda name: tensors[name], checkpoint.layers(tensors))


def _model(outer: Callable[[str], Array], layers: tuple[LayerWeights, ...]) -> VisionModel:
    names = [name for name in SHAPES if not name.startswith("layer.")]
    return VisionModel(**{name: outer(name) for name in names}, layers=layers)


def load(folder: Path = checkpoint.FOLDER) -> tuple[VisionModel, checkpoint.Record]:
    """The trained model in float32 NumPy, and the record of its training. Raises Refusal for a damaged checkpoint."""
    contents, record = checkpoint.read(NAME, folder)
    return assemble(checkpoint.unpack(contents["safetensors"])), record
