# SPDX-License-Identifier: Apache-2.0
"""What the parts of a dense engine hand each other, and in what the two arrays differ."""

from dataclasses import dataclass

from amaranth.hdl import ShapeLike
from amaranth.lib import data

from config.errors import require
from config.execute import STREAM_BITS
from config.pe_arrays import PeArraysConfig
from config.system import CHUNK_TILES, ENTRY_BYTES, SIDES, SystemConfig
from hdl.execute import dense, dot_tiles
from hdl.execute.gelu import CHOICE_BITS
from hdl.execute.line import row_layout
from hdl.execute.scaler import COLUMN, columns_layout, results_layout
from hdl.system.layouts import Region, Sink, index_shape, token_shape

SLOTS = 4
"""Lists of rows under way: one whose results leave, one at work, one in the array's stores, one that is brought."""
HALVES = 2
"""Of the weight store: tiles take turns."""


@dataclass(frozen=True)
class Ports:
    """An array, as far as the two differ.

    Parameters: `config`; `side`: one of `SIDES`.

    Raises `Refusal` for another side, and for lanes that are no power of two: words would not be multiples of each
    other.
    """

    config: PeArraysConfig
    side: str

    def __post_init__(self) -> None:
        require(self.side in SIDES, f"side must be one of {', '.join(SIDES)}, not {self.side!r}; choose one of them.")
        lanes = self.config.lanes
        require(lanes & (lanes - 1) == 0, f"lanes must be a power of two, not {lanes}; choose the next one.")

    @property
    def dot(self) -> bool:
        return self.side == "dot"

    @property
    def word(self) -> int:
        """Bytes of a row that come in a cycle."""
        return self.config.lanes if self.dot else dense.WORD

    @property
    def columns(self) -> int:
        """Whose parameters come at once."""
        return 1 if self.dot else self.config.scalers

    @property
    def groups(self) -> int:
        """Of so many columns, in a tile."""
        return self.config.lanes // self.columns

    @property
    def rows(self) -> int:
        """Whose results leave at once."""
        return self.config.scalers if self.dot else 1

    @property
    def pairs(self) -> bool:
        """Two tiles can be worked on at once."""
        return dense.half_of(self.config) % self.rows == 0

    @property
    def rows_layout(self) -> data.StructLayout:
        return dot_tiles.rows_layout(self.config) if self.dot else dense.rows_layout(self.config)

    @property
    def word_layout(self) -> data.ArrayLayout:
        return row_layout(self.config.lanes) if self.dot else dense.word_layout()

    @property
    def column_layout(self) -> data.Layout:
        return COLUMN if self.dot else columns_layout(self.config)

    @property
    def tag_layout(self) -> data.StructLayout:
        return dot_tiles.result_tag_layout(self.config) if self.dot else dense.result_tag_layout(self.config)

    @property
    def results_layout(self) -> data.StructLayout:
        return results_layout(self.config, STREAM_BITS, self.tag_layout.size)


ENTRY = data.StructLayout({**COLUMN.members, "rest": 9, "choice": CHOICE_BITS})
"""A column's parameters in memory; what they are but for the array: which of GELU's tables."""
assert ENTRY.size == 8 * ENTRY_BYTES


def slot_layout(config: SystemConfig) -> data.StructLayout:
    """Where the token of a row of a list stands."""
    return data.StructLayout({"line": range(config.attention.arrays.lines), "slot": range(SLOTS)})


def list_layout(config: SystemConfig) -> data.StructLayout:
    """A list of a job's rows, of tokens in `slot`: `last_line`, the last of its lines; `first` and `last` list of the
    job. `none`: the job has no rows. `final`: the job's `last`; else as in `job_layout`."""
    return data.StructLayout(
        {
            "slot": range(SLOTS),
            "last_line": range(config.attention.arrays.lines),
            "first": 1,
            "last": 1,
            "none": 1,
            "region": Region,
            "words": range(config.row_words + 1),
            "tiles": range(CHUNK_TILES + 1),
            "sink": Sink,
            "index": index_shape(config),
            "final": 1,
        }
    )


def turn_layout(config: SystemConfig) -> data.StructLayout:
    """A tile of a list, in `half` of the weight store, or, if `double`, two: this one in the first, the next one in the
    second half. `ends`: for each half, that the list has no more tiles in it. `whole`: the list has none. `sink`,
    `index`, `value` as in `result_layout`, of the first tile. Else as in `list_layout`."""
    given = list_layout(config).members
    names = ("slot", "last_line", "first", "last", "none", "words", "sink", "index", "final")
    return data.StructLayout(
        {**{name: given[name] for name in names}, "half": 1, "double": 1, "ends": HALVES, "whole": 1, "value": 1}
    )


def part_of(layout: data.StructLayout, *names: str) -> data.StructLayout:
    """Those of its fields alone."""
    return data.StructLayout({name: layout.members[name] for name in names})


def load_layout(config: SystemConfig) -> data.StructLayout:
    """Tiles of weights to come, for rows of `words` words: of a job, or of several with an even number each; `single`:
    of several with one each."""
    words = range(config.row_words + 1)
    most = range(max(config.row_words, CHUNK_TILES) + 1)
    return data.StructLayout({"tiles": most, "words": words, "single": 1})


def choice_layout(ports: Ports) -> data.StructLayout:
    """Of a group of columns that the array has been given: whether its results go through GELU, `choice` of each
    column's table, and in how many steps its results leave, but for one."""
    return data.StructLayout(
        {
            "hidden": 1,
            "choice": data.ArrayLayout(CHOICE_BITS, ports.columns),
            "last_step": range(ports.config.lines),
        }
    )


def leaving_layout(config: SystemConfig) -> data.StructLayout:
    """What leaves a dense engine: `row`, one whose results of all tiles have left with it, of `token`, of a `final`
    job; the end of a list, or of a job."""
    return data.StructLayout({"row": 1, "token": token_shape(config), "list": 1, "job": 1, "final": 1})


def columns_shape(ports: Ports) -> ShapeLike:
    """Number of a group of columns."""
    return range(ports.groups)
