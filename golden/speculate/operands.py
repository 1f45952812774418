# SPDX-License-Identifier: Apache-2.0
"""Predicted Q̂ and K̂ of every head, and which pairs of tokens may attend at all: where all predictors start.

X, W_Q ─► dot ─► + bias ─► requantise ─► Q̂        K̂ likewise
"""

from config.array import NumberSystem
from config.errors import require
from config.requantise import Multiplier
from config.speculate import Settings
from golden.arith.requantise import requantise
from golden.arrays import Array, namespace
from golden.speculate.array import dot


def check_shapes(x: Array, wq: Array, wk: Array, settings: Settings) -> None:
    """Raise `Refusal` unless x is [T, D], wq and wk are [H, dh, D], and there are scales for one head or for H."""
    fits = x.ndim == 2 and wq.ndim == 3 and wq.shape == wk.shape and x.shape[1] == wq.shape[2]
    require(
        fits and 0 not in x.shape and 0 not in wq.shape,
        "x must be [T, D], and wq and wk [H, dh, D] with the same D, none of them empty, not "
        f"{tuple(x.shape)}, {tuple(wq.shape)} and {tuple(wk.shape)}; cut the weights into heads first.",
    )
    require(
        len(settings.scales) in (1, wq.shape[0]),
        f"scales must hold one entry, or one for each of {wq.shape[0]} heads, not {len(settings.scales)}; "
        "give each head its own, or all the same.",
    )


def project(x: Array, w: Array, bias: Array | None, multiplier: Multiplier, system: NumberSystem) -> Array:
    """One head's Q̂ or K̂, int64 [T, dh] within int8: x [T, D], w [dh, D], bias [dh] or none."""
    sums = dot(x, w, system)
    if bias is not None:
        xp = namespace(sums)
        sums = sums + xp.astype(bias, xp.int64)[None, :]
    return requantise(sums, multiplier.mul, multiplier.shift)


def allowed(tokens: int, settings: Settings, attend: Array | None, like: Array) -> Array:
    """bool [T, T]: row i may attend to key j. attend: bool [T], keys that may be attended to at all, such as those
    that are no padding; none means all of them."""
    xp = namespace(like)
    rows = xp.arange(tokens)
    pairs = xp.ones((tokens, tokens), dtype=xp.bool)
    if settings.causal:
        pairs = pairs & (rows[None, :] <= rows[:, None])
    if attend is not None:
        require(
            tuple(attend.shape) == (tokens,),
            f"attend must hold one bool for each of {tokens} tokens, not {tuple(attend.shape)}; cut or pad it.",
        )
        pairs = pairs & attend[None, :]
    return pairs
