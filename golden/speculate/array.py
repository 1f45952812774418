# SPDX-License-Identifier: Apache-2.0
"""Dot products of coded operands, as the arrays of `hdl/speculate/array.py` compute them.

Each takes x [T, D] and w [N, D], integers of the operand's width, codes them as its number system does, and returns
the exact sums as int64 [T, N].
"""

from config.array import NumberSystem, number_system
from config.formats import OPERAND_BITS, Format, HLogFormat, IntegerFormat, LeadingOneFormat
from golden.arith import hlog, integer, leading_one
from golden.arrays import Array, matmul_transposed, signed_integers


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
    """x [T, D] times w [N, D] in `system`, exact, int64 [T, N]."""
    return matmul_transposed(coded_value(x, system.x), coded_value(w, system.w), system.product_magnitude)


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
