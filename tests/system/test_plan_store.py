# SPDX-License-Identifier: Apache-2.0
"""What is kept of plans of every kind, layer behind layer: that of the golden model; and of plans that break rules."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.presets import systems
from config.speculate import METHODS, Kind
from config.system import SystemConfig
from golden.speculate.records import Record
from golden.system.plan_store import kept
from hdl.execute.items import Broken
from hdl.system.layouts import copy_layout, reference_layout
from hdl.system.plan_store import PlanStore
from tests.arith import simulate
from tests.execute.gathering import item_pattern, unpacked
from tests.planted import Planted
from tests.speculate.plans import pack
from tests.system.plans import TINY, Layer, head_of_all_keys, layer_of, random_layer, real_layer


@dataclass
class Seen:
    """Of a layer. heads: columns and critical rows of each, read as soon as they are there. copies: of each token.
    taken: cycles in which records were taken."""

    items: list[int] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    heads: list[tuple[int, int]] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)
    projected: int = 0
    computed: int = 0
    broken: int = 0
    taken: list[int] = field(default_factory=list)


def due(config: SystemConfig, layer: Layer) -> Seen:
    """What must be seen, but for `taken`."""
    wanted = kept(layer.plan, config.attention.items)
    names = ("head", "row", "reference")
    return Seen(
        items=[item_pattern(config.attention.items, item) for item in wanted.items],
        references=[
            pack(reference_layout(config), **dict(zip(names, row, strict=True))) for row in wanted.references.tolist()
        ],
        heads=[(number(c), number(q)) for c, q in zip(wanted.columns, wanted.critical, strict=True)],
        copies=[
            pack(copy_layout(config), leader=leader, agreed=not projected, first=first)
            for leader, projected, first in zip(wanted.leader, wanted.projected, wanted.first, strict=True)
        ],
        projected=number(wanted.projected),
        computed=number(wanted.computed),
    )


def number(flags: np.ndarray) -> int:
    """Bit n is flags[n]."""
    return sum(1 << n for n in np.flatnonzero(flags).tolist())


class Bench:
    """Layers through a plan store. idle: how often records rest; stall: references and items; late: no item is taken
    before the layer is complete. The next layer's records are offered before its start, if the plan is not broken."""

    def __init__(self, dut: Any, config: SystemConfig, *, idle: float = 0, stall: float = 0, late: bool = False):
        self._dut, self._config, self._late = dut, config, late
        self._idle, self._stall = idle, stall
        self._rng = random.Random(1)
        self._sinks = {name: simulate.Sink(getattr(dut, name)) for name in ("items", "references")}
        self._offered, self._now, self._asked, self._kept_back = False, 0, False, 0

    def run(self, layers: Sequence[Layer], broken: int = -1) -> list[Seen]:
        """broken: number of the layer that is."""
        found: list[Seen] = []

        async def bench(context: Any) -> None:
            queue = [pattern for layer in layers for pattern in layer.patterns(self._config)]
            for n, layer in enumerate(layers):
                self._sinks = {name: simulate.Sink(getattr(self._dut, name)) for name in self._sinks}
                self._kept_back = len(queue) - len(layer.sent) if n == broken else 0
                found.append(await self._layer(context, layer, queue))

        simulate.run(self._dut, bench)
        return found

    async def _layer(self, context: Any, layer: Layer, queue: list[int]) -> Seen:
        dut, seen, left = self._dut, Seen(), len(queue) - len(layer.sent)
        for name in ("items", "references"):
            context.set(getattr(dut, name).ready, 0)
        context.set(dut.tokens, layer.tokens)
        context.set(dut.heads, layer.heads)
        context.set(dut.start, 1)
        assert not context.get(dut.records.ready)
        await context.tick()
        context.set(dut.start, 0)
        assert not context.get(dut.complete)
        assert not context.get(dut.error)
        limit = self._now + 40 * len(layer.sent) + 100
        while not context.get(dut.complete) and not (context.get(dut.error) and len(queue) == left):
            assert self._now < limit, "the plan is never complete"
            await self._cycle(context, queue, seen)
        seen.broken = context.get(Value.cast(dut.broken))
        assert context.get(dut.error) == bool(seen.broken)
        assert len(queue) == left
        if seen.broken:
            for _ in range(20):
                await self._cycle(context, queue, seen, rest=True)
                assert not context.get(dut.complete)
        else:
            await self._rest(context, layer, queue, seen)
        seen.items, seen.references = (list(self._sinks[name].seen) for name in ("items", "references"))
        return seen

    async def _rest(self, context: Any, layer: Layer, queue: list[int], seen: Seen) -> None:
        """What is there when the plan is complete."""
        dut = self._dut
        total = context.get(dut.items_total)
        assert context.get(dut.items.valid) or not self._late, "an item must be offered before anybody is ready for it"
        seen.projected, seen.computed = context.get(dut.projected), context.get(dut.computed)
        for token in range(layer.tokens):
            context.set(dut.copy_read, 1)
            context.set(dut.copy_at, token)
            await self._cycle(context, queue, seen)
            seen.copies.append(context.get(Value.cast(dut.copy)))
        context.set(dut.copy_read, 0)
        limit = self._now + 40 * total + 100
        while self._now < limit and (len(self._sinks["items"].seen) < total or len(seen.heads) < layer.heads):
            await self._cycle(context, queue, seen)
        assert context.get(dut.items_total) == total == len(self._sinks["items"].seen)
        assert context.get(dut.complete)

    async def _cycle(self, context: Any, queue: list[int], seen: Seen, rest: bool = False) -> None:
        dut, rng = self._dut, self._rng
        payload = Value.cast(dut.records.payload)
        self._offered = len(queue) > self._kept_back and (self._offered or rng.random() >= self._idle)
        context.set(payload, queue[0] if self._offered else rng.getrandbits(len(payload)))
        context.set(dut.records.valid, self._offered)
        for name in ("items", "references"):
            waits = rest or (name == "items" and self._late and not context.get(dut.complete))
            context.set(getattr(dut, name).ready, not waits and rng.random() >= self._stall)
        planned = context.get(dut.planned)
        assert planned * max(1, context.get(dut.tokens)) <= len(self._sinks["references"].seen) or rest
        asked, self._asked = self._asked, not rest and planned > len(seen.heads) + self._asked
        context.set(dut.head_read, self._asked)
        context.set(dut.head_at, len(seen.heads) + asked if self._asked else 0)
        if asked:
            seen.heads.append((context.get(dut.columns), context.get(dut.critical)))
        for sink in self._sinks.values():
            sink.sample(context)
        takes = self._offered and context.get(dut.records.ready)
        assert context.get(dut.taken) == takes
        if takes:
            queue.pop(0)
            seen.taken.append(self._now)
            self._offered = False
        await context.tick()
        self._now += 1


