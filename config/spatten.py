# SPDX-License-Identifier: Apache-2.0
"""Configuration of SpAtten's pruning as a unit, fixed when it is built."""

from dataclasses import dataclass

from config.array import require_range
from config.errors import require
from config.execute import LARGEST_PROBABILITY, PROBABILITY_BITS
from config.formats import OPERAND_BITS
from config.speculate import SpattenSettings, SpeculationConfig

LARGEST_SHARE = LARGEST_PROBABILITY << PROBABILITY_BITS
"""A probability of 1, in the unit that token sums have."""
DIGIT_BITS = 4
"""Of a sum, found in one pass over all sums."""
MAX_LAYERS = 128


@dataclass(frozen=True)
class SpattenConfig:
    """A unit that prunes encoders of up to `layers` layers of up to `tokens` tokens.

    Parameters
    ----------
    rows: keys of a chunk: so many codes come, so many sums grow and are searched side by side; a power of two, 2 to
    128. lanes: values of a context that come side by side, 1 to 256.
    tokens: longest sequence, a multiple of `rows`, up to 4096. heads: 1 to 128. head_width: of a head's context, 1 to
    256. layers: 1 to 128.

    Raises `Refusal` for anything else.
    """

    rows: int = 16
    lanes: int = 32
    tokens: int = 128
    heads: int = 12
    head_width: int = 32
    layers: int = 6

    def __post_init__(self) -> None:
        require_range("layers", self.layers, 1, MAX_LAYERS)
        # Refuses what no unit can be.
        self.plan  # noqa: B018

    @classmethod
    def within(cls, unit: SpeculationConfig) -> "SpattenConfig":
        """That of an accelerator whose speculation unit is so large, for the longest chains of layers."""
        return cls(unit.rows, unit.lanes, unit.tokens, unit.heads, unit.head_width, MAX_LAYERS)

    def check(self, settings: SpattenSettings) -> None:
        """Raises `Refusal` for a batch that the unit cannot prune."""
        require(
            not settings.causal,
            "causal must be False, not True, as the unit has one sum for each token and a causal row needs sums of its "
            "own; prune a causal model by the golden model.",
        )
        require(
            not settings.values,
            f"values must be 0, not {settings.values}, as the records of a plan tell of no values; leave values out by "
            "the golden model.",
        )
        require(
            len(settings.tokens) <= self.layers,
            f"tokens must hold shares for at most {self.layers} layers, not {len(settings.tokens)}; build a unit for "
            "more.",
        )

    @property
    def method(self) -> str:
        """What it prunes by, as in `config.speculate`."""
        return "spatten"

    @property
    def plan(self) -> SpeculationConfig:
        """What the plan is told in: its rows and records are those of a unit without predictor and similar rows."""
        return SpeculationConfig(
            "dense",
            rows=self.rows,
            lanes=self.lanes,
            load=1,
            tokens=self.tokens,
            width=1,
            heads=self.heads,
            head_width=self.head_width,
            window=1,
        )

    @property
    def row_bits(self) -> int:
        """Bits of a key's, or a head's, place in its chunk; the bits above them are the chunk's number."""
        return self.rows.bit_length() - 1

    @property
    def blocks(self) -> int:
        """Chunks of `rows` keys in the longest sequence."""
        return self.tokens // self.rows

    @property
    def head_chunks(self) -> int:
        """Chunks that the heads take, as their sums are searched."""
        return -(-self.heads // self.rows)

    @property
    def head_slices(self) -> int:
        """Beats that a head's row of context takes."""
        return -(-self.head_width // self.lanes)

    @property
    def token_sum_bits(self) -> int:
        """Bits of a token's sum, unsigned: exact over all rows, heads and layers."""
        return (LARGEST_SHARE * self.tokens * self.heads * self.layers).bit_length()

    @property
    def head_sum_bits(self) -> int:
        """Bits of a head's sum, unsigned: exact over all rows and layers."""
        return ((1 << (OPERAND_BITS - 1)) * self.head_width * self.tokens * self.layers).bit_length()

    @property
    def digits(self) -> int:
        """Passes over the sums until the smallest one that is kept is known."""
        return -(-max(self.token_sum_bits, self.head_sum_bits) // DIGIT_BITS)

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"spatten_{self.rows}x{self.lanes}"
