# SPDX-License-Identifier: Apache-2.0
"""No accumulator of the execution units overflows: for every size that can be built there is a row that reaches the
last bit of its sum, none that goes beyond; and a unit whose sum has one bit less is wrong."""

import numpy as np
import pytest

from config.execute import POWER_BITS
from config.units import MAX_WIDTH
from hdl.execute.layer_norm import LayerNormUnit
from hdl.execute.norm_widths import NormWidths
from hdl.execute.softmax import SoftmaxUnit
from hdl.execute.total import RowTotal
from tests.arith import simulate
from tests.execute.rows import Row
from tests.execute.test_layer_norm_unit import check as check_norm
from tests.execute.test_layer_norm_unit import norm_of
from tests.execute.test_softmax_unit import check as check_softmax

LOWEST, HIGHEST = -(2**15), 2**15 - 1


def test_sums_of_rows_fit_and_no_bit_is_spare() -> None:
    for width in range(1, MAX_WIDTH + 1):
        widths = NormWidths(width)
        least, most, squares = width * LOWEST, width * HIGHEST, width * LOWEST**2
        assert -(1 << (widths.total - 1)) <= least < -(1 << (widths.total - 2))
        assert most < 1 << (widths.total - 1)
        assert 1 << (widths.squares - 1) <= squares < 1 << widths.squares


@pytest.mark.parametrize("lanes", [1, 4, 16, 64])
def test_totals_of_softmax_fit_and_no_bit_is_spare(lanes: int) -> None:
    """A power is at most 2^21, which that of the largest score is: keys that are all equal reach the bound."""
    for keys in range(lanes, 4096 + 1, lanes):
        bits = POWER_BITS + keys.bit_length()
        assert 1 << (bits - 1) <= keys << POWER_BITS < 1 << bits
        if keys in (lanes, 4096):
            unit = RowTotal(lanes, keys)
            simulate.ports(unit)
            assert unit._total_bits == bits


ROWS = np.array([[LOWEST] * 24, [HIGHEST] * 24, [LOWEST] * 23 + [0]])


def check_rows_of_the_bounds() -> None:
    check_norm(LayerNormUnit(lanes=4, width=24), ROWS, norm_of(24), 4, cycles=400)


def test_rows_of_the_bounds_are_golden() -> None:
    check_rows_of_the_bounds()


@pytest.mark.parametrize("name", ["total", "squares"])
def test_a_sum_of_one_bit_less_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = getattr(NormWidths, name).fget
    monkeypatch.setattr(NormWidths, name, property(lambda self: whole(self) - 1))
    with pytest.raises(AssertionError):
        check_rows_of_the_bounds()


@pytest.mark.parametrize("less", [0, 1])
def test_a_total_of_one_bit_less_is_caught(less: int) -> None:
    """16 keys that are all equal."""
    row = Row(np.full(16, 7), np.ones(16, dtype=bool), (1, 1))
    dut = SoftmaxUnit(lanes=2, tokens=16)
    dut._total._total_bits -= less
    if not less:
        check_softmax(dut, [row, row], 2)
        return
    with pytest.raises(AssertionError):
        check_softmax(dut, [row, row], 2)
