# SPDX-License-Identifier: Apache-2.0
"""The gather unit: every key once, with its row, under every flow control; to the cycle what the model says."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const

from config.items import ItemsConfig
from golden.cycles.gather import Gather as Model
from golden.cycles.gather import Item, items_of
from hdl.execute.gather import Gather
from tests.arith import simulate
from tests.execute.gathering import check, plan_mask, shaped, through
from tests.planted import Planted

SMALL = shaped(lines=2, banks=4, tokens=8, chunk=8, heads=2, sets=2, ports=2, queue=64, record=4)


def small(**others: Any) -> ItemsConfig:
    return ItemsConfig(**{**vars(SMALL), **others})


def sparse(config: ItemsConfig, density: float, seed: int = 0) -> list[Item]:
    return items_of(plan_mask(config, density, seed), config)


def one_key(config: ItemsConfig) -> list[Item]:
    """Every row of every head keeps key 5 alone: all want one bank."""
    mask = np.zeros((config.heads, config.tokens, config.tokens), dtype=bool)
    mask[:, :, 5] = True
    return items_of(mask, config)


def one_dense_head(config: ItemsConfig) -> list[Item]:
    mask = plan_mask(config, 0.0)
    mask[0] = True
    return items_of(mask, config)


def one_bank(config: ItemsConfig) -> list[Item]:
    """Each row keeps the keys of bank 0 but one, which is another for each row."""
    mask = np.zeros((config.heads, config.tokens, config.tokens), dtype=bool)
    mask[:, :, :: config.banks] = True
    mask[:, np.arange(0, config.tokens, 2), 0] = False
    return items_of(mask, config)


PLANS = {
    "sparse": lambda config: sparse(config, 0.2),
    "dense": lambda config: sparse(config, 1.0),
    "half": lambda config: sparse(config, 0.5),
    "a key a row": one_key,
    "a dense head": one_dense_head,
    "a bank": one_bank,
}


def test_ports() -> None:
    dut = Gather(SMALL)
    shapes = {name: shape.width for name, shape in simulate.ports(dut).items()}
    item, row = 1 + 3 + 8 + 4, 2 * 8 + 1 + 3 + 3 + 2
    assert {name: width for name, width in shapes.items() if "payload" in name} == {
        "i__payload": item, "write__payload": 16 + 1 + 3, "o__0__payload": row, "o__1__payload": row,
    }  # fmt: skip
    assert (shapes["opens"], shapes["given"], shapes["items__1"]) == (2, 2, item)
    assert dut.latency == 4


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("allocation", ["dynamic", "static"])
def test_is_the_model_to_the_cycle(allocation: str, plan: str) -> None:
    config = small(allocation=allocation)
    items = PLANS[plan](config)
    dut = Gather(config)
    seen = through(dut, config, items, latency=dut.latency)
    check(config, items, seen)
    run = Model(config, cycle=seen.started).run(items)
    found = sorted(
        (slot, line, row["head"], row["row"], row["key"])
        for line, (slots, rows) in enumerate(zip(seen.slots, seen.rows, strict=True))
        for slot, row in zip(slots, rows, strict=True)
    )
    assert found == [(each.slot, each.line, each.item.head, each.item.row, each.key) for each in run.taken]


SHAPES = {
    "chunks": {"chunk": 4, "ports": 1},
    "banks as lines": {"banks": 2, "sets": 1, "heads": 1},
    "a line": {"lines": 1, "ports": 1, "banks": 2},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(shape: str) -> None:
    config = small(**SHAPES[shape])
    items = sparse(config, 0.4)
    dut = Gather(config)
    seen = through(dut, config, items, latency=dut.latency)
    check(config, items, seen)
    slots = sorted(slot for line in seen.slots for slot in line)
    assert slots == [each.slot for each in Model(config, cycle=seen.started).run(items).taken]


@pytest.mark.parametrize("rests", [{"idle": i, "stall": s, "opened": o} for i, s, o in
                                   [(0.5, 0, 1), (0, 0.5, 1), (0.3, 0.4, 0.5)]], ids=str)  # fmt: skip
def test_nothing_is_lost_under_any_flow(rests: dict[str, float]) -> None:
    items = sparse(SMALL, 0.4, seed=1)
    dut = Gather(SMALL)
    check(SMALL, items, through(dut, SMALL, items, latency=dut.latency, fill=False, **rests))


def test_an_item_is_given_once_to_the_line_that_it_comes_from() -> None:
    items = sparse(SMALL, 0.4, seed=2)
    dut = Gather(SMALL)
    seen = through(dut, SMALL, items, latency=dut.latency)
    given = [[(item["head"], item["row"]) for line, item in seen.given if line == n] for n in range(SMALL.lines)]
    came = [[(row["head"], row["row"]) for row in rows if row["first"]] for rows in seen.rows]
    assert given == came


@pytest.mark.parametrize(
    "fault",
    [
        {"i__ready": lambda ready: Const(1)},
        {"i__payload": lambda i: i ^ 1 << 4},
        {"o__0__ready": lambda ready: Const(1)},
        {"o__1__payload": lambda row: row ^ 1},
        {"write__payload": lambda row: row & ~(1 << 16)},
        {"o__0__valid": lambda valid: Const(1)},
    ],
    ids=["item lost", "a key", "row lost", "a bit of a row", "head of a row", "row twice"],
)
def test_a_fault_is_caught(fault) -> None:
    config = small(queue=4)
    items, dut = sparse(config, 0.4, seed=1), Gather(config)
    with pytest.raises(AssertionError):
        check(config, items, through(Planted(dut, **fault), config, items, latency=4, fill=False, stall=0.5))


# The model's figures, as docs/items.md has them


def test_dynamic_allocation_reaches_nine_tenths() -> None:
    """MiniLM's shape: densities from a tenth on, and one dense head beside others of a key a row."""
    config = ItemsConfig()
    for density in (0.1, 0.3):
        items = items_of(plan_mask(config, density, heads=4), config)
        assert Model(config).run(items).use(config.lines) >= 0.9
    assert Model(config).run(one_dense_head(config)).use(config.lines) >= 0.9


def test_static_allocation_waits_for_the_line_with_the_most_work() -> None:
    """Rows 0, 16, 32, … keep everything, and are all of one line."""
    config = ItemsConfig()
    mask = plan_mask(config, 0.0)
    mask[:, :: config.lines] = True
    items = items_of(mask, config)
    dynamic = Model(config).run(items)
    static = Model(ItemsConfig(allocation="static")).run(items)
    assert static.cycles > 4 * dynamic.cycles
