# SPDX-License-Identifier: Apache-2.0
"""Golden dot products: against sums written out in scalar Python, on NumPy and torch, at every shape and extreme."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.array import SYSTEMS, number_system
from config.errors import Refusal
from config.formats import ROUNDINGS, RawFormat
from golden import speculate
from golden.arrays import matmul_transposed, signed_integers
from golden.speculate import array

Matrix = NDArray[Any]

DOTS = {
    "hlog": speculate.hlog_dot,
    "aloc": speculate.aloc_dot,
    "pot": speculate.pot_dot,
    "int8": speculate.int8_dot,
    "int4": speculate.int4_dot,
}
LEVELS = sorted({0, *(1 << k for k in range(10)), *(3 << k for k in range(8))})


def hlog_value(x: int, bits: int = 8, rounding: str = "nearest") -> int:
    """The level next to x; between two that are equally near the rule decides."""
    levels = [level for level in LEVELS if level <= 1 << (bits - 1)]
    if rounding == "truncate":
        return int(math.copysign(max(level for level in levels if level <= abs(x)), x))
    down = rounding == "nearest_down"
    return int(math.copysign(min(levels, key=lambda level: (abs(abs(x) - level), level if down else -level)), x))


def leading_one_value(x: int) -> int:
    return int(math.copysign(2 ** math.floor(math.log2(abs(x))), x)) if x else 0


def int4_value(x: int) -> int:
    return min(math.floor(x / 16 + 0.5), 7)


VALUES: dict[str, tuple[Callable[[int], int], Callable[[int], int]]] = {
    "hlog": (hlog_value, hlog_value),
    "aloc": (int, leading_one_value),
    "pot": (leading_one_value, leading_one_value),
    "int8": (int, int),
    "int4": (int4_value, int4_value),
}


def scalar_dot(system: str, x: list[list[int]], w: list[list[int]]) -> list[list[int]]:
    """Σ over the terms, each operand as the system sees it."""
    of_x, of_w = VALUES[system]
    return [[sum(of_x(a) * of_w(b) for a, b in zip(row, weights, strict=True)) for weights in w] for row in x]


@st.composite
def operands(draw: st.DrawFn) -> tuple[Matrix, Matrix]:
    """x [T, D] and w [N, D] of int8, with T, N and D from 0 on, extremes as likely as all else together."""
    t, n, d = (draw(st.integers(0, 5)) for _ in range(3))
    element = st.sampled_from([-128, -127, -1, 0, 1, 5, 112, 127]) | st.integers(-128, 127)
    return tuple(  # type: ignore[return-value]
        np.array(draw(st.lists(element, min_size=rows * d, max_size=rows * d)), dtype=np.int8).reshape(rows, d)
        for rows in (t, n)
    )


# Bad arguments


def refusal_of(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        call()
    return str(refusal.value)


@pytest.mark.parametrize("system", SYSTEMS)
def test_operands_that_do_not_fit_are_refused(system: str) -> None:
    dot, two, three = DOTS[system], np.zeros((4, 2), np.int8), np.zeros((4, 3), np.int8)
    sentence = (
        "x and w must be [..., T, D] and [..., N, D] with the same D, not {} and {}; cut or pad them to one depth."
    )
    assert refusal_of(lambda: dot(two, three)) == sentence.format("(4, 2)", "(4, 3)")
    assert refusal_of(lambda: dot(two[0], two)) == sentence.format("(2,)", "(4, 2)")
    wide, sentence = np.full((1, 2), 128), "x must lie in [-128, 127], not in [128, 128]; requantise it to 8 bits."
    assert (
        refusal_of(lambda: dot(two, wide)) == "x must lie in [-128, 127], not in [128, 128]; requantise it to 8 bits."
    )
    assert refusal_of(lambda: dot(two * 0.5, two)) == "x must hold integers, not float64; quantise it first."


def test_a_depth_beyond_float64_is_refused() -> None:
    assert refusal_of(lambda: matmul_transposed(np.zeros((1, 4)), np.zeros((1, 4)), 2**51)) == (
        "D must be below 4 for an exact sum, not 4; split the depth."
    )


def test_the_argument_that_is_wrong_is_named() -> None:
    assert refusal_of(lambda: signed_integers(np.array([9]), 4, "bias")) == (
        "bias must lie in [-8, 7], not in [9, 9]; requantise it to 4 bits."
    )


def test_libraries_are_not_mixed() -> None:
    import torch

    with pytest.raises(TypeError):
        speculate.hlog_dot(np.zeros((1, 1), np.int8), torch.zeros((1, 1), dtype=torch.int8))


# Worked examples


@pytest.mark.parametrize(
    ("system", "total"),
    [
        ("hlog", 6 * 8 + 96 * -3 - 128 * 128),
        ("aloc", 5 * 4 + 100 * -2 - 128 * 64),
        ("pot", 4 * 4 + 64 * -2 - 128 * 64),
        ("int8", 5 * 7 + 100 * -3 - 128 * 127),
        ("int4", 0 * 0 + 6 * 0 - 8 * 7),
    ],
)
def test_a_sum_of_three_terms(system: str, total: int) -> None:
    x, w = np.array([[5, 100, -128]]), np.array([[7, -3, 127]])
    assert DOTS[system](x, w).tolist() == [[total]]


def test_the_largest_products_are_exact() -> None:
    """A dot product as deep as an array takes, all terms at the end of their range."""
    x = np.full((1, 8192), -128)
    for system, product in {"hlog": 2**14, "aloc": 2**14, "pot": 2**14, "int8": 2**14, "int4": 64}.items():
        assert DOTS[system](x, x).tolist() == [[8192 * product]]
    wide = np.full((1, 8192), -512)
    assert speculate.hlog_dot(wide, wide, bits=10).tolist() == [[8192 * 2**18]]


# The definition, on both libraries


@pytest.mark.parametrize("system", SYSTEMS)
@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(pair=operands())
def test_dot_is_the_scalar_sum(system: str, pair: tuple[Matrix, Matrix]) -> None:
    import torch

    x, w = pair
    expected = np.array(scalar_dot(system, x.tolist(), w.tolist()), dtype=np.int64).reshape(len(x), len(w))
    total = DOTS[system](x, w)
    assert total.dtype == np.int64
    assert (total == expected).all()
    twin = DOTS[system](torch.from_numpy(x.copy()), torch.from_numpy(w.copy()))
    assert twin.dtype == torch.int64
    assert (twin.numpy() == expected).all()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", range(4, 11))
def test_hlog_dot_of_every_width_and_rounding(bits: int, rounding: str) -> None:
    """All operands of a width as one column: the outer product of all levels."""
    column = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))
    levels = np.array([hlog_value(int(value), bits, rounding) for value in column])
    total = speculate.hlog_dot(column[:, None], column[:, None], bits, rounding)
    assert (total == np.outer(levels, levels)).all()


@pytest.mark.parametrize("system", ["aloc", "pot"])
@pytest.mark.parametrize("bits", range(4, 11))
def test_leading_one_dots_of_every_width(bits: int, system: str) -> None:
    column = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))
    of_x, of_w = VALUES[system]
    x, w = ([of(int(value)) for value in column] for of in (of_x, of_w))
    assert (array.dot(column[:, None], column[:, None], number_system(system, bits)) == np.outer(x, w)).all()


# Codes


@pytest.mark.parametrize("system", SYSTEMS)
def test_codes_are_unsigned_and_tell_values_apart(system: str) -> None:
    """As many codes as values, and each fits the format; the code of zero is what the format says it is."""
    x = np.arange(-128, 128)
    for coding in (number_system(system).x, number_system(system).w):
        codes, values = array.encode(x, coding), array.coded_value(x, coding)
        assert ((codes >= 0) & (codes < 1 << coding.code_bits)).all()
        assert len(set(zip(codes.tolist(), values.tolist(), strict=True))) == len(set(values.tolist()))
        assert len(set(codes.tolist())) == len(set(values.tolist()))
        assert ((codes == coding.zero_code) == (values == 0)).all()


def test_raw_codes_are_twos_complement() -> None:
    assert array.encode(np.array([-16, -1, 0, 15]), RawFormat(5)).tolist() == [0b10000, 0b11111, 0, 0b01111]


# Planted faults


@pytest.mark.parametrize(
    ("system", "wrong"),
    [
        ("hlog", lambda x, w: speculate.hlog_dot(x, w, rounding="nearest_down")),
        ("hlog", lambda x, w: speculate.hlog_dot(abs(x), w)),
        ("aloc", lambda x, w: speculate.aloc_dot(w, x).T),
        ("pot", speculate.aloc_dot),
    ],
    ids=["ties down", "sign dropped", "wrong operand coded", "one operand uncoded"],
)
def test_wrong_dots_are_caught(system: str, wrong: Callable[[Matrix, Matrix], Matrix]) -> None:
    x, w = np.random.default_rng(1).integers(-128, 128, (2, 4, 16))
    assert wrong(x, w).tolist() != scalar_dot(system, x.tolist(), w.tolist())


def test_products_stay_exact_whatever_torch_is_told() -> None:
    x = torch.randint(-128, 128, (5, 300), generator=torch.Generator().manual_seed(1))
    exact = x @ x.T
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(matmul_transposed(x, x, 1 << 14), exact)
        coarse = x.float() @ x.float().T
    assert not torch.equal(coarse.long(), exact)
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(matmul_transposed(x, x, 1 << 14), exact)
    finally:
        torch.set_float32_matmul_precision("highest")
