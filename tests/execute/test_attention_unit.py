# SPDX-License-Identifier: Apache-2.0
"""Attention over kept keys, from items to contexts: golden, each once, at any line, in every flow."""

import random
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.attention import Attention
from hdl.execute.banks import write_layout
from hdl.execute.line_powers import settings_layout
from hdl.execute.query_feed import query_layout
from tests.arith import simulate
from tests.execute.attending import ARRAYS, CONFIG, Head, golden, head, items
from tests.execute.gathering import as_number, item_pattern
from tests.execute.test_pe_array_unit import product, streams_of
from tests.planted import Planted
from tests.speculate.plans import pack


def attended(config: ItemsConfig, density: float, seed: int = 0) -> list[tuple[Head, np.ndarray, np.ndarray]]:
    """Heads whose scores are those of Q and K, which are int8 [T, L]."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(config.heads):
        q, k = (rng.integers(-128, 128, (config.tokens, config.lanes)) for _ in range(2))
        found.append((replace(head(rng, config, density), scores=q @ k.T, exponent=(40_000, 22)), q, k))
    return found


async def fill(context, dut, config: ItemsConfig, heads) -> None:
    """Rows of Q, K and V, and the settings of heads."""
    for number, (each, q, k) in enumerate(heads):
        row = simulate.patterns([[value] for value in (*each.exponent, *each.context)], [16, 6, 16, 6])[0]
        context.set(Value.cast(dut.settings.payload), pack(settings_layout(config), head=number, row=row))
        context.set(dut.settings.valid, 1)
        for token in range(config.tokens):
            for port, rows, layout, at in (
                (dut.keys, k, write_layout(config), "key"),
                (dut.values, each.v, write_layout(config), "key"),
                (dut.queries, q, query_layout(config), "row"),
            ):
                word = pack(layout, b=as_number(rows[token] & 255), head=number, **{at: token})
                context.set(Value.cast(port.payload), word)
                context.set(port.valid, 1)
            await context.tick()
    for port in (dut.settings, dut.keys, dut.values, dut.queries):
        context.set(port.valid, 0)


def contexts_of(
    dut,
    config: ItemsConfig,
    arrays: PeArraysConfig,
    heads,
    *,
    idle=0.0,
    rest=0.0,
    pause=0.0,
    beside=lambda context: None,
) -> dict:
    """Contexts by head and row. idle: how often no item is offered; rest: how often a context is not taken; pause: how
    often items of V may not begin. beside: is told in each cycle, when all is driven."""
    rng, queue = random.Random(1), deque(item_pattern(config, item) for item in items([h for h, *_ in heads], config))
    sinks = [simulate.Sink(getattr(dut, f"context{n}")) for n in range(config.lines)]
    total = len(queue) * arrays.groups

    async def bench(context):
        await fill(context, dut, config, heads)
        context.set(dut.enable, 1)
        offered, quiet = False, 0
        for _ in range(int((40 * len(queue) + 400) / (1 - max(idle, rest, pause)))):
            offered = bool(queue) and (offered or rng.random() >= idle)
            context.set(Value.cast(dut.i.payload), queue[0] if offered else 0)
            context.set(dut.i.valid, offered)
            context.set(dut.multiply, rng.random() >= pause)
            for n in range(config.lines):
                context.set(getattr(dut, f"context{n}").ready, rng.random() >= rest)
            beside(context)
            for sink in sinks:
                sink.sample(context)
            if offered and context.get(dut.i.ready):
                queue.popleft()
                offered = False
            quiet = quiet + 1 if sum(len(sink.seen) for sink in sinks) >= total else 0
            await context.tick()
            if quiet > 4:
                break
        assert not context.get(dut.busy)

    simulate.run(dut, bench)
    found, bits = {}, 8 * arrays.scalers
    for sink in sinks:
        for at in range(0, len(sink.seen), arrays.groups):
            parts = sink.seen[at : at + arrays.groups]
            (tag,) = {part >> bits + 1 for part in parts}
            name = divmod(tag, 1 << (config.tokens - 1).bit_length())
            assert name not in found
            found[name] = [(part >> 8 * k & 255 ^ 128) - 128 for part in parts for k in range(arrays.scalers)]
    return found


def check(dut, config: ItemsConfig, arrays: PeArraysConfig, heads, **flow) -> None:
    expected = {name: row.context for name, row in golden([each for each, *_ in heads]).items()}
    assert contexts_of(dut, config, arrays, heads, **flow) == expected


@pytest.mark.parametrize("flow", [{}, {"idle": 0.3, "rest": 0.5, "pause": 0.8}], ids=str)
def test_contexts_are_golden(flow: dict[str, float]) -> None:
    check(Attention(CONFIG, ARRAYS), CONFIG, ARRAYS, attended(CONFIG, 0.5), **flow)


def test_another_shape() -> None:
    config = replace(CONFIG, lines=4, banks=8, heads=1, sets=1, ports=2)
    arrays = replace(ARRAYS, lines=4, scalers=4)
    check(
        Attention(config, arrays, stores=2, tiles=True, words=8, entries=2),
        config,
        arrays,
        attended(config, 0.6, seed=1),
    )


@pytest.mark.parametrize(
    "fault",
    [
        {"keys__payload": lambda key: key ^ 1 << 4},
        {"i__payload": lambda item: item ^ 1 << 6},
        {"context1__valid": lambda valid: Const(0)},
    ],
    ids=["K", "keys of an item", "contexts lost"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises(AssertionError):
        check(Planted(Attention(CONFIG, ARRAYS), **fault), CONFIG, ARRAYS, attended(CONFIG, 0.5))


def test_tiles_in_turn_with_items() -> None:
    """Lists of rows whose tiles come while items are under way: products and contexts are golden."""
    # So flat that few codes are 0, and the lines of V have much to do.
    heads = [(replace(each, exponent=(40_000, 26)), q, k) for each, q, k in attended(CONFIG, 1.0)]
    products = [product(2, 4, 4, CONFIG.lanes)] * 8
    streams = streams_of(products, ARRAYS)
    sources = {name: deque(getattr(streams, name)) for name in ("rows", "x", "tile", "w", "column")}
    dut, rng = Attention(CONFIG, ARRAYS), random.Random(2)
    sink = simulate.Sink(dut.o)
    shown, turns = dict.fromkeys(sources, False), []

    def beside(context) -> None:
        context.set(dut.o.ready, 1)
        for name, queue in sources.items():
            port = getattr(dut, name)
            # A tile from time to time.
            shown[name] = bool(queue) and (shown[name] or name != "tile" or rng.random() < 0.2)
            context.set(port.valid, shown[name])
            context.set(Value.cast(port.payload), queue[0] if queue else 0)
            if shown[name] and context.get(port.ready):
                queue.popleft()
                shown[name] = False
        sink.sample(context)
        turns.append((context.get(dut.busy), len(sink.seen)))

    check(dut, CONFIG, ARRAYS, heads, beside=beside)
    assert sink.seen == streams.results[: len(sink.seen)]
    tiles = {seen for busy, seen in turns if busy}
    assert len(tiles) > 3, "tiles between items"
