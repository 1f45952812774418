# SPDX-License-Identifier: Apache-2.0
"""Softmax over the kept keys of a row, and what its codes make of V.

    scores ─► largest kept ─► exponents ─► powers of two ─┬─► codes 0 to 255, the largest has 255 ─► · V ─► × ─► context
                                                          └─► sum ─► one division a row ───────────────────┘

A code says a probability as a share of the row's largest, so long and flat rows lose nothing; what it is a share of
enters once, in the multiplier of the row's requantiser.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from config.execute import DIVISOR_BITS, ENTRY_BITS, FRACTION_BITS, LARGEST_PROBABILITY, POWER_BITS
from golden.arith.requantise import rescaled
from golden.arrays import Array, matmul_transposed, namespace, top_bit


@dataclass(frozen=True)
class Softmax:
    """codes: int64 [..., T, S], 0 to 255. total: int64 [..., T, 1], the sum of the row's powers, 0 without keys."""

    codes: Array
    total: Array

    @property
    def probabilities(self) -> Array:
        """float64 [..., T, S]: what the codes stand for."""
        xp = namespace(self.codes)
        largest = 2.0**POWER_BITS / xp.astype(xp.where(self.total == 0, 1, self.total), xp.float64)
        return xp.astype(self.codes, xp.float64) * largest / LARGEST_PROBABILITY


@cache
def powers() -> NDArray[np.int64]:
    """2^(15 - n/64) for n from 0 to 63, rounded to the nearest integer."""
    steps = np.arange(1 << FRACTION_BITS)
    return np.asarray(np.rint(2.0 ** (ENTRY_BITS - steps / (1 << FRACTION_BITS))), dtype=np.int64)


def softmax(scores: Array, kept: Array, mul: Array, shift: Array) -> Softmax:
    """Of scores int64 [..., T, S], within int32, over the `kept` ones, bool. mul, shift: int64, broadcasting to the
    scores: mul / 2^shift of a score's unit is 1/64 in the exponent of 2.

    d = the row's largest - score; n = d brought to exponents, rounded half up; power = powers[n & 63] << 6 >> (n >> 6),
    2^21 for the largest, nothing from n = 64·22 on; code = (255·power + 2^20) >> 21.
    """
    xp = namespace(scores)
    largest = xp.max(xp.where(kept, scores, xp.min(scores)), axis=-1, keepdims=True)
    below = xp.where(kept, largest - scores, 0)
    steps = xp.clip((below * mul + (xp.asarray(1, device=mul.device) << (shift - 1))) >> shift, None, _LAST_STEP)
    table = xp.asarray(powers(), device=scores.device)
    fraction = xp.reshape(xp.take(table, xp.reshape(steps & ((1 << FRACTION_BITS) - 1), (-1,))), steps.shape)
    power = xp.where(kept, fraction << (POWER_BITS - ENTRY_BITS) >> (steps >> FRACTION_BITS), 0)
    codes = (power * LARGEST_PROBABILITY + (1 << (POWER_BITS - 1))) >> POWER_BITS
    return Softmax(codes, xp.sum(power, axis=-1, keepdims=True))


_LAST_STEP = ((POWER_BITS + 1) << FRACTION_BITS) - 1
"""From here on, powers are 0."""


def context(row: Softmax, v: Array, mul: Array, shift: Array) -> Array:
    """Probabilities times V, int64 [..., T, dh] within int8; 0 for a row without keys. v: int64 [..., S, dh] within
    int8. mul, shift: int64, broadcasting to [..., T, 1]: mul / 2^shift takes a sum of codes times V to the result if
    the total is 2^21.

    With n the bits of total over 22: requantise(Σ codes·v, (mul << 15) // (total >> (n + 6)), shift + n).
    """
    xp = namespace(v)
    sums = matmul_transposed(row.codes, xp.matrix_transpose(v), LARGEST_PROBABILITY << 7)
    total = xp.where(row.total == 0, 1 << POWER_BITS, row.total)
    over = top_bit(total) - POWER_BITS
    divisor = total >> (over + POWER_BITS + 1 - DIVISOR_BITS)
    return rescaled(sums, (mul << (DIVISOR_BITS - 1)) // divisor, shift + over)
