# SPDX-License-Identifier: Apache-2.0
"""LayerNorm against its definition in Python's integers, against float, and against its twin in torch."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from golden.execute import layer_norm as module
from golden.execute.layer_norm import Norm, layer_norm, normalised

NUMERICS = Path(__file__).resolve().parents[2] / "docs/numerics.md"
PUBLISHED = 0.0019
"""The distance of z from float, in deviations, in docs/numerics.md."""
KINDS = ("random", "constant", "one differs", "ends", "peak", "narrow", "zero")
WIDTHS = (1, 2, 3, 64, 384, 4096)


def rows_of(kind: str, width: int) -> np.ndarray:
    """Within 16 bits."""
    rng = np.random.default_rng(width)
    low, high = -(2**15), 2**15 - 1
    match kind:
        case "constant":
            return np.repeat([[low], [-1], [high]], width, axis=1)
        case "one differs":
            return np.where(np.arange(width) == 0, 4, 3)[None, :] * np.array([[1], [-1], [100]])
        case "ends":
            return rng.choice([low, high], (3, width))
        case "peak":
            return np.where(np.arange(width) == width // 2, high, rng.integers(-20, 20, (3, width)))
        case "narrow":
            return rng.integers(high - 3, high + 1, (3, width))
        case "zero":
            return np.zeros((3, width), dtype=np.int64)
    return rng.integers(low, high + 1, (3, width))


def norm_of(width: int, steps: float = 25.0, eps: int = 0) -> Norm:
    """A deviation is worth about `steps` steps of the result."""
    rng = np.random.default_rng(3)
    shift = 14
    gain = np.floor(rng.uniform(-1, 1, width) * steps * 2**shift / 1024 + 0.5).astype(np.int64)
    return Norm(gain, rng.integers(-(40 << shift), 40 << shift, width), shift, eps)


def by_hand(row: list[int], norm: Norm) -> list[int]:
    width, total = len(row), sum(row)
    v = width * sum(r * r for r in row) - total * total + norm.eps
    results = []
    for r, gain, offset in zip(row, norm.gain.tolist(), norm.offset.tolist(), strict=True):
        z = 0
        if v:
            half = (v.bit_length() - 1) // 2 - 15
            root = math.isqrt(v * 4**-half if half < 0 else v // 4**half)
            c = width * r - total
            scaled = c * 2 ** -(half + 4) if half + 4 < 0 else c // 2 ** (half + 4)
            z = (scaled * (2**31 // root) + 2**16) // 2**17
        results.append(max(-128, min(127, (z * gain + offset + 2 ** (norm.shift - 1)) // 2**norm.shift)))
    return results


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("eps", [0, 12345])
def test_is_its_definition(kind, width, eps):
    rows, norm = rows_of(kind, width), norm_of(width, eps=eps)
    found = layer_norm(rows, norm)
    for row, expected in zip(rows.tolist(), found.tolist(), strict=True):
        assert by_hand(row, norm) == expected


def errors(kinds=KINDS) -> tuple[float, float]:
    """The largest distance from the float function: of the results, rounded, and of z, in deviations."""
    steps, deviations = 0.0, 0.0
    for kind in kinds:
        for width in WIDTHS:
            rows = rows_of(kind, width)
            norm = norm_of(width)
            spread = rows.std(axis=1, keepdims=True)
            z = (rows - rows.mean(axis=1, keepdims=True)) / np.where(spread == 0, 1, spread)
            exact = np.clip(np.floor((z * 1024 * norm.gain + norm.offset) / 2**norm.shift + 0.5), -128, 127)
            steps = max(steps, np.abs(layer_norm(rows, norm) - exact).max())
            deviations = max(deviations, np.abs(normalised(rows, 0) / 1024 - z).max())
    return steps, deviations


def test_is_within_a_step_of_float():
    steps, deviations = errors()
    assert f"z by {PUBLISHED} deviations" in NUMERICS.read_text(encoding="utf-8")
    assert steps <= 1
    assert deviations <= PUBLISHED


def test_a_coarse_root_is_caught(monkeypatch):
    """One of half the bits is further off than that."""
    exact = module.whole_root
    monkeypatch.setattr(module, "whole_root", lambda v: exact(v) >> 8 << 8)
    assert errors()[1] > PUBLISHED


def test_eps_counts():
    """A row that hardly varies stays small."""
    row = np.array([[0, 1] * 8])
    assert np.abs(normalised(row, 0)).max() == 1024
    # D² · eps of the variance, 16² / 4 of it.
    assert np.abs(normalised(row, 3 * 64)).max() == 512


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_torch_twin(kind, width):
    rows, norm = rows_of(kind, width).reshape(-1, 1, width), norm_of(width)
    twin = layer_norm(torch.asarray(rows), norm.map(torch.asarray))
    assert np.array_equal(layer_norm(rows, norm), twin.numpy())
