# SPDX-License-Identifier: Apache-2.0
"""Fields that lie beside each other in a payload, as integers of any width."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def pack(values: NDArray[np.integer], width: int) -> list[int]:
    """Integers [n, fields] as n payloads, field 0 lowest, each `width` bits of two's complement."""
    bits = (np.asarray(values, dtype=np.int64)[..., np.newaxis] >> np.arange(width)) & 1
    rows = np.packbits(bits.astype(np.uint8).reshape(len(values), -1), axis=-1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def unpack(payloads: Iterable[int], width: int, fields: int, *, signed: bool = True) -> NDArray[np.int64]:
    """The lowest `fields` fields of each payload, int64 [n, fields]."""
    size = (width * fields + 7) // 8
    mask = (1 << (width * fields)) - 1
    raw = b"".join((payload & mask).to_bytes(size, "little") for payload in payloads)
    bits = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(-1, size), axis=-1, bitorder="little")
    weights = 1 << np.arange(width, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return bits[:, : width * fields].reshape(-1, fields, width).astype(np.int64) @ weights
