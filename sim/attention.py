# SPDX-License-Identifier: Apache-2.0
"""Attention of whole plans in Verilator, from items to contexts, each checked, and how busy the lines were."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from golden.cycles.gather import Item, items_of
from golden.execute.scales import Scale
from golden.execute.softmax import context, softmax
from hdl.emit import verilog
from hdl.execute.attention import Attention
from hdl.execute.banks import write_layout
from hdl.execute.layouts import ROW
from hdl.execute.line_powers import settings_layout
from hdl.execute.query_feed import query_layout
from sim import runner
from sim.gather import item_word, packed

NAME = "attention"

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Operands:
    """q, k, v: [H, T, L], int8. mask: [H, T, T], the kept pairs of critical rows. exponent, context: [H, 2], mul and
    shift of each head."""

    q: Int64
    k: Int64
    v: Int64
    mask: NDArray[np.bool_]
    exponent: Int64
    context: Int64


@dataclass(frozen=True)
class AttentionJob:
    """Payloads for each port of rows, of settings and of items; how many contexts are due, in how many beats each; and
    within how many cycles; how often each is taken."""

    lines: int
    words: dict[str, list[int]]
    due: int
    groups: int
    limit: int
    taken: float


@dataclass(frozen=True)
class Run:
    """keys: kept pairs. beats: those of them whose code is not 0. cycles: from the first in which an item might go to a
    line until the last context."""

    keys: int
    beats: int
    cycles: int

    def use(self, lines: int) -> tuple[float, float]:
        """Share of the lines' cycles in which they score a key, and in which they add one to a context."""
        return self.keys / (lines * self.cycles), self.beats / (lines * self.cycles)


@cache
def build(items: ItemsConfig, arrays: PeArraysConfig, stores: int, behavioural: bool) -> Path:
    """Folder of the unit's model, built if need be."""
    text = verilog(Attention(items, arrays, stores=stores), NAME, behavioural=behavioural)
    return runner.build(text, NAME)


def run(
    items: ItemsConfig,
    arrays: PeArraysConfig,
    layers: Sequence[Operands],
    *,
    stores: int = 1,
    taken: float = 1,
    behavioural: bool = False,
) -> list[Run]:
    """Layers, each from reset. All items of a layer wait when the first one may go, in a queue long enough, and all of
    its heads are in the stores. behavioural: as of `hdl.emit`.

    Raises `SimulationError` if the unit stands still, AssertionError if a context is not golden, or comes twice.
    """
    found = [items_of(each.mask, items) for each in layers]
    longest = max(map(len, found))
    items = replace(items, queue=min(1 << (longest - 1).bit_length(), 4096))
    jobs = [_job(items, arrays, each, due, taken) for each, due in zip(layers, found, strict=True)]
    results = runner.run_jobs(build(items, arrays, stores, behavioural), NAME, "sim.attention_bench", jobs)
    return [_checked(items, arrays, each, *result) for each, result in zip(layers, results, strict=True)]


def _job(
    config: ItemsConfig, arrays: PeArraysConfig, operands: Operands, items: list[Item], taken: float
) -> AttentionJob:
    heads, tokens = operands.q.shape[:2]
    places = [(head, token) for head in range(heads) for token in range(tokens)]
    rows = [
        packed(ROW, exponent=int(e[1]) << 16 | int(e[0]), context=int(c[1]) << 16 | int(c[0]))
        for e, c in zip(operands.exponent, operands.context, strict=True)
    ]
    key, query = write_layout(config), query_layout(config)
    words = {
        "settings": [packed(settings_layout(config), head=head, row=row) for head, row in enumerate(rows)],
        "keys": [packed(key, b=_bytes(operands.k[at]), head=at[0], key=at[1]) for at in places],
        "values": [packed(key, b=_bytes(operands.v[at]), head=at[0], key=at[1]) for at in places],
        "queries": [packed(query, b=_bytes(operands.q[at]), head=at[0], row=at[1]) for at in places],
        "i": [item_word(config, item) for item in items],
    }
    limit = int((4 * int(operands.mask.sum()) + arrays.groups * len(items) + 1000) / taken)
    return AttentionJob(config.lines, words, len(items), arrays.groups, limit, taken)


def _checked(
    config: ItemsConfig,
    arrays: PeArraysConfig,
    operands: Operands,
    started: int,
    ended: int,
    seen: list[list[int]],
) -> Run:
    wanted, codes = golden(operands)
    left, bits = np.asarray(operands.mask.any(axis=-1)), 8 * arrays.scalers
    for payloads in seen:
        for at in range(0, len(payloads), arrays.groups):
            parts = payloads[at : at + arrays.groups]
            assert [part >> bits & 1 for part in parts] == [0] * (arrays.groups - 1) + [1]
            (tag,) = {part >> bits + 1 for part in parts}
            name = divmod(tag, 1 << (config.tokens - 1).bit_length())
            assert left[name], f"a context that is not due, of head and row {name}"
            left[name] = False
            row = b"".join((part & (1 << bits) - 1).to_bytes(arrays.scalers, "little") for part in parts)
            found = np.frombuffer(row, dtype=np.int8)
            assert (found == wanted[name]).all(), f"{found} came of head and row {name}, not {wanted[name]}"
    assert not left.any()
    return Run(int(operands.mask.sum()), int((codes != 0).sum()), ended - started)


def golden(operands: Operands) -> tuple[Int64, Int64]:
    """Contexts [H, T, L] and codes [H, T, T]."""
    scores = operands.q @ np.swapaxes(operands.k, 1, 2)
    mul, shift = (each[:, None, None] for each in operands.exponent.T)
    rows = softmax(scores, operands.mask, mul, shift)
    mul, shift = (each[:, None, None] for each in operands.context.T)
    return context(rows, operands.v, mul, shift), rows.codes


def of_heads(scale: Scale, heads: int) -> Int64:
    """mul and shift of each head."""
    return np.stack([np.broadcast_to(np.ravel(each), heads) for each in (scale.mul, scale.shift)], axis=1)


def _bytes(row: Int64) -> int:
    return int.from_bytes(row.astype(np.int8).tobytes(), "little")
