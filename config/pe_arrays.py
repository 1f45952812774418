# SPDX-License-Identifier: Apache-2.0
"""Configuration of the execution unit's PE arrays. A design target and the project's choice: of it there is no RTL."""

from dataclasses import dataclass

from config.array import require_range
from config.errors import require

MAX_LINES, MAX_LANES, MAX_MEMORY_BYTES = 1024, 1024, 1 << 16


@dataclass(frozen=True)
class PeArraysConfig:
    """Two equal arrays of PE lines, int8 × int8 products with int32 sums. The first generates Q, K and V and scores,
    the second multiplies probabilities with V; output projection and FFN run on both.

    Parameters
    ----------
    lines: of one array, 1 to 1024. lanes: products a cycle of a line, 1 to 1024.
    rows: of activations that pass a weight before the next one is fetched: a line's accumulators, 1 to 1024.
    dense_use, sparse_use: share of the lanes' cycles that do useful work in dense tiles, and where kept keys are
    gathered; above 0, up to 1. What is lost to lanes that the depth of a product does not fill is counted apart.
    memory_bytes: between memory and buffers in a cycle, 1 to 65536.

    Raises `Refusal` for anything else.
    """

    lines: int = 16
    lanes: int = 32
    rows: int = 16
    dense_use: float = 0.95
    sparse_use: float = 0.90
    memory_bytes: int = 16

    def __post_init__(self) -> None:
        require_range("lines", self.lines, 1, MAX_LINES)
        require_range("lanes", self.lanes, 1, MAX_LANES)
        require_range("rows", self.rows, 1, MAX_LINES)
        require_range("memory_bytes", self.memory_bytes, 1, MAX_MEMORY_BYTES)
        for name in ("dense_use", "sparse_use"):
            share = getattr(self, name)
            require(
                isinstance(share, (int, float)) and 0 < share <= 1,
                f"{name} must be a share above 0 and up to 1, not {share!r}; choose for example 0.9.",
            )

    @property
    def products(self) -> int:
        """Of both arrays in a cycle."""
        return 2 * self.lines * self.lanes
