# SPDX-License-Identifier: Apache-2.0
"""A whole transformer layer in integers, doing what a plan asks for; what each tensor is called.

post:  x ─► attention ─► + x ─► norm 1 ─► FFN ─► + ─► norm 2 ─► y          x, y: int8
pre:   x ─► norm 1 ─► attention ─► + x ─► norm 2 ─► FFN ─► + ─► y          x, y: 16 bits

attention:  q, k, v ─► scores ─► softmax ─► context ─► projected     FFN:  hidden ─► active ─► fed
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from golden.arith.requantise import rescaled
from golden.arrays import Array, join_heads, matmul_transposed, namespace, rows_of, split_heads
from golden.execute.gelu import gelu
from golden.execute.layer_norm import Norm, layer_norm
from golden.execute.linear import LARGEST_PRODUCT, Linear, linear
from golden.execute.scales import Scale
from golden.execute.softmax import context, softmax
from golden.models.transformer import Watch
from golden.speculate.plan import Plan, Planner


@dataclass(frozen=True)
class Layer:
    """Everything a layer needs, in integers.

    order: as in `golden.models.transformer.Architecture`. q, k, v, up: results of 8 bits. o, down: results of 16 bits,
    in units of the sum that they are added to. exponent, context: per head, see `softmax`. stream1, stream2: of the
    other summand, per channel or one for all. gelu: tables [N, 256]; gelu_choice: int64 [FFN], that of each channel.
    skip: of x in units of the output, like stream1, for tokens that a plan drops.
    """

    order: str
    heads: int
    q: Linear
    k: Linear
    v: Linear
    o: Linear
    up: Linear
    down: Linear
    exponent: Scale
    context: Scale
    stream1: Scale
    stream2: Scale
    norm1: Norm
    norm2: Norm
    gelu: Array
    gelu_choice: Array
    skip: Scale

    def map(self, change: Callable[[Array], Array]) -> "Layer":
        """Every array changed alike, such as into a torch tensor or onto another device."""
        given: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if hasattr(value, "map"):
                given[each.name] = value.map(change)
        return replace(self, **given, gelu=change(self.gelu), gelu_choice=change(self.gelu_choice))


def execute(x: Array, layer: Layer, plan: Plan | Planner, *, watch: Watch | None = None) -> Array:
    """The layer's output, int64 [..., T, D], for x [..., T, D] within int8 (post) or 16 bits (pre).

    Keys outside the plan's mask have no part in a softmax; a similar row takes the context of its critical row, in its
    head; a token takes the result of its leader's FFN, and adds it to its own sum; a token that is not alive passes as
    it is, in the units of the output. `watch` is told every tensor: whole ones, those entries included that the plan
    does not need.
    """
    seen = watch or (lambda name, tensor: None)

    def norm(name: str, r: Array, by: Norm) -> Array:
        result = layer_norm(r, by)
        seen(name, result)
        return result

    post = layer.order == "post"
    start = x if post else norm("norm1", x, layer.norm1)
    projected, plan = attention(start, layer, plan, seen)
    middle = add(x, layer.stream1, projected)
    seen("sum1", middle)
    start = norm("norm1", middle, layer.norm1) if post else norm("norm2", middle, layer.norm2)
    end = add(start if post else middle, layer.stream2, feed_forward(start, layer, plan, seen))
    seen("sum2", end)
    y = norm("norm2", end, layer.norm2) if post else end
    if plan.alive is None:
        return y
    passed = rescaled(x, layer.skip.mul, layer.skip.shift, OPERAND_BITS if post else STREAM_BITS)
    return namespace(x).where(plan.alive[..., None], y, passed)


def attention(x: Array, layer: Layer, plan: Plan | Planner, seen: Watch) -> tuple[Array, Plan]:
    """The output projection of what the heads attend to, int64 [..., T, D] within 16 bits, for x within int8; and the
    plan."""
    q, k, v = (split_heads(linear(x, part), layer.heads) for part in (layer.q, layer.k, layer.v))
    if not isinstance(plan, Plan):
        plan = plan(x, q, k)
    scores = matmul_transposed(q, k, LARGEST_PRODUCT)
    row = softmax(scores, plan.mask, layer.exponent.mul, layer.exponent.shift)
    own = context(row.heaviest(plan.mask, plan.value_share), v, layer.context.mul, layer.context.shift)
    heads = join_heads(rows_of(own, plan.reference))
    projected = linear(heads, layer.o)
    tensors = {"q": q, "k": k, "v": v, "scores": scores, "codes": row.codes, "total": row.total}
    for name, tensor in (tensors | {"context": heads, "projected": projected}).items():
        seen(name, tensor)
    return projected, plan


def feed_forward(x: Array, layer: Layer, plan: Plan, seen: Watch) -> Array:
    """The FFN's result, that of leaders copied, int64 [..., T, D] within 16 bits, for x within int8."""
    hidden = linear(x, layer.up)
    active = gelu(hidden, layer.gelu, layer.gelu_choice)
    fed = rows_of(linear(active, layer.down), plan.leader)
    for name, tensor in {"hidden": hidden, "active": active, "fed": fed}.items():
        seen(name, tensor)
    return fed


def add(x: Array, scale: Scale, result: Array) -> Array:
    """clip(requantise(x) + result) to 16 bits: a residual sum, with x brought to the result's units."""
    xp = namespace(x)
    limit = 1 << (STREAM_BITS - 1)
    return xp.clip(rescaled(x, scale.mul, scale.shift, STREAM_BITS) + result, -limit, limit - 1)
