# SPDX-License-Identifier: Apache-2.0
"""What a dot-product unit must answer to what its ports took: the tile protocol of `hdl/speculate/array.py`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from config.array import ArrayConfig
from config.formats import Format, HLogFormat, LeadingOneFormat
from golden.arith import hlog, leading_one
from golden.speculate.array import coded_value
from sim.packing import unpack

Int64 = NDArray[np.int64]


def decode(codes: Int64, coding: Format) -> Int64:
    """Values of codes, which are unsigned patterns in the log formats and integers in the others."""
    match coding:
        case HLogFormat(bits):
            return np.asarray(hlog.decode(codes, bits))
        case LeadingOneFormat(bits):
            return np.asarray(leading_one.decode(codes, bits))
        case _:
            return codes


def expected(config: ArrayConfig, w: Sequence[int], x: Sequence[int]) -> tuple[Int64, list[int]]:
    """Totals [results, rows] and `last` of each, from the payloads that streams w and x took, in their order."""
    rows, lanes, coding = config.rows, config.lanes, config.system.w
    is_log = isinstance(coding, HLogFormat | LeadingOneFormat)
    codes = unpack(w, coding.code_bits, lanes * config.load, signed=not is_log)
    weights = decode(codes, coding).reshape(-1, rows, lanes)
    width = config.system.bits
    values = coded_value(unpack(x, width, lanes), config.system.x)
    flags = [payload >> (width * lanes) for payload in x]
    partial: dict[int, Int64] = {}
    totals, lasts = [], []
    tile = beat = 0
    for value, flag in zip(values, flags, strict=True):
        clear, emit, last = flag & 1, flag >> 1 & 1, flag >> 2 & 1
        total = weights[tile] @ value + (0 if clear else partial[beat])
        if emit:
            totals.append(total)
            lasts.append(last)
        else:
            partial[beat] = total
        tile, beat = (tile + 1, 0) if last else (tile, beat + 1)
    return np.array(totals, np.int64).reshape(-1, rows), lasts