def check(config: SystemConfig, layers: Sequence[Layer], dut: Any = None, **flow: Any) -> list[Seen]:
    found = Bench(dut or PlanStore(config), config, **flow).run(layers)
    for seen, layer in zip(found, layers, strict=True):
        wanted = due(config, layer)
        for name in ("references", "items", "heads", "copies", "projected", "computed", "broken"):
            assert getattr(seen, name) == getattr(wanted, name), name
    return found


# A plan by hand, plans of every kind under every flow control


def test_a_plan_by_hand() -> None:
    """Head 0: row 1 copies row 0, head 1 likewise; row 2 copies row 1 in head 1 only."""
    layer = random_layer(TINY, 1, tokens=3, similar=0.0, density=1.0)
    plan = layer.plan
    plan.reference[:, 1] = 0
    plan.reference[1, 2] = 0
    plan.mask[:, 1] = plan.mask[1, 2] = False
    plan.mask[0, :, 2] = False
    plan.agreed[1], plan.leader[1] = True, 0
    plan = replace(plan, columns=plan.mask.any(axis=-2))
    (seen,) = check(TINY, [layer_of(TINY, plan)])
    assert seen.heads == [(0b011, 0b101), (0b111, 0b001)]
    assert (seen.projected, seen.computed) == (0b101, 0b101)
    assert [unpacked(copy_layout(TINY), copy) for copy in seen.copies] == [
        {"leader": 0, "agreed": 0, "first": 0},
        {"leader": 0, "agreed": 1, "first": 0},
        {"leader": 2, "agreed": 0, "first": 2},
    ]


def kinds() -> list[Layer]:
    """Random ones, of all lengths and both numbers of heads; none similar, all that can be, dense, a key a row, one
    head dense, causal."""
    made = [
        random_layer(TINY, n, tokens, heads) for n, (tokens, heads) in enumerate([(16, 2), (13, 2), (1, 1), (5, 1)])
    ]
    made += [random_layer(TINY, 10 + n, similar=float(n)) for n in (0, 1)]
    made += [random_layer(TINY, 20 + n, density=float(n)) for n in (0, 1)]
    made += [head_of_all_keys(TINY, 30), random_layer(TINY, 31, 1)]
    return made + [random_layer(TINY, 40 + tokens, tokens, causal=True) for tokens in (16, 13, 2)]


FLOWS = [{"idle": i, "stall": s, "late": late} for i in (0, 0.5) for s in (0, 0.5) for late in (False, True)]


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_what_is_kept_is_that_of_the_plan(flow: dict[str, Any]) -> None:
    check(TINY, kinds(), **flow)


CHOSEN = {
    "spls": {"k": 5, "k_similarity": 4, "s": 190, "f": 1},
    "lapa": {"eta": (128, 128)},
    "dense": {},
    "fact": {"k": 5},
}


