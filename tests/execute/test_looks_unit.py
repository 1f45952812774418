# SPDX-License-Identifier: Apache-2.0
"""Rows of K and Q, looked at one by one where they are kept for the lines that score."""

import random

import pytest
from amaranth.hdl import Value

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.scores import Scores
from tests.arith import simulate
from tests.planted import Planted

ITEMS = ItemsConfig(lines=2, lanes=2, banks=4, tokens=16, heads=3, chunk=16, record=4, sets=4, ports=1, queue=4)
ARRAYS = PeArraysConfig(lines=2, lanes=2, rows=2, terms=64, keys=16, scalers=1)
PLACES = [(head, token) for head in range(ITEMS.heads) for token in range(ITEMS.tokens)]


def unit(stores: int) -> Scores:
    return Scores(ITEMS, ARRAYS, stores=stores, tiles=True, looks=True)


def looked(dut) -> dict[str, list[tuple[int, int]]]:
    """Of K and of Q, rows that were written, and those that were seen, in an order of their own each, some twice."""
    rng = random.Random(4)
    orders = {name: rng.sample([*PLACES, *PLACES[::3]], len(PLACES) + len(PLACES[::3])) for name in ("keys", "queries")}
    rows = {name: {place: rng.getrandbits(8 * ITEMS.lanes) for place in PLACES} for name in orders}
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in orders}

    async def bench(context) -> None:
        writes = {"keys": (dut.write, "key"), "queries": (dut.queries, "row")}
        for head, token in rng.sample(PLACES, len(PLACES)):
            for name, (write, number) in writes.items():
                context.set(write.valid, 1)
                context.set(write.payload.head, head)
                context.set(write.payload[number], token)
                context.set(Value.cast(write.payload.b), rows[name][head, token])
            await context.tick()
        for write, _ in writes.values():
            context.set(write.valid, 0)
        for places in zip(orders["keys"], orders["queries"], strict=True):
            for name, (head, token) in zip(orders, places, strict=True):
                look = getattr(dut, f"look_{name}")
                context.set(look.read, 1)
                context.set(look.of, {"head": head, "token": token})
            await context.tick()
            for name in orders:
                look = getattr(dut, f"look_{name}")
                context.set(look.read, 0)
                context.set(look.of, {"head": rng.randrange(ITEMS.heads), "token": rng.randrange(ITEMS.tokens)})
            # It stands until the next one is read.
            for _ in range(rng.randrange(3)):
                await context.tick()
            for name, place in zip(orders, places, strict=True):
                found[name].append((context.get(Value.cast(getattr(dut, f"look_{name}").row)), rows[name][place]))

    simulate.run(dut, bench)
    return found


@pytest.mark.parametrize("stores", [1, 2])
def test_every_row_is_shown(stores):
    found = looked(unit(stores))
    for seen in found.values():
        assert len(seen) == len(PLACES) + len(PLACES[::3])
        assert all(row == due for row, due in seen)


@pytest.mark.parametrize("fault", ["look_keys__of", "look_queries__of"])
def test_another_row_is_noticed(fault):
    found = looked(Planted(unit(1), **{fault: lambda of: of ^ 1}))
    assert {name for name, seen in found.items() if any(row != due for row, due in seen)} == {
        "keys" if "keys" in fault else "queries"
    }


def test_nobody_looks_unless_it_is_asked_for():
    assert not [name for name in simulate.ports(Scores(ITEMS, ARRAYS, tiles=True)) if name.startswith("look")]
