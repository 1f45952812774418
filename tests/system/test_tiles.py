# SPDX-License-Identifier: Apache-2.0
"""Tiles as they lie in memory, byte by byte."""

from dataclasses import replace

import numpy as np
import pytest

from config.presets import systems
from config.system import SIDES
from golden.execute.linear import Linear
from golden.system.tiles import tile_bytes
from tests.arith import simulate

CONFIG = systems("tiny")["dense"]
"""4 lanes, words of the bus of 16 bytes."""


def layer(columns: int, depth: int) -> Linear:
    rng = np.random.default_rng(columns)
    return Linear(
        rng.integers(-128, 128, (columns, depth)),
        rng.integers(-(2**31), 2**31, columns),
        rng.integers(0, 1 << 16, columns),
        rng.integers(1, 41, columns),
    )


@pytest.mark.parametrize("side", SIDES)
def test_every_byte(side: str) -> None:
    given, columns, choice = layer(9, 12), [7, 0, 3, 8], np.arange(9) % 2
    found = tile_bytes(CONFIG, side, given, columns, 3, choice)
    assert len(found) == 4 * 8 + 4 * 12
    for place, column in enumerate(columns):
        entry = int.from_bytes(found[8 * place : 8 * place + 8], "little")
        assert entry & 0xFFFF == given.mul[column]
        assert entry >> 16 & 63 == given.shift[column]
        bias = entry >> 22 & 0xFFFFFFFF
        assert bias - (bias >> 31 << 32) == given.bias[column]
        assert entry >> 54 == (column % 2) << 9
        for term in range(12):
            at = 32 + (12 * place + term if side == "dot" else 4 * term + place)
            assert int.from_bytes(found[at : at + 1], "little", signed=True) == given.w[column, term]


@pytest.mark.parametrize("side", SIDES)
def test_what_is_left_is_zero(side: str) -> None:
    """Three columns of ten terms in a tile of four of twelve; a column that is none gives 0: shift 1, all else 0."""
    found = tile_bytes(CONFIG, side, layer(3, 10), [0, 1, 2], 3)
    assert int.from_bytes(found[24:32], "little") == 1 << 16
    weights = np.frombuffer(found[32:], np.int8)
    weights = weights.reshape(4, 12) if side == "dot" else weights.reshape(12, 4).T
    assert np.array_equal(weights[:3, :10], layer(3, 10).w)
    assert not weights[3].any()
    assert not weights[:, 10:].any()


def test_words_of_the_bus_are_filled_up() -> None:
    wide = replace(CONFIG, bus_bytes=64)
    assert len(tile_bytes(CONFIG, "dot", layer(4, 4), range(4), 1)) == 48
    assert tile_bytes(wide, "dot", layer(4, 4), range(4), 1)[48:] == bytes(16)


def test_refusals() -> None:
    given = layer(5, 12)
    assert simulate.refusal_of(lambda: tile_bytes(CONFIG, "dot", given, range(5), 3)) == (
        "A tile has at most 4 columns, not 5; cut them into tiles."
    )
    assert simulate.refusal_of(lambda: tile_bytes(CONFIG, "dot", given, range(4), 2)) == (
        "Columns must be no longer than 8 for rows of 2 words, not 12; take longer rows."
    )
    assert simulate.refusal_of(lambda: tile_bytes(CONFIG, "left", given, range(4), 3)) == (
        "side must be one of dot, outer, not 'left'; choose one of them."
    )
