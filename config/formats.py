# SPDX-License-Identifier: Apache-2.0
"""Number systems of the predictors: which values exist, and how a value is written as a code.

One place for each fact: `golden/` computes with these formats on arrays, `hdl/` builds logic from them.

    format        values (n = bits of the operand)                code, from the top bit down
    HLog          0, ±2^k (k < n), ±1.5·2^k (0 < k < n-1)         sign | half | exponent k
    leading one   0, ±2^k (k < n; +2^(n-1) does not occur)        sign | position k
    integer       -2^(n-1) … 2^(n-1)-1                            two's complement

Zero needs no bit of its own in either log format. HLog writes it as "1.5·2^0", which is no level; the leading-one
format as "+2^(n-1)", which no n-bit two's complement operand can reach.
"""

from dataclasses import dataclass
from typing import ClassVar

from config.errors import require

ROUNDINGS = ("nearest", "nearest_down", "truncate")
"""How HLog projects onto its levels: nearest with ties to the larger level (the default), nearest with ties to the
smaller, or towards zero. The paper leaves the rule open; the default is the project's choice."""

MIN_BITS, MAX_BITS = 4, 10
OPERAND_BITS = 8
"""Width of activations and weights, two's complement."""


def _require_bits(bits: int) -> None:
    require(
        isinstance(bits, int) and MIN_BITS <= bits <= MAX_BITS,
        f"bits must be an integer from {MIN_BITS} to {MAX_BITS}, not {bits!r}; set bits to the operand's width.",
    )


@dataclass(frozen=True)
class HLogFormat:
    """HLog of an n-bit two's complement operand (ESACT): powers of two and the averages of neighbours from 3 on.

    Parameters: `bits` n, 4 to 10; `rounding`, one of `ROUNDINGS`. Raises `Refusal` for anything else.
    """

    bits: int = OPERAND_BITS
    rounding: str = "nearest"

    def __post_init__(self) -> None:
        _require_bits(self.bits)
        require(
            self.rounding in ROUNDINGS,
            f"rounding must be one of {', '.join(ROUNDINGS)}, not {self.rounding!r}; set rounding to one of them.",
        )

    @property
    def levels(self) -> tuple[int, ...]:
        """Magnitudes in rising order, zero left out: 1, 2, 3, 4, 6, …, 2^(n-1)."""
        powers = {1 << k for k in range(self.bits)}
        averages = {3 << k for k in range(self.bits - 2)}
        return tuple(sorted(powers | averages))

    @property
    def exponent_bits(self) -> int:
        """Bits of the exponent k, 0 to n-1."""
        return (self.bits - 1).bit_length()

    @property
    def code_bits(self) -> int:
        """Bits of a code: sign, half-step flag, exponent."""
        return 2 + self.exponent_bits

    @property
    def zero_code(self) -> int:
        """The code of zero: half-step flag without exponent."""
        return 1 << self.exponent_bits


@dataclass(frozen=True)
class LeadingOneFormat:
    """Sign and position of the leading one of an n-bit two's complement operand (LAPA, eq. 3; FACT for both operands).

    Parameters: `bits` n, 4 to 10. Raises `Refusal` for anything else.
    """

    bits: int = OPERAND_BITS

    def __post_init__(self) -> None:
        _require_bits(self.bits)

    @property
    def position_bits(self) -> int:
        """Bits of the position, 0 to n-1."""
        return (self.bits - 1).bit_length()

    @property
    def code_bits(self) -> int:
        """Bits of a code: sign, position."""
        return 1 + self.position_bits

    @property
    def zero_code(self) -> int:
        """The code of zero: the position n-1 with a positive sign."""
        return self.bits - 1


@dataclass(frozen=True)
class IntegerFormat:
    """Two's complement of `bits` bits, made from an 8-bit operand by dropping its low bits, rounding half up, and
    saturating at the top. 8 bits drop nothing. Raises `Refusal` unless bits is 4 or 8."""

    bits: int = OPERAND_BITS
    legal: ClassVar[tuple[int, ...]] = (4, 8)

    def __post_init__(self) -> None:
        require(self.bits in self.legal, f"bits must be 4 or 8, not {self.bits!r}; choose int4 or int8.")

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.bits

    @property
    def dropped_bits(self) -> int:
        """Low bits of the 8-bit operand that the code does without."""
        return OPERAND_BITS - self.bits

    @property
    def zero_code(self) -> int:
        """The code of zero."""
        return 0


@dataclass(frozen=True)
class RawFormat:
    """The operand as it is, two's complement of `bits` bits, 4 to 10: LAPA leaves x uncoded. `Refusal` for others."""

    bits: int = OPERAND_BITS

    def __post_init__(self) -> None:
        _require_bits(self.bits)

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.bits

    @property
    def zero_code(self) -> int:
        """The code of zero."""
        return 0


Format = RawFormat | HLogFormat | LeadingOneFormat | IntegerFormat
