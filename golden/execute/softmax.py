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

from config.execute import (
    DIVISOR_BITS,
    ENTRY_BITS,
    FRACTION_BITS,
    LARGEST_PROBABILITY,
    POWER_BITS,
    PROBABILITY_BITS,
)
from golden.arith.requantise import rescaled
from golden.arith.top import top
from golden.arrays import Array, matmul_transposed, namespace, top_bit
from golden.speculate.plan import share_left


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

    @property
    def shares(self) -> Array:
        """int64 [..., T, S], 0 to 65280: what the codes stand for, in one unit for all rows, 65280 for 1.

        With n the bits of total over 22: (codes · (2^30 // (total >> (n + 6)))) / 2^(n + 7), rounded half up.
        """
        divisor, over = _divisor(self.total)
        one = DIVISOR_BITS - 1
        shift = over + one - PROBABILITY_BITS
        return (self.codes * ((1 << 2 * one) // divisor) + (1 << (shift - 1))) >> shift

    def heaviest(self, kept: Array, share: int) -> "Softmax":
        """Without the codes of all but the largest of each row's `kept` keys, bool [..., T, S]: `share` 256ths of them
        are left out, and the total stays. On equal codes the lower column wins."""
        if not share:
            return self
        xp = namespace(self.codes)
        count = xp.sum(kept, axis=-1, keepdims=True, dtype=xp.int64)
        # A row without keys has nothing to choose from, whatever number it is given.
        few = top(self.codes, kept, xp.clip(share_left(count, share), 1, None))
        return Softmax(xp.where(few, self.codes, 0), self.total)


@cache
def powers() -> NDArray[np.int64]:
    """2^(15 - n/64) for n from 0 to 63, rounded to the nearest integer."""
    steps = np.arange(1 << FRACTION_BITS)
    return np.asarray(np.rint(2.0 ** (ENTRY_BITS - steps / (1 << FRACTION_BITS))), dtype=np.int64)


def softmax(scores: Array, kept: Array, mul: Array, shift: Array) -> Softmax:
    """Of scores int64 [..., T, S], within int32, over the `kept` ones, bool. mul, shift: int64, broadcasting to the
    scores: mul / 2^shift of a score's unit is 1/64 in the exponent of 2.

    code = (255·power + 2^20) >> 21, with the power that `powers_of` gives.
    """
    power = powers_of(scores, kept, mul, shift)
    codes = (power * LARGEST_PROBABILITY + (1 << (POWER_BITS - 1))) >> POWER_BITS
    return Softmax(codes, namespace(power).sum(power, axis=-1, keepdims=True))


def powers_of(scores: Array, kept: Array, mul: Array, shift: Array) -> Array:
    """What the softmax of a row sums up, int64 [..., T, S], 0 to 2^21, 0 for what is not kept; arguments as there.

    d = the row's largest - score; n = d brought to exponents, rounded half up; power = powers[n & 63] << 6 >> (n >> 6),
    2^21 for the largest, nothing from n = 64·22 on.
    """
    xp = namespace(scores)
    largest = xp.max(xp.where(kept, scores, xp.min(scores)), axis=-1, keepdims=True)
    below = xp.where(kept, largest - scores, 0)
    steps = xp.clip((below * mul + (xp.asarray(1, device=mul.device) << (shift - 1))) >> shift, None, _LAST_STEP)
    table = xp.asarray(powers(), device=scores.device)
    fraction = xp.reshape(xp.take(table, xp.reshape(steps & ((1 << FRACTION_BITS) - 1), (-1,))), steps.shape)
    return xp.where(kept, fraction << (POWER_BITS - ENTRY_BITS) >> (steps >> FRACTION_BITS), 0)


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
    return rescaled(sums, *row_scale(row.total, mul, shift))


def row_scale(total: Array, mul: Array, shift: Array) -> tuple[Array, Array]:
    """What takes a row's sum of codes times V to the result, as mul and shift."""
    divisor, over = _divisor(total)
    return (mul << (DIVISOR_BITS - 1)) // divisor, shift + over


def _divisor(total: Array) -> tuple[Array, Array]:
    """The top 16 bits of totals, of rows without keys as well, and the bits that totals have over 22."""
    total = namespace(total).where(total == 0, 1 << POWER_BITS, total)
    over = top_bit(total) - POWER_BITS
    return total >> (over + POWER_BITS + 1 - DIVISOR_BITS), over
