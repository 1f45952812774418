# SPDX-License-Identifier: Apache-2.0
"""Ranges of the requantiser's settings, and the widths that follow from them."""

MUL_BITS = 16
"""The multiplier is unsigned."""

MIN_SHIFT, MAX_SHIFT = 1, 40
SHIFT_BITS = MAX_SHIFT.bit_length()
OUTPUT_BITS = 8


def internal_bits(acc_bits: int) -> int:
    """Bits of acc·mul + 2^(shift-1), signed, so that it never overflows.

    The product needs acc_bits + MUL_BITS; the rounding term, at most 2^(MAX_SHIFT-1), may be larger than that; their
    sum needs one more.
    """
    return max(acc_bits + MUL_BITS, MAX_SHIFT + 1) + 1
