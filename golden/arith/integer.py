# SPDX-License-Identifier: Apache-2.0
"""Narrow integers (Sanger's 4 bits): the operand without its low bits, rounding half up, saturating at the top."""

from config.formats import OPERAND_BITS, IntegerFormat
from golden.arith.requantise import requantise
from golden.arrays import Array, signed_integers


def quantise(x: Array, bits: int = OPERAND_BITS) -> Array:
    """int8 values of any shape as integers of `bits` bits, 4 or 8, int64: clip((x + 8) >> 4) for 4. `Refusal` else."""
    dropped = IntegerFormat(bits).dropped_bits
    x = signed_integers(x, OPERAND_BITS)
    return requantise(x, 1, dropped, bits) if dropped else x
