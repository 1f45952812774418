# SPDX-License-Identifier: Apache-2.0
"""Requantiser: a wide accumulator back to int8."""

from collections.abc import Callable
from typing import Any

from config.errors import require
from config.requantise import MUL_BITS, OUTPUT_BITS, Multiplier
from golden.arrays import Array, namespace

_ACC_LIMIT = 2 ** (63 - MUL_BITS - 1)


def requantise(acc: Array, mul: int | Array, shift: int | Array, bits: int = OUTPUT_BITS) -> Array:
    """clip((acc·mul + 2^(shift-1)) >> shift) to `bits` bits of two's complement, rounding half up; int64.

    acc: any shape, integers below 2^46 in magnitude; mul: unsigned 16 bit; shift: 1 to 40; one for all, or an int64
    array of them that broadcasts. Raises `Refusal` for other values.
    """
    xp = namespace(acc)
    require(bool(xp.isdtype(acc.dtype, "integral")), f"acc must hold integers, not {acc.dtype}; quantise it first.")
    for end in (min, max):
        Multiplier(_end(mul, end), _end(shift, end))  # refuses what is out of range
    acc = xp.astype(acc, xp.int64)
    if 0 not in acc.shape:
        largest = max(abs(int(xp.min(acc))), abs(int(xp.max(acc))))
        require(largest < _ACC_LIMIT, f"acc must be below 2^46 in magnitude, not {largest}; scale it down first.")
    return rescaled(acc, mul, shift, bits)


def rescaled(acc: Array, mul: int | Array, shift: int | Array, bits: int = OUTPUT_BITS) -> Array:
    """`requantise`, of int64 and without the checks: for those who know that they hold."""
    xp = namespace(acc)
    rounded = (acc * mul + (1 << (shift - 1))) >> shift
    return xp.clip(rounded, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _end(value: int | Array, end: Callable[[Any], Any]) -> int:
    """The smallest or largest of one value or many."""
    return value if isinstance(value, int) else int(getattr(namespace(value), end.__name__)(value))
