# SPDX-License-Identifier: Apache-2.0
"""Configuration of both PE arrays with all that brings kept pairs to them: from items of a plan to contexts."""

from dataclasses import dataclass, field

from config.errors import require
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig


@dataclass(frozen=True)
class AttentionConfig:
    """Attention over kept keys on two arrays of the same shape, which also work on dense tiles.

    Parameters
    ----------
    items: of one chunk. arrays: of as many lines and lanes. stores: copies of Q, 1 to `lines`: rows of it that come to
    lines in a cycle.

    Raises `Refusal` for anything else.
    """

    items: ItemsConfig = field(default_factory=ItemsConfig)
    arrays: PeArraysConfig = field(default_factory=PeArraysConfig)
    stores: int = 1

    def __post_init__(self) -> None:
        for name in ("lines", "lanes"):
            there, wanted = getattr(self.arrays, name), getattr(self.items, name)
            require(
                there == wanted,
                f"{name} of the array must be the {wanted} of the items, not {there}; make them equal.",
            )

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"attention_{self.arrays.lines}x{self.arrays.lanes}"
