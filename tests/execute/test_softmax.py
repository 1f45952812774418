# SPDX-License-Identifier: Apache-2.0
"""Softmax and context against their definition in Python's integers, against float, and against their twin in torch."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from config.execute import FRACTION_BITS
from golden.execute import softmax as module
from golden.execute.scales import multipliers
from golden.execute.softmax import Softmax, context, powers, softmax

NUMERICS = Path(__file__).resolve().parents[2] / "docs/numerics.md"
KINDS = ("random", "flat", "peak", "two peaks", "extremes", "close")


def scores_of(kind: str, rows: int, keys: int, seed: int = 0) -> np.ndarray:
    """Within int32; in units of which `scale_of` makes any."""
    rng = np.random.default_rng(seed + keys)
    match kind:
        case "flat":
            return np.full((rows, keys), -77)
        case "peak":
            return np.where(np.arange(keys) == keys // 2, 500_000, rng.integers(-500_000, 0, (rows, keys)))
        case "two peaks":
            return np.where(np.arange(keys) % keys < 2, 300_000, rng.integers(-300_000, 299_000, (rows, keys)))
        case "extremes":
            return rng.choice([-(2**31), 2**31 - 1], (rows, keys))
        case "close":
            return rng.integers(-300, 300, (rows, keys))
    return rng.integers(-400_000, 400_000, (rows, keys))


def scale_of(unit: float):
    """What takes scores worth `unit` each to exponents."""
    scale = multipliers(unit * math.log2(math.e) * (1 << FRACTION_BITS))
    return scale.mul, scale.shift


def by_hand(scores: list[int], kept: list[bool], mul: int, shift: int) -> tuple[list[int], int]:
    alive = [s for s, k in zip(scores, kept, strict=True) if k]
    codes, total = [], 0
    for score, keep in zip(scores, kept, strict=True):
        power = 0
        if keep:
            n = math.floor(Fraction((max(alive) - score) * mul, 2**shift) + Fraction(1, 2))
            whole, fraction = divmod(n, 64)
            power = (round(2 ** (15 - fraction / 64)) << 6) >> whole
        total += power
        codes.append((255 * power + 2**20) >> 21)
    return codes, total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [1e-9, 3e-6, 2e-5, 1e-2, 3.0])
def test_softmax_is_its_definition(kind, unit):
    scores = scores_of(kind, 5, 23)
    kept = np.random.default_rng(1).random(scores.shape) < 0.6
    kept[3] = False
    mul, shift = scale_of(unit)
    found = softmax(scores, kept, mul, shift)
    for row in range(5):
        codes, total = by_hand(scores[row].tolist(), kept[row].tolist(), int(mul), int(shift))
        assert found.codes[row].tolist() == codes
        assert int(found.total[row, 0]) == total


def exact(scores: np.ndarray, kept: np.ndarray, unit: float) -> np.ndarray:
    real = np.where(kept, (scores - scores.max(axis=-1, keepdims=True)) * unit, -np.inf)
    real = real - real.max(axis=-1, keepdims=True)
    powers_ = np.exp(real)
    return powers_ / powers_.sum(axis=-1, keepdims=True)


def largest_error(kinds=KINDS, lengths=(1, 2, 3, 16, 128, 1000, 4096)) -> float:
    errors = []
    for kind in kinds:
        for keys in lengths:
            for unit in (1e-9, *np.geomspace(1e-7, 1e-1, 25)):
                scores = scores_of(kind, 8, keys)
                kept = np.random.default_rng(keys).random(scores.shape) < 0.8
                kept[:, -1] = True
                found = softmax(scores, kept, *scale_of(unit)).probabilities
                errors.append(np.abs(found - exact(scores, kept, unit)).max())
    return max(errors)


PUBLISHED = 0.0024
"""In docs/numerics.md; 2^-7 was asked for."""


def test_probabilities_are_as_close_as_published():
    """Over lengths, scales from flat to one-hot, and rows of every kind."""
    assert f"| {PUBLISHED} of probability" in NUMERICS.read_text(encoding="utf-8")
    assert largest_error() <= PUBLISHED < 2**-7


def test_pairs_are_within_a_128th():
    """Every distance of two scores, in steps of a 64th of the exponent, and halves of them."""
    below = np.arange(0, 64 * 23 * 2)
    scores = np.stack([np.zeros_like(below), -below], axis=1)
    unit = math.log(2) / 128
    found = softmax(scores, np.ones_like(scores, dtype=bool), *scale_of(unit)).probabilities
    assert np.abs(found - exact(scores, np.ones_like(scores, dtype=bool), unit)).max() <= 2**-8


def test_what_is_far_below_adds_up():
    """4095 keys of which each is a 20,000th of the largest take a sixth from it."""
    scores = np.full((1, 4096), -int(math.log(20_000) * 1e6))
    scores[0, 9] = 0
    every = np.ones_like(scores, dtype=bool)
    found = softmax(scores, every, *scale_of(1e-6)).probabilities
    assert np.abs(found - exact(scores, every, 1e-6)).max() <= 2**-8


def test_coarse_powers_are_caught(monkeypatch):
    """A table that knows no fractions is further off than is allowed."""
    monkeypatch.setattr(module, "powers", lambda: np.full_like(powers(), 1 << 15))
    assert largest_error(("close", "random"), (2, 16)) > 2**-7


def test_a_single_key_gets_everything():
    kept = np.eye(4, dtype=bool)
    row = softmax(scores_of("random", 4, 4), kept, *scale_of(1e-5))
    assert (row.probabilities == kept).all()
    v = np.random.default_rng(0).integers(-128, 128, (4, 6))
    scale = multipliers([1 / 255])
    assert (context(row, v, scale.mul, scale.shift) == v).all()


def test_a_row_without_keys_is_zero():
    row = softmax(scores_of("random", 3, 5), np.zeros((3, 5), bool), *scale_of(1e-5))
    assert not row.total.any()
    scale = multipliers([0.3])
    assert not context(row, np.full((5, 4), -128), scale.mul, scale.shift).any()


@pytest.mark.parametrize("keys", [1, 7, 4096])
@pytest.mark.parametrize("factor", [1 / 255, 1e-4, 0.9])
def test_context_is_its_definition(keys, factor):
    rng = np.random.default_rng(keys)
    scores = rng.integers(-3000, 3000, (4, keys))
    row = softmax(scores, rng.random((4, keys)) < 0.9, *scale_of(1e-4))
    v = rng.integers(-128, 128, (keys, 3))
    scale = multipliers([factor])
    found = context(row, v, scale.mul, scale.shift)
    mul, shift = int(scale.mul[0]), int(scale.shift[0])
    for i in range(4):
        total = int(row.total[i, 0])
        if total == 0:
            assert not found[i].any()
            continue
        over = total.bit_length() - 22
        by_row = (mul << 15) // (total >> (over + 6))
        assert by_row < 1 << 16
        for j in range(3):
            acc = int((row.codes[i] * v[:, j]).sum())
            value = (acc * by_row + (1 << (shift + over - 1))) >> (shift + over)
            assert found[i, j] == max(-128, min(127, value))


def test_long_flat_rows_keep_their_precision():
    """4096 equal keys: each has a probability far below a 255th, and the mean of V is exact all the same."""
    row = softmax(np.zeros((1, 4096), dtype=np.int64), np.ones((1, 4096), bool), *scale_of(1e-5))
    v = np.arange(4096)[:, None] % 101
    scale = multipliers([1 / 255])
    assert context(row, v, scale.mul, scale.shift)[0, 0] == math.floor(v.mean() + 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_twin(kind):
    scores = np.stack([scores_of(kind, 9, 33, seed) for seed in range(6)]).reshape(2, 3, 9, 33)
    rng = np.random.default_rng(4)
    kept, v = rng.random(scores.shape) < 0.5, rng.integers(-128, 128, (2, 3, 33, 8))
    exponent, result = multipliers([[[3e-4]], [[0.02]], [[5.0]]]), multipliers([[[0.01]], [[0.004]], [[0.5]]])
    ours = softmax(scores, kept, exponent.mul, exponent.shift)
    given = exponent.map(torch.asarray)
    twin = softmax(torch.asarray(scores), torch.asarray(kept), given.mul, given.shift)
    assert np.array_equal(ours.codes, twin.codes.numpy())
    assert np.array_equal(ours.total, twin.total.numpy())
    by = result.map(torch.asarray)
    expected = context(ours, v, result.mul, result.shift)
    assert np.array_equal(expected, context(twin, torch.asarray(v), by.mul, by.shift).numpy())
    assert isinstance(twin, Softmax)
