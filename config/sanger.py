# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sanger's predictor as a unit, fixed when it is built."""

from dataclasses import dataclass

from config.array import ArrayConfig, number_system, signed_bits
from config.speculate import SpeculationConfig


@dataclass(frozen=True)
class SangerConfig:
    """A unit for layers of up to `tokens` tokens, that is given the exact Q and K.

    Parameters
    ----------
    rows, lanes: the array's shape: `rows` queries are scored side by side; `rows` is a power of two, 2 to 128.
    load: rows of the array that take their queries in one cycle; divides `rows`.
    tokens: longest sequence, a multiple of `rows`, up to 4096. heads: 1 to 128. head_width: of a row of Q and K, 1 to
    256.

    Raises `Refusal` for anything else.
    """

    rows: int = 16
    lanes: int = 32
    load: int = 4
    tokens: int = 128
    heads: int = 12
    head_width: int = 32

    def __post_init__(self) -> None:
        # Refuse what no unit and no array can be.
        self.plan  # noqa: B018
        self.array  # noqa: B018

    @classmethod
    def within(cls, unit: SpeculationConfig) -> "SangerConfig":
        """That of an accelerator whose speculation unit is so large."""
        return cls(unit.rows, unit.lanes, unit.load, unit.tokens, unit.heads, unit.head_width)

    @property
    def method(self) -> str:
        """What it predicts by, as in `config.speculate`."""
        return "sanger"

    @property
    def plan(self) -> SpeculationConfig:
        """What the plan is told in: its rows and records are those of a unit without predictor and similar rows."""
        return SpeculationConfig(
            "dense",
            rows=self.rows,
            lanes=self.lanes,
            load=self.load,
            tokens=self.tokens,
            width=1,
            heads=self.heads,
            head_width=self.head_width,
            window=1,
        )

    @property
    def array(self) -> ArrayConfig:
        """The array of 4 bits; Booth's products are the smaller and quicker ones. A head that is one slice needs no
        accumulators; two words are the fewest."""
        return ArrayConfig(
            number_system("int4"),
            rows=self.rows,
            lanes=self.lanes,
            depth=self.tokens if self.head_slices > 1 else 2,
            terms=max(self.head_width, self.lanes),
            load=self.load,
            booth=True,
        )

    @property
    def head_slices(self) -> int:
        """Beats that a row of Q or K takes."""
        return -(-self.head_width // self.lanes)

    @property
    def blocks(self) -> int:
        """Blocks of `rows` queries in the longest sequence; as many chunks of `rows` keys."""
        return self.tokens // self.rows

    @property
    def sum_bits(self) -> int:
        """Bits of a score of 4-bit operands, signed: exact for a whole head."""
        return signed_bits(self.head_width * number_system("int4").product_magnitude)

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"sanger_{self.rows}x{self.lanes}"
