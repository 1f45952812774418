# SPDX-License-Identifier: Apache-2.0
"""Records of plans as items: those of the golden model under every flow control; broken plans are told of."""

from collections import deque
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.items import ItemsConfig
from config.speculate import Kind
from golden.cycles.gather import Item, items_of
from golden.speculate.plan import all_critical
from golden.speculate.records import Record, records
from hdl.execute.items import Broken, ItemReader, item_layout, record_layout
from tests.arith import simulate
from tests.execute.gathering import item_pattern, shaped
from tests.planted import Planted
from tests.speculate.plans import pack, random_plan

CONFIG = shaped(tokens=16, chunk=8, record=4)
WINDOW = 4


def sent(config: ItemsConfig, plan, causal: bool = False) -> list[Record]:
    return records(plan, config.record, WINDOW, causal)


def random_one(seed: int, tokens: int = 16, density: float | None = None, similar: float = 0.6, causal: bool = False):
    """A plan whose critical rows all have a key."""
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, CONFIG.heads, tokens, WINDOW, similar=similar, density=density, causal=causal)
    empty = plan.critical & ~plan.mask.any(axis=-1)
    plan.mask[empty, 0] = True
    return plan


def read(
    dut, config: ItemsConfig, layers: list[tuple[int, list[Record]]], *, idle=0.0, stall=0.0
) -> tuple[list[int], list[int], int, int]:
    """Patterns of items and of other records, `broken`, and the cycles that the records took."""
    rng = Random(len(layers))
    o, others = simulate.Sink(dut.o), simulate.Sink(dut.others)
    payload, taken, broken = Value.cast(dut.i.payload), 0, 0

    async def bench(context):
        nonlocal taken, broken
        for tokens, layer in layers:
            # The settings of a layer stand until all of the one before is out.
            for _ in range(20 if stall else 4):
                context.set(dut.o.ready, 1)
                context.set(dut.others.ready, 1)
                o.sample(context)
                others.sample(context)
                await context.tick()
            context.set(dut.tokens, tokens)
            context.set(dut.heads, 1 + max(record.head for record in layer))
            queue, offered = deque(pack(record_layout(config), **vars(r)) for r in layer), False
            while queue:
                assert taken < 10_000, "it stands still"
                offered = offered or rng.random() >= idle
                context.set(payload, queue[0] if offered else rng.getrandbits(len(payload)))
                context.set(dut.i.valid, offered)
                context.set(dut.o.ready, rng.random() >= stall)
                context.set(dut.others.ready, rng.random() >= stall)
                o.sample(context)
                others.sample(context)
                if offered and context.get(dut.i.ready):
                    queue.popleft()
                    offered = False
                await context.tick()
                taken += 1
            context.set(dut.i.valid, 0)
        context.set(dut.o.ready, 1)
        context.set(dut.others.ready, 1)
        for _ in range(5):
            o.sample(context)
            others.sample(context)
            await context.tick()
        broken = context.get(Value.cast(dut.broken))
        assert context.get(dut.error) == bool(broken)

    simulate.run(dut, bench)
    return o.seen, others.seen, broken, taken


def expected(config: ItemsConfig, plans) -> tuple[list[int], list[int]]:
    items, others = [], []
    for plan, causal in plans:
        items += [item_pattern(config, item) for item in items_of(padded(plan.mask, config), config)]
        others += [pack(record_layout(config), **vars(r)) for r in sent(config, plan, causal) if r.kind != Kind.KEYS]
    return items, others


def padded(mask: np.ndarray, config: ItemsConfig) -> np.ndarray:
    return np.pad(mask, [(0, 0), *[(0, config.tokens - mask.shape[-1])] * 2])


def check(dut, plans, **rests: float) -> int:
    layers = [(plan.mask.shape[-1], sent(CONFIG, plan, causal)) for plan, causal in plans]
    items, others, broken, taken = read(dut, CONFIG, layers, **rests)
    assert (items, others) == expected(CONFIG, plans)
    assert broken == Broken.NONE.value
    return taken


# Construction and bad arguments


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lines": 0}, "lines must be an integer from 1 to 64, not 0"),
        ({"banks": 2}, "banks must be an integer from 4 to 128, not 2"),
        ({"banks": 12}, "banks must be a power of two, not 12; choose the next one."),
        ({"tokens": 40}, "tokens must be a multiple of chunk = 32, not 40; round it up."),
        ({"ports": 3}, "ports must divide lines = 4, and 3 does not; choose a divisor."),
        ({"allocation": "any"}, "allocation must be one of dynamic, static, not 'any'; choose one of them."),
        ({"queue": 3}, "queue must be an integer from 4 to 4096, not 3"),
    ],
)
def test_illegal_configurations_are_refused(given: dict, sentence: str) -> None:
    assert simulate.refusal_of(lambda: shaped(**given)).startswith(sentence)


