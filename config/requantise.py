# SPDX-License-Identifier: Apache-2.0
"""The requantiser's setting, its ranges, and the widths that follow from them."""

from dataclasses import dataclass

from config.errors import require

MUL_BITS = 16
"""The multiplier is unsigned."""

MIN_SHIFT, MAX_SHIFT = 1, 40
SHIFT_BITS = MAX_SHIFT.bit_length()
OUTPUT_BITS = 8


def internal_bits(acc_bits: int, max_shift: int = MAX_SHIFT) -> int:
    """Bits of acc·mul + 2^(shift-1), signed, so that it never overflows.

    The product needs acc_bits + MUL_BITS; the rounding term, at most 2^(max_shift-1), may be larger than that; their
    sum needs one more.
    """
    return max(acc_bits + MUL_BITS, max_shift + 1) + 1


@dataclass(frozen=True)
class Multiplier:
    """The requantiser's setting: an accumulator is multiplied by mul / 2^shift. Raises `Refusal` outside the ranges."""

    mul: int
    shift: int

    def __post_init__(self) -> None:
        require(
            0 <= self.mul < 1 << MUL_BITS,
            f"mul must be in [0, {(1 << MUL_BITS) - 1}], not {self.mul}; choose a larger shift for a larger factor.",
        )
        require(
            MIN_SHIFT <= self.shift <= MAX_SHIFT,
            f"shift must be in [{MIN_SHIFT}, {MAX_SHIFT}], not {self.shift}; move the difference into mul.",
        )

    @property
    def real(self) -> float:
        """The factor that the pair stands for."""
        return float(self.mul / 2**self.shift)
