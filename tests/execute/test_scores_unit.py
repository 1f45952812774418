# SPDX-License-Identifier: Apache-2.0
"""Scores: each kept pair's Q·K once, under every flow control; how fast, with items of which lengths."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from golden.cycles.gather import Gather as Model
from golden.cycles.gather import Item, items_of
from hdl.execute.banks import write_layout
from hdl.execute.query_feed import query_layout
from hdl.execute.scores import TILE_PORTS, Scores, score_layout
from tests.arith import simulate
from tests.execute.gathering import as_number, byte_rows, item_pattern, plan_mask, shaped, unpacked
from tests.execute.test_dot_array_unit import results_of, streams_of
from tests.execute.test_pe_array_unit import Product, product
from tests.planted import Fault, Planted
from tests.speculate.plans import pack

SMALL = shaped(lines=4, lanes=2, banks=8, tokens=16, chunk=16, heads=2, sets=2, ports=2, queue=64)


def arrays(config: ItemsConfig) -> PeArraysConfig:
    return PeArraysConfig(lines=config.lines, lanes=config.lanes, terms=4 * config.lanes, keys=1)


def queries(config: ItemsConfig) -> np.ndarray:
    """Rows of Q, [H, T, L]."""
    return np.random.default_rng(8).integers(0, 256, (config.heads, config.tokens, config.lanes))


def signed(rows: np.ndarray) -> np.ndarray:
    return simulate.signed_values(rows, 8)


@dataclass
class Seen:
    """scores: per line, fields of what came. cycles: from the first row to the last. started: the cycle in which items
    might first go to lines."""

    scores: list[list[dict[str, int]]]
    when: list[int] = field(default_factory=list)
    started: int = 0

    @property
    def cycles(self) -> int:
        return self.when[-1] - self.when[0] + 1


def scored(
    dut: Any,
    config: ItemsConfig,
    items: list[Item],
    *,
    idle: float = 0,
    opened: float = 1,
    fill: bool = True,
    beside: Callable[[Any], bool] = lambda context: True,
) -> Seen:
    """Items through a unit whose stores are filled before. idle: how often `i` rests; opened: how often a line may
    begin. fill: nothing goes to lines before all items wait. beside: is told in each cycle, and says whether all that
    it waits for has come."""
    rng = random.Random(len(items))
    total = sum(item.count for item in items)
    limit = int((4 * total + 40 * len(items) + 400) / (1 - idle) / opened)
    seen, layout = Seen([[] for _ in dut.o]), score_layout(config)
    outputs = [(o.valid, Value.cast(o.payload)) for o in dut.o]
    k, q = byte_rows(config), queries(config)

    async def bench(context: Any) -> None:
        for head in range(config.heads):
            for token in range(config.tokens):
                words = (
                    (dut.write, pack(write_layout(config), b=as_number(k[head, token]), head=head, key=token)),
                    (dut.queries, pack(query_layout(config), b=as_number(q[head, token]), head=head, row=token)),
                )
                for port, word in words:
                    context.set(Value.cast(port.payload), word)
                    context.set(port.valid, 1)
                await context.tick()
        context.set(dut.write.valid, 0)
        context.set(dut.queries.valid, 0)
        waiting = [item_pattern(config, item) for item in reversed(items)]
        for now in range(limit):
            context.set(dut.enable, not fill or not waiting)
            offered = bool(waiting) and rng.random() >= idle
            context.set(dut.i.valid, offered)
            if offered:
                context.set(Value.cast(dut.i.payload), waiting[-1])
                if context.get(dut.i.ready):
                    waiting.pop()
            seen.started = now if waiting else seen.started
            context.set(dut.opens, sum((rng.random() < opened) << n for n in range(config.lines)))
            for line, (valid, payload) in enumerate(outputs):
                if context.get(valid):
                    seen.scores[line].append(unpacked(layout, context.get(payload)))
                    seen.when.append(now)
            if beside(context) and len(seen.when) >= total:
                break
            await context.tick()
        for _ in range(20):
            await context.tick()
            assert not any(context.get(valid) for valid, _ in outputs)

    simulate.run(dut, bench)
    return seen


def check(config: ItemsConfig, items: list[Item], seen: Seen) -> None:
    """Each item's scores at one line, without those of others between them, marked first and last, all of its keys."""
    golden = signed(queries(config)) @ np.swapaxes(signed(byte_rows(config)), 1, 2)
    bits = score_layout(config)["score"].width
    left = {(item.head, item.row, item.chunk): item.keys for item in items}
    for line in seen.scores:
        here = None
        for each in line:
            place = (each["head"], each["row"], each["key"] // config.chunk)
            assert here in (None, place)
            assert bool(each["first"]) == (here is None)
            bit = 1 << each["key"] % config.chunk
            assert left[place] & bit, "a key that is not kept, or came before"
            left[place] ^= bit
            assert bool(each["last"]) == (not left[place])
            here = None if each["last"] else place
            assert each["score"] == int(golden[each["head"], each["row"], each["key"]]) & ((1 << bits) - 1)
    assert not any(left.values()), "keys are missing"


def run(
    config: ItemsConfig,
    items: list[Item],
    *,
    faults: dict[str, Fault] | None = None,
    tiles: Any = None,
    stores: int = 1,
    **how: Any,
) -> Seen:
    dut = Scores(config, arrays(config), stores=stores, tiles=tiles is not None)
    if tiles:
        tiles.dut = dut
        how["beside"] = tiles
    seen = scored(Planted(dut, **faults) if faults else dut, config, items, **how)
    check(config, items, seen)
    return seen


def sparse(config: ItemsConfig, density: float, seed: int = 0) -> list[Item]:
    return items_of(plan_mask(config, density, seed), config)


def test_ports() -> None:
    shapes = {name: shape.width for name, shape in simulate.ports(Scores(SMALL, arrays(SMALL))).items()}
    assert {name: width for name, width in shapes.items() if "payload" in name} == {
        "i__payload": 1 + 4 + 16 + 5, "write__payload": 16 + 1 + 4, "queries__payload": 16 + 1 + 4,
        **{f"o__{n}__payload": 17 + 1 + 4 + 4 + 2 for n in range(4)},
    }  # fmt: skip


def test_an_array_of_another_shape_is_refused() -> None:
    assert simulate.refusal_of(lambda: Scores(SMALL, PeArraysConfig(lines=4, lanes=8))) == (
        "lanes of the array must be the 2 of the items, not 8; make them equal."
    )


RESTS = {"fill": False, "idle": 0.4, "opened": 0.5}


@pytest.mark.parametrize(("density", "rests"), [(0.0, {}), (0.2, RESTS), (0.5, {}), (1.0, {}), (1.0, RESTS)])
def test_scores_are_golden(density: float, rests: dict[str, Any]) -> None:
    run(SMALL, sparse(SMALL, density), **rests)


@pytest.mark.parametrize(
    ("shape", "stores"),
    [({"allocation": "static"}, 1), ({"chunk": 8, "ports": 4}, 4), ({"lines": 1, "ports": 1}, 1), ({"sets": 8}, 2)],
    ids=str,
)
def test_other_shapes(shape: dict[str, Any], stores: int) -> None:
    config = ItemsConfig(**{**vars(SMALL), **shape})
    run(config, sparse(config, 0.3), stores=stores)


# Throughput


def of_length(config: ItemsConfig, keys: int) -> list[Item]:
    """Rows of so many keys, each row's others."""
    rng = np.random.default_rng(keys)
    mask = np.zeros((config.heads, config.tokens, config.tokens), dtype=bool)
    for row in mask.reshape(-1, config.tokens):
        row[rng.choice(config.tokens, keys, replace=False)] = True
    return items_of(mask, config)


@pytest.mark.parametrize("keys", [4, 7, 12])
def test_items_as_long_as_there_are_lines_wait_for_no_row_of_q(keys: int) -> None:
    """No longer than it takes the rows of K alone, and to begin."""
    items = of_length(SMALL, keys)
    assert run(SMALL, items).cycles <= Model(SMALL).run(items).cycles + SMALL.lines + 3


def test_shorter_items_take_as_long_as_their_rows_of_q() -> None:
    items = of_length(SMALL, 2)
    assert 0.9 * len(items) <= run(SMALL, items).cycles <= len(items) + SMALL.latency
    assert run(SMALL, items, stores=2).cycles < 0.8 * len(items)


# Tiles in turn


class Tiles:
    """Drives the ports of tiles, each at rest now and then. results: payloads that came; when: in which cycles."""

    def __init__(self, products: list[Product], config: PeArraysConfig):
        self.streams, self.config = streams_of(products, config), config
        self.results: list[int] = []
        self.when: list[int] = []
        self._cycle = 0
        self.dut: Any = None
        self._queues = {name: deque(getattr(self.streams, name)) for name in TILE_PORTS}
        self._offered: set[str] = set()
        self._rng = random.Random(len(products))

    def __call__(self, context: Any) -> bool:
        o = self.dut.results
        context.set(o.ready, self._rng.random() < 0.7)
        for name, queue in self._queues.items():
            port = getattr(self.dut, name)
            if queue and (name in self._offered or self._rng.random() < 0.5):
                self._offered.add(name)
                context.set(Value.cast(port.payload), queue[0])
            context.set(port.valid, name in self._offered)
        if context.get(o.valid) and context.get(o.ready):
            self.results.append(context.get(Value.cast(o.payload)))
            self.when.append(self._cycle)
        self._cycle += 1
        for name in [name for name in self._offered if context.get(getattr(self.dut, name).ready)]:
            self._offered.remove(name)
            self._queues[name].popleft()
        return len(self.results) == len(self.streams.results)


def test_tiles_and_items_take_turns_on_the_same_lines() -> None:
    config = shaped(lines=2, lanes=4, banks=4, tokens=8, chunk=8, heads=2, sets=2, ports=2, queue=64)
    array = arrays(config)
    products = [product(count, depth, 1, 4) for count, depth in ((2, 16), (1, 5), (2, 4), (2, 9))]
    tiles = Tiles(products, array)
    seen = run(config, sparse(config, 0.6), tiles=tiles, idle=0.3, fill=False)
    tile = len(tiles.results) // 4
    assert seen.when[0] < tiles.when[tile] < seen.when[-1]
    due = tiles.streams.results
    assert results_of(tiles.results, array, due) == due


# Planted faults


@pytest.mark.parametrize(
    "fault",
    [
        {"queries__payload": lambda row: row ^ 1},
        {"queries__payload": lambda row: row & ~(1 << 17)},
        {"write__payload": lambda row: row ^ (1 << 15)},
        {"o__1__payload": lambda score: score ^ (1 << 16)},
        {"o__2__valid": lambda valid: Const(0)},
        {"i__payload": lambda item: item ^ 2},
    ],
    ids=["a bit of Q", "row of Q", "a sign of K", "a sign", "line lost", "row"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises((AssertionError, KeyError)):
        run(SMALL, sparse(SMALL, 0.3), faults=fault)
