# SPDX-License-Identifier: Apache-2.0
"""GELU as tables of 256 entries, of which each channel takes one: the float function, correctly rounded, between int8
tensors."""

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


def gelu(x: Array, tables: Array, choice: Array) -> Array:
    """int64 [..., D]: the entry of each int8 operand of x [..., D], in that of the `tables` [N, 256] that its channel
    has chosen, int64 [D]."""
    xp = namespace(x)
    place = x + (_HALF + choice * tables.shape[1])
    return xp.reshape(xp.take(xp.reshape(tables, (-1,)), xp.reshape(place, (-1,))), x.shape)
