# SPDX-License-Identifier: Apache-2.0
"""A causal language model that the project trained on docstrings (`python -m tasks.train language`).

Of the GPT-2 family: norms before attention and FFN, learned positions, one matrix for embedding and head. Everything
takes NumPy arrays or torch tensors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from config.errors import require
from golden.arrays import Array, namespace
from golden.models import checkpoint
from golden.models.transformer import Architecture, LayerWeights, layer, layer_norm

NAME = "language"
WIDTH, HEADS, LAYERS = 192, 6, 4
POSITIONS = 128
VOCABULARY = 4096
ARCHITECTURE = Architecture(HEADS, order="pre", causal=True, eps=1e-5)
SHAPES: dict[str, tuple[int, ...]] = {
    "tokens": (VOCABULARY, WIDTH),
    "positions": (POSITIONS, WIDTH),
    "gain": (WIDTH,),
    "offset": (WIDTH,),
} | checkpoint.layer_shapes(WIDTH, LAYERS)


@dataclass(frozen=True)
class LanguageModel:
    """tokens [4096, 192], positions [128, 192], the layers, gain and offset [192] of the last norm."""

    tokens: Array
    positions: Array
    layers: tuple[LayerWeights, ...]
    gain: Array
    offset: Array

    def map(self, change: Callable[[Array], Array]) -> "LanguageModel":
        """Every tensor changed alike, such as into another array library."""
        inner = tuple(weights.map(change) for weights in self.layers)
        outer = (change(each) for each in (self.gain, self.offset))
        return LanguageModel(change(self.tokens), change(self.positions), inner, *outer)

    def embed(self, ids: Array) -> Array:
        """Layer 0's input [B, T, D] for token ids [B, T]. Raises Refusal for more tokens than there are positions."""
        length = ids.shape[-1]
        require(
            0 < length <= POSITIONS,
            f"A text must have 1 to {POSITIONS} tokens, not {length}; the model has no more positions.",
        )
        return self.tokens[ids] + self.positions[:length]

    def logits(self, y: Array) -> Array:
        """Of the next token [B, T, 4096], for the last layer's output [B, T, D]."""
        normed = layer_norm(y, self.gain, self.offset, ARCHITECTURE.eps)
        return namespace(y).matmul(normed, self.tokens.T)

    def __call__(self, ids: Array) -> Array:
        """Logits [B, T, 4096] for token ids [B, T], in floating point."""
        x = self.embed(ids)
        for weights in self.layers:
            x = layer(x, weights, ARCHITECTURE)
        return self.logits(x)


def assemble(tensors: Mapping[str, Array]) -> LanguageModel:
    """A model of tensors with the names and shapes of `SHAPES`."""
    return LanguageModel(
        tensors["tokens"], tensors["positions"], checkpoint.layers(tensors), tensors["gain"], tensors["offset"]
    )


def load(folder: Path = checkpoint.FOLDER) -> tuple[LanguageModel, checkpoint.Record]:
    """The trained model in float32 NumPy, and the record of its training. Raises Refusal for a damaged checkpoint."""
    contents, record = checkpoint.read(NAME, folder)
    return assemble(checkpoint.unpack(contents["safetensors"])), record


@cache
def tokenizer(folder: Path = checkpoint.FOLDER) -> Tokenizer:
    """The model's own tokenizer. Raises Refusal for a damaged checkpoint."""
    return Tokenizer.from_buffer(checkpoint.read(NAME, folder)[0]["tokenizer.json"])


def encode(text: str, coder: Tokenizer | None = None) -> NDArray[np.int64]:
    """Token ids [T] of a text of any length; any text has some, for every byte is a token."""
    return np.asarray((coder or tokenizer()).encode(text).ids, dtype=np.int64)
