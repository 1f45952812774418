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

from config.execute import FRACTION_BITS, LARGEST_PROBABILITY, POWER_BITS, PROBABILITY_BITS
from golden.arith.requantise import rescaled
from golden.arrays import Array, leading_one, matmul_transposed, namespace
from golden.speculate.plan import share_left
from golden.speculate.spls import top

_SUM_BITS = POWER_BITS + 13  # of up to 4096 powers


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

        With n the bits of total over 15: (codes · (2^(30 + n) // total)) / 2^(n + 7), rounded half up.
        """
        total, over = _normal(self.total)
        shift = over + POWER_BITS - PROBABILITY_BITS
        return (self.codes * ((1 << (2 * POWER_BITS + over)) // total) + (1 << (shift - 1))) >> shift

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
    return np.asarray(np.rint(2.0 ** (POWER_BITS - steps / (1 << FRACTION_BITS))), dtype=np.int64)


def softmax(scores: Array, kept: Array, mul: Array, shift: Array) -> Softmax:
    """Of scores int64 [..., T, S], within int32, over the `kept` ones, bool. mul, shift: int64, broadcasting to the
    scores: mul / 2^shift of a score's unit is 1/64 in the exponent of 2.

    code = (255·power + 2^14) >> 15, with the power that `powers_of` gives.
    """
    power = powers_of(scores, kept, mul, shift)
    codes = (power * LARGEST_PROBABILITY + (1 << (POWER_BITS - 1))) >> POWER_BITS
    return Softmax(codes, namespace(power).sum(power, axis=-1, keepdims=True))


def powers_of(scores: Array, kept: Array, mul: Array, shift: Array) -> Array:
    """What the softmax of a row sums up, int64 [..., T, S], 0 to 2^15, 0 for what is not kept; arguments as there.

    d = the row's largest - score; n = min(requantise(d), 64·16 - 1); power = 2^15 · 2^-(n/64), from `powers` with its
    low bits dropped.
    """
    xp = namespace(scores)
    largest = xp.max(xp.where(kept, scores, xp.min(scores)), axis=-1, keepdims=True)
    below = xp.where(kept, largest - scores, 0)
    steps = xp.clip((below * mul + (xp.asarray(1, device=mul.device) << (shift - 1))) >> shift, None, _LAST_STEP)
    table = xp.asarray(powers(), device=scores.device)
    fraction = xp.reshape(xp.take(table, xp.reshape(steps & ((1 << FRACTION_BITS) - 1), (-1,))), steps.shape)
    return xp.where(kept, fraction >> (steps >> FRACTION_BITS), 0)


_LAST_STEP = ((POWER_BITS + 1) << FRACTION_BITS) - 1
"""From here on, powers are 0."""


def context(row: Softmax, v: Array, mul: Array, shift: Array) -> Array:
    """Probabilities times V, int64 [..., T, dh] within int8; 0 for a row without keys. v: int64 [..., S, dh] within
    int8. mul, shift: int64, broadcasting to [..., T, 1]: mul / 2^shift takes a sum of codes times V to the result if
    the total is 2^15.

    With n the bits of total over 15: requantise(Σ codes·v, (mul << (15 + n)) // total, shift + n).
    """
    xp = namespace(v)
    sums = matmul_transposed(row.codes, xp.matrix_transpose(v), LARGEST_PROBABILITY << 7)
    total, over = _normal(row.total)
    return rescaled(sums, (mul << (POWER_BITS + over)) // total, shift + over)


def _normal(total: Array) -> tuple[Array, Array]:
    """Totals to divide by, of rows without keys as well, and their bits over 15."""
    total = namespace(total).where(total == 0, 1 << POWER_BITS, total)
    return total, leading_one(total, _SUM_BITS) - POWER_BITS
