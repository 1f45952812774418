# SPDX-License-Identifier: Apache-2.0
"""Predicted Q̂ and K̂ of every head, and which pairs of tokens may attend at all: where all predictors start.

X, W_Q ─► dot ─► + bias ─► requantise ─► Q̂        K̂ likewise
"""

from collections.abc import Sequence
from dataclasses import dataclass

from config.array import NumberSystem
from config.errors import require
from config.requantise import Multiplier
from config.speculate import HeadSettings, Settings
from golden.arith.requantise import requantise
from golden.arrays import Array, namespace, positions, split_heads
from golden.speculate.array import dot


@dataclass(frozen=True)
class Operands:
    """q, k: Q̂ and K̂, int64 [..., H, T, dh] within int8. pairs: bool [..., 1, T, T], row i may attend to key j."""

    q: Array
    k: Array
    pairs: Array


def predicted(
    x: Array,
    wq: Array,
    wk: Array,
    settings: Settings,
    system: NumberSystem,
    *,
    bq: Array | None,
    bk: Array | None,
    attend: Array | None,
) -> Operands:
    """x: int8 [..., T, D]; wq, wk: int8 [H, dh, D]; bq, bk: [H, dh] in units of int8's sums, or none; attend: bool
    [..., T], keys that may be attended to, or none for all. Raises `Refusal` for operands that do not fit each other.
    """
    check_shapes(x, wq, wk, settings)
    scales = [settings.scale(head) for head in range(wq.shape[0])]
    return Operands(
        q=project(x, wq, bq, [scale.q for scale in scales], system),
        k=project(x, wk, bk, [scale.k for scale in scales], system),
        pairs=allowed(x, settings, attend),
    )


def check_shapes(x: Array, wq: Array, wk: Array, settings: Settings) -> None:
    """Raise `Refusal` unless x is [..., T, D], wq and wk are [H, dh, D], and there are scales for one head or for H."""
    fits = x.ndim >= 2 and wq.ndim == 3 and wq.shape == wk.shape and x.shape[-1] == wq.shape[2]
    require(
        fits and 0 not in x.shape and 0 not in wq.shape,
        "x must be [..., T, D], and wq and wk [H, dh, D] with the same D, none of them empty, not "
        f"{tuple(x.shape)}, {tuple(wq.shape)} and {tuple(wk.shape)}; cut the weights into heads first.",
    )
    require(
        len(settings.scales) in (1, wq.shape[0]),
        f"scales must hold one entry, or one for each of {wq.shape[0]} heads, not {len(settings.scales)}; "
        "give each head its own, or all the same.",
    )


def project(x: Array, w: Array, bias: Array | None, multipliers: Sequence[Multiplier], system: NumberSystem) -> Array:
    """Q̂ or K̂ of all heads, int64 [..., H, T, dh] within int8: x [..., T, D], w [H, dh, D], bias [H, dh] or none, a
    multiplier per head."""
    sums = projected(x, w, bias, system)
    mul, shift = (per_head(values, x) for values in zip(*((m.mul, m.shift) for m in multipliers), strict=True))
    return requantise(sums, mul, shift)


def projected(x: Array, w: Array, bias: Array | None, system: NumberSystem) -> Array:
    """The sums that Q̂ or K̂ is requantised from, int64 [..., H, T, dh]; arguments as in `project`."""
    xp = namespace(x, w)
    heads, _, width = w.shape
    sums = split_heads(dot(x, xp.reshape(w, (-1, width)), system), heads)
    return sums if bias is None else sums + in_units(xp.astype(bias, xp.int64), system)[:, None, :]


def in_units(bias: Array, system: NumberSystem) -> Array:
    """A bias of int8's sums, int64, in units of the system's own, rounded half up."""
    return (bias + ((1 << system.unit_bits) >> 1)) >> system.unit_bits


def predicted_scores(q: Array, k: Array, system: NumberSystem) -> Array:
    """Q̂K̂ᵀ, exact, int64 [..., T, S]. A system that codes one operand only codes Q̂, the one that is made at run time,
    so Q̂ takes the place of the weight (LAPA III-A)."""
    return namespace(q, k).matrix_transpose(dot(k, q, system))


def score_shifts(settings: Settings, heads: int, like: Array) -> Array:
    """Those of all heads, int64 [H, 1, 1]."""
    scales: list[HeadSettings] = [settings.scale(head) for head in range(heads)]
    return per_head([scale.score_shift for scale in scales], like)


def per_head(values: Sequence[int], like: Array) -> Array:
    """One number for each head, int64 [H, 1, 1]."""
    xp = namespace(like)
    return xp.asarray(list(values), dtype=xp.int64, device=like.device)[:, None, None]


def allowed(x: Array, settings: Settings, attend: Array | None) -> Array:
    """bool [..., 1, T, T]: row i of x [..., T, D] may attend to key j, in every head alike. attend: bool [..., T], keys
    that may be attended to at all, such as those that are no padding; none means all of them."""
    xp = namespace(x)
    rows = positions(x, -2)
    tokens = x.shape[-2]
    pairs = xp.ones((*x.shape[:-2], 1, tokens, tokens), dtype=xp.bool, device=x.device)
    if settings.causal:
        pairs = pairs & (rows[None, :] <= rows[:, None])
    if attend is not None:
        require(
            tuple(attend.shape) == tuple(x.shape[:-1]),
            f"attend must hold one bool for each of {_sizes(x.shape[:-1])} tokens, not {_sizes(attend.shape)}; "
            "cut or pad it.",
        )
        pairs = pairs & attend[..., None, None, :]
    return pairs


def _sizes(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "no"