def test_derived_numbers() -> None:
    assert (CONFIG.places, CONFIG.chunks, CONFIG.stride, CONFIG.queues, CONFIG.group) == (1, 2, 2, 2, 2)
    assert replace(CONFIG, allocation="static").queues == CONFIG.lines


# Worked examples, then plans of every kind under every flow control


def test_a_plan_by_hand() -> None:
    """Row 0 keeps keys 1 and 14, row 1 copies it, all other rows keep key 3."""
    config = shaped(heads=1, tokens=16, chunk=8, record=4)
    plan = all_critical(np.zeros((1, 16, 16), dtype=bool))
    plan.mask[0, 2:, 3] = plan.mask[0, 0, [1, 14]] = True
    layer = [
        r if (r.kind, r.row) != (Kind.KEYS, 1) else Record(Kind.COPY, 0, 1, 0)
        for r in sent(config, plan)
        if (r.kind, r.row, r.chunk) not in [(Kind.KEYS, 1, n) for n in (1, 2, 3)]
    ]
    items, others, broken, _ = read(ItemReader(config), config, [(16, layer)])
    rows = [Item(0, 0, 0, 1 << 1), Item(0, 0, 1, 1 << 6), *(Item(0, row, 0, 1 << 3) for row in range(2, 16))]
    assert items == [item_pattern(config, item) for item in rows]
    assert (len(others), broken) == (17, 0)
    assert items[0] == pack(item_layout(config), head=0, row=0, chunk=0, keys=2, count=1)


@pytest.mark.parametrize("rests", [{"idle": i, "stall": s} for i in (0, 0.5) for s in (0, 0.5)], ids=str)
def test_items_are_those_of_the_plan(rests: dict[str, float]) -> None:
    """Layers of every kind behind each other: no similar rows, all that can be, dense, one key a row, causal."""
    plans = [(random_one(n, tokens), False) for n, tokens in enumerate((16, 1, 5, 4))]
    plans += [(random_one(5, similar=0.0), False), (random_one(6, similar=1.0), False)]
    plans += [
        (random_one(7, density=1.0), False),
        (random_one(8, density=0.0), False),
        (random_one(9, causal=True), True),
    ]
    check(ItemReader(CONFIG), plans, **rests)


def test_a_record_a_cycle() -> None:
    plan = random_one(3)
    assert check(ItemReader(CONFIG), [(plan, False)]) == len(sent(CONFIG, plan))


# Plans that break their rules


def broken_plan(change) -> tuple[int, int]:
    """`broken` for a plan whose records were changed, and how many items came out of the untouched ones."""
    plan = random_one(11, similar=0.5)
    layer = sent(CONFIG, plan)
    at = change(layer)
    again = sent(CONFIG, random_one(12))
    items, _, broken, _ = read(ItemReader(CONFIG), CONFIG, [(16, layer), (16, again)], stall=0.3)
    whole, _ = expected(CONFIG, [(plan, False)])
    assert items == whole[: len(items)], "what was right before is sent, and nothing behind it"
    assert len(items) <= at
    return broken, len(items)


def first(layer: list[Record], kind: Kind, after: int = 0) -> int:
    return next(n for n, r in enumerate(layer) if n >= after and r.kind == kind)


def copy_of(reference_of):
    def change(layer: list[Record]) -> int:
        at = first(layer, Kind.COPY, 20)
        layer[at] = replace(layer[at], reference=reference_of(layer, at))
        return at

    return change


def not_critical(layer: list[Record], at: int) -> int:
    """A row before it that is a copy itself."""
    layer[at] = replace(layer[at], reference=layer[at].row)
    copies = [r.row for r in layer[:at] if r.kind == Kind.COPY and r.head == layer[at].head and r.row < layer[at].row]
    return copies[0] if copies else layer[at].row


def without_keys(layer: list[Record]) -> int:
    row = next(r for r in layer[8:] if r.kind == Kind.KEYS)
    at = [n for n, r in enumerate(layer) if (r.head, r.row, r.kind) == (row.head, row.row, Kind.KEYS)]
    for n in at:
        layer[n] = replace(layer[n], keys=0, fresh=0)
    return at[-1]


