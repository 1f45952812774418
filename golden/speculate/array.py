# SPDX-License-Identifier: Apache-2.0
"""Dot products of coded operands, as the arrays of `hdl/speculate/array.py` compute them.

Each takes x [..., T, D] and w [..., N, D], integers of the operand's width, codes them as its number system does, and
returns the exact sums as int64 [..., T, N].
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from config.array import NumberSystem, number_system
from config.formats import OPERAND_BITS, Format, HLogFormat, IntegerFormat, LeadingOneFormat, RawFormat
from golden.arith import hlog, integer, leading_one
from golden.arrays import Array, matmul_transposed, namespace, signed_integers


def coded_value(x: Array, coding: Format) -> Array:
    """The value that is left of the integers x once they are coded, int64."""
    match coding:
        case HLogFormat(bits, rounding):
            return hlog.quantise(x, bits, rounding)
        case LeadingOneFormat(bits):
            return leading_one.quantise(x, bits)
        case IntegerFormat(bits):
            return integer.quantise(x, bits)
        case _:
            return signed_integers(x, coding.bits)


def encode(x: Array, coding: Format) -> Array:
    """The codes of the integers x, laid out as in `config.formats`: int64, the code's bits as an unsigned number."""
    match coding:
        case HLogFormat(bits, rounding):
            return hlog.encode(x, bits, rounding)
        case LeadingOneFormat(bits):
            return leading_one.encode_packed(x, bits)
        case _:
            return coded_value(x, coding) & ((1 << coding.code_bits) - 1)


def dot(x: Array, w: Array, system: NumberSystem) -> Array:
    """x [..., T, D] times w [..., N, D] in `system`, exact, int64 [..., T, N]."""
    return matmul_transposed(_looked_up(x, system.x), _looked_up(w, system.w), system.product_magnitude)


def _looked_up(x: Array, coding: Format) -> Array:
    """`coded_value`, of many operands."""
    if isinstance(coding, RawFormat):
        return coded_value(x, coding)
    x = signed_integers(x, _operand_bits(coding))
    xp = namespace(x)
    table = xp.asarray(_values(coding), device=x.device)
    return xp.reshape(xp.take(table, xp.reshape(x, (-1,)) + len(table) // 2), x.shape)


@cache
def _values(coding: Format) -> NDArray[np.int64]:
    """The value of each operand, from the smallest on."""
    high = 1 << (_operand_bits(coding) - 1)
    return np.asarray(coded_value(np.arange(-high, high), coding))


def _operand_bits(coding: Format) -> int:
    return OPERAND_BITS if isinstance(coding, IntegerFormat) else coding.bits


def hlog_dot(x: Array, w: Array, bits: int = OPERAND_BITS, rounding: str = "nearest") -> Array:
    """Σ HLog(x)·HLog(w) (ESACT): x [T, D], w [N, D], integers of `bits` bits; exact int64 [T, N]."""
    return dot(x, w, number_system("hlog", bits, rounding))


def aloc_dot(x: Array, w: Array, bits: int = OPERAND_BITS) -> Array:
    """Σ sign(w)·(x << LO(w)), zero w adding nothing (LAPA, eq. 4): only w is coded; exact int64 [T, N]."""
    return dot(x, w, number_system("aloc", bits))


def pot_dot(x: Array, w: Array, bits: int = OPERAND_BITS) -> Array:
    """Both operands cut down to their leading one (FACT); exact int64 [T, N]."""
    return dot(x, w, number_system("pot", bits))


def int8_dot(x: Array, w: Array) -> Array:
    """Products of the int8 operands; exact int64 [T, N]."""
    return dot(x, w, number_system("int8"))


def int4_dot(x: Array, w: Array) -> Array:
    """Products of both operands rounded to 4 bits; exact int64 [T, N], in units of 256 int8 products."""
    return dot(x, w, number_system("int4"))
