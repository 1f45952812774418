# SPDX-License-Identifier: Apache-2.0
"""Array configurations: derived widths hold every sum and no more, presets name what they should."""

import itertools

import numpy as np
import pytest

from config.array import SYSTEMS, ArrayConfig, number_system, signed_bits
from config.errors import Refusal
from config.formats import HLogFormat, IntegerFormat, LeadingOneFormat, RawFormat
from config.presets import PRESETS, arrays
from config.requantise import MAX_SHIFT, MIN_SHIFT, MUL_BITS, SHIFT_BITS, internal_bits
from golden.speculate.array import coded_value


def test_systems_code_their_operands() -> None:
    coded = {name: (number_system(name).x, number_system(name).w) for name in SYSTEMS}
    assert coded == {
        "hlog": (HLogFormat(8), HLogFormat(8)),
        "aloc": (RawFormat(8), LeadingOneFormat(8)),
        "pot": (LeadingOneFormat(8), LeadingOneFormat(8)),
        "int8": (IntegerFormat(8), IntegerFormat(8)),
        "int4": (IntegerFormat(4), IntegerFormat(4)),
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_largest_product_is_reached_and_not_passed(system: str) -> None:
    """-2^(n-1) squared."""
    coding, x = number_system(system), np.arange(-128, 128)
    products = np.outer(coded_value(x, coding.x), coded_value(x, coding.w))
    assert abs(products).max() == products.max() == coding.product_magnitude


@pytest.mark.parametrize("magnitude", [1, 2, 127, 128, 2**20])
def test_signed_bits(magnitude: int) -> None:
    bits = signed_bits(magnitude)
    assert -(1 << (bits - 1)) <= -magnitude <= magnitude < 1 << (bits - 1)
    assert magnitude >= 1 << (bits - 2)


@pytest.mark.parametrize("bits", range(4, 11))
def test_an_accumulator_holds_its_longest_sum_and_has_no_bit_to_spare(bits: int) -> None:
    for terms in (4, 1000, 8192):
        config = ArrayConfig(number_system("hlog", bits), lanes=4, terms=terms)
        largest = terms * (1 << (bits - 1)) ** 2
        assert largest.bit_length() + 1 == config.acc_bits


def test_names() -> None:
    assert ArrayConfig().name == "hlog_dot_16x64"
    assert ArrayConfig(number_system("int8"), rows=2, lanes=3, booth=True).name == "int8_booth_dot_2x3"


def test_presets() -> None:
    assert PRESETS == ("tiny", "minilm", "paper")
    shapes = {preset: {(c.rows, c.lanes, c.depth, c.terms) for c in arrays(preset).values()} for preset in PRESETS}
    assert shapes == {"tiny": {(4, 4, 4, 16)}, "minilm": {(16, 64, 128, 384)}, "paper": {(128, 32, 2048, 4096)}}
    for preset in PRESETS:
        assert {name: config.system for name, config in arrays(preset).items()} == {
            name: number_system(name) for name in SYSTEMS
        }


def test_another_preset_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        arrays("huge")
    assert str(refusal.value) == "The preset must be one of tiny, minilm, paper, not 'huge'; choose one of them."


@pytest.mark.parametrize("acc_bits", range(2, 48))
def test_the_requantiser_never_overflows(acc_bits: int) -> None:
    """At the ends of every range, the rounded product fits the declared width."""
    accs = (-(1 << (acc_bits - 1)), (1 << (acc_bits - 1)) - 1)
    muls, shifts = (0, (1 << MUL_BITS) - 1), (MIN_SHIFT, MAX_SHIFT)
    sums = [acc * mul + (1 << (shift - 1)) for acc, mul, shift in itertools.product(accs, muls, shifts)]
    limit = 1 << (internal_bits(acc_bits) - 1)
    assert all(-limit <= total < limit for total in sums)


def test_every_shift_has_a_code() -> None:
    assert 1 << (SHIFT_BITS - 1) <= MAX_SHIFT < 1 << SHIFT_BITS
