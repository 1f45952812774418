# SPDX-License-Identifier: Apache-2.0
"""Softmax of a line's items key by key: codes and scales golden, at any flow of items and scales, to the cycle."""

import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from golden.execute.softmax import softmax
from hdl.execute.line_powers import LinePowers, code_layout, settings_layout
from hdl.execute.score_queue import ranked_layout
from hdl.execute.scores import score_bits
from tests.arith import simulate
from tests.execute.gathering import shaped, unpacked
from tests.execute.rows import scale_of
from tests.planted import Planted
from tests.speculate.plans import pack

CONFIG = shaped(lines=2, lanes=4, banks=4, tokens=16, chunk=16, heads=3, ports=1, queue=16)
TOP = (1 << (score_bits(CONFIG.lanes) - 1)) - 1
HEADS = [(40_000, 21, 50_000, 22), (65_535, 1, 65_535, 40), (1, 40, 3, 1)]
"""Exponent and context, mul and shift: one that tells scores apart, a steep one, a flat one."""


@dataclass(frozen=True)
class Job:
    """An item's scores in the order in which they come, with their keys."""

    head: int
    row: int
    keys: list[int]
    scores: np.ndarray

    def golden(self) -> tuple[list[int], int]:
        """Codes, and the scale as a payload."""
        exponent, context = HEADS[self.head][:2], HEADS[self.head][2:]
        found = softmax(self.scores, np.ones(len(self.scores), bool), *(np.array(each) for each in exponent))
        return found.codes.tolist(), scale_of(int(found.total[0]), *context)


def jobs(count: int, seed: int = 0, longest: int = 16) -> list[Job]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        keys = rng.permutation(CONFIG.chunk)[: int(rng.integers(1, longest + 1))].tolist()
        spread = int(rng.integers(1, 18))
        scores = np.clip(rng.integers(-TOP, TOP, len(keys)) >> spread, -TOP - 1, TOP)
        if number % 5 == 0:
            scores = rng.choice([-TOP - 1, TOP], len(keys))
        found.append(Job(int(rng.integers(3)), number % CONFIG.tokens, keys, scores))
    return found


@dataclass
class Seen:
    """Codes and scales as they came, and the cycles of each and of each score."""

    codes: list[int]
    scales: list[int]
    entered: list[int]
    coded: list[int]
    scaled: list[int]


def through(dut, items: list[Job], *, idle=0.0, closed=0.0, rest=0.0) -> Seen:
    """idle, closed, rest: how often a score does not come, an item may not begin, a scale is not taken."""
    rng, layout = random.Random(len(items)), ranked_layout(CONFIG)
    queue = deque(
        pack(layout, score=int(score) + TOP + 1, largest=int(item.scores.max()) + TOP + 1, key=key, head=item.head,
             row=item.row, first=at == 0, last=at == len(item.keys) - 1)
        for item in items
        for at, (key, score) in enumerate(zip(item.keys, item.scores, strict=True))
    )  # fmt: skip
    sink = simulate.Sink(dut.scale)
    seen = Seen([], sink.seen, [], [], [])
    keys = len(queue)

    async def bench(context):
        for number, settings in enumerate(HEADS):
            row = simulate.patterns([[each] for each in settings], [16, 6, 16, 6])[0]
            context.set(Value.cast(dut.settings.payload), pack(settings_layout(CONFIG), head=number, row=row))
            context.set(dut.settings.valid, 1)
            await context.tick()
        context.set(dut.settings.valid, 0)
        offered = False
        for now in range(int((2 * keys + 20 * len(items) + 200) / (1 - max(idle, closed, rest)))):
            offered = bool(queue) and (offered or rng.random() >= idle)
            context.set(Value.cast(dut.i.payload), queue[0] if offered else rng.getrandbits(layout.size))
            context.set(dut.i.valid, offered)
            context.set(dut.opens, rng.random() >= closed)
            context.set(dut.scale.ready, rng.random() >= rest)
            sink.sample(context)
            seen.scaled += [now] * (len(sink.seen) - len(seen.scaled))
            if context.get(dut.o.valid):
                seen.codes.append(context.get(Value.cast(dut.o.payload)))
                seen.coded.append(now)
            if offered and context.get(dut.i.ready):
                queue.popleft()
                offered = False
                seen.entered.append(now)
            await context.tick()
            if len(seen.codes) == keys and len(sink.seen) == len(items):
                break

    simulate.run(dut, bench)
    return seen


def check(items: list[Job], seen: Seen) -> None:
    found = deque(unpacked(code_layout(CONFIG), word) for word in seen.codes)
    assert len(found) == sum(len(item.keys) for item in items)
    for item, scale in zip(items, seen.scales, strict=True):
        codes, wanted = item.golden()
        assert scale == wanted
        for at, (key, code) in enumerate(zip(item.keys, codes, strict=True)):
            word, last = found.popleft(), at == len(codes) - 1
            assert (word["code"], word["key"], word["first"], word["last"]) == (code, key, at == 0, last)
            assert not last or (word["head"], word["row"]) == (item.head, item.row)


def unit(**others: int) -> LinePowers:
    return LinePowers(CONFIG, **{"cycles": 8, "scales": 4, **others})


@pytest.mark.parametrize("longest", [1, 3, 16])
@pytest.mark.parametrize("flow", [{}, {"idle": 0.4, "closed": 0.3}, {"rest": 0.9}], ids=str)
def test_codes_and_scales_are_golden(flow: dict[str, float], longest: int) -> None:
    items = jobs(40, seed=longest, longest=longest)
    check(items, through(unit(), items, **flow))


def test_a_key_a_cycle_and_latencies() -> None:
    """Items of no fewer keys than a division takes cycles."""
    items = [item for item in jobs(60) if len(item.keys) >= 8]
    dut = unit()
    seen = through(dut, items)
    check(items, seen)
    assert np.diff(seen.entered).tolist() == [1] * (len(seen.entered) - 1)
    assert (np.array(seen.coded) - np.array(seen.entered) == dut.latency).all()
    ends = np.cumsum([len(item.keys) for item in items]) - 1
    assert (np.array(seen.scaled) - np.array(seen.coded)[ends] == dut.scale_latency).all()
    assert (dut.latency, dut.scale_latency) == (12, 21)


@pytest.mark.parametrize(
    "fault",
    [
        {"opens": lambda opens: Const(0)},
        {"i__payload": lambda score: score ^ 1 << 17},
        {"o__payload": lambda code: code ^ 1 << 11},
        {"scale__payload": lambda scale: scale ^ 1 << 21},
        {"scale__ready": lambda ready: Const(1)},
        {"settings__payload": lambda settings: settings & ~(1 << 30)},
    ],
    ids=["never opens", "score", "first", "shift", "scale lost", "context's multiplier"],
)
def test_a_fault_is_caught(fault) -> None:
    items = jobs(20, seed=1)
    with pytest.raises((AssertionError, ValueError)):
        check(items, through(Planted(unit(), **fault), items, rest=0.8))
