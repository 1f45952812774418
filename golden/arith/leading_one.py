# SPDX-License-Identifier: Apache-2.0
"""Leading-one coding (LAPA, eq. 3 and 4): y = sign · M · 2^LO, of which sign and LO are kept."""

from config.formats import OPERAND_BITS, LeadingOneFormat
from golden.arrays import Array, leading_one, namespace, signed_integers


def encode(x: Array, bits: int = OPERAND_BITS) -> tuple[Array, Array, Array]:
    """Sign, position of the leading one of |x|, and zero flag.

    x: any shape, integers in [-2^(bits-1), 2^(bits-1)). Returns (sign, position, zero), each of the shape of x: sign
    bool (True for negative), position int64 = floor(log2|x|) and 0 for zero, zero bool. Raises `Refusal` for others.
    """
    LeadingOneFormat(bits)
    x = signed_integers(x, bits)
    xp = namespace(x)
    return x < 0, leading_one(xp.abs(x), bits), x == 0


def encode_packed(x: Array, bits: int = OPERAND_BITS) -> Array:
    """The codes of x, laid out as in `config.formats`, as int64."""
    code_format = LeadingOneFormat(bits)
    sign, position, zero = encode(x, bits)
    xp = namespace(position)
    code = (xp.astype(sign, xp.int64) << code_format.position_bits) | position
    return xp.where(zero, xp.asarray(code_format.zero_code, dtype=xp.int64, device=x.device), code)


def decode(code: Array, bits: int = OPERAND_BITS) -> Array:
    """±2^position, or 0, int64, of each code that `encode_packed` gives."""
    code_format = LeadingOneFormat(bits)
    xp = namespace(code)
    code = xp.astype(code, xp.int64)
    magnitude = xp.ones_like(code) << (code & ((1 << code_format.position_bits) - 1))
    value = xp.where(code >> code_format.position_bits == 1, -magnitude, magnitude)
    return xp.where(code == code_format.zero_code, xp.zeros_like(value), value)


def quantise(x: Array, bits: int = OPERAND_BITS) -> Array:
    """x cut down to its leading one: sign(x) · 2^floor(log2|x|), int64; zero stays zero."""
    return decode(encode_packed(x, bits), bits)
