# SPDX-License-Identifier: Apache-2.0
"""Settings as points: what is left to do against how far answers move."""

from collections.abc import Sequence

import numpy as np

LEAST = 1e-9
"""Answers that moved less have not moved."""


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those (left, moved) that no other beats in both, by rising share left."""
    best: list[tuple[float, float]] = []
    for left, moved in sorted(points):
        if not best or moved < best[-1][1]:
            best.append((left, moved))
    return best


def at_work(line: Sequence[tuple[float, float]], left: float) -> float | None:
    """How far answers move where so much work is left, between the points of a line; none outside of it. The logarithm
    is taken to be straight between points."""
    if len(line) < 2 or not line[0][0] <= left <= line[-1][0]:
        return None
    lefts, moved = zip(*line, strict=True)
    return float(np.exp(np.interp(left, lefts, np.log(moved))))