@pytest.mark.parametrize("method", METHODS)
def test_plans_of_the_speculation_units(method: str) -> None:
    config = systems("tiny")[method]
    shapes = [(16, False), (13, False), (13, True), (16, True), (1, False), (6, True)]
    layers = [real_layer(config, n, *shape, **CHOSEN[method]) for n, shape in enumerate(shapes)]
    if method != "dense":
        assert any(layer.plan.columns.sum() < layer.plan.columns.size for layer in layers)
    check(config, layers, stall=0.3)


def test_a_record_a_cycle_and_nobody_has_to_take_items() -> None:
    layer = random_layer(TINY, 3, density=1.0, similar=0.0)
    (seen,) = check(TINY, [layer], late=True)
    assert np.diff(seen.taken).tolist() == [1] * (len(layer.sent) - 1)
    assert len(seen.items) == TINY.heads * TINY.tokens, "the memory of items is full"


# Plans that break their rules, and good ones behind them


def changed(layer: Layer, at: int, **fields: Any) -> Layer:
    sent = list(layer.sent)
    sent[at] = replace(sent[at], **fields)
    return Layer(layer.plan, sent)


def where(layer: Layer, wanted: Callable[[Record], bool]) -> int:
    return next(n for n, record in enumerate(layer.sent) if n > 8 and wanted(record))


def without(layer: Layer, at: int) -> Layer:
    return Layer(layer.plan, [*layer.sent[:at], *layer.sent[at + 1 :]])


def broken(name: str) -> Layer:
    layer = random_layer(TINY, 11, 13, similar=0.5, density=0.7)
    copy, leader = (where(layer, lambda r, kind=kind: r.kind == kind) for kind in (Kind.COPY, Kind.LEADER))
    beyond = where(layer, lambda r: r.kind == Kind.KEYS and r.chunk == 3)
    return {
        "order": lambda: without(layer, 7),
        "copy": lambda: changed(layer, copy, reference=layer.sent[copy].row),
        "leader": lambda: changed(layer, leader, reference=layer.sent[leader].row + 1),
        "beyond": lambda: changed(layer, beyond, keys=layer.sent[beyond].keys | 2),
        "last": lambda: changed(layer, 5, last=True),
        "never last": lambda: changed(layer, len(layer.sent) - 1, last=False),
        "head": lambda: changed(layer, len(layer.sent) - 1, head=0),
    }[name]()


RULES = {
    "order": Broken.ORDER,
    "copy": Broken.COPY,
    "leader": Broken.LEADER,
    "beyond": Broken.BEYOND,
    "last": Broken.ORDER,
    "never last": Broken.ORDER,
    "head": Broken.ORDER,
}


@pytest.mark.parametrize("name", RULES)
def test_a_broken_plan_is_refused_and_the_next_one_is_whole(name: str) -> None:
    good = [random_layer(TINY, 12, 16), random_layer(TINY, 13, 6, 1)]
    found = Bench(PlanStore(TINY), TINY, idle=0.2, stall=0.4).run([good[1], broken(name), *good], broken=1)
    assert found[1].broken == RULES[name].value
    for seen, layer in zip([found[0], *found[2:]], [good[1], *good], strict=True):
        seen.taken = []
        assert seen == due(TINY, layer)


# Planted faults


def flipped(config: SystemConfig, name: str) -> Callable[[Value], Value]:
    bit = reference_layout(config)[name].offset
    return lambda value: value ^ (1 << bit)


FAULTS: dict[str, dict[str, Any]] = {
    "a key": {"columns": lambda columns: columns & ~1},
    "a row": {"critical": lambda critical: critical | 2},
    "a head too early": {"planned": lambda planned: planned + 1},
    "never planned": {"planned": lambda planned: Const(0, len(planned))},
    "reference lost": {"references__ready": lambda ready: Const(1)},
    "another reference": {"references__payload": flipped(TINY, "reference")},
    "item lost": {"items__ready": lambda ready: Const(1)},
    "record lost": {"records__ready": lambda ready: Const(1)},
    "never complete": {"complete": lambda complete: Const(0)},
    "complete too early": {"complete": lambda complete: Const(1)},
    "projection": {"projected": lambda projected: ~projected},
    "ffn": {"computed": lambda computed: computed & ~1},
    "copy": {"copy": lambda copy: copy ^ 1},
    "total": {"items_total": lambda total: total + 1},
    "no start": {"start": lambda start: Const(0)},
    "all heads": {"heads": lambda heads: Const(TINY.heads)},
    "all tokens": {"tokens": lambda tokens: Const(TINY.tokens)},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name: str) -> None:
    layers = [random_layer(TINY, 1, 13), random_layer(TINY, 2, 16, 1)]
    with pytest.raises(AssertionError):
        check(TINY, layers, Planted(PlanStore(TINY), **FAULTS[name]), stall=0.5)