def leader_later(layer: list[Record]) -> int:
    at = first(layer, Kind.LEADER)
    layer[at] = replace(layer[at], reference=layer[at].row + 1)
    return at


def dropped(layer: list[Record]) -> int:
    del layer[7]
    return 7


BREAKS = {
    "copy of a later row": (copy_of(lambda layer, at: layer[at].row + 1), Broken.COPY),
    "copy of itself": (copy_of(lambda layer, at: layer[at].row), Broken.COPY),
    "copy of a copy": (copy_of(not_critical), Broken.COPY),
    "critical row without keys": (without_keys, Broken.EMPTY),
    "leader behind its token": (leader_later, Broken.LEADER),
    "record missing": (dropped, Broken.ORDER),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_plan_is_refused_and_nothing_hangs(name: str) -> None:
    change, rule = BREAKS[name]
    assert broken_plan(change)[0] == rule.value


def test_keys_behind_the_end_are_refused() -> None:
    plan = random_one(4, 6)
    layer = sent(CONFIG, plan)
    at = next(n for n, r in enumerate(layer) if r.kind == Kind.KEYS and r.chunk == 1)
    layer[at] = replace(layer[at], keys=layer[at].keys | 1 << 2)
    assert read(ItemReader(CONFIG), CONFIG, [(6, layer)])[2] == Broken.BEYOND.value


# Fewer heads; begun anew


def of_one_head(seed: int, tokens: int):
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, 1, tokens, WINDOW, density=0.5)
    plan.mask[plan.critical & ~plan.mask.any(axis=-1), 0] = True
    return plan


def test_a_layer_may_have_fewer_heads() -> None:
    plans = [(of_one_head(1, 16), False), (random_one(2), False), (of_one_head(3, 5), False)]
    check(ItemReader(CONFIG), plans, idle=0.3, stall=0.3)


@pytest.mark.parametrize("breaks", [False, True])
def test_clear_is_like_a_reset(breaks: bool) -> None:
    """Behind a part of a plan, or a broken one."""
    dut, plan = ItemReader(CONFIG), random_one(5)
    part = sent(CONFIG, random_one(4))[:13]
    if breaks:
        part[8] = replace(part[8], row=15)
    sinks = [simulate.Sink(stream) for stream in (dut.o, dut.others)]
    payload = Value.cast(dut.i.payload)

    async def bench(context):
        context.set(dut.tokens, 16)
        context.set(dut.heads, CONFIG.heads)
        context.set(dut.i.valid, 1)
        for record in part:
            context.set(payload, pack(record_layout(CONFIG), **vars(record)))
            for stream in (dut.o, dut.others):
                context.set(stream.ready, record is not part[-1])
            await context.tick()
        await context.tick()
        assert context.get(dut.error) == breaks
        context.set(dut.clear, 1)
        context.set(payload, pack(record_layout(CONFIG), **vars(part[0])))
        await context.tick()
        context.set(dut.clear, 0)
        assert not context.get(dut.error | dut.o.valid | dut.others.valid)
        assert context.get(Value.cast(dut.broken)) == Broken.NONE.value
        for stream in (dut.o, dut.others):
            context.set(stream.ready, 1)
        for record in sent(CONFIG, plan):
            context.set(payload, pack(record_layout(CONFIG), **vars(record)))
            for sink in sinks:
                sink.sample(context)
            await context.tick()
        context.set(dut.i.valid, 0)
        for _ in range(3):
            for sink in sinks:
                sink.sample(context)
            await context.tick()
        assert not context.get(dut.error)

    simulate.run(dut, bench)
    assert (sinks[0].seen, sinks[1].seen) == expected(CONFIG, [(plan, False)])


# Planted faults


@pytest.mark.parametrize(
    "fault",
    [
        {"i__payload": lambda i: i ^ (1 << record_layout(CONFIG)["keys"].offset)},
        {"o__ready": lambda ready: Const(1)},
        {"i__ready": lambda ready: Const(1)},
        {"o__payload": lambda o: o ^ 1},
        {"others__ready": lambda ready: Const(1)},
        {"heads": lambda heads: heads - 1},
    ],
    ids=["a key", "item lost", "record lost", "head", "other lost", "heads"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises(AssertionError):
        check(Planted(ItemReader(CONFIG), **fault), [(random_one(1), False)], stall=0.5)
