# SPDX-License-Identifier: Apache-2.0
"""Dense products of whole layers through a PE array in Verilator: lists of rows, tiles of columns, results as matrices.

x [n, D], Linear [N, D] ─► lists of at most `lines` rows ─► rows, x, tile, w, column ─► array ─► y [n, N]
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data
from numpy.typing import NDArray

from config.execute import STREAM_BITS
from config.pe_arrays import PeArraysConfig
from golden.execute.linear import Linear
from hdl.execute.dense import WORD, half_of, result_tag_layout, rows_layout, tile_layout
from hdl.execute.pe_array import PeArray
from hdl.execute.scaler import COLUMN
from sim import replay
from sim.packing import pack, unpack

Int64 = NDArray[np.int64]
NAME = "pe_array"
REPEATED = ("pe_line", "pe_bundle2", "context_reader", "row_store")
"""Modules with many instances, which the simulator compiles once."""
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
    the first rows goes on beside what was before. rate: cycles simulated
    in a second."""

    results: list[Int64]
    cycles: int
    useful: int
    rate: float

    def use(self, config: PeArraysConfig) -> float:
        """Share of what the lanes could have multiplied in that time."""
        return self.useful / (self.cycles * config.lines * config.lanes)


def columns_of(layer: Linear, columns: slice | NDArray[np.integer]) -> Linear:
    """The layer with those of its columns alone."""
    return Linear(layer.w[columns], layer.bias[columns], layer.mul[columns], layer.shift[columns], layer.bits)


def run(config: PeArraysConfig, products: Sequence[Product], *, idle: float = 0.0, stall: float = 0.0) -> Measured:
    """One product after the other, as fast as the array takes them. Raises `SimulationError` if it stands still."""
    packed: dict[int, _Words] = {}
    words: dict[str, list[int]] = {name: [] for name in ("rows", "x", "tile", "w", "column")}
    for product in products:
        # Products of other rows with the same weights share them.
        if id(product.layer) not in packed:
            packed[id(product.layer)] = _weights(config, product.layer)
        _add(config, words, product, packed[id(product.layer)])
    due = sum(len(each.x) * len(each.layer.w) for each in products)
    limit = LIMIT + 4 * (len(words["w"]) + len(words["x"]) + due)
    job = replay.Job(words, _due(config, due), idle=idle, stall=stall, limit=limit)
    found = replay.run(PeArray(config, tag_bits=1), NAME, job, REPEATED)
    results = _matrices(config, products, found.sinks["o"].payloads)
    return Measured(results, found.cycles - found.first["w"], sum(each.useful for each in products), found.rate)


def _due(config: PeArraysConfig, results: int) -> dict[str, int]:
    return {"o": results // config.scalers} | {f"context{line}": 0 for line in range(config.lines)}


def lists(count: int, lines: int) -> list[slice]:
    """Of rows, each as many as there are lines, and the rest."""
    return [slice(first, min(first + lines, count)) for first in range(0, count, lines)]


@dataclass(frozen=True)
class _Words:
    """Of each tile: a row of weights for each term; of each of its groups of columns, what results are scaled by."""

    w: list[list[int]]
    column: list[list[int]]


def _weights(config: PeArraysConfig, layer: Linear) -> _Words:
    scalers, tiles = config.scalers, np.reshape(layer.w, (-1, config.lanes, layer.w.shape[1]))
    columns = _beside(COLUMN, {"mul": layer.mul, "shift": layer.shift, "bias": layer.bias})
    bits = Shape.cast(COLUMN).width
    grouped = [
        sum(column << k * bits for k, column in enumerate(columns[first : first + scalers]))
        for first in range(0, len(columns), scalers)
    ]
    each = range(0, len(grouped), config.groups)
    return _Words([pack(tile.T, 8) for tile in tiles], [grouped[n : n + config.groups] for n in each])


def _beside(layout: data.StructLayout, fields: dict[str, Int64]) -> list[int]:
    """Fields [N] as N payloads of a layout."""
    widths = {name: Shape.cast(layout[name].shape).width for name in fields}
    return [
        sum((int(value) & (1 << widths[name]) - 1) << layout[name].offset for name, value in zip(fields, row, strict=True))
        for row in zip(*fields.values(), strict=True)
    ]


def _add(config: PeArraysConfig, words: dict[str, list[int]], product: Product, given: _Words) -> None:
    count, depth = product.x.shape
    padded = np.pad(product.x, ((0, 0), (0, -depth % WORD))).reshape(count, -1, WORD)
    for rows in lists(count, config.lines):
        some = rows.stop - rows.start
        words["rows"] += _beside(rows_layout(config), {"count": np.array([some]), "depth": np.array([depth])})
        words["x"] += pack(padded[rows].reshape(-1, WORD), 8)
        turns = turns_of(config, some, len(given.w))
        fields = {
            "wide": [product.layer.bits == STREAM_BITS] * len(turns),
            "last": [n == len(turns) - 1 for n in range(len(turns))],
            "double": [len(turn) == 2 for turn in turns],
        }
        words["tile"] += _beside(tile_layout(), {name: np.array(each, np.int64) for name, each in fields.items()})
        for turn in turns:
            if len(turn) == 1:
                words["w"] += given.w[turn[0]]
                words["column"] += given.column[turn[0]]
                continue
            first, second = (given.w[tile] for tile in turn)
            words["w"] += [low | high << 8 * config.lanes for low, high in zip(first, second, strict=True)]
            pairs = zip(*(given.column[tile] for tile in turn), strict=True)
            words["column"] += [column for pair in pairs for column in pair]


def turns_of(config: PeArraysConfig, count: int, tiles: int) -> list[tuple[int, ...]]:
    """Tiles that are worked on at once, for a list of so many rows."""
    together = 2 if count <= half_of(config) else 1
    return [tuple(range(first, min(first + together, tiles))) for first in range(0, tiles, together)]


def _matrices(config: PeArraysConfig, products: Sequence[Product], payloads: list[int]) -> list[Int64]:
    """Results, put where their tags say that they belong."""
    scalers, layout = config.scalers, result_tag_layout(config)
    values = unpack(payloads, STREAM_BITS, scalers)
    tags = np.array([payload >> STREAM_BITS * scalers for payload in payloads], np.int64)

    def tag(name: str) -> Int64:
        each = layout[name]
        return tags >> each.offset & ((1 << Shape.cast(each.shape).width) - 1)

    results, at = [], 0
    for product in products:
        y = np.zeros((len(product.x), len(product.layer.w)), np.int64)
        for rows in lists(len(product.x), config.lines):
            some = rows.stop - rows.start
            for turn in turns_of(config, some, len(product.layer.w) // config.lanes):
                part = slice(at, at + some * len(turn) * config.groups)
                at = part.stop
                line, half = tag("line")[part, None], half_of(config)
                upper = (line >= half) & (len(turn) == 2)
                columns = (turn[0] + upper) * config.lanes + tag("group")[part, None] * scalers + np.arange(scalers)
                y[rows.start + line - upper * half, columns] = values[part]
        results.append(y)
    return results
