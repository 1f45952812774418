# SPDX-License-Identifier: Apache-2.0
"""Random plans, and their rows and records as the ports of the hardware show them."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Shape, Value
from amaranth.lib import data

from config.speculate import Kind, SpeculationConfig
from golden.speculate.plan import Plan, assemble
from golden.speculate.records import Record, records
from hdl.speculate.socket import record_layout, row_layout
from tests.arith import simulate


def random_plan(
    rng: np.random.Generator,
    heads: int,
    tokens: int,
    window: int,
    *,
    causal: bool = False,
    least_votes: int = 1,
    similar: float = 0.6,
    density: float | None = None,
) -> Plan:
    """Rows are similar with probability `similar`, to an earlier critical row of their window, likely the same one in
    all heads; keys are kept with probability `density`, by default any."""
    reference = np.tile(np.arange(tokens), (heads, 1))
    favourites = rng.random(tokens)
    for head in range(heads):
        for row in range(tokens):
            first = row // window * window
            earlier = [c for c in range(first, row) if reference[head, c] == c]
            if earlier and rng.random() < similar:
                taste = favourites[row] if rng.random() < 0.7 else rng.random()
                reference[head, row] = earlier[math.floor(taste * len(earlier))]
    mask = rng.random((heads, tokens, tokens)) < (rng.random() if density is None else density)
    if causal:
        mask &= np.tri(tokens, dtype=bool)
    return assemble(mask, reference, window, least_votes)


def pack(layout: data.StructLayout, **fields: int) -> int:
    """The pattern of a struct; fields that are not given are zero."""
    number = 0
    for name, value in fields.items():
        field = layout[name]
        assert 0 <= int(value) < 1 << Shape.cast(field.shape).width, f"{name} = {value}"
        number |= int(value) << field.offset
    return number


def row_beats(config: SpeculationConfig, sent: list[Record], rng: np.random.Generator) -> list[int]:
    """The beats of `row_layout` that a plan's records tell of; what means nothing in a similar row's is at random."""
    layout = row_layout(config)
    beats = []
    for record in sent:
        fields = {"row": record.row, "reference": record.reference, "last": record.end}
        if record.kind == Kind.KEYS:
            beats.append(pack(layout, **fields, chunk=record.chunk, keys=record.keys))
        if record.kind == Kind.COPY:
            noise = {"chunk": rng.integers(config.blocks), "keys": rng.integers(1 << config.rows)}
            beats.append(pack(layout, **fields, **noise))
    return beats


def record_patterns(config: SpeculationConfig, sent: list[Record]) -> list[int]:
    """Records as patterns of `record_layout`."""
    return [pack(record_layout(config), **vars(record)) for record in sent]


def records_of(config: SpeculationConfig, plan: Plan, causal: bool) -> list[Record]:
    """What a unit built as `config` sends for a plan."""
    return records(plan, config.rows, config.similarity_window, causal)


@dataclass(frozen=True)
class Layer:
    """A layer's settings as the port takes them, the beats that go in, and the patterns that must come out."""

    settings: dict[str, int]
    beats: list[int]
    expected: list[int]


def layer(config: SpeculationConfig, rng: np.random.Generator, tokens: int, **options: Any) -> Layer:
    """A random layer, of all of the unit's heads unless `heads` says otherwise; other `options` as in `random_plan`."""
    heads = options.pop("heads", config.heads)
    least_votes = options.setdefault("least_votes", int(rng.integers(1, heads + 2)))
    plan = random_plan(rng, heads, tokens, config.similarity_window, **options)
    causal = options.get("causal", False)
    sent = records_of(config, plan, causal)
    votes = {"f": least_votes} if config.method == "spls" else {}
    shown = {"tokens": tokens, "heads": heads, "causal": int(causal)} | votes
    return Layer(shown, row_beats(config, sent, rng), record_patterns(config, sent))


def recorded(dut: Any, layers: list[Layer], *, idle: float = 0, stall: float = 0) -> tuple[list[int], int]:
    """The records that a recorder makes of layers behind each other, and in how many cycles.

    A layer starts in the cycle in which the last record of the one before is first offered. Noise is on the input while
    nothing is offered. Fails if an offer changes before it is taken, or if there are too few records.
    """
    rng = np.random.default_rng(len(layers[0].beats))
    queue = deque((index, beat) for index, one in enumerate(layers) for beat in one.beats)
    # Records that are there before a layer may start.
    before = [sum(len(one.expected) for one in layers[:index]) for index in range(len(layers) + 1)]
    sink, cycles = simulate.Sink(dut.o), 0

    async def bench(context: Any) -> None:
        nonlocal cycles
        payload = Value.cast(dut.rows.payload)
        offered, current = False, -1
        while len(sink.seen) < before[-1]:
            assert cycles < 20 * before[-1] + 500, "the recorder has come to a halt"
            there = len(sink.seen) + context.get(dut.o.valid)
            if queue and queue[0][0] != current and there >= before[queue[0][0]]:
                current = queue[0][0]
                context.set(dut.settings, layers[current].settings)
            may = bool(queue) and queue[0][0] == current
            offered = may and (offered or rng.random() >= idle)
            ready = rng.random() >= stall
            noise = int.from_bytes(rng.bytes(len(payload) // 8 + 1), "little") % (1 << len(payload))
            context.set(payload, queue[0][1] if offered else noise)
            context.set(dut.rows.valid, offered)
            context.set(dut.o.ready, ready)
            sink.sample(context)
            if offered and context.get(dut.rows.ready):
                queue.popleft()
                offered = False
            await context.tick()
            cycles += 1

    simulate.run(dut, bench)
    return sink.seen, cycles
