# SPDX-License-Identifier: Apache-2.0
"""Configuration of the execution unit's PE arrays, and the widths that follow from it."""

from dataclasses import dataclass

from config.array import require_range, signed_bits
from config.errors import require
from config.execute import LARGEST_PROBABILITY
from config.formats import OPERAND_BITS

MAX_LINES, MAX_LANES, MAX_MEMORY_BYTES = 1024, 1024, 1 << 16
PLACE_BITS = 2 * OPERAND_BITS + 1
"""Of a product that a lane adds: 9 bits by 8, and what makes it positive."""
MAX_TERMS, MAX_KEYS = 1 << 14, 1 << 12


@dataclass(frozen=True)
class PeArraysConfig:
    """Two arrays of PE lines of the same shape, int8 × int8 products with int32 sums. Both work on dense tiles; the
    first, of dot lines, scores kept pairs, the second multiplies probabilities with V.

    Parameters
    ----------
    lines: of one array, 1 to 1024. lanes: products a cycle of a line, 1 to 1024.
    rows: of activations that pass a weight before the next one is fetched: a line's accumulators, 1 to 1024.
    dense_use, sparse_use: share of the lanes' cycles that do useful work in dense tiles of whole lists, and where kept
    keys are gathered, as the cycle model has it; above 0, up to 1. What is lost to lanes that the depth of a product
    does not fill is counted apart.
    memory_bytes: between memory and buffers in a cycle, 1 to 65536.
    terms: of the longest dense product, 1 to 16384. keys: that a row of probabilities keeps at the most, 1 to 4096.
    scalers: results that leave in a cycle, of a whole array in dense tiles, of each line where kept keys are gathered;
    a divisor of lanes.

    Raises `Refusal` for anything else.
    """

    lines: int = 16
    lanes: int = 32
    rows: int = 16
    dense_use: float = 0.99
    sparse_use: float = 0.94
    memory_bytes: int = 16
    terms: int = 1536
    keys: int = 128
    scalers: int = 1

    def __post_init__(self) -> None:
        require_range("lines", self.lines, 1, MAX_LINES)
        require_range("lanes", self.lanes, 1, MAX_LANES)
        require_range("rows", self.rows, 1, MAX_LINES)
        require_range("memory_bytes", self.memory_bytes, 1, MAX_MEMORY_BYTES)
        require_range("terms", self.terms, 1, MAX_TERMS)
        require_range("keys", self.keys, 1, MAX_KEYS)
        require(
            isinstance(self.scalers, int) and self.scalers >= 1 and self.lanes % self.scalers == 0,
            f"scalers must be a divisor of lanes = {self.lanes}, not {self.scalers!r}; choose 1, or another divisor.",
        )
        for name in ("dense_use", "sparse_use"):
            share = getattr(self, name)
            require(
                isinstance(share, (int, float)) and 0 < share <= 1,
                f"{name} must be a share above 0 and up to 1, not {share!r}; choose for example 0.9.",
            )

    @property
    def name(self) -> str:
        """Name of an array's top module."""
        return f"pe_array_{self.lines}x{self.lanes}"

    @property
    def products(self) -> int:
        """Of both arrays in a cycle."""
        return 2 * self.lines * self.lanes

    @property
    def groups(self) -> int:
        """Of `scalers` lanes each, one behind the other, in which a line's results leave."""
        return self.lanes // self.scalers

    @property
    def context_bits(self) -> int:
        """Of a sum of codes times V, signed: no codes of `keys` keys can exceed it."""
        return signed_bits(self.keys * LARGEST_PROBABILITY << (OPERAND_BITS - 1))

    @property
    def acc_bits(self) -> int:
        """Of an accumulator, signed: exact for `terms` products of int8, and for `keys` codes times V. Never so narrow
        that nothing is above the columns of a product."""
        sums = signed_bits(self.terms << 2 * (OPERAND_BITS - 1))
        return max(self.context_bits, sums, PLACE_BITS + 1)
