# SPDX-License-Identifier: Apache-2.0
"""Formats: what exists at which width, and what is refused."""

from collections.abc import Callable

import pytest

from config.errors import Refusal, require
from config.formats import HLogFormat, IntegerFormat, LeadingOneFormat, RawFormat

BITS = "bits must be an integer from 4 to 10, not {}; set bits to the operand's width."


@pytest.mark.parametrize("make", [HLogFormat, LeadingOneFormat, RawFormat])
@pytest.mark.parametrize("bits", [3, 11, 8.0, "8", None])
def test_other_widths_are_refused(make: Callable[[object], object], bits: object) -> None:
    with pytest.raises(Refusal) as refusal:
        make(bits)
    assert str(refusal.value) == BITS.format(repr(bits))


@pytest.mark.parametrize("rounding", ["Nearest", "", None])
def test_other_roundings_are_refused(rounding: str) -> None:
    with pytest.raises(Refusal) as refusal:
        HLogFormat(8, rounding)
    assert str(refusal.value) == (
        f"rounding must be one of nearest, nearest_down, truncate, not {rounding!r}; set rounding to one of them."
    )


def test_other_integers_are_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        IntegerFormat(6)
    assert str(refusal.value) == "bits must be 4 or 8, not 6; choose int4 or int8."


def test_a_refusal_is_raised_only_when_a_condition_fails() -> None:
    require(True, "never said")
    with pytest.raises(Refusal, match=r"^said\.$"):
        require(False, "said.")


@pytest.mark.parametrize(
    ("bits", "levels"),
    [
        (4, (1, 2, 3, 4, 6, 8)),
        (5, (1, 2, 3, 4, 6, 8, 12, 16)),
        (8, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)),
    ],
)
def test_levels(bits: int, levels: tuple[int, ...]) -> None:
    assert HLogFormat(bits).levels == levels


@pytest.mark.parametrize(
    ("bits", "hlog", "leading_one"), [(4, 4, 3), (5, 5, 4), (7, 5, 4), (8, 5, 4), (9, 6, 5), (10, 6, 5)]
)
def test_widths_of_codes(bits: int, hlog: int, leading_one: int) -> None:
    """The exponents 0 to n-1, a sign, and for HLog the half step."""
    assert HLogFormat(bits).code_bits == hlog
    assert LeadingOneFormat(bits).code_bits == leading_one
    assert RawFormat(bits).code_bits == bits


@pytest.mark.parametrize("bits", range(4, 11))
def test_zero_has_a_code_of_its_own(bits: int) -> None:
    """No level is a half step at exponent 0, and no operand +2^(n-1)."""
    hlog, leading_one = HLogFormat(bits), LeadingOneFormat(bits)
    assert (hlog.zero_code >> hlog.exponent_bits, hlog.zero_code % (1 << hlog.exponent_bits)) == (1, 0)
    assert leading_one.zero_code == bits - 1 < 1 << leading_one.position_bits
    assert RawFormat(bits).zero_code == IntegerFormat(4).zero_code == 0


def test_dropped_bits() -> None:
    assert (IntegerFormat(4).dropped_bits, IntegerFormat(8).dropped_bits) == (4, 0)
    assert (IntegerFormat(4).code_bits, IntegerFormat(8).code_bits) == (4, 8)
