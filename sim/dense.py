# SPDX-License-Identifier: Apache-2.0
"""Dense products of whole layers through either PE array in Verilator: lists of rows, tiles of columns, results as
matrices.

x [n, D], Linear [N, D] ─► lists of at most `lines` rows ─► rows, x, tile, w, column ─► array ─► y [n, N]
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data
from numpy.typing import NDArray

from config.execute import STREAM_BITS
from config.pe_arrays import PeArraysConfig
from golden.execute.linear import Linear
from hdl.execute import dense, dot_tiles
from hdl.execute.dot_array import DotArray
from hdl.execute.pe_array import PeArray
from hdl.execute.scaler import COLUMN
from sim import replay
from sim.packing import pack, unpack

Int64 = NDArray[np.int64]
LIMIT = 1000


@dataclass(frozen=True)
class Product:
    """x int8 [n, D] times a layer of N columns, N a multiple of the array's lanes."""

    x: Int64
    layer: Linear

    @property
    def useful(self) -> int:
        """Multiplications."""
        return int(self.x.size * len(self.layer.w))


@dataclass(frozen=True)
class Measured:
    """results: y int64 [n, N] of each product. cycles: from the first beat of weights to the last result: what brings
    the first rows goes on beside what was before. rate: cycles simulated in a second."""

    results: list[Int64]
    cycles: int
    useful: int
    rate: float

    def use(self, config: PeArraysConfig) -> float:
        """Share of what the lanes could have multiplied in that time."""
        return self.useful / (self.cycles * config.lines * config.lanes)


@dataclass(frozen=True)
class Words:
    """Of each tile: words of weights; and, in the order in which its results leave, what they are scaled by."""

    w: list[list[int]]
    column: list[list[int]]


@dataclass(frozen=True)
class Side(ABC):
    """An array, as far as the two differ. word: bytes of a row that come in a cycle. behavioural: as of `hdl.emit`."""

    config: PeArraysConfig
    word: int
    behavioural: bool

    @abstractmethod
    def model(self) -> replay.Model: ...

    @abstractmethod
    def list_word(self, count: int, depth: int) -> int:
        """What stands for a list of rows."""

    @abstractmethod
    def weights(self, layer: Linear) -> Words: ...

    @abstractmethod
    def order(self, count: int, turn: Sequence[int]) -> tuple[Int64, Int64]:
        """Rows and columns [payloads, scalers] of what leaves of tiles that are worked on at once; rows that are not
        the list's mean nothing."""


@cache
def _outer(config: PeArraysConfig, behavioural: bool) -> replay.Model:
    return replay.build(PeArray(config), "pe_array", behavioural=behavioural)


@cache
def _inner(config: PeArraysConfig, behavioural: bool) -> replay.Model:
    return replay.build(DotArray(config), "dot_array", behavioural=behavioural)


class Outer(Side):
    """`hdl.execute.pe_array`: a byte of each row times a row of weights of as many columns as there are lanes."""

    def __init__(self, config: PeArraysConfig, *, behavioural: bool = False) -> None:
        super().__init__(config, dense.WORD, behavioural)

    def model(self) -> replay.Model:
        return _outer(self.config, self.behavioural)

    def list_word(self, count: int, depth: int) -> int:
        return _beside(dense.rows_layout(self.config), {"count": [count], "depth": [depth]})[0]

    def weights(self, layer: Linear) -> Words:
        lanes, scalers, groups = self.config.lanes, self.config.scalers, self.config.groups
        tiles, bits = np.reshape(layer.w, (-1, lanes, layer.w.shape[1])), Shape.cast(COLUMN).width
        columns = _columns(layer)
        grouped = [
            sum(column << k * bits for k, column in enumerate(columns[first : first + scalers]))
            for first in range(0, len(columns), scalers)
        ]
        return Words([pack(tile.T, 8) for tile in tiles], _cut(grouped, groups))

    def order(self, count: int, turn: Sequence[int]) -> tuple[Int64, Int64]:
        lanes, scalers = self.config.lanes, self.config.scalers
        group, tile, row, k = np.meshgrid(
            np.arange(self.config.groups), np.asarray(turn), np.arange(count), np.arange(scalers), indexing="ij"
        )
        return row.reshape(-1, scalers), (tile * lanes + group * scalers + k).reshape(-1, scalers)


