# SPDX-License-Identifier: Apache-2.0
"""Leading one: golden model against logarithms, hardware against the golden model, both over every operand."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from config.formats import MAX_BITS, MIN_BITS, LeadingOneFormat
from golden.arith import leading_one
from hdl.arith.leading_one import LeadingOneEncoder
from tests.arith import simulate
from tests.formal.prove import check
from tests.planted import Planted, without_top_bit

WIDTHS = range(MIN_BITS, MAX_BITS + 1)


def cut_down(x: int) -> int:
    """sign(x) · 2^floor(log2|x|), which floating point computes exactly for numbers this small."""
    return int(math.copysign(2 ** math.floor(math.log2(abs(x))), x)) if x else 0


# Construction and bad arguments


def test_ports() -> None:
    encoder = LeadingOneEncoder(LeadingOneFormat(10))
    assert encoder.coding == LeadingOneFormat(10)
    assert simulate.ports(encoder) == {"i": signed(10), "o": unsigned(1 + 4)}


def test_bad_arguments_are_refused() -> None:
    assert simulate.refusal_of(lambda: leading_one.encode(np.array([-129, 5]))) == (
        "x must lie in [-128, 127], not in [-129, 5]; requantise it to 8 bits."
    )
    assert simulate.refusal_of(lambda: leading_one.encode(np.array([True]))) == (
        "x must hold integers, not bool; quantise it first."
    )
    for call in (leading_one.encode, leading_one.encode_packed, leading_one.decode, leading_one.quantise):
        assert simulate.refusal_of(lambda call=call: call(np.array([1]), bits=11)) == (
            "bits must be an integer from 4 to 10, not 11; set bits to the operand's width."
        )


# Worked examples


def test_sign_position_and_zero_flag() -> None:
    sign, position, zero = leading_one.encode(np.array([0, 1, -1, 2, 3, -100, 127, -128]))
    assert sign.tolist() == [False, False, True, False, False, True, False, True]
    assert position.tolist() == [0, 0, 0, 1, 1, 6, 6, 7]
    assert zero.tolist() == [True] + 7 * [False]


def test_codes_of_a_few_operands() -> None:
    """sign | position; zero is the position that no positive operand has."""
    x = np.array([0, 1, -1, 3, -100, 127, -128])
    assert leading_one.encode_packed(x).tolist() == [0b0_111, 0b0_000, 0b1_000, 0b0_001, 0b1_110, 0b0_110, 0b1_111]
    assert leading_one.quantise(x).tolist() == [0, 1, -1, 2, -64, 64, -128]


# Every operand


def encodes(encoder: wiring.Component, bits: int) -> bool:
    """Does the encoder give the golden code of every operand?"""
    x = simulate.operands(bits)
    return bool((simulate.evaluate(encoder, i=x) == leading_one.encode_packed(x, bits)).all())


@pytest.mark.parametrize("bits", WIDTHS)
def test_golden_is_the_definition(bits: int) -> None:
    x = simulate.operands(bits)
    expected = [cut_down(int(value)) for value in x]
    assert leading_one.quantise(x, bits).tolist() == expected
    sign, position, zero = leading_one.encode(x, bits)
    assert (np.where(zero, 0, np.where(sign, -1, 1) << position) == expected).all()


@pytest.mark.parametrize("bits", WIDTHS)
def test_golden_codes_are_of_the_format(bits: int) -> None:
    x = simulate.operands(bits)
    codes = leading_one.encode_packed(x, bits)
    assert ((codes >= 0) & (codes < 1 << LeadingOneFormat(bits).code_bits)).all()
    assert ((codes == LeadingOneFormat(bits).zero_code) == (x == 0)).all()
    assert (leading_one.decode(codes, bits) == leading_one.quantise(x, bits)).all()


@pytest.mark.parametrize("bits", WIDTHS)
def test_encoder_is_golden(bits: int) -> None:
    assert encodes(LeadingOneEncoder(LeadingOneFormat(bits)), bits)


# The PyTorch twin


@pytest.mark.parametrize("bits", WIDTHS)
def test_torch_is_numpy(bits: int) -> None:
    import torch

    x = simulate.operands(bits)
    for twin, own in zip(leading_one.encode(torch.from_numpy(x), bits), leading_one.encode(x, bits), strict=True):
        assert (twin.numpy() == own).all()
    codes = leading_one.encode_packed(torch.from_numpy(x), bits)
    assert (codes.numpy() == leading_one.encode_packed(x, bits)).all()
    assert (leading_one.decode(codes, bits).numpy() == leading_one.quantise(x, bits)).all()


@settings(deadline=None, derandomize=True, database=None)
@given(hnp.arrays(np.int8, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0), elements=st.integers(-128, 127)))
def test_every_shape_keeps_its_shape(x: np.ndarray) -> None:
    import torch

    expected = np.array([cut_down(int(value)) for value in x.ravel()], dtype=np.int64).reshape(x.shape)
    for quantised in (leading_one.quantise(x), leading_one.quantise(torch.from_numpy(x.copy())).numpy()):
        assert quantised.shape == x.shape
        assert quantised.dtype == np.int64
        assert (quantised == expected).all()


# Proof: the same for every operand, from 2^position <= |x| < 2^(position+1)


class EncoderClaim(wiring.Component):
    """|x| lies between the power of two at its position and the next one; the sign is that of x, zero has its code."""

    def __init__(self, encoder: wiring.Component, coding: LeadingOneFormat):
        self._encoder, self._coding = encoder, coding
        super().__init__({"i": In(signed(coding.bits))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.encoder = encoder = self._encoder
        code = Signal(self._coding.code_bits)
        power = Signal(self._coding.bits)
        m.d.comb += [
            encoder.i.eq(self.i),
            code.eq(Value.cast(encoder.o)),
            power.eq(1 << code[:-1]),
            Assert((self.i == 0) == (code == self._coding.zero_code)),
            Assert((self.i == 0) | ((power <= abs(self.i)) & (abs(self.i) < power << 1))),
            Assert(code[-1] == (self.i < 0)),
        ]
        return m


@pytest.mark.formal
def test_encoder_is_proved(tmp_path: Path) -> None:
    codings = [LeadingOneFormat(bits) for bits in WIDTHS]
    assert check(*(EncoderClaim(LeadingOneEncoder(coding), coding) for coding in codings), folder=tmp_path)


# Planted faults, which the tests and the proof must catch

WRONG_ENCODERS = [
    pytest.param(lambda encoder: Planted(encoder, o=without_top_bit), id="sign dropped"),
    pytest.param(lambda encoder: Planted(encoder, i=lambda i: i | (i == -128)), id="-128 not a power"),
]


@pytest.mark.parametrize("wrong", WRONG_ENCODERS)
def test_wrong_encoder_is_caught(wrong: Callable[[wiring.Component], wiring.Component]) -> None:
    assert not encodes(wrong(LeadingOneEncoder(LeadingOneFormat(8))), 8)


@pytest.mark.formal
@pytest.mark.parametrize("wrong", WRONG_ENCODERS)
def test_wrong_encoder_is_refuted(wrong: Callable[[wiring.Component], wiring.Component], tmp_path: Path) -> None:
    coding = LeadingOneFormat(8)
    assert not check(EncoderClaim(wrong(LeadingOneEncoder(coding)), coding), folder=tmp_path)
