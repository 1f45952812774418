# SPDX-License-Identifier: Apache-2.0
"""GELU as a table of 256 entries: the float function, correctly rounded, between two int8 tensors."""

import math
from dataclasses import dataclass

import numpy as np

from config.formats import OPERAND_BITS
from golden.arrays import Array, namespace

_HALF = 1 << (OPERAND_BITS - 1)


@dataclass(frozen=True)
class Steps:
    """An int8 code c stands for (c - zero)·scale."""

    scale: float
    zero: int


def table(given: Steps, result: Steps) -> Array:
    """int64 [256]: GELU of the codes -128 to 127, as codes of the result: rounded half up, saturated."""
    x = (np.arange(-_HALF, _HALF) - given.zero) * given.scale
    exact = np.array([value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in x])
    return np.clip(np.floor(exact / result.scale + 0.5) + result.zero, -_HALF, _HALF - 1).astype(np.int64)


def gelu(x: Array, entries: Array) -> Array:
    """int64 of the shape of x: the entry of each int8 operand."""
    xp = namespace(x)
    return xp.reshape(xp.take(entries, xp.reshape(x, (-1,)) + _HALF), x.shape)
