# SPDX-License-Identifier: Apache-2.0
"""A transformer layer in floating point: the truth that the integer layer is calibrated on and compared with.

    post:  x ─► attention ─► + x ─► norm 1 ─► FFN ─► + ─► norm 2 ─► y        (BERT)
    pre:   x ─► norm 1 ─► attention ─► + x ─► norm 2 ─► FFN ─► + ─► y        (GPT-2, ViT)

Everything takes NumPy arrays or torch tensors, in whatever precision they come.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from config.errors import require
from golden.arrays import Array, join_heads, namespace, rows_of, split_heads
from golden.speculate.plan import Plan

ORDERS = ("post", "pre")
Watch = Callable[[str, Array], None]
"""Is told the name of each intermediate tensor, and the tensor."""
_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True)
class LayerWeights:
    """A layer's weights: W [out, in] and b [out], y = W x + b, of Q, K, V and the output projection (o), of the FFN's
    two halves (up, down), and gain and offset [D] of the two norms. Rows of wq, wk, wv go by head."""

    wq: Array
    bq: Array
    wk: Array
    bk: Array
    wv: Array
    bv: Array
    wo: Array
    bo: Array
    w_up: Array
    b_up: Array
    w_down: Array
    b_down: Array
    gain1: Array
    offset1: Array
    gain2: Array
    offset2: Array

    def map(self, change: Callable[[Array], Array]) -> "LayerWeights":
        """Every tensor changed alike, such as into another precision or onto another device."""
        return replace(self, **{each.name: change(getattr(self, each.name)) for each in fields(self)})

    def like(self, x: Array) -> "LayerWeights":
        """In the precision, the library and on the device of `x`."""
        xp = namespace(x)
        return self.map(lambda tensor: xp.asarray(tensor, dtype=x.dtype, device=x.device))


@dataclass(frozen=True)
class Architecture:
    """heads: of equal width. order: one of `ORDERS`, where the norms stand. causal: tokens attend to themselves and
    earlier ones only. eps: of the norms."""

    heads: int
    order: str
    causal: bool
    eps: float

    def __post_init__(self) -> None:
        require(self.order in ORDERS, f"order must be one of {', '.join(ORDERS)}, not {self.order!r}; choose one.")


def layer(
    x: Array,
    weights: LayerWeights,
    shape: Architecture,
    *,
    attend: Array | None = None,
    watch: Watch | None = None,
    choose: Callable[[Array], Plan] | None = None,
) -> Array:
    """One layer's output [..., T, D] for x [..., T, D]. attend: bool [..., T], keys that are no padding, or none.
    choose: the plan to carry out, from what Q, K and V are made of; it says itself who may attend to whom."""
    w, seen = weights, watch or (lambda name, tensor: None)

    def norm(name: str, tensor: Array, gain: Array, offset: Array) -> Array:
        result = layer_norm(tensor, gain, offset, shape.eps)
        seen(name, result)
        return result

    seen("x", x)
    post = shape.order == "post"
    start = x if post else norm("norm1", x, w.gain1, w.offset1)
    plan = None if choose is None else choose(start)
    middle = x + attention(start, w, shape, attend, seen, plan)
    seen("sum1", middle)
    if post:
        middle = norm("norm1", middle, w.gain1, w.offset1)
    start = middle if post else norm("norm2", middle, w.gain2, w.offset2)
    end = middle + feed_forward(start, w, seen, plan)
    seen("sum2", end)
    return norm("norm2", end, w.gain2, w.offset2) if post else end


def attention(
    x: Array, w: LayerWeights, shape: Architecture, attend: Array | None, seen: Watch, plan: Plan | None = None
) -> Array:
    """Attention and its output projection [..., T, D]."""
    xp = namespace(x)
    q, k, v = (
        split_heads(linear(x, weight, bias), shape.heads) for weight, bias in ((w.wq, w.bq), (w.wk, w.bk), (w.wv, w.bv))
    )
    scores = xp.matmul(q, xp.matrix_transpose(k)) / math.sqrt(q.shape[-1])
    for name, tensor in (("q", q), ("k", k), ("v", v), ("scores", scores)):
        seen(name, tensor)
    tokens = x.shape[-2]
    if plan is not None:
        # Similar rows keep no key of their own: theirs are those of the row whose result they take.
        scores = rows_of(xp.where(plan.mask, scores, -xp.inf), plan.reference)
    elif shape.causal:
        rows = xp.arange(tokens, device=x.device)
        scores = xp.where(rows[None, :] <= rows[:, None], scores, -xp.inf)
    if plan is None and attend is not None:
        scores = xp.where(attend[..., None, None, :], scores, -xp.inf)
    context = join_heads(xp.matmul(softmax(scores), v))
    seen("context", context)
    result = linear(context, w.wo, w.bo)
    seen("projected", result)
    return result


def feed_forward(x: Array, w: LayerWeights, seen: Watch, plan: Plan | None = None) -> Array:
    """[..., T, D]."""
    hidden = linear(x, w.w_up, w.b_up)
    seen("hidden", hidden)
    active = gelu(hidden)
    seen("active", active)
    result = linear(active, w.w_down, w.b_down)
    if plan is not None:
        result = rows_of(result, plan.leader)
    seen("fed", result)
    return result


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """x W^T + b."""
    return namespace(x).matmul(x, weight.T) + bias


def softmax(scores: Array) -> Array:
    """Over the last axis."""
    xp = namespace(scores)
    powers = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def layer_norm(x: Array, gain: Array, offset: Array, eps: float) -> Array:
    """Over the last axis."""
    xp = namespace(x)
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(xp.square(centred), axis=-1, keepdims=True)
    return centred / xp.sqrt(variance + eps) * gain + offset


def gelu(x: Array) -> Array:
    """x·Φ(x), with the error function itself, not an approximation of it."""
    scaled: Any = x / math.sqrt(2)
    # The array standard has no error function.
    erf = scaled.erf() if hasattr(scaled, "erf") else _erf(scaled).astype(scaled.dtype)
    return x * 0.5 * (1 + erf)
