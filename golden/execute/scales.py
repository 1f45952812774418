# SPDX-License-Identifier: Apache-2.0
"""Real factors as the integers that a requantiser takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.errors import require
from config.requantise import MAX_SHIFT, MIN_SHIFT, MUL_BITS
from golden.arrays import Array


@dataclass(frozen=True)
class Scale:
    """Multipliers of a requantiser, int64: mul 0 to 65535, shift 1 to 40; of every channel [D] or of all [1], or one
    per head [H, 1, 1]."""

    mul: Array
    shift: Array

    def map(self, change: Callable[[Array], Array]) -> "Scale":
        """Both arrays changed alike."""
        return Scale(change(self.mul), change(self.shift))


def multipliers(factors: Any) -> Scale:
    """mul / 2^shift nearest to positive real factors; with all bits of mul in use, down to 2^-25.

    Raises `Refusal` for factors that are not positive, too large, or so small that nothing would be left of them.
    """
    real = np.asarray(factors, dtype=np.float64)
    require(
        bool(np.isfinite(real).all() and (real > 0).all()),
        "Scales must be positive and finite, and one is not; look for zeros, infinities or NaN in the weights.",
    )
    shift = np.minimum(MUL_BITS - np.frexp(real)[1].astype(np.int64), MAX_SHIFT)
    mul = np.floor(np.ldexp(real, shift) + 0.5).astype(np.int64)
    # A mantissa just below 1 may round up to 1.
    shift, mul = np.where(mul >> MUL_BITS, shift - 1, shift), np.where(mul >> MUL_BITS, mul >> 1, mul)
    require(
        bool((shift >= MIN_SHIFT).all()),
        f"Factors of a requantiser must be below {1 << (MUL_BITS - MIN_SHIFT)}, not {real.max():g}; "
        "calibrate with inputs that use the range of every tensor.",
    )
    require(
        bool((mul > 0).all()),
        f"Factors of a requantiser must be above 2^-{MAX_SHIFT + 1}, not {real.min():g}; "
        "calibrate with inputs that use the range of every tensor.",
    )
    return Scale(mul, shift)
