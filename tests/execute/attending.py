# SPDX-License-Identifier: Apache-2.0
"""Scores of items through softmax at the lines and a PE array: what brings them, what comes, and what must."""

import random
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module, Shape, Value
from amaranth.lib import data, wiring

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from golden.cycles.gather import Item, items_of
from golden.execute.softmax import context, softmax
from hdl.execute.banks import write_layout
from hdl.execute.line import beat_layout
from hdl.execute.line_powers import settings_layout
from hdl.execute.pe_array import PeArray
from hdl.execute.scores import score_bits, score_layout
from hdl.execute.values import Values, name_bits
from tests.arith import simulate
from tests.execute.gathering import as_number, unpacked
from tests.execute.rows import scale_of
from tests.speculate.plans import pack

CONFIG = ItemsConfig(
    lines=2, lanes=4, banks=4, tokens=8, heads=2, chunk=8, record=4, sets=2, ports=1, queue=16, allocation="dynamic"
)
ARRAYS = PeArraysConfig(lines=2, lanes=4, rows=4, terms=64, keys=8, scalers=2)
Pair = tuple[int, int]


@dataclass(frozen=True)
class Head:
    """scores: [T, S]; kept: bool [T, S]; v: [S, L]; exponent, context: mul and shift."""

    scores: np.ndarray
    kept: np.ndarray
    v: np.ndarray
    exponent: Pair
    context: Pair


@dataclass(frozen=True)
class Row:
    """What must come of a row: codes by key but those of 0, its scale as a payload, its context."""

    codes: dict[int, int]
    scale: int
    context: list[int]


def golden(heads: list[Head]) -> dict[Pair, Row]:
    """By head and row."""
    rows = {}
    for number, head in enumerate(heads):
        found = softmax(head.scores, head.kept, *(np.array(each) for each in head.exponent))
        contexts = context(found, head.v, *(np.array([[each]]) for each in head.context))
        for row in range(len(head.scores)):
            codes = {key: int(code) for key, code in enumerate(found.codes[row]) if code}
            scale = scale_of(int(found.total[row, 0]), *head.context)
            rows[number, row] = Row(codes, scale, contexts[row].tolist())
    return rows


def items(heads: list[Head], config: ItemsConfig) -> list[Item]:
    return items_of(np.stack([head.kept for head in heads]), config)


class Joined(Elaboratable):
    """Values with its PE array; whatever else they have are ports."""

    def __init__(self, values: wiring.Component, array: wiring.Component, lines: int):
        self.values, self.array, self.lines = values, array, lines

    def elaborate(self, platform):
        m = Module()
        m.submodules.values, m.submodules.array = self.values, self.array
        for n in range(self.lines):
            for name in (f"item{n}", f"scale{n}"):
                wiring.connect(m, getattr(self.values, name), getattr(self.array, name))
        return m


@dataclass
class Flow:
    """gap: how often a line of scores has none; late: how often it is not given an item that it could have; rest: how
    often a context is not taken. flight: cycles from the choice of a key to its score."""

    gap: float = 0.0
    late: float = 0.0
    rest: float = 0.0
    flight: int = 7


class ScoreLine:
    """A line that brings scores, as `Gather` and what multiplies behind it would: its next item, which waits until the
    other side opens, and the one under way, whose keys come in any order."""

    def __init__(self, rng: random.Random, flow: Flow, heads: list[Head]):
        self._rng, self._flow, self._heads = rng, flow, heads
        self.next: Item | None = None
        self._keys: list[int] = []
        self._item: Item | None = None
        self._flight: deque[tuple[int, dict[str, int]]] = deque()

    def score(self, now: int) -> dict[str, int] | None:
        """What arrives in this cycle."""
        return self._flight.popleft()[1] if self._flight and self._flight[0][0] == now else None

    def step(self, now: int, opens: bool) -> None:
        """One cycle, of which it is known whether the next item may begin."""
        if self._keys and self._rng.random() >= self._flow.gap:
            item, key = self._item, self._keys.pop()
            assert item is not None
            self._flight.append((now + self._flow.flight, {
                "score": int(self._heads[item.head].scores[item.row, key]),
                "head": item.head, "row": item.row, "key": key,
                "first": len(self._keys) == item.count - 1, "last": not self._keys,
            }))  # fmt: skip
        if not self._keys and self.next is not None and opens:
            self._item, self.next = self.next, None
            self._keys = [key for key in range(self._item.keys.bit_length()) if self._item.keys >> key & 1]
            self._rng.shuffle(self._keys)


@dataclass
class Seen:
    """Of each line: items in the order in which they were given; beats, scales and contexts, as payloads; cycles of the
    beats. waited: cycles in which a beat was not taken. cycles: from the first score to the last context."""

    given: list[list[Item]]
    beats: list[list[int]]
    scales: list[list[int]]
    contexts: list[list[int]]
    beat_cycles: list[list[int]]
    waited: int = 0
    cycles: int = 0
    ended: bool = False


