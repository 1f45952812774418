# SPDX-License-Identifier: Apache-2.0
"""Where the layers of BERT-, GPT-2-, Llama- and ViT-style models keep their projections and their FFN.

A layer is known by its attention module's parts, whatever the model is called: Mistral's are Llama's, RoBERTa's are
BERT's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from config.errors import Refusal, require
from plug.sight import Tensor

Module = Any
"""A torch.nn.Module."""

_LINEAR = ("Linear", "Conv1D")
_SELF = {"query", "key", "value", "dropout"}
_FUSED = {"c_attn", "c_proj", "attn_dropout", "resid_dropout"}
_SPLIT = {"q_proj", "k_proj", "v_proj", "o_proj"}


@dataclass(frozen=True)
class Projection:
    """A layer's Q or K: the module that holds it, and how to read W [H·dh, D] and b [H·dh], or none, out of it."""

    module: Module
    first: int
    size: int

    def __post_init__(self) -> None:
        kind = type(self.module).__name__
        require(
            kind in _LINEAR, f"Q and K must be linear layers of floating-point weights, not {kind}; load them as such."
        )

    def read(self) -> tuple[Tensor, Tensor | None]:
        """W and b as they are now."""
        rows = slice(self.first, self.first + self.size)
        weight, bias = matrix(self.module), self.module.bias
        return weight[rows].detach(), None if bias is None else bias[rows].detach()


@dataclass(frozen=True)
class Layer:
    """attention: the module that is given X. ffn: the module whose rows are copied. heads: of Q; key_heads: of K and V.
    width: of X; head_width: of a head. projection, ffn_size: multiplications per token of the output projection and
    of the FFN."""

    name: str
    attention: Module
    ffn: Module
    q: Projection
    k: Projection
    heads: int
    key_heads: int
    width: int
    head_width: int
    projection: int
    ffn_size: int


def layers(model: Module) -> list[Layer]:
    """All layers of a model. Raises `Refusal`, in one sentence, unless every attention in it is supported."""
    require(
        isinstance(model, torch.nn.Module) and hasattr(model, "set_attn_implementation"),
        f"model must be a model of Hugging Face transformers, not {type(model).__name__}; load one with AutoModel.",
    )
    named = dict(model.named_modules())
    found = [_layer(name, named) for name in named if _style(named[name]) is not None]
    inside = tuple(layer.name for layer in found)
    for name, module in named.items():
        contains = any(other == name or other.startswith(f"{name}.") for other in inside)
        within = any(name.startswith(f"{other}.") for other in inside)
        if "Attention" in type(module).__name__ and not contains and not within:
            raise Refusal(_unsupported(model, type(module).__name__))
    require(bool(found), _unsupported(model, "no attention that is known"))
    require(
        bool(model._can_set_attn_implementation()),
        f"{type(model).__name__} must go through transformers' attention interface, and does not; use another model.",
    )
    for name, weights in model.named_parameters():
        require(
            bool(torch.isfinite(weights).all()),
            f"The model's weights must be finite, and {name} holds NaN or infinities; load them again.",
        )
    return found


def matrix(module: Module) -> Tensor:
    """W [out, in] of a Linear, or of GPT-2's Conv1D, which keeps it the other way round."""
    return module.weight.T if type(module).__name__ == "Conv1D" else module.weight


def _unsupported(model: Module, found: str) -> str:
    return (
        f"The model's attention must be BERT's, GPT-2's, Llama's or ViT's, without cross-attention, and "
        f"{type(model).__name__} has {found}; use plug.transformers.register, which needs no layer's weights."
    )


def _style(module: Module) -> Callable[[str, dict[str, Module]], Layer] | None:
    children = {name for name, _ in module.named_children()}
    name = type(module).__name__
    own = any(True for _ in module.parameters(recurse=False))  # such as attention sinks
    if "Attention" not in name or "Cross" in name or own or getattr(module, "is_cross_attention", False):
        return None
    if children == _SELF:
        return _bert
    if children == _FUSED:
        return _gpt2
    return _split if children == _SPLIT else None


def _layer(name: str, named: dict[str, Module]) -> Layer:
    style = _style(named[name])
    assert style is not None
    try:
        return style(name, named)
    except (KeyError, AttributeError) as error:
        raise Refusal(
            f"The layer around {name} must be BERT's, GPT-2's, Llama's or ViT's, and has no {error}; use another model."
        ) from error


def _bert(name: str, named: dict[str, Module]) -> Layer:
    attention = named[name]
    block, layer = (name.rsplit(".", parts)[0] for parts in (1, 2))
    up, down = named[f"{layer}.intermediate"], named[f"{layer}.output.dense"]
    require(
        not getattr(named[layer], "chunk_size_feed_forward", 0),
        f"chunk_size_feed_forward must be 0, and {layer} has another; a row is copied from one in another chunk.",
    )
    width = attention.query.in_features
    heads = attention.num_attention_heads
    size = attention.query.out_features
    q, k = Projection(attention.query, 0, size), Projection(attention.key, 0, size)
    out = matrix(named[f"{block}.output.dense"]).numel()
    ffn = _multiplications(up) + matrix(down).numel()
    return Layer(name, attention, up, q, k, heads, heads, width, size // heads, out, ffn)


def _gpt2(name: str, named: dict[str, Module]) -> Layer:
    attention = named[name]
    ffn = named[f"{name.rpartition('.')[0]}.mlp"]
    size = attention.num_heads * attention.head_dim
    width = matrix(attention.c_attn).shape[1]
    q, k = Projection(attention.c_attn, 0, size), Projection(attention.c_attn, size, size)
    heads, out = attention.num_heads, matrix(attention.c_proj).numel()
    return Layer(name, attention, ffn, q, k, heads, heads, width, attention.head_dim, out, _multiplications(ffn))


def _split(name: str, named: dict[str, Module]) -> Layer:
    attention = named[name]
    ffn = named[f"{name.rpartition('.')[0]}.mlp"]
    size, key_size = attention.q_proj.out_features, attention.k_proj.out_features
    q, k = Projection(attention.q_proj, 0, size), Projection(attention.k_proj, 0, key_size)
    head_width = attention.head_dim
    counts = size // head_width, key_size // head_width
    out = matrix(attention.o_proj).numel()
    width = attention.q_proj.in_features
    return Layer(name, attention, ffn, q, k, *counts, width, head_width, out, _multiplications(ffn))


def _multiplications(ffn: Module) -> int:
    """Per token."""
    parts = [module for module in ffn.modules() if type(module).__name__ in _LINEAR]
    matrices = [weights for weights in ffn.parameters() if weights.ndim > 1]
    require(
        len(parts) > 0 and len(parts) == len(matrices) and "Moe" not in type(ffn).__name__,
        f"The FFN must be made of linear layers that every token passes, not {type(ffn).__name__}; use another model.",
    )
    return sum(weights.numel() for weights in matrices)
