# SPDX-License-Identifier: Apache-2.0
"""Scores of whole plans through the unit in Verilator, each checked, and how busy the lines were."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from amaranth.hdl import Shape
from numpy.typing import NDArray

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from golden.cycles.gather import Item, items_of
from hdl.emit import verilog
from hdl.execute.banks import write_layout
from hdl.execute.query_feed import query_layout
from hdl.execute.scores import Scores, score_layout
from sim import runner
from sim.gather import item_word, packed

NAME = "scores"

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Operands:
    """q, k: [H, T, L], int8. mask: [H, T, T], the kept pairs of critical rows."""

    q: Int64
    k: Int64
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class ScoresJob:
    """Payloads for the stores and the queues, how many scores are due, within how many cycles, and how often a line may
    begin with an item."""

    lines: int
    keys: list[int]
    queries: list[int]
    items: list[int]
    due: int
    limit: int
    opened: float


@dataclass(frozen=True)
class Run:
    """scores: how many. cycles: from the first in which an item might go to a line to the last score."""

    scores: int
    cycles: int

    def use(self, lines: int) -> float:
        """Share of the lines' cycles in which they give a score."""
        return self.scores / (lines * self.cycles)


@cache
def build(items: ItemsConfig, arrays: PeArraysConfig, stores: int) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(Scores(items, arrays, stores=stores), NAME), NAME)


def run(
    items: ItemsConfig, arrays: PeArraysConfig, layers: Sequence[Operands], *, stores: int = 1, opened: float = 1
) -> list[Run]:
    """Layers, each from reset. All items of a layer wait when the first one may go, in a queue long enough, and all of
    its heads are in the stores.

    Raises `SimulationError` if the unit stands still, AssertionError if a score is not the golden one, or comes twice.
    """
    found = [items_of(each.mask, items) for each in layers]
    longest = max(map(len, found))
    items = replace(items, queue=min(1 << (longest - 1).bit_length(), 4096))
    jobs = [_job(items, each, due, opened) for each, due in zip(layers, found, strict=True)]
    results = runner.run_jobs(build(items, arrays, stores), NAME, "sim.scores_bench", jobs)
    return [_checked(items, each, *result) for each, result in zip(layers, results, strict=True)]


def _job(config: ItemsConfig, operands: Operands, items: list[Item], opened: float) -> ScoresJob:
    heads, tokens = operands.q.shape[:2]
    places = [(head, token) for head in range(heads) for token in range(tokens)]
    due = int(operands.mask.sum())
    return ScoresJob(
        config.lines,
        [packed(write_layout(config), b=_bytes(operands.k[at]), head=at[0], key=at[1]) for at in places],
        [packed(query_layout(config), b=_bytes(operands.q[at]), head=at[0], row=at[1]) for at in places],
        [item_word(config, item) for item in items],
        due,
        int((4 * due + 1000) / opened),
        opened,
    )


def _checked(config: ItemsConfig, operands: Operands, started: int, seen: list[tuple[int, int, int]]) -> Run:
    layout, left = score_layout(config), operands.mask.copy()
    golden = operands.q @ np.swapaxes(operands.k, 1, 2)
    here: dict[int, tuple[int, int] | None] = {}
    for _, line, payload in seen:
        score = {name: payload >> each.offset & ((1 << Shape.cast(each.shape).width) - 1) for name, each in layout}
        at = (score["head"], score["row"], score["key"])
        assert left[at], f"a score that is not due at {at}"
        left[at] = False
        assert here.get(line) in (None, at[:2]), f"an item's scores must follow each other, not so at {at}"
        here[line] = None if score["last"] else at[:2]
        bits = Shape.cast(layout["score"].shape).width
        assert score["score"] == int(golden[at]) & ((1 << bits) - 1), f"{score} came, not {golden[at]}"
    assert not left.any()
    return Run(len(seen), seen[-1][0] - started + 1)


def _bytes(row: Int64) -> int:
    return int.from_bytes(row.astype(np.int8).tobytes(), "little")
