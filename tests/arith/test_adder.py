# SPDX-License-Identifier: Apache-2.0
"""Adders against Python's integers."""

import numpy as np
import pytest

from hdl.arith import adder
from hdl.arith.adder import IncrementingAdder, SlicedAdder
from tests.arith.simulate import evaluate, operands


def every(a_bits: int, b_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of operands."""
    a, b = np.meshgrid(operands(a_bits), operands(b_bits))
    return a.ravel(), b.ravel()


def sums(bits: int, addend_bits: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return evaluate(SlicedAdder(bits, addend_bits), a=a, b=b)


@pytest.mark.parametrize(("bits", "addend_bits"), [(1, 1), (4, 2), (5, 5)])
def test_sliced_adder_adds_everything(bits: int, addend_bits: int, monkeypatch) -> None:
    monkeypatch.setattr(adder, "LONGEST_SLICE", 2)
    a, b = every(bits, addend_bits)
    np.testing.assert_array_equal(sums(bits, addend_bits, a, b), a + b)


def test_sliced_adder_carries_through_all_slices() -> None:
    rng = np.random.default_rng(1)
    bits = 2 * adder.LONGEST_SLICE + 3
    high = 1 << (bits - 1)
    a = np.concatenate([rng.integers(-high, high, 500), [-1, high - 1, -high, -high, 0]])
    b = np.concatenate([rng.integers(-high, high, 500), [1, high - 1, -high, -1, -1]])
    np.testing.assert_array_equal(sums(bits, bits, a, b), a + b)


def test_incrementing_adder() -> None:
    a, b = every(4, 4)
    np.testing.assert_array_equal(evaluate(IncrementingAdder(4), a=a, b=b), (a + b + 1) % 16)
