# SPDX-License-Identifier: Apache-2.0
"""Shapes of transformer models, as their public configurations give them. Embeddings and output heads are left out."""

from dataclasses import dataclass

from config.array import require_range
from config.errors import require
from config.speculate import MAX_HEAD_WIDTH, MAX_HEADS, MAX_WIDTH

MAX_LAYERS, MAX_HIDDEN = 1024, 1 << 17


@dataclass(frozen=True)
class ModelShape:
    """A transformer. layers; width D of a token; heads of `head_width`; hidden width of the FFN, which has a third
    matrix if it is `gated`; causal: tokens attend to themselves and earlier ones only; key_heads: heads of K and V,
    each for as many heads of Q (none: as many as there are heads); typical: tokens of a typical sequence.

    Raises `Refusal` for a shape that no unit can be built for.
    """

    name: str
    layers: int
    width: int
    heads: int
    head_width: int
    hidden: int
    causal: bool = False
    gated: bool = False
    key_heads: int | None = None
    typical: int = 128

    def __post_init__(self) -> None:
        for name, value, most in (
            ("layers", self.layers, MAX_LAYERS),
            ("width", self.width, MAX_WIDTH),
            ("heads", self.heads, MAX_HEADS),
            ("head_width", self.head_width, MAX_HEAD_WIDTH),
            ("hidden", self.hidden, MAX_HIDDEN),
            ("key_heads", self.groups, self.heads),
        ):
            require_range(name, value, 1, most)
        require(
            self.heads % self.groups == 0,
            f"key_heads must divide heads = {self.heads}, not {self.groups}; choose a divisor.",
        )

    @property
    def groups(self) -> int:
        """Heads of K and V."""
        return self.heads if self.key_heads is None else self.key_heads

    @property
    def matrices(self) -> int:
        """Of the FFN."""
        return 3 if self.gated else 2

    @property
    def weights(self) -> int:
        """Of a layer's matrices."""
        attention = 2 * (self.heads + self.groups) * self.head_width * self.width
        return attention + self.matrices * self.width * self.hidden


# The comment names the public configuration (config.json on the Hugging Face hub, or the paper where there is none).
_SHAPES = (
    # sentence-transformers/all-MiniLM-L6-v2
    ModelShape("minilm-l6", 6, 384, 12, 32, 1536, typical=128),
    # bert-base-uncased, bert-large-uncased
    ModelShape("bert-base", 12, 768, 12, 64, 3072, typical=384),
    ModelShape("bert-large", 24, 1024, 16, 64, 4096, typical=384),
    # google/vit-base-patch16-224: 14 × 14 patches and the class token
    ModelShape("vit-b16", 12, 768, 12, 64, 3072, typical=197),
    # gpt2-xl: n_embd 1600, n_head 25, n_layer 48, n_ctx 1024
    ModelShape("gpt2-xl", 48, 1600, 25, 64, 6400, causal=True, typical=1024),
    # facebook/opt-1.3b: ffn_dim 8192, max_position_embeddings 2048
    ModelShape("opt-1.3b", 24, 2048, 32, 64, 8192, causal=True, typical=2048),
    # bigscience/bloom-1b7: n_head 16, FFN four times the width
    ModelShape("bloom-1.7b", 24, 2048, 16, 128, 8192, causal=True, typical=2048),
    # Qwen/Qwen-7B: intermediate_size 22016 counts both halves of the gated FFN
    ModelShape("qwen-7b", 32, 4096, 32, 128, 11008, causal=True, gated=True, typical=2048),
    # meta-llama/Llama-2-13b: intermediate_size 13824, as many key_value_heads as heads
    ModelShape("llama-13b", 40, 5120, 40, 128, 13824, causal=True, gated=True, typical=2048),
    # mistralai/Mistral-7B-v0.1: num_key_value_heads 8, the one here whose heads share K and V
    ModelShape("mistral-7b", 32, 4096, 32, 128, 14336, causal=True, gated=True, key_heads=8, typical=2048),
)

MODELS = {shape.name: shape for shape in _SHAPES}


def model(name: str) -> ModelShape:
    """A named model. Raises `Refusal` for a name not in `MODELS`."""
    require(name in MODELS, f"The model must be one of {', '.join(MODELS)}, not {name!r}; choose one of them.")
    return MODELS[name]
