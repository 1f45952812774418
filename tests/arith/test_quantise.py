# SPDX-License-Identifier: Apache-2.0
"""From real values to integers."""

import numpy as np
import pytest
import torch

from config.errors import Refusal
from golden.arith.quantise import quantise, quantise_symmetric


def test_quantisation_rounds_half_up() -> None:
    codes, scale = quantise_symmetric(np.array([127.0, 0.5, -0.5, 1.5, -1.5, 2.49, -2.51]))
    assert scale == 1.0
    assert codes.dtype == np.int8
    assert codes.tolist() == [127, 1, 0, 2, -1, 2, -3]


def test_quantisation_uses_the_whole_symmetric_range() -> None:
    values = np.random.default_rng(5).normal(size=(40, 50)) * 3e-7
    for sign in (1, -1):
        values.flat[77] = sign * 1e-5
        codes, scale = quantise_symmetric(values)
        assert int(codes.flat[77]) == sign * 127
        assert scale == 1e-5 / 127
        assert int(np.abs(codes.astype(int)).max()) == 127
        assert np.abs(codes * scale - values).max() <= scale * (0.5 + 1e-9)


def test_zeros_are_quantised_to_zeros() -> None:
    codes, scale = quantise_symmetric(np.zeros((2, 3), dtype=np.float32))
    assert scale == 1.0
    assert codes.tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("values", "given"), [([], "nothing"), ([1.0, np.nan], "an infinity or NaN"), ([np.inf], "an infinity or NaN")]
)
def test_what_is_not_finite_is_refused(values: list[float], given: str) -> None:
    with pytest.raises(Refusal) as refusal:
        quantise_symmetric(np.array(values))
    assert str(refusal.value) == (
        f"A tensor to quantise must hold finite numbers, not {given}; check where it comes from."
    )


def test_units_of_each_channel() -> None:
    x = np.array([[0.5, 0.5, -1000.0], [-0.5, 1.4, 1000.0]])
    scale = np.array([1.0, 0.2, 1.0])
    expected = [[1, 3, -128], [0, 7, 127]]
    assert quantise(x, scale, 8).tolist() == expected
    assert quantise(torch.asarray(x), scale, 8).tolist() == expected
    with pytest.raises(Refusal, match=r"^A tensor to quantise must hold finite numbers, not an infinity or NaN; check"):
        quantise(np.array([np.nan]), scale, 8)