FLOWS = {
    "at once": Flow(),
    "gaps": Flow(gap=0.4, late=0.4),
    "rests": Flow(rest=0.5),
    "all": Flow(gap=0.3, late=0.5, rest=0.6, flight=3),
}

Job = tuple[list[Head], Flow]


def through(
    values: wiring.Component, config: ItemsConfig, arrays: PeArraysConfig, jobs: list[Job], *, slow: float = 1.0
) -> list[Seen]:
    """The items of each job, one job behind the other, no reset in between. Each item goes to the first line that has
    room, or to any, if some come late. slow: times the cycles that are enough, mostly."""
    array = PeArray(arrays, tag_bits=name_bits(config))
    seen = []

    async def bench(context: Any) -> None:
        for number, (heads, flow) in enumerate(jobs):
            await _set_up(context, values, config, heads)
            seen.append(await _run(context, values, array, config, arrays, heads, flow, random.Random(number), slow))

    simulate.run(Joined(values, array, config.lines), bench)
    return seen


async def _run(
    context: Any,
    values: wiring.Component,
    array: PeArray,
    config: ItemsConfig,
    arrays: PeArraysConfig,
    heads: list[Head],
    flow: Flow,
    rng: random.Random,
    slow: float,
) -> Seen:
    queue, lines = deque(items(heads, config)), range(config.lines)
    total, keys = len(queue) * arrays.groups, sum(item.count for item in queue)
    busiest = max(flow.gap, flow.late, flow.rest)
    limit = int(slow * (2 * keys + (arrays.groups + 16) * len(queue) + 300) / (1 - busiest))
    brought = [ScoreLine(rng, flow, heads) for _ in lines]
    sinks = [simulate.Sink(getattr(array, f"context{n}")) for n in lines]
    seen = Seen(*([[] for _ in lines] for _ in range(3)), [sink.seen for sink in sinks], [[] for _ in lines])
    context.set(values.enable, 1)
    for now in range(limit):
        given = [n for n in lines if brought[n].next is None and queue and rng.random() >= flow.late]
        given = given[: len(queue)]
        context.set(values.given, sum(1 << n for n in given))
        for n, line in enumerate(brought):
            _bring(context, values.scores[n], line.score(now), score_layout(config), rng)
            context.set(getattr(array, f"context{n}").ready, rng.random() >= flow.rest)
        opens = context.get(values.opens)
        for n, line in enumerate(brought):
            line.step(now, bool(opens >> n & 1))
        for n in given:
            brought[n].next = queue.popleft()
            seen.given[n].append(brought[n].next)
            context.set(values.count[n], brought[n].next.count)
        _watch(context, values, seen, now)
        for sink in sinks:
            sink.sample(context)
        seen.cycles = now
        await context.tick()
        if not queue and sum(len(sink.seen) for sink in sinks) >= total:
            break
    # Anything more would be too much.
    for _ in range(4):
        for sink in sinks:
            sink.sample(context)
        await context.tick()
    seen.ended = not context.get(values.busy) and not any(line.next for line in brought)
    return seen


def _bring(
    context: Any, port: Any, score: dict[str, int] | None, layout: data.StructLayout, rng: random.Random
) -> None:
    """A score, or noise that is none."""
    context.set(port.valid, score is not None)
    word = rng.getrandbits(layout.size)
    if score is not None:
        bits = Shape.cast(layout["score"].shape).width
        word = pack(layout, **{**score, "score": score["score"] & ((1 << bits) - 1)})
    context.set(Value.cast(port.payload), word)


async def _set_up(context: Any, values: wiring.Component, config: ItemsConfig, heads: list[Head]) -> None:
    """Settings and rows of V."""
    for number, head in enumerate(heads):
        row = simulate.patterns([[each] for each in (*head.exponent, *head.context)], [16, 6, 16, 6])[0]
        context.set(Value.cast(values.settings.payload), pack(settings_layout(config), head=number, row=row))
        context.set(values.settings.valid, 1)
        context.set(values.write.valid, 1)
        for key in range(config.tokens):
            word = pack(write_layout(config), b=as_number(head.v[key] & 255), head=number, key=key)
            context.set(Value.cast(values.write.payload), word)
            await context.tick()
            context.set(values.settings.valid, 0)
    context.set(values.write.valid, 0)


def _watch(context: Any, values: wiring.Component, seen: Seen, now: int) -> None:
    for n in range(len(seen.given)):
        item, scale = getattr(values, f"item{n}"), getattr(values, f"scale{n}")
        if context.get(item.valid):
            if context.get(item.ready):
                seen.beats[n].append(context.get(Value.cast(item.payload)))
                seen.beat_cycles[n].append(now)
            else:
                seen.waited += 1
        if context.get(scale.valid) and context.get(scale.ready):
            seen.scales[n].append(context.get(Value.cast(scale.payload)))


