# SPDX-License-Identifier: Apache-2.0
"""Items through the gather unit, what reaches each line, and what must."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from amaranth.hdl import Shape, Value
from amaranth.lib import data

from config.items import ItemsConfig
from golden.cycles.gather import Item
from hdl.execute.banks import write_layout
from hdl.execute.gather_lines import row_layout
from hdl.execute.items import item_layout
from tests.arith import simulate
from tests.speculate.plans import pack

TINY = ItemsConfig(
    lines=4, lanes=2, banks=8, tokens=32, heads=3, chunk=32, record=4, sets=4, ports=2, queue=512, allocation="dynamic"
)


def shaped(**others: Any) -> ItemsConfig:
    return replace(TINY, **others)


def plan_mask(config: ItemsConfig, density: float, seed: int = 0, heads: int | None = None) -> np.ndarray:
    """A random plan's mask [H, T, T], a key at least for each row."""
    rng = np.random.default_rng(seed)
    heads = config.heads if heads is None else heads
    mask = rng.random((heads, config.tokens, config.tokens)) < density
    rows = ~mask.any(axis=-1)
    mask[rows, rng.integers(config.tokens, size=int(rows.sum()))] = True
    return mask


def byte_rows(config: ItemsConfig) -> np.ndarray:
    """Rows for the banks, [H, T, L]."""
    return np.random.default_rng(7).integers(0, 256, (config.heads, config.tokens, config.lanes))


def as_number(row: np.ndarray) -> int:
    """A row's bytes as the field `b`."""
    return int.from_bytes(bytes(row.tolist()), "little")


def item_pattern(config: ItemsConfig, item: Item) -> int:
    return pack(item_layout(config), **vars(item), count=item.count)


def unpacked(layout: data.StructLayout, word: int) -> dict[str, int]:
    return {name: word >> each.offset & ((1 << Shape.cast(each.shape).width) - 1) for name, each in layout}


@dataclass
class Seen:
    """rows: per line, what came, in order, as fields; slots: the cycle in which each was first offered, less the unit's
    latency; started: the first cycle in which items might go to lines; entered: cycles in which items were taken;
    given: line, and item pattern's fields, in turn."""

    rows: list[list[dict[str, int]]]
    slots: list[list[int]] = field(default_factory=list)
    started: int = 0
    given: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    cycles: int = 0


Flow = Callable[[random.Random], bool]


def through(
    dut: Any,
    config: ItemsConfig,
    items: list[Item],
    *,
    latency: int,
    idle: float = 0,
    stall: float = 0,
    opened: float = 1,
    fill: bool = True,
    limit: int | None = None,
) -> Seen:
    """Items through a unit whose banks are filled before. idle: how often `i` rests; stall: a line; opened: how often
    the keys of a line may be taken. fill: nothing goes to lines before all items wait."""
    rng = random.Random(len(items))
    layout, given_layout = row_layout(config), item_layout(config)
    total = sum(item.count for item in items)
    sinks = [simulate.Sink(o) for o in dut.o]
    seen = Seen([[] for _ in sinks], [[] for _ in sinks])
    queue = deque(item_pattern(config, item) for item in items)
    limit = limit or int((4 * total + 20 * len(items) + 400) / (1 - max(idle, stall)) / opened)
    rows = byte_rows(config)

    async def bench(context: Any) -> None:
        now = 0

        async def tick() -> None:
            nonlocal now
            for line, (sink, o) in enumerate(zip(sinks, dut.o, strict=True)):
                before = len(sink.seen)
                offered = context.get(o.valid)
                sink.sample(context)
                if offered and len(seen.slots[line]) == before:
                    seen.slots[line].append(now - latency)
            if context.get(dut.advance):
                mask = context.get(dut.given)
                for line in range(config.lines):
                    if mask >> line & 1:
                        word = context.get(Value.cast(dut.items[line // config.group]))
                        seen.given.append((line, unpacked(given_layout, word)))
            await context.tick()
            now += 1

        for head in range(config.heads):
            for key in range(config.tokens):
                word = pack(write_layout(config), b=as_number(rows[head, key]), head=head, key=key)
                context.set(Value.cast(dut.write.payload), word)
                context.set(dut.write.valid, 1)
                await tick()
        context.set(dut.write.valid, 0)
        offered, payload = False, Value.cast(dut.i.payload)
        for _ in range(limit + len(items)):
            started = not fill or (not queue and not offered)
            if started and not context.get(dut.enable):
                # Two more cycles, until the last item is at the head of its queue.
                for _ in range(3 if fill else 0):
                    await tick()
                seen.started = now
            context.set(dut.enable, started)
            offered = bool(queue) and (offered or rng.random() >= idle)
            context.set(payload, queue[0] if offered else rng.getrandbits(len(payload)))
            context.set(dut.i.valid, offered)
            context.set(dut.opens, sum((rng.random() < opened) << n for n in range(config.lines)))
            for o in dut.o:
                context.set(o.ready, rng.random() >= stall)
            if offered and context.get(dut.i.ready):
                queue.popleft()
                await tick()
                offered = False
                context.set(dut.i.valid, 0)
            else:
                await tick()
            if sum(len(sink.seen) for sink in sinks) >= total and not queue:
                break
        for _ in range(2 * config.lines):
            await tick()
        seen.cycles = now

    simulate.run(dut, bench)
    seen.rows = [[unpacked(layout, word) for word in sink.seen] for sink in sinks]
    return seen


def check(config: ItemsConfig, items: list[Item], seen: Seen) -> None:
    """Each item is whole at one line, its keys without others between them, marked first and last, with their bytes."""
    rows = byte_rows(config)
    left = {(item.head, item.row, item.chunk): item.keys for item in items}
    assert len(left) == len(items)
    for line in seen.rows:
        here: tuple[int, int, int] | None = None
        for each in line:
            place = (each["head"], each["row"], each["key"] // config.chunk)
            assert bool(each["first"]) == (here is None)
            assert here in (None, place)
            bit = 1 << each["key"] % config.chunk
            assert left[place] & bit, "a key that is not kept, or came before"
            left[place] ^= bit
            assert bool(each["last"]) == (not left[place])
            here = None if each["last"] else place
            assert each["b"] == as_number(rows[each["head"], each["key"]])
        assert here is None
    assert not any(left.values()), "keys are missing"
