# SPDX-License-Identifier: Apache-2.0
"""Shift product: every word under every code, and by proof equal to a multiplication."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.formats import MAX_BITS, MIN_BITS, LeadingOneFormat
from golden.arith import leading_one
from hdl.arith.shift import ShiftProduct
from tests.arith import simulate
from tests.formal.prove import check
from tests.planted import Fault, Planted, without_top_bit

WIDTHS = range(MIN_BITS, MAX_BITS + 1)
SIMULATED_WIDTHS = range(MIN_BITS, 9)


# Construction


def test_ports() -> None:
    product = ShiftProduct(LeadingOneFormat(8))
    assert product.coding == LeadingOneFormat(8)
    assert simulate.ports(product) == {"x": signed(8), "w": unsigned(1 + 3), "o": signed(16)}


# Worked examples


def test_a_few_products() -> None:
    """The third factor is zero, whose code is the position that no positive operand has."""
    x, w = [100, -128, 77, -128, -3], [0b0_011, 0b0_000, 0b0_111, 0b1_111, 0b1_001]
    product = ShiftProduct(LeadingOneFormat(8))
    assert simulate.evaluate(product, x=x, w=w).tolist() == [800, -128, 0, 16384, 6]


# Every word under every code


def multiplies(product: wiring.Component, bits: int) -> bool:
    """Is each product that of the word and the golden value of the code?"""
    codes = np.unique(leading_one.encode_packed(simulate.operands(bits), bits))
    x, w = simulate.pairs(simulate.operands(bits), codes)
    return bool((simulate.evaluate(product, x=x, w=w) == x * leading_one.decode(w, bits)).all())


@pytest.mark.parametrize("bits", SIMULATED_WIDTHS)
def test_product_is_golden(bits: int) -> None:
    assert multiplies(ShiftProduct(LeadingOneFormat(bits)), bits)


# Proof: equal to the multiplication


class ProductClaim(wiring.Component):
    """The product is x times ±2^position, or 0 under the code of zero."""

    def __init__(self, product: wiring.Component, coding: LeadingOneFormat):
        self._product, self._coding = product, coding
        super().__init__({"x": In(signed(coding.bits)), "position": In(range(coding.bits)), "sign": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = self._product
        w = Signal(signed(self._coding.bits + 1))
        with m.Switch(Cat(self.position, self.sign)):
            for position in range(self._coding.bits):
                for sign, value in enumerate((1 << position, -1 << position)):
                    code = position | sign << self._coding.position_bits
                    if code != self._coding.zero_code:
                        with m.Case(code):
                            m.d.comb += w.eq(value)
            with m.Default():
                m.d.comb += w.eq(0)
        m.d.comb += [
            product.x.eq(self.x),
            Value.cast(product.w).eq(Cat(self.position, self.sign)),
            Assert((self.position >= self._coding.bits) | (product.o == self.x * w)),
        ]
        return m


@pytest.mark.formal
def test_product_is_proved(tmp_path: Path) -> None:
    codings = [LeadingOneFormat(bits) for bits in WIDTHS]
    assert check(*(ProductClaim(ShiftProduct(coding), coding) for coding in codings), folder=tmp_path)


# Planted faults, which the tests and the proof must catch

WRONG_PRODUCTS = [
    pytest.param({"w": without_top_bit}, id="sign of w dropped"),
    pytest.param({"x": abs}, id="sign of x dropped"),
    pytest.param({"w": lambda w: w & ~(w == 0b0_111)}, id="zero taken for a power"),
]


@pytest.mark.parametrize("faults", WRONG_PRODUCTS)
def test_wrong_product_is_caught(faults: dict[str, Fault]) -> None:
    assert not multiplies(Planted(ShiftProduct(LeadingOneFormat(8)), **faults), 8)


@pytest.mark.formal
@pytest.mark.parametrize("faults", WRONG_PRODUCTS)
def test_wrong_product_is_refuted(faults: dict[str, Fault], tmp_path: Path) -> None:
    coding = LeadingOneFormat(8)
    assert not check(ProductClaim(Planted(ShiftProduct(coding), **faults), coding), folder=tmp_path)
