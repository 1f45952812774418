# SPDX-License-Identifier: Apache-2.0
"""Tiles of columns as they lie in memory for either array: parameters, then weights, filled up to words of the bus.

Linear [N, D] ─► `lanes` columns ─► entries of 8 bytes ─┐
                                └─► bytes of weights ───┴─► bytes
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from config.errors import require
from config.requantise import MIN_SHIFT
from config.system import ENTRY_BYTES, SystemConfig
from config.system import SIDES as SIDES
from golden.arrays import Array
from golden.execute.linear import Linear

Int64 = NDArray[np.int64]
SHIFT_AT, BIAS_AT, CHOICE_AT = 16, 22, 63
"""Lowest bits of an entry's fields; mul begins at 0."""
BIAS_MASK = (1 << 32) - 1


def tile_bytes(
    config: SystemConfig, side: str, layer: Linear, columns: ArrayLike, words: int, choice: Array | None = None
) -> bytes:
    """A tile of a layer's `columns`, numbers of up to `lanes` of them, for rows of `words` words; what is left of the
    tile's lanes, and of its depth, is 0.

    side: one of `SIDES`; "dot" has column by column, "outer" term by term. choice: GELU's table of each of the layer's
    columns; 0 if there is none. Raises `Refusal` for too many columns or too long ones.
    """
    numbers = np.asarray(columns, np.int64)
    lanes, depth = config.lanes, words * config.lanes
    weights = np.asarray(layer.w)[numbers]
    require(len(numbers) <= lanes, f"A tile has at most {lanes} columns, not {len(numbers)}; cut them into tiles.")
    require(
        weights.shape[1] <= depth,
        f"Columns must be no longer than {depth} for rows of {words} words, not {weights.shape[1]}; take longer rows.",
    )
    require(side in SIDES, f"side must be one of {', '.join(SIDES)}, not {side!r}; choose one of them.")
    tile = np.zeros((lanes, depth), np.int8)
    tile[: len(numbers), : weights.shape[1]] = weights
    content = _entries(layer, numbers, lanes, choice) + (tile if side == "dot" else tile.T).tobytes()
    return content + bytes(-len(content) % config.bus_bytes)


def _entries(layer: Linear, numbers: Int64, lanes: int, choice: Array | None) -> bytes:
    chosen = np.zeros(len(layer.w), np.int64) if choice is None else np.asarray(choice)
    entries = [
        mul | shift << SHIFT_AT | (bias & BIAS_MASK) << BIAS_AT | table << CHOICE_AT
        for mul, shift, bias, table in zip(
            *(np.asarray(each)[numbers].tolist() for each in (layer.mul, layer.shift, layer.bias, chosen)), strict=True
        )
    ]
    # A column that is none gives 0.
    entries += [MIN_SHIFT << SHIFT_AT] * (lanes - len(numbers))
    return b"".join(entry.to_bytes(ENTRY_BYTES, "little") for entry in entries)
