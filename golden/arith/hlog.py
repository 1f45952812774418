# SPDX-License-Identifier: Apache-2.0
"""HLog quantisation (ESACT): projection onto powers of two and the averages of their neighbours.

Written from the definition, a search among the levels; the hardware in `hdl/arith/hlog.py` reads three bits instead.
"""

from config.formats import OPERAND_BITS, HLogFormat
from golden.arrays import Array, leading_one, namespace, signed_integers


def quantise(x: Array, bits: int = OPERAND_BITS, rounding: str = "nearest") -> Array:
    """Project integers onto the HLog levels of `bits` bits.

    x: any shape, integers in [-2^(bits-1), 2^(bits-1)). Returns the levels as signed int64 of the same shape; zero
    stays zero, the sign is kept. `rounding` is one of `config.formats.ROUNDINGS`. Raises `Refusal` for other input.
    """
    levels = HLogFormat(bits, rounding).levels
    x = signed_integers(x, bits)
    xp = namespace(x)
    magnitude = xp.abs(x)
    projected = xp.zeros_like(x)
    for below, level in zip((0, *levels), levels, strict=False):
        reached = {
            "nearest": 2 * magnitude >= below + level,
            "nearest_down": 2 * magnitude > below + level,
            "truncate": magnitude >= level,
        }[rounding]
        projected = xp.where(reached, xp.asarray(level, dtype=xp.int64, device=x.device), projected)
    return xp.where(x < 0, -projected, projected)


def encode(x: Array, bits: int = OPERAND_BITS, rounding: str = "nearest") -> Array:
    """The codes of `quantise(x, bits, rounding)`, laid out as in `config.formats`, as int64."""
    code_format = HLogFormat(bits, rounding)
    level = quantise(x, bits, rounding)
    xp = namespace(level)
    magnitude = xp.abs(level)
    exponent = leading_one(magnitude, bits)
    half = magnitude != (xp.ones_like(magnitude) << exponent)
    sign = xp.astype(level < 0, xp.int64)
    code = (((sign << 1) | xp.astype(half, xp.int64)) << code_format.exponent_bits) | exponent
    return xp.where(level == 0, xp.asarray(code_format.zero_code, dtype=xp.int64, device=x.device), code)


def decode(code: Array, bits: int = OPERAND_BITS) -> Array:
    """The signed level, int64, of each code that `encode` gives."""
    code_format = HLogFormat(bits)
    xp = namespace(code)
    code = xp.astype(code, xp.int64)
    exponent = code & ((1 << code_format.exponent_bits) - 1)
    half = (code >> code_format.exponent_bits) & 1
    negative = (code >> (code_format.exponent_bits + 1)) & 1
    magnitude = ((2 + half) << exponent) >> 1
    level = xp.where(negative == 1, -magnitude, magnitude)
    return xp.where(code == code_format.zero_code, xp.zeros_like(level), level)