class Inner(Side):
    """`hdl.execute.dot_array`: bytes of each row times as many weights of one column."""

    def __init__(self, config: PeArraysConfig, *, behavioural: bool = False) -> None:
        super().__init__(config, config.lanes, behavioural)

    def model(self) -> replay.Model:
        return _inner(self.config, self.behavioural)

    def list_word(self, count: int, depth: int) -> int:
        return _beside(dot_tiles.rows_layout(self.config), {"count": [count], "words": [-(-depth // self.word)]})[0]

    def weights(self, layer: Linear) -> Words:
        lanes, depth = self.config.lanes, layer.w.shape[1]
        words = pack(np.pad(layer.w, ((0, 0), (0, -depth % lanes))).reshape(-1, lanes), 8)
        return Words(_cut(words, lanes * -(-depth // lanes)), _cut(_columns(layer), lanes))

    def order(self, count: int, turn: Sequence[int]) -> tuple[Int64, Int64]:
        lanes, scalers = self.config.lanes, self.config.scalers
        column, tile, first, k = np.meshgrid(
            np.arange(lanes), np.asarray(turn), np.arange(0, count, scalers), np.arange(scalers), indexing="ij"
        )
        return (first + k).reshape(-1, scalers), (tile * lanes + column).reshape(-1, scalers)


def run(side: Side, products: Sequence[Product], *, idle: float = 0.0, stall: float = 0.0) -> Measured:
    """One product after the other, as fast as the array takes them. Raises `SimulationError` if it stands still."""
    packed: dict[int, Words] = {}
    words: dict[str, list[int]] = {name: [] for name in ("rows", "x", "tile", "w", "column")}
    places = []
    for product in products:
        # Products of other rows with the same weights share them.
        if id(product.layer) not in packed:
            packed[id(product.layer)] = side.weights(product.layer)
        places.append(_add(side, words, product, packed[id(product.layer)]))
    due, model = sum(len(rows) for rows, _ in places), side.model()
    sinks = dict.fromkeys(model.streams.sinks, 0) | {"o": due}
    limit = LIMIT + 4 * (len(words["w"]) + len(words["x"]) + due)
    found = replay.run(model, replay.Job(words, sinks, idle=idle, stall=stall, limit=limit))
    values = unpack(found.sinks["o"].payloads, STREAM_BITS, side.config.scalers)
    results, at = [], 0
    for product, (rows, columns) in zip(products, places, strict=True):
        results.append(_matrix(product, rows, columns, values[at : at + len(rows)]))
        at += len(rows)
    return Measured(results, found.cycles - found.first["w"], sum(each.useful for each in products), found.rate)


def columns_of(layer: Linear, columns: slice | NDArray[np.integer]) -> Linear:
    """The layer with those of its columns alone."""
    return Linear(layer.w[columns], layer.bias[columns], layer.mul[columns], layer.shift[columns], layer.bits)


def lists(count: int, lines: int) -> list[slice]:
    """Of rows, each as many as there are lines, and the rest."""
    return [slice(first, min(first + lines, count)) for first in range(0, count, lines)]


def turns_of(config: PeArraysConfig, count: int, tiles: int) -> list[tuple[int, ...]]:
    """Tiles that are worked on at once, for a list of so many rows."""
    together = 2 if count <= dense.half_of(config) else 1
    return [tuple(range(first, min(first + together, tiles))) for first in range(0, tiles, together)]


def _add(side: Side, words: dict[str, list[int]], product: Product, given: Words) -> tuple[Int64, Int64]:
    """Returns rows and columns of what leaves; rows -1 where it means nothing."""
    (count, depth), lines = product.x.shape, side.config.lines
    padded = np.pad(product.x, ((0, 0), (0, -depth % side.word))).reshape(count, -1, side.word)
    all_rows, all_columns = [], []
    for some in lists(count, lines):
        here = some.stop - some.start
        words["rows"].append(side.list_word(here, depth))
        words["x"] += pack(padded[some].reshape(-1, side.word), 8)
        turns = turns_of(side.config, here, len(given.w))
        words["tile"] += _tiles(turns, product.layer.bits == STREAM_BITS)
        for turn in turns:
            words["w"] += _together([given.w[tile] for tile in turn], 8 * side.config.lanes)
            words["column"] += [
                each for step in zip(*(given.column[tile] for tile in turn), strict=True) for each in step
            ]
            rows, columns = side.order(here, turn)
            all_rows.append(np.where(rows < here, rows + some.start, -1))
            all_columns.append(columns)
    return np.concatenate(all_rows), np.concatenate(all_columns)


def _matrix(product: Product, rows: Int64, columns: Int64, values: Int64) -> Int64:
    y = np.zeros((len(product.x), len(product.layer.w)), np.int64)
    there = rows >= 0
    y[rows[there], columns[there]] = values[there]
    return y


def _tiles(turns: Sequence[Sequence[int]], wide: bool) -> list[int]:
    last = [n == len(turns) - 1 for n in range(len(turns))]
    fields = {"wide": [wide] * len(turns), "last": last, "double": [len(turn) == 2 for turn in turns]}
    return _beside(dense.tile_layout(), fields)


def _together(words: Sequence[list[int]], bits: int) -> list[int]:
    return [sum(word << n * bits for n, word in enumerate(beat)) for beat in zip(*words, strict=True)]


def _columns(layer: Linear) -> list[int]:
    return _beside(COLUMN, {"mul": layer.mul, "shift": layer.shift, "bias": layer.bias})


def _cut(words: list[int], size: int) -> list[list[int]]:
    return [words[first : first + size] for first in range(0, len(words), size)]


def _beside(layout: data.StructLayout, fields: Mapping[str, Sequence[int] | Int64]) -> list[int]:
    """Fields [N] as N payloads of a layout."""
    masks = {name: (1 << Shape.cast(layout[name].shape).width) - 1 for name in fields}
    return [
        sum((int(value) & masks[name]) << layout[name].offset for name, value in zip(fields, row, strict=True))
        for row in zip(*fields.values(), strict=True)
    ]
