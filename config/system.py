# SPDX-License-Identifier: Apache-2.0
"""Configuration of a whole accelerator: speculation, both arrays, what stands beside them, and the memory's port."""

from dataclasses import dataclass, field

from config.array import require_range
from config.attention import AttentionConfig
from config.errors import require
from config.formats import OPERAND_BITS
from config.speculate import SpeculationConfig

ADDRESS_BITS = 64
"""Of the memory's port."""
ENTRY_BYTES = 8
"""Of an entry of parameters in memory: of a column of a product, of a channel, of a head."""
CHUNK_TILES = 8
"""Tiles of columns that a list of rows meets, one behind the other, at the most."""
SIDES = ("dot", "outer")
"""Of the arrays: dot lines, and outer-product lines."""
TOPS = {"spls": "esact", "lapa": "lapa", "dense": "dense", "fact": "fact", "sanger": "sanger", "spatten": "spatten"}
"""Names of the tops by method of speculation, in the order of the methods' numbers."""


@dataclass(frozen=True)
class SystemConfig:
    """An accelerator for layers of up to `speculation.tokens` tokens.

    Parameters
    ----------
    speculation: the speculation unit. Its tokens, width, heads and head_width are the built maxima of a layer.
    attention: both arrays and what brings kept pairs to them; of as many tokens and heads, its `record` as many keys as
    the speculation unit has rows, its lanes as many as the speculation unit's and no fewer than `head_width`.
    ffn: width of the longest FFN, a multiple of lanes, up to the arrays' `terms`.
    values: of the residual stream, that are added and normed in a cycle: a power of two that divides lanes.
    bus_bytes: of the memory's port, a power of two from 4 to 128.
    weight_words: of `lanes` bytes, of each half of an array's weights on chip: at least ffn.

    Raises `Refusal` for anything else.
    """

    speculation: SpeculationConfig = field(default_factory=SpeculationConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    ffn: int = 1536
    values: int = 8
    bus_bytes: int = 16
    weight_words: int = 3072

    def __post_init__(self) -> None:
        spec, items, arrays = self.speculation, self.attention.items, self.attention.arrays
        for what, there, wanted in (
            ("tokens of the items", items.tokens, spec.tokens),
            ("heads of the items", items.heads, spec.heads),
            ("record of the items", items.record, spec.rows),
            ("lanes of the arrays", arrays.lanes, spec.lanes),
            ("chunk of the items", items.chunk, items.tokens),
        ):
            require(there == wanted, f"The {what} must be {wanted}, not {there}; make them equal.")
        require(
            spec.head_width <= arrays.lanes,
            f"head_width must be no more than the {arrays.lanes} lanes, not {spec.head_width}; take wider lines.",
        )
        require_range("ffn", self.ffn, 1, arrays.terms)
        for name, depth in (("ffn", self.ffn), ("width", spec.width)):
            require(
                depth % arrays.lanes == 0,
                f"{name} must be a multiple of the {arrays.lanes} lanes, not {depth}; round it up.",
            )
        require_range("width", spec.width, 1, arrays.terms)
        require_range("heads times lanes", spec.heads * arrays.lanes, 1, arrays.terms)
        require_range("keys", arrays.keys, spec.tokens, 1 << 12)
        require(
            isinstance(self.values, int)
            and self.values > 0
            and self.values & (self.values - 1) == 0
            and arrays.lanes % self.values == 0,
            f"values must be a power of two that divides the {arrays.lanes} lanes, not {self.values!r}; choose one.",
        )
        require_range("bus_bytes", self.bus_bytes, 4, 128)
        require(
            self.bus_bytes & (self.bus_bytes - 1) == 0,
            f"bus_bytes must be a power of two, not {self.bus_bytes}; choose the next one.",
        )
        require_range("weight_words", self.weight_words, max(self.ffn, spec.width, spec.heads * arrays.lanes), 1 << 16)

    @property
    def lanes(self) -> int:
        """Bytes of a word of activations, and of weights."""
        return self.attention.arrays.lanes

    @property
    def tokens(self) -> int:
        """Of the longest sequence."""
        return self.speculation.tokens

    @property
    def heads(self) -> int:
        """At the most."""
        return self.speculation.heads

    @property
    def width_words(self) -> int:
        """Of a row of x."""
        return self.speculation.width // self.lanes

    @property
    def ffn_words(self) -> int:
        """Of a row of the FFN's hidden values."""
        return self.ffn // self.lanes

    @property
    def row_words(self) -> int:
        """Of the longest row that is read: of x, of the heads' contexts, or of the FFN's hidden values."""
        return max(self.width_words, self.heads, self.ffn_words)

    @property
    def bus_bits(self) -> int:
        """Of the memory's port."""
        return OPERAND_BITS * self.bus_bytes

    @property
    def name(self) -> str:
        """Name of the top module."""
        return f"{TOPS[self.speculation.method]}_top_{self.attention.arrays.lines}x{self.lanes}"
