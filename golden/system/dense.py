# SPDX-License-Identifier: Apache-2.0
"""What a dense engine gives: rows of results, in its order, and how far a job is.

jobs ─► lists of at most `lines` rows ─► one tile, or two, at a time ─► rows
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from config.system import SystemConfig
from golden.arrays import Array
from golden.execute.gelu import gelu
from golden.execute.linear import Linear, linear

Int64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Sink(Enum):
    """Where results go; the numbers are those of `job_layout` in hdl/system/layouts.py."""

    KEY_VALUE = 0
    QUERY = 1
    HIDDEN = 2
    WIDE = 3

    @property
    def counts(self) -> bool:
        """Each tile has an index of its own."""
        return self in (Sink.HIDDEN, Sink.WIDE)


@dataclass(frozen=True)
class Job:
    """rows: bool [T]. x: int8 [T, D], what the region holds of all tokens. tiles: layers of `lanes` columns each, of 16
    bits if the sink is `WIDE`. choice: int64 [tiles, lanes], GELU's tables."""

    rows: Flags
    x: Int64
    tiles: Sequence[Linear]
    choice: Int64
    sink: Sink
    index: int
    last: bool


@dataclass(frozen=True)
class Row:
    """Of job number `job`: int64 [lanes]. whole: with it, all of the token's results have left."""

    job: int
    sink: Sink
    token: int
    index: int
    value: bool
    values: Int64
    whole: bool


def lists(rows: Flags, lines: int) -> list[Int64]:
    """Tokens of each list, the lowest first."""
    tokens = np.flatnonzero(rows)
    return [tokens[first : first + lines] for first in range(0, len(tokens), lines)]


def turns(count: int, tiles: int, lines: int, pairs: bool = True) -> list[tuple[int, ...]]:
    """Tiles that are worked on at once, for a list of so many rows."""
    together = 2 if pairs and count <= lines // 2 else 1
    return [tuple(range(first, min(first + together, tiles))) for first in range(0, tiles, together)]


def results(config: SystemConfig, jobs: Sequence[Job], tables: Array, pairs: bool = True) -> Iterator[Row]:
    """Every row that leaves, in order. tables: those of GELU, int64 [N, 256]. pairs: the array works on two tiles of
    short lists at once."""
    lines = config.attention.arrays.lines
    for number, job in enumerate(jobs):
        y = [linear(job.x, tile) for tile in job.tiles]
        if job.sink is Sink.HIDDEN:
            y = [gelu(each, tables, choice) for each, choice in zip(y, job.choice, strict=True)]
        for tokens in lists(job.rows, lines):
            for tile in (tile for turn in turns(len(tokens), len(y), lines, pairs) for tile in turn):
                for token in tokens:
                    yield Row(
                        job=number,
                        sink=job.sink,
                        token=int(token),
                        index=job.index + tile * job.sink.counts,
                        value=job.sink is Sink.KEY_VALUE and tile % 2 == 1,
                        values=y[tile][token],
                        whole=tile == len(y) - 1,
                    )


def progress(config: SystemConfig, jobs: Sequence[Job], rows: Sequence[Row], left: int, taken: int) -> int:
    """What the engine tells when so many jobs have been taken, and so many of all their rows have left."""
    lasts = [number for number, job in enumerate(jobs[:taken]) if job.last]
    following = rows[left].job if left < len(rows) else len(jobs)
    if not lasts or following > lasts[-1]:
        return config.tokens
    whole = [row.token for row in rows[:left] if row.job == lasts[-1] and row.whole]
    return whole[-1] + 1 if whole else 0
