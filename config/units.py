# SPDX-License-Identifier: Apache-2.0
"""Configurations of the units beside the PE arrays: softmax, LayerNorm, GELU, residual sums."""

from dataclasses import dataclass

from config.errors import require
from config.execute import DIVISOR_BITS

MAX_SCORE_BITS = 32
MAX_LANES, MAX_WIDTH = 256, 4096


@dataclass(frozen=True)
class SoftmaxConfig:
    """A softmax unit.

    Parameters
    ----------
    lanes: scores of a beat, at least 1. tokens: keys of the longest row, a multiple of lanes.
    score_bits: width of a score, 2 to 32. shortest: beats of the shortest row that takes no longer than its beats: 1,
    2, 4, 8 or 16.

    Raises `Refusal` for anything else.
    """

    lanes: int
    tokens: int
    score_bits: int = MAX_SCORE_BITS
    shortest: int = 4

    def __post_init__(self) -> None:
        lanes, tokens = self.lanes, self.tokens
        require(isinstance(lanes, int) and lanes >= 1, f"lanes must be an integer from 1, not {lanes!r}; raise lanes.")
        require(
            isinstance(tokens, int) and tokens >= lanes and tokens % lanes == 0,
            f"tokens must be a multiple of the {lanes} lanes, not {tokens!r}; round tokens up.",
        )
        require(
            isinstance(self.score_bits, int) and 2 <= self.score_bits <= MAX_SCORE_BITS,
            f"score_bits must be an integer from 2 to {MAX_SCORE_BITS}, not {self.score_bits!r}; "
            "set it to a score's width.",
        )
        require(
            isinstance(self.shortest, int) and self.shortest >= 1 and DIVISOR_BITS % self.shortest == 0,
            f"shortest must be 1, 2, 4, 8 or 16, not {self.shortest!r}; choose the next lower one.",
        )

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"softmax_{self.lanes}"


@dataclass(frozen=True)
class LayerNormConfig:
    """A LayerNorm unit. lanes: values of a beat, a power of two, 1 to 256. width: of the longest row, 1 to 4096. Raises
    `Refusal` for anything else."""

    lanes: int
    width: int

    def __post_init__(self) -> None:
        lanes = self.lanes
        require(
            isinstance(lanes, int) and 1 <= lanes <= MAX_LANES and lanes & (lanes - 1) == 0,
            f"lanes must be a power of two from 1 to {MAX_LANES}, not {lanes!r}; choose one of them.",
        )
        require(
            isinstance(self.width, int) and 1 <= self.width <= MAX_WIDTH,
            f"width must be an integer from 1 to {MAX_WIDTH}, not {self.width!r}; set it to the longest row's.",
        )

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"layer_norm_{self.lanes}"


@dataclass(frozen=True)
class GeluConfig:
    """A GELU unit. lanes: operands of a beat, at least 1. Raises `Refusal` for anything else."""

    lanes: int

    def __post_init__(self) -> None:
        lanes = self.lanes
        require(isinstance(lanes, int) and lanes >= 1, f"lanes must be an integer from 1, not {lanes!r}; raise lanes.")

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"gelu_{self.lanes}"


@dataclass(frozen=True)
class ResidualConfig:
    """A unit of residual sums. lanes: values of a beat, 1 to 256. Raises `Refusal` for anything else."""

    lanes: int

    def __post_init__(self) -> None:
        require(
            isinstance(self.lanes, int) and 1 <= self.lanes <= MAX_LANES,
            f"lanes must be an integer from 1 to {MAX_LANES}, not {self.lanes!r}; choose one of them.",
        )

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"residual_{self.lanes}"


UnitConfig = SoftmaxConfig | LayerNormConfig | GeluConfig | ResidualConfig
