# SPDX-License-Identifier: Apache-2.0
"""Booth's partial products: together they are the product, but for an offset that depends on w alone."""

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hdl.arith import booth
from hdl.arith.compress import Word
from tests.arith import simulate
from tests.planted import Fault, Planted


class Partials(wiring.Component):
    """The partial products of x and w beside each other, the first one lowest."""

    def __init__(self, bits: int):
        self._width = sum(word.bits for word in booth.words(bits))
        super().__init__({"x": In(signed(bits)), "w": In(signed(bits)), "o": Out(self._width)})

    def elaborate(self, platform):
        m = Module()
        words = booth.partials(m, self.x, self.w)
        columns = Signal(self._width)
        m.d.comb += [columns.eq(Cat(words)), self.o.eq(columns)]
        assert len(Cat(words)) == self._width
        return m


def placed_sum(partials: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """The sum of the partial products, each in its column."""
    total = np.zeros_like(partials)
    for word in booth.words(bits):
        total += (partials & ((1 << word.bits) - 1)) << word.column
        partials = partials >> word.bits
    return total


def multiplies(partials: wiring.Component, x: NDArray[np.int64], w: NDArray[np.int64], bits: int) -> bool:
    """Is Σ partials(x, w) - Σ partials(0, w) the product of each x and w?"""
    offset = dict(zip(w.tolist(), range(len(w)), strict=True))
    both = np.concatenate([x, np.zeros(len(offset), dtype=np.int64)]), np.concatenate([w, np.array(list(offset))])
    sums = placed_sum(simulate.evaluate(partials, x=both[0], w=both[1]), bits)
    offsets = dict(zip(offset, sums[len(x) :].tolist(), strict=True))
    return bool((sums[: len(x)] - [offsets[value] for value in w.tolist()] == x * w).all())


def test_words_of_a_product() -> None:
    assert booth.words(4) == [Word(5, 0), Word(5, 2)]
    assert booth.words(8) == [Word(9, 0), Word(9, 2), Word(9, 4), Word(9, 6)]


def test_digits_of_a_few_weights() -> None:
    """w = d0 + 4·d1. A partial product is d·x, or below a top bit of 1 in its digit d·x - 1, its own top bit inverted.

    -1 has the digits -1 and "-0", 6 has -2 and 2, -8 has 0 and -2.
    """
    x, w = [3, 3, 3, -8, 5], [1, -1, 6, -8, 0]
    values = [(3, 0), (-3 - 1, 0 - 1), (-6 - 1, 6), (0, 16 - 1), (0, 0)]
    seen = simulate.evaluate(Partials(4), x=x, w=w).tolist()
    assert seen == [(low % 32 ^ 16) | (high % 32 ^ 16) << 5 for low, high in values]


@pytest.mark.parametrize("bits", [4, 6])
def test_every_product(bits: int) -> None:
    assert multiplies(Partials(bits), *simulate.pairs(simulate.operands(bits), simulate.operands(bits)), bits)


def test_every_weight_of_8_bits() -> None:
    x = np.array([-128, -127, -86, -1, 0, 1, 85, 126, 127, *np.random.default_rng(8).integers(-128, 128, 16)])
    assert multiplies(Partials(8), *simulate.pairs(x, simulate.operands(8)), 8)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({"w": lambda w: Value.cast(w)[:-1]}, id="sign of w dropped"),
        pytest.param({"x": abs}, id="sign of x dropped"),
        pytest.param({"o": lambda o: o & ~(1 << 4)}, id="a bit lost"),
    ],
)
def test_wrong_partials_are_caught(faults: dict[str, Fault]) -> None:
    x, w = simulate.pairs(simulate.operands(4), simulate.operands(4))
    assert not multiplies(Planted(Partials(4), **faults), x, w, 4)
