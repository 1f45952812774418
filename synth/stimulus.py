# SPDX-License-Identifier: Apache-2.0
"""What an array sees, cycle by cycle, while it computes x·wᵀ without being held up: tile after tile."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.array import ArrayConfig
from golden.speculate import array as golden

Integers = NDArray[np.int64]
Bits = NDArray[np.uint8]


def to_bits(values: NDArray[np.integer], width: int) -> Bits:
    """Integers [cycles, n] as the bits [cycles, n·width] of a port in which they lie beside each other."""
    shifted = np.asarray(values, dtype=np.int64)[..., np.newaxis] >> np.arange(width)
    return (shifted & 1).astype(np.uint8).reshape(len(values), -1)


@dataclass(frozen=True)
class Schedule:
    """One run of an array: arrays over cycles.

    Attributes
    ----------
    row: the weight row that is loaded, -1 in other cycles. beat: the x row that enters, -1 in other cycles.
    weights: integers [cycles, lanes] on the weight port; x: integers [cycles, lanes] of the beat; both are held while
    nothing new comes. clear, emit, last: flags of the beat. sums: exact sums [cycles, rows] after the beat of that
    cycle; terms: products computed in a row, padding not counted.
    """

    row: Integers
    beat: Integers
    weights: Integers
    x: Integers
    clear: Bits
    emit: Bits
    last: Bits
    sums: Integers
    terms: int

    @property
    def cycles(self) -> int:
        return len(self.row)


def schedule(config: ArrayConfig, x: Integers, w: Integers, drain: int) -> Schedule:
    """The run that computes x [T, D] times w [N, D] transposed, then `drain` cycles in which nothing enters."""
    tokens, depth = x.shape
    rows, lanes = config.rows, config.lanes
    tiles = -(-len(w) // rows)
    chunks = -(-depth // lanes)
    padded_x = np.zeros((tokens, chunks * lanes), np.int64)
    padded_x[:, :depth] = x
    padded_w = np.zeros((tiles * rows, chunks * lanes), np.int64)
    padded_w[: len(w), :depth] = w
    load_and_stream = rows + tokens
    # With a single row the array waits a cycle behind the weights; the comparison has no use for that.
    assert rows > 1, "a schedule needs an array of at least two rows"
    count = tiles * chunks * load_and_stream + drain
    row, beat = np.full(count, -1), np.full(count, -1)
    weights, xs = np.zeros((count, lanes), np.int64), np.zeros((count, lanes), np.int64)
    flags = np.zeros((3, count), np.uint8)
    sums = np.zeros((count, rows), np.int64)
    start = 0
    for tile in range(tiles):
        tile_w = padded_w[tile * rows : (tile + 1) * rows]
        for chunk in range(chunks):
            columns = slice(chunk * lanes, (chunk + 1) * lanes)
            middle, end = start + rows, start + load_and_stream
            row[start:middle], beat[middle:end] = np.arange(rows), np.arange(tokens)
            weights[start:middle], weights[middle:end] = tile_w[:, columns], tile_w[-1, columns]
            xs[start:middle], xs[middle:end] = xs[start - 1], padded_x[:, columns]
            flags[0, middle:end], flags[1, middle:end] = chunk == 0, chunk == chunks - 1
            flags[2, end - 1] = 1
            upto = slice(0, (chunk + 1) * lanes)
            sums[middle:end] = golden.dot(padded_x[:, upto], tile_w[:, upto], config.system)
            start = end
    weights[start:], xs[start:] = weights[start - 1], xs[start - 1]
    clear, emit, last = flags
    return Schedule(row, beat, weights, xs, clear, emit, last, sums, tiles * tokens * depth)
