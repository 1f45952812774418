# SPDX-License-Identifier: Apache-2.0
"""Sparse items of whole plans through the gather unit in Verilator, each row checked, and how busy the lines were."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from config.items import ItemsConfig
from golden.cycles.gather import Gather as Model
from golden.cycles.gather import Item, Run
from hdl.emit import verilog
from hdl.execute.banks import write_layout
from hdl.execute.gather import Gather
from hdl.execute.gather_lines import row_layout
from hdl.execute.items import item_layout
from sim import runner

NAME = "gather"


@dataclass(frozen=True)
class GatherJob:
    """Payloads for the banks and the queues, how many rows are due, and within how many cycles."""

    lines: int
    rows: list[int]
    items: list[int]
    due: int
    limit: int


@cache
def build(config: ItemsConfig) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(Gather(config), NAME), NAME)


def run(config: ItemsConfig, plans: Sequence[list[Item]]) -> list[Run]:
    """Items of layers, each from reset. All of a layer wait when the first one may go, in a queue long enough.

    Raises `SimulationError` if the unit stands still, AssertionError if a row is not the one that the model has at this
    line in this cycle, or its bytes are not those of the key.
    """
    longest = max(len(items) for items in plans)
    # Static queues may have to hold all of a line's rows.
    config = replace(config, queue=min(1 << (longest - 1).bit_length(), 4096))
    rows = [
        packed(write_layout(config), b=_bytes(config, head, key), head=head, key=key)
        for head in range(min(config.heads, config.sets))
        for key in range(config.tokens)
    ]
    jobs = [GatherJob(config.lines, rows, [item_word(config, item) for item in items], due, 4 * due + 1000)
            for items in plans for due in [sum(item.count for item in items)]]  # fmt: skip
    results = runner.run_jobs(build(config), NAME, "sim.gather_bench", jobs)
    return [_checked(config, items, *result) for items, result in zip(plans, results, strict=True)]


def _checked(config: ItemsConfig, items: list[Item], started: int, seen: list[tuple[int, int, int]]) -> Run:
    expected = Model(config, cycle=started).run(items)
    layout = row_layout(config)
    assert len(seen) == len(expected.taken), f"{len(expected.taken)} rows were due, not {len(seen)}"
    for (now, line, payload), due in zip(seen, expected.taken, strict=True):
        row = {name: payload >> each.offset & ((1 << Shape.cast(each.shape).width) - 1) for name, each in layout}
        found = (now - config.latency, line, row["head"], row["row"], row["key"], row["first"], row["last"])
        wanted = (due.slot, due.line, due.item.head, due.item.row, due.key, due.first, due.last)
        assert found == wanted, f"{found} came, not {wanted}"
        assert row["b"] == _bytes(config, due.item.head % config.sets, due.key), f"wrong bytes at {wanted}"
    return expected


def _bytes(config: ItemsConfig, head: int, key: int) -> int:
    """Of a key's row, another for each."""
    return (head << 16 | key + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 8 * config.lanes)


def item_word(config: ItemsConfig, item: Item) -> int:
    """An item as the unit's payload."""
    return packed(item_layout(config), **vars(item), count=item.count)


def packed(layout: data.StructLayout, **values: Any) -> int:
    """Fields as one number."""
    return sum(int(value) << layout[name].offset for name, value in values.items())
