# SPDX-License-Identifier: Apache-2.0
"""Items for PE lines: scalars and rows of operands, what they sum up to, and how they come on a line's stream."""

from dataclasses import dataclass

import numpy as np

from config.pe_arrays import PeArraysConfig
from tests.arith import simulate


@dataclass(frozen=True)
class Item:
    """a: [K], -128 to 255. b: [K, L], int8. tag: that of its last beat."""

    a: np.ndarray
    b: np.ndarray
    tag: int = 0

    @property
    def sums(self) -> np.ndarray:
        return self.a @ self.b


def beats(items: list[Item], tag_bits: int) -> list[int]:
    """Payloads of a line's `i`. Tags of other beats than the last are noise."""
    rng = np.random.default_rng(len(items))
    payloads = []
    for item in items:
        count, lanes = item.b.shape
        first, last = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
        first[0] = last[-1] = 1
        tags = np.where(last, item.tag, rng.integers(1 << tag_bits, size=count))
        columns = [item.a.tolist(), *item.b.T.tolist(), first.tolist(), last.tolist(), tags.tolist()]
        payloads += simulate.patterns(columns, [9] + [8] * lanes + [1, 1, tag_bits])
    return payloads


def small(**changes: object) -> PeArraysConfig:
    """A configuration that is quickly simulated."""
    given: dict[str, object] = {"lines": 3, "lanes": 4, "rows": 3, "terms": 64, "keys": 16, "scalers": 2}
    return PeArraysConfig(**(given | changes))  # type: ignore[arg-type]


def random_items(lanes: int, lengths: list[int], *, codes: bool = False, zeros: float = 0.2) -> list[Item]:
    """Of so many beats each: int8 or codes by int8, ends and zeros among them; tags by their number."""
    rng = np.random.default_rng(len(lengths) + lanes)
    low, high = (0, 256) if codes else (-128, 128)
    items = []
    for number, length in enumerate(lengths):
        a = rng.integers(low, high, length)
        a = np.where(rng.random(length) < zeros, 0, a)
        a = np.where(rng.random(length) < 0.1, rng.choice([low, high - 1]), a)
        items.append(Item(a, rng.integers(-128, 128, (length, lanes)), number % 8))
    return items
