# SPDX-License-Identifier: Apache-2.0
"""From real values to integers: symmetric int8 with a scale of its own, or integers in units that are given."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import require
from golden.arrays import Array, namespace

LARGEST_CODE = 127  # symmetric int8: -128 is never produced, so every code has its negative


def round_half_up(x: Array) -> Array:
    """The nearest integer, int64, the larger one when two are equally near: the rounding of the requantiser."""
    xp = namespace(x)
    return xp.astype(xp.floor(x + 0.5), xp.int64)


def quantise_symmetric(x: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int8], float]:
    """Symmetric per-tensor int8: codes = round half up(x / scale) in -127..127, and scale = max|x| / 127.

    A tensor of zeros has scale 1. Raises Refusal for an empty tensor, infinities and NaN.
    """
    values = np.asarray(x, dtype=np.float64)
    require(
        values.size > 0 and bool(np.isfinite(values).all()),
        f"A tensor to quantise must hold finite numbers, not {'an infinity or NaN' if values.size else 'nothing'}; "
        "check where it comes from.",
    )
    scale = float(np.abs(values).max()) / LARGEST_CODE or 1.0
    return round_half_up(values / scale).astype(np.int8), scale


def quantise(x: Array, scale: NDArray[np.float64], bits: int) -> Array:
    """int64 of the shape of x: real values in units of `scale`, of all or of each channel, rounded half up, saturated
    to `bits` bits. Raises Refusal for infinities and NaN."""
    xp = namespace(x)
    require(
        bool(xp.all(xp.isfinite(x))),
        "A tensor to quantise must hold finite numbers, not an infinity or NaN; check where it comes from.",
    )
    limit = 1 << (bits - 1)
    units = xp.astype(x, xp.float64) / xp.asarray(scale, device=x.device)
    return xp.clip(round_half_up(units), -limit, limit - 1)
