# SPDX-License-Identifier: Apache-2.0
"""What the golden functions share: integers of either array library, range checks, exact matrix products."""

from typing import Any

import array_api_compat
import numpy as np

from config.errors import require

Array = Any
"""A NumPy array or a torch tensor."""

_EXACT_FLOAT32, _EXACT_FLOAT64 = 2**24, 2**53


def namespace(*arrays: Array) -> Any:
    """The array library that the arguments belong to; mixing libraries raises TypeError."""
    return array_api_compat.array_namespace(*arrays)


def to_numpy(x: Array) -> Any:
    """As a NumPy array, from whatever device, without its gradient."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def signed_integers(x: Array, bits: int, name: str = "x") -> Array:
    """`x` as int64, after checking that every element is an integer that fits in `bits` bits of two's complement."""
    xp = namespace(x)
    require(
        bool(xp.isdtype(x.dtype, "integral")),
        f"{name} must hold integers, not {x.dtype}; quantise it first.",
    )
    x = xp.astype(x, xp.int64)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if 0 not in x.shape:
        smallest, largest = int(xp.min(x)), int(xp.max(x))
        require(
            low <= smallest and largest <= high,
            f"{name} must lie in [{low}, {high}], not in [{smallest}, {largest}]; requantise it to {bits} bits.",
        )
    return x


def leading_one(magnitude: Array, bits: int) -> Array:
    """floor(log2) of integers 0 to 2^bits - 1, as int64; 0 for 0."""
    xp = namespace(magnitude)
    position = xp.zeros_like(magnitude, dtype=xp.int64)
    for k in range(1, bits):
        position = position + xp.astype(magnitude >= (1 << k), xp.int64)
    return position


def top_bit(v: Array) -> Array:
    """floor(log2 v) of integers up to 2^62; 0 for 0."""
    xp = namespace(v)
    position = xp.zeros_like(v)
    for bits in (32, 16, 8, 4, 2, 1):
        above = xp.astype(v >> (position + bits) != 0, xp.int64)
        position = position + bits * above
    return position


def matmul_transposed(x: Array, w: Array, largest_product: int) -> Array:
    """x [..., T, D] times the transpose of w [..., N, D], exact, as int64 [..., T, N].

    Runs in floating point, which every device multiplies fast, and which is exact as long as no sum can leave the
    integers that the type holds: D·largest_product < 2^24 for float32, < 2^53 for float64.
    """
    xp = namespace(x, w)
    require(
        x.ndim >= 2 and w.ndim >= 2 and x.shape[-1] == w.shape[-1],
        f"x and w must be [..., T, D] and [..., N, D] with the same D, not {tuple(x.shape)} and {tuple(w.shape)}; "
        "cut or pad them to one depth.",
    )
    largest = x.shape[-1] * largest_product
    require(
        largest < _EXACT_FLOAT64,
        f"D must be below {_EXACT_FLOAT64 // largest_product} for an exact sum, not {x.shape[-1]}; split the depth.",
    )
    exact = xp.float32 if largest < _EXACT_FLOAT32 and _float32_is_whole(xp, x) else xp.float64
    product = xp.matmul(xp.astype(x, exact), xp.matrix_transpose(xp.astype(w, exact)))
    return xp.astype(product, xp.int64)


def _float32_is_whole(xp: Any, x: Array) -> bool:
    """torch may be told, in several ways, to multiply float32 in fewer bits. float64 it leaves alone."""
    precision = getattr(xp, "get_float32_matmul_precision", None)
    if precision is None:
        return True
    try:
        return precision() == "highest" and not xp.is_autocast_enabled(x.device.type)
    except RuntimeError:  # told through settings that this question knows nothing of
        return False


def rising(x: Array) -> Array:
    """Every line of the last axis sorted, the smallest first."""
    xp = namespace(x)
    if not isinstance(x, np.ndarray) and x.device.type == "cpu":
        # On a CPU, NumPy sorts integers ten times as fast as torch, and in the same memory.
        return xp.asarray(np.sort(x.numpy(), axis=-1))
    return xp.sort(x, axis=-1)


def positions(like: Array, axis: int = -1) -> Array:
    """0, 1, 2, … along an axis of `like`, int64, on its device."""
    return namespace(like).arange(like.shape[axis], device=like.device)


def split_heads(x: Array, heads: int) -> Array:
    """[..., T, D] to [..., H, T, D/H]."""
    xp = namespace(x)
    return xp.moveaxis(xp.reshape(x, (*x.shape[:-1], heads, -1)), -2, -3)


def join_heads(x: Array) -> Array:
    """[..., H, T, dh] to [..., T, H·dh]."""
    xp = namespace(x)
    x = xp.moveaxis(x, -3, -2)
    return xp.reshape(x, (*x.shape[:-2], -1))


def rows_of(x: Array, source: Array) -> Array:
    """Row source[..., i] of x [..., T, D] in place of row i."""
    xp = namespace(x)
    return xp.take_along_axis(x, xp.broadcast_to(source[..., None], x.shape), axis=-2)