def check(config: ItemsConfig, arrays: PeArraysConfig, heads: list[Head], seen: Seen) -> None:
    """Codes, scales and contexts of all rows are golden, at the line that was given them, in that order."""
    expected, row_bits = golden(heads), (config.tokens - 1).bit_length()
    layout, bits = beat_layout(arrays, name_bits(config)), 8 * arrays.scalers
    assert sum(len(given) for given in seen.given) == len(items(heads, config))
    for n, given in enumerate(seen.given):
        beats = [unpacked(layout, word) for word in seen.beats[n]]
        rows = [expected[item.head, item.row] for item in given]
        assert seen.scales[n] == [row.scale for row in rows]
        assert len(seen.contexts[n]) == arrays.groups * len(given)
        for at, (item, row) in enumerate(zip(given, rows, strict=True)):
            tag = item.head << row_bits | item.row
            mine, beats = beats[: len(row.codes)], beats[len(row.codes) :]
            assert sorted(beat["a"] for beat in mine) == sorted(row.codes.values())
            assert {beat["tag"] for beat in mine} == {tag}
            assert [(beat["first"], beat["last"]) for beat in mine] == [
                (k == 0, k == len(mine) - 1) for k in range(len(mine))
            ]
            parts = seen.contexts[n][at * arrays.groups : (at + 1) * arrays.groups]
            assert {part >> (bits + 1) for part in parts} == {tag}
            assert [part >> bits & 1 for part in parts] == [0] * (len(parts) - 1) + [1]
            found = [(part >> 8 * k & 255 ^ 128) - 128 for part in parts for k in range(arrays.scalers)]
            assert found == row.context, (item, found, row.context)
        assert not beats
    assert seen.ended, "something is left over"


def special(config: ItemsConfig) -> list[Head]:
    """Rows with one key, full rows, equal scores, the largest and the smallest score, exponents of every kind."""
    tokens, rng, top = config.tokens, np.random.default_rng(3), (1 << (score_bits(config.lanes) - 1)) - 1
    usual = head(rng, config, 0.5)
    alone, full = np.eye(tokens, dtype=bool), np.ones((tokens, tokens), dtype=bool)
    ends = np.where(rng.random((tokens, tokens)) < 0.5, top, -top - 1)
    equal = np.tile(rng.integers(-top - 1, top, (tokens, 1)), tokens)
    low, high = np.full((tokens, tokens), -top - 1), np.full((tokens, tokens), top)
    peak = low + (2 * top + 1) * np.eye(tokens, dtype=np.int64)
    return [
        replace(usual, kept=alone),
        replace(usual, kept=full),
        *(replace(usual, kept=full, scores=scores) for scores in (ends, equal, low, high, peak)),
        *(replace(usual, kept=full, exponent=each) for each in ((1, 1), (65535, 1), (1, 40), (65535, 40), (0, 7))),
        replace(usual, kept=full, scores=peak, exponent=(65535, 34)),
        replace(usual, v=np.full_like(usual.v, -128), kept=full, scores=equal, context=(65535, 1)),
        replace(usual, v=np.full_like(usual.v, 127), kept=full, scores=equal, context=(65535, 40)),
        replace(usual, context=(0, 40)),
    ]


def unit(config: ItemsConfig = CONFIG, arrays: PeArraysConfig = ARRAYS, **others: int) -> Values:
    return Values(config, arrays, **others)


def head(rng: np.random.Generator, config: ItemsConfig, density: float) -> Head:
    """Scores of any size; mostly, an exponent that tells them apart, and contexts within int8."""
    tokens, size = config.tokens, score_bits(config.lanes) - 1
    kept = rng.random((tokens, tokens)) < density
    kept[~kept.any(axis=1), int(rng.integers(tokens))] = True
    scores = rng.integers(-1 << size, 1 << size, (tokens, tokens))
    mul = int(rng.integers(1, 1 << 16))
    shift = int(np.clip(mul.bit_length() + size - rng.integers(6, 11), 1, 40))
    v = rng.integers(-128, 128, (tokens, config.lanes))
    return Head(scores, kept, v, (mul, shift), (int(rng.integers(1 << 14, 1 << 16)), int(rng.integers(20, 26))))


def heads_of(config: ItemsConfig, density: float, seed: int = 0) -> list[Head]:
    rng = np.random.default_rng(seed)
    return [head(rng, config, density) for _ in range(config.heads)]


def check_all(
    config: ItemsConfig, arrays: PeArraysConfig, heads: list[list[Head]], dut=None, *, flows=FLOWS
) -> list[Seen]:
    """Each of the heads in each flow. No beat waits if contexts are always taken."""
    jobs = [(each, flow) for each in heads for flow in flows.values()]
    seen = through(dut or unit(config, arrays), config, arrays, jobs)
    for (each, flow), found in zip(jobs, seen, strict=True):
        check(config, arrays, each, found)
        assert flow.rest or not found.waited
    return seen
