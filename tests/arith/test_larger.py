# SPDX-License-Identifier: Apache-2.0
"""The comparison against Python's: every pair of short words, words that differ in any one place, and proved."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.arith.larger import Larger
from tests.arith import simulate
from tests.formal.prove import check
from tests.planted import Planted


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_every_comparison(bits: int) -> None:
    a, b = simulate.pairs(np.arange(1 << bits), np.arange(1 << bits))
    assert simulate.evaluate(Larger(bits), a=a, b=b).tolist() == np.maximum(a, b).tolist()
    assert simulate.evaluate(Larger(bits), "above", a=a, b=b).tolist() == (a > b).tolist()


@pytest.mark.parametrize("bits", [22, 32])
def test_wide_comparisons(bits: int) -> None:
    """Of words that differ in a single bit, with anything below, and of equal ones."""
    rng = np.random.default_rng(bits)
    a = rng.integers(0, 1 << bits, 500)
    top = rng.integers(0, bits + 1, 500)
    b = np.where(top == bits, a, a ^ (1 << top) ^ rng.integers(0, 1 << top))
    b &= (1 << bits) - 1
    assert simulate.evaluate(Larger(bits), a=a, b=b).tolist() == np.maximum(a, b).tolist()
    assert simulate.evaluate(Larger(bits), "above", a=a, b=b).tolist() == (a > b).tolist()


class Claim(wiring.Component):
    """Of any two words."""

    def __init__(self, larger: wiring.Component, bits: int):
        self._larger = larger
        super().__init__({"a": In(bits), "b": In(bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.larger = dut = self._larger
        m.d.comb += [
            dut.a.eq(self.a),
            dut.b.eq(self.b),
            Assert(dut.above == (self.a > self.b)),
            Assert(dut.o == Mux(self.a > self.b, self.a, self.b)),
        ]
        return m


@pytest.mark.formal
@pytest.mark.parametrize("bits", [2, 17, 33])
def test_comparison_is_proved(bits: int, tmp_path: Path) -> None:
    assert check(Claim(Larger(bits), bits), folder=tmp_path)


@pytest.mark.formal
def test_lost_bit_is_refuted(tmp_path: Path) -> None:
    assert not check(Claim(Planted(Larger(17), a=lambda a: a & ~1), 17), folder=tmp_path)
