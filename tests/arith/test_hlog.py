# SPDX-License-Identifier: Apache-2.0
"""HLog: golden model against a search by definition, hardware against the golden model, both over every operand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Assume, Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from config.formats import MAX_BITS, MIN_BITS, ROUNDINGS, HLogFormat
from golden.arith import hlog
from hdl.arith.hlog import HLogEncoder, HLogMultiples, HLogProduct
from tests.arith import simulate
from tests.formal.prove import check
from tests.planted import Fault, Planted, without_top_bit

WIDTHS = range(MIN_BITS, MAX_BITS + 1)
PROVED_WIDTHS = (MIN_BITS, 8, MAX_BITS)
LEVELS_OF_8_BITS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
TIES_OF_8_BITS = [5, 7, 10, 14, 20, 28, 40, 56, 80, 112]


def projection(x: int, bits: int, rounding: str) -> int:
    """The level of x by definition: the nearest one of all, the rule deciding between two that are equally near."""
    levels = [0, *(1 << k for k in range(bits)), *(3 << k for k in range(bits - 2))]
    choice = {
        "nearest": lambda level: (abs(abs(x) - level), -level),
        "nearest_down": lambda level: (abs(abs(x) - level), level),
        "truncate": lambda level: (level > abs(x), -level),
    }[rounding]
    return min(levels, key=choice) * (-1 if x < 0 else 1)


def codes_of(bits: int) -> np.ndarray:
    """Every code of the format, once."""
    return np.unique(hlog.encode(simulate.operands(bits), bits))


# Construction and bad arguments


def test_ports() -> None:
    encoder = HLogEncoder(HLogFormat(10, "truncate"))
    assert encoder.coding == HLogFormat(10, "truncate")
    assert simulate.ports(encoder) == {"i": signed(10), "o": unsigned(2 + 4)}
    multiples, product = HLogMultiples(HLogFormat(8)), HLogProduct(HLogFormat(8))
    assert multiples.coding == product.coding == HLogFormat(8)
    assert simulate.ports(multiples) == {"i": unsigned(2 + 3), "once": signed(9), "thrice": signed(10)}
    assert simulate.ports(product) == {"x": unsigned(2 + 3), "w": unsigned(2 + 3), "o": signed(16)}


def test_operands_out_of_range_are_refused() -> None:
    assert simulate.refusal_of(lambda: hlog.quantise(np.array([3, 128]))) == (
        "x must lie in [-128, 127], not in [3, 128]; requantise it to 8 bits."
    )
    assert simulate.refusal_of(lambda: hlog.encode(np.array([-9, 7]), bits=4)) == (
        "x must lie in [-8, 7], not in [-9, 7]; requantise it to 4 bits."
    )


def test_operands_that_are_not_integers_are_refused() -> None:
    assert simulate.refusal_of(lambda: hlog.quantise(np.array([0.5]))) == (
        "x must hold integers, not float64; quantise it first."
    )


def test_formats_that_do_not_exist_are_refused() -> None:
    assert simulate.refusal_of(lambda: hlog.quantise(np.array([1]), bits=3)) == (
        "bits must be an integer from 4 to 10, not 3; set bits to the operand's width."
    )
    assert simulate.refusal_of(lambda: hlog.encode(np.array([1]), rounding="up")) == (
        "rounding must be one of nearest, nearest_down, truncate, not 'up'; set rounding to one of them."
    )
    assert simulate.refusal_of(lambda: hlog.decode(np.array([1]), bits=11)) == (
        "bits must be an integer from 4 to 10, not 11; set bits to the operand's width."
    )


# Worked examples


def test_levels_of_8_bits() -> None:
    assert list(HLogFormat(8).levels) == LEVELS_OF_8_BITS
    for rounding in ROUNDINGS:
        assert np.unique(abs(hlog.quantise(simulate.operands(8), 8, rounding))).tolist() == [0, *LEVELS_OF_8_BITS]


def test_ties_go_up_down_or_towards_zero() -> None:
    ties = np.array(TIES_OF_8_BITS)
    above = [6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
    below = [4, 6, 8, 12, 16, 24, 32, 48, 64, 96]
    assert hlog.quantise(ties).tolist() == above
    assert hlog.quantise(-ties).tolist() == [-level for level in above]
    for rounding in ("nearest_down", "truncate"):
        assert hlog.quantise(ties, rounding=rounding).tolist() == below
        assert hlog.quantise(-ties, rounding=rounding).tolist() == [-level for level in below]


def test_the_ties_are_all_there_are() -> None:
    up, down = (hlog.quantise(np.arange(128), rounding=rounding) for rounding in ("nearest", "nearest_down"))
    assert np.flatnonzero(up != down).tolist() == TIES_OF_8_BITS


def test_codes_of_a_few_operands() -> None:
    """sign | half step | exponent; zero is a half step without exponent."""
    x = np.array([0, 1, -1, 3, -6, 127, -128])
    assert hlog.encode(x).tolist() == [0b0_1_000, 0b0_0_000, 0b1_0_000, 0b0_1_001, 0b1_1_010, 0b0_0_111, 0b1_0_111]


# Every operand


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", WIDTHS)
def test_golden_is_the_definition(bits: int, rounding: str) -> None:
    x = simulate.operands(bits)
    assert hlog.quantise(x, bits, rounding).tolist() == [projection(int(value), bits, rounding) for value in x]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", WIDTHS)
def test_golden_codes_decode_to_the_levels(bits: int, rounding: str) -> None:
    code_format = HLogFormat(bits, rounding)
    x = simulate.operands(bits)
    codes = hlog.encode(x, bits, rounding)
    assert (hlog.decode(codes, bits) == hlog.quantise(x, bits, rounding)).all()
    assert ((codes >= 0) & (codes < 1 << code_format.code_bits)).all()
    assert ((codes == code_format.zero_code) == (x == 0)).all()


def encodes(encoder: wiring.Component, coding: HLogFormat) -> bool:
    """Does the encoder give the golden code of every operand?"""
    x = simulate.operands(coding.bits)
    return bool((simulate.evaluate(encoder, i=x) == hlog.encode(x, coding.bits, coding.rounding)).all())


def multiplies(product: wiring.Component, coding: HLogFormat) -> bool:
    """Is every product of two codes that of their golden levels?"""
    x, w = simulate.pairs(codes_of(coding.bits), codes_of(coding.bits))
    expected = hlog.decode(x, coding.bits) * hlog.decode(w, coding.bits)
    return bool((simulate.evaluate(product, x=x, w=w) == expected).all())


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", WIDTHS)
def test_encoder_is_golden(bits: int, rounding: str) -> None:
    coding = HLogFormat(bits, rounding)
    assert encodes(HLogEncoder(coding), coding)


@pytest.mark.parametrize(("port", "factor"), [("once", 1), ("thrice", 3)])
@pytest.mark.parametrize("bits", WIDTHS)
def test_multiples_are_golden(bits: int, port: str, factor: int) -> None:
    codes = codes_of(bits)
    dut = HLogMultiples(HLogFormat(bits))
    assert (simulate.evaluate(dut, port, i=codes) == factor * hlog.decode(codes, bits)).all()


@pytest.mark.parametrize("bits", WIDTHS)
def test_product_is_golden(bits: int) -> None:
    assert multiplies(HLogProduct(HLogFormat(bits)), HLogFormat(bits))


# The PyTorch twin


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", WIDTHS)
def test_torch_is_numpy(bits: int, rounding: str) -> None:
    import torch

    x = simulate.operands(bits)
    for function in (hlog.quantise, hlog.encode):
        twin = function(torch.from_numpy(x), bits, rounding)
        assert twin.dtype == torch.int64
        assert (twin.numpy() == function(x, bits, rounding)).all()
    codes = hlog.encode(x, bits, rounding)
    assert (hlog.decode(torch.from_numpy(codes), bits).numpy() == hlog.decode(codes, bits)).all()


@settings(deadline=None, derandomize=True, database=None)
@given(hnp.arrays(np.int8, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0), elements=st.integers(-128, 127)))
def test_every_shape_keeps_its_shape(x: np.ndarray) -> None:
    import torch

    expected = np.array([projection(int(value), 8, "nearest") for value in x.ravel()], dtype=np.int64).reshape(x.shape)
    level = hlog.quantise(x)
    assert level.shape == x.shape
    assert level.dtype == np.int64
    assert (level == expected).all()
    assert (hlog.quantise(torch.from_numpy(x.copy())).numpy() == expected).all()


# Proofs: the same for every operand, from another statement of the rule


def level_of(m: Module, code: Value, coding: HLogFormat, name: str) -> tuple[Value, Value]:
    """The signed level of a code, and whether it is one, by table."""
    level, legal = Signal(signed(coding.bits + 1), name=f"level_{name}"), Signal(name=f"legal_{name}")
    with m.Switch(code):
        with m.Case(coding.zero_code):
            m.d.comb += legal.eq(1)
        for magnitude in coding.levels:
            exponent = magnitude.bit_length() - 1
            half = int(magnitude != 1 << exponent)
            for sign in (0, 1):
                with m.Case((2 * sign + half << coding.exponent_bits) + exponent):
                    m.d.comb += [legal.eq(1), level.eq(-magnitude if sign else magnitude)]
    return level, legal


class EncoderClaim(wiring.Component):
    """The code stands for a level of the operand's sign, and by the rounding rule no other level suits better."""

    def __init__(self, encoder: wiring.Component, coding: HLogFormat):
        self._encoder, self._coding = encoder, coding
        super().__init__({"i": In(signed(coding.bits)), "other": In(coding.code_bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.encoder = encoder = self._encoder
        level, legal = level_of(m, Value.cast(encoder.o), self._coding, "o")
        other, other_legal = level_of(m, self.other, self._coding, "other")
        size, chosen, candidate = (Signal(self._coding.bits, name=name) for name in ("size", "chosen", "candidate"))
        m.d.comb += [
            encoder.i.eq(self.i),
            size.eq(abs(self.i)),
            chosen.eq(abs(level)),
            candidate.eq(abs(other)),
            Assume(other_legal),
            Assert(legal),
            Assert((self.i == 0) == (level == 0)),
            Assert((self.i < 0) == (level < 0)),
            Assert(self._suits(size, chosen, candidate)),
        ]
        return m

    def _suits(self, size: Value, chosen: Value, other: Value) -> Value:
        if self._coding.rounding == "truncate":
            return (chosen <= size) & ((other > size) | (other <= chosen))
        distance, others_distance = abs(size - chosen), abs(size - other)
        tie = chosen >= other if self._coding.rounding == "nearest" else chosen <= other
        return (distance < others_distance) | ((distance == others_distance) & tie)


class ProductClaim(wiring.Component):
    """The product of two codes is the integer product of their levels."""

    def __init__(self, product: wiring.Component, coding: HLogFormat):
        self._product, self._coding = product, coding
        super().__init__({"x": In(coding.code_bits), "w": In(coding.code_bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = self._product
        x, x_legal = level_of(m, self.x, self._coding, "x")
        w, w_legal = level_of(m, self.w, self._coding, "w")
        m.d.comb += [
            Value.cast(product.x).eq(self.x),
            Value.cast(product.w).eq(self.w),
            Assume(x_legal & w_legal),
            Assert(product.o == x * w),
        ]
        return m


@pytest.mark.formal
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_encoder_is_proved(rounding: str, tmp_path: Path) -> None:
    codings = [HLogFormat(bits, rounding) for bits in PROVED_WIDTHS]
    assert check(*(EncoderClaim(HLogEncoder(coding), coding) for coding in codings), folder=tmp_path)


@pytest.mark.formal
@pytest.mark.parametrize("bits", PROVED_WIDTHS)
def test_product_is_proved(bits: int, tmp_path: Path) -> None:
    assert check(ProductClaim(HLogProduct(HLogFormat(bits)), HLogFormat(bits)), folder=tmp_path)


# Planted faults, which the tests and the proofs must catch

WRONG_ENCODERS = [
    pytest.param("nearest", lambda coding: HLogEncoder(HLogFormat(coding.bits, "nearest_down")), id="ties down"),
    pytest.param("nearest_down", lambda coding: HLogEncoder(HLogFormat(coding.bits, "nearest")), id="ties up"),
    pytest.param("nearest", lambda coding: Planted(HLogEncoder(coding), o=without_top_bit), id="sign dropped"),
]
WRONG_PRODUCTS = [
    pytest.param({"w": without_top_bit}, id="sign of w dropped"),
    pytest.param({"w": lambda w: w ^ 1}, id="wrong shift"),
]


@pytest.mark.parametrize(("rounding", "wrong"), WRONG_ENCODERS)
def test_wrong_encoder_is_caught(rounding: str, wrong: Callable[[HLogFormat], wiring.Component]) -> None:
    assert not encodes(wrong(HLogFormat(8, rounding)), HLogFormat(8, rounding))


@pytest.mark.formal
@pytest.mark.parametrize(("rounding", "wrong"), WRONG_ENCODERS)
def test_wrong_encoder_is_refuted(
    rounding: str, wrong: Callable[[HLogFormat], wiring.Component], tmp_path: Path
) -> None:
    coding = HLogFormat(8, rounding)
    assert not check(EncoderClaim(wrong(coding), coding), folder=tmp_path)


@pytest.mark.parametrize("faults", WRONG_PRODUCTS)
def test_wrong_product_is_caught(faults: dict[str, Fault]) -> None:
    assert not multiplies(Planted(HLogProduct(HLogFormat(8)), **faults), HLogFormat(8))


@pytest.mark.formal
@pytest.mark.parametrize("faults", WRONG_PRODUCTS)
def test_wrong_product_is_refuted(faults: dict[str, Fault], tmp_path: Path) -> None:
    coding = HLogFormat(8)
    assert not check(ProductClaim(Planted(HLogProduct(coding), **faults), coding), folder=tmp_path)
