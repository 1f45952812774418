# SPDX-License-Identifier: Apache-2.0
"""Widths inside the LayerNorm unit, and why nothing overflows them, up to rows of `width` values of 16 bits.

Σr, Σr² ─► v ─► normalised ─► root ─► reciprocal          c ─► scaled ─► z
"""

import math
from dataclasses import dataclass

from config.execute import CENTRED_SHIFT, EPS_BITS, NORMAL_BITS, RECIPROCAL_SHIFT, ROOT_BITS, STREAM_BITS

LARGEST = 1 << (STREAM_BITS - 1)
"""Of a value's magnitude."""


@dataclass(frozen=True)
class NormWidths:
    """Bits of each number, for rows of up to `width` values."""

    width: int

    @property
    def count(self) -> int:
        """A row's width, unsigned."""
        return self.width.bit_length()

    @property
    def total(self) -> int:
        """Σr, signed: width values of -2^15 at the least."""
        return (self.width * LARGEST - 1).bit_length() + 1

    @property
    def squares(self) -> int:
        """Σr², unsigned."""
        return (self.width * LARGEST**2).bit_length()

    @property
    def variance(self) -> int:
        """v = D·Σr² - (Σr)² + eps, unsigned and even: no more than D·Σr² and eps, and at least what a root takes."""
        most = self.width**2 * LARGEST**2 + (1 << EPS_BITS) - 1
        return max(most.bit_length() + most.bit_length() % 2, 2 * ROOT_BITS)

    @property
    def centred(self) -> int:
        """c = D·r - Σr, signed: D times the difference of a value and the mean, which is below 2^16."""
        return (self.width * (2 * LARGEST - 1)).bit_length() + 1

    @property
    def most_left(self) -> int:
        """Places by which c moves up at the most, where v is 1: h = -(ROOT_BITS - 1)."""
        return ROOT_BITS - 1 - CENTRED_SHIFT

    @property
    def down(self) -> int:
        """How far c, moved up by `most_left`, comes down again, unsigned: h + 15, where v·4^-h has 32 bits."""
        return (self.variance // 2 - 1).bit_length()

    @property
    def scaled(self) -> int:
        """floor(c·2^-(h + 4)), signed.

        The D values of c sum to 0, and their squares to D times the v without eps. One of them cannot be larger than
        √((D - 1)·v): the others together bring it to 0 at the least cost if they are equal. And √v·2^-h is below
        root + 1, at most 2^16.
        """
        return (math.isqrt((self.width - 1) << 2 * (ROOT_BITS - CENTRED_SHIFT)) + 2).bit_length() + 1

    @property
    def product(self) -> int:
        """scaled · reciprocal, signed; the reciprocal is at most 2^16, and the rounding term less than half of that."""
        return self.scaled + ROOT_BITS + 1

    @property
    def dropped(self) -> int:
        """Low bits of the product that z is without."""
        return RECIPROCAL_SHIFT - NORMAL_BITS - CENTRED_SHIFT

    @property
    def z(self) -> int:
        """In 1024ths of a deviation, signed: √(D - 1) of them, times (root + 1) / root, and two floors."""
        most = math.isqrt((self.width - 1) << 2 * NORMAL_BITS) + (
            math.isqrt(self.width) >> (ROOT_BITS - 1 - NORMAL_BITS)
        )
        return (most + 3).bit_length() + 1
