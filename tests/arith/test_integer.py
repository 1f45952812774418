# SPDX-License-Identifier: Apache-2.0
"""Narrow integers: golden model against exact fractions, hardware against the golden model, over every int8."""

import math
from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import wiring

from config.formats import IntegerFormat
from golden.arith import integer
from hdl.arith.integer import IntegerEncoder
from tests.arith import simulate
from tests.planted import Planted


def rounded(x: int, bits: int) -> int:
    """x in units of the dropped bits, to the nearest integer, ties towards +infinity, saturated at the top."""
    return min(math.floor(Fraction(x, 1 << (8 - bits)) + Fraction(1, 2)), (1 << (bits - 1)) - 1)


def encodes(encoder: wiring.Component, bits: int) -> bool:
    """Does the encoder give the golden value of every int8?"""
    x = simulate.operands(8)
    return bool((simulate.evaluate(encoder, i=x) == integer.quantise(x, bits)).all())


def test_ports() -> None:
    encoder = IntegerEncoder(IntegerFormat(4))
    assert encoder.coding == IntegerFormat(4)
    assert simulate.ports(encoder) == {"i": signed(8), "o": signed(4)}


def test_bad_arguments_are_refused() -> None:
    assert simulate.refusal_of(lambda: integer.quantise(np.array([1]), 5)) == (
        "bits must be 4 or 8, not 5; choose int4 or int8."
    )
    assert simulate.refusal_of(lambda: integer.quantise(np.array([-128, 128]), 4)) == (
        "x must lie in [-128, 127], not in [-128, 128]; requantise it to 8 bits."
    )


def test_ties_saturation_and_sign() -> None:
    x = np.array([0, 7, 8, -8, -9, 24, 119, 120, 127, -128, -120, -121])
    assert integer.quantise(x, 4).tolist() == [0, 0, 1, 0, -1, 2, 7, 7, 7, -8, -7, -8]
    assert integer.quantise(x, 8).tolist() == x.tolist()


@pytest.mark.parametrize("bits", IntegerFormat.legal)
def test_golden_is_the_definition(bits: int) -> None:
    x = simulate.operands(8)
    assert integer.quantise(x, bits).tolist() == [rounded(int(value), bits) for value in x]


@pytest.mark.parametrize("bits", IntegerFormat.legal)
def test_encoder_is_golden(bits: int) -> None:
    assert encodes(IntegerEncoder(IntegerFormat(bits)), bits)


@pytest.mark.parametrize("bits", IntegerFormat.legal)
def test_torch_is_numpy(bits: int) -> None:
    import torch

    x = simulate.operands(8)
    assert (integer.quantise(torch.from_numpy(x), bits).numpy() == integer.quantise(x, bits)).all()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda i: i - (i[:4] == 8), id="ties down"),
        pytest.param(lambda i: i & ~(i[-1] << 7), id="sign dropped"),
        pytest.param(lambda i: i & 0b1111_0000, id="truncates"),
    ],
)
def test_wrong_encoder_is_caught(fault) -> None:
    assert not encodes(Planted(IntegerEncoder(IntegerFormat(4)), i=fault), 4)
