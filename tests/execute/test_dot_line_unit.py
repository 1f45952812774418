# SPDX-License-Identifier: Apache-2.0
"""A dot line: exact sums of items of every length, with and without gaps, at a fixed latency."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.pe_arrays import PeArraysConfig
from config.presets import PRESETS, pe_arrays
from hdl.execute.dot_line import PRODUCT_BIAS, PRODUCT_WORDS, DotLine, DotProduct
from tests.arith import simulate
from tests.execute.items import small
from tests.planted import Fault, Planted

TAG_BITS = 3


@dataclass(frozen=True)
class Item:
    """a, b: [K, L], int8. tag: that of its last beat."""

    a: np.ndarray
    b: np.ndarray
    tag: int = 0

    @property
    def sum(self) -> int:
        return int((self.a * self.b).sum())


def random_items(lanes: int, lengths: list[int], *, ends: bool = False) -> list[Item]:
    """Of so many beats each; tags by their number."""
    rng = np.random.default_rng(len(lengths) + lanes)

    def rows(length: int) -> np.ndarray:
        every = rng.integers(-128, 128, (length, lanes))
        return np.where(rng.random(every.shape) < (1 if ends else 0.1), rng.choice([-128, 0, 127], every.shape), every)

    def held(length: int) -> np.ndarray:
        """Some rows several times, one behind the other."""
        return rows(length)[np.sort(rng.integers(length, size=length))]

    return [Item(held(length), rows(length), number % 8) for number, length in enumerate(lengths)]


def beats(items: list[Item], tag_bits: int) -> list[int]:
    """Payloads of a line's `i`. Tags of other beats than the last are noise, and so is `a` where it is held."""
    rng = np.random.default_rng(len(items))
    payloads, before = [], None
    for item in items:
        count, lanes = item.a.shape
        holds = [n > 0 and np.array_equal(item.a[n], item.a[n - 1]) for n in range(count)]
        holds[0] = before is not None and np.array_equal(item.a[0], before)
        shown = np.where(np.array(holds)[:, None], rng.integers(-128, 128, item.a.shape), item.a)
        before = item.a[-1]
        first, last = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
        first[0] = last[-1] = 1
        tags = np.where(last, item.tag, rng.integers(1 << tag_bits, size=count))
        columns = [*shown.T.tolist(), *item.b.T.tolist(), first.tolist(), last.tolist(), tags.tolist(), holds]
        payloads += simulate.patterns(columns, [8] * (2 * lanes) + [1, 1, tag_bits, 1])
    return payloads


def check_line(config: PeArraysConfig, items: list[Item], *, idle: float = 0, **faults: Fault) -> None:
    """Each item's tag and sum, in the cycle in which it is due."""
    line = DotLine(config, tag_bits=TAG_BITS)
    dut, latency = Planted(line, **faults), line.latency
    rng, found, due = random.Random(len(items)), [], []
    results = iter(items)

    async def bench(context):
        queue, payload = beats(items, TAG_BITS)[::-1], Value.cast(dut.i.payload)
        last_at = len(payload) - TAG_BITS - 2
        cycle = ends = 0
        while queue or cycle < ends + latency + 2:
            offered = bool(queue) and rng.random() >= idle
            word = queue.pop() if offered else rng.getrandbits(len(payload))
            context.set(payload, word)
            context.set(dut.i.valid, offered)
            if offered and word >> last_at & 1:
                item, ends = next(results), cycle
                due.append((cycle + latency, item.tag, item.sum))
            if context.get(dut.o.valid):
                found.append((cycle, context.get(dut.o.payload.tag), context.get(dut.o.payload.sum)))
            await context.tick()
            cycle += 1

    simulate.run(dut, bench)
    assert len(due) == len(items)
    assert found == due


# Construction


def test_ports() -> None:
    dut = DotLine(pe_arrays("minilm"), tag_bits=5)
    found = {name: shape.width for name, shape in simulate.ports(dut).items()}
    assert found == {"i__payload": 512 + 2 + 5 + 1, "i__valid": 1, "o__payload": 26 + 5, "o__valid": 1}
    assert dut.latency == 4


def test_a_line_without_a_tag_is_refused() -> None:
    assert simulate.refusal_of(lambda: DotLine(small(), tag_bits=0)) == (
        "tag_bits must be an integer from 1 to 64, not 0; set tag_bits to a value in that range."
    )


# Products


def test_products_of_every_digit() -> None:
    a, b = simulate.pairs(simulate.operands(8), np.array([-128, -127, -86, -1, 0, 1, 85, 127]))
    dut, found = DotProduct(), []
    total = sum(dut.o[str(i)] << word.column for i, word in enumerate(PRODUCT_WORDS))

    async def bench(context):
        context.set(dut.enter_a, 1)
        context.set(dut.enter_b, 1)
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            context.set(dut.a, x)
            context.set(dut.b, y)
            await context.tick()
            found.append(context.get(total) - PRODUCT_BIAS)

    simulate.run(dut, bench)
    assert np.array_equal(found, a * b)


# Sums


def test_a_few_sums() -> None:
    items = [
        Item(np.array([[1, -1, 0, 5]]), np.array([[5, 6, 7, 8]]), 1),
        Item(np.array([[-128] * 4, [127] * 4]), np.array([[-128] * 4, [-128] * 4]), 2),
        Item(np.array([[0] * 4]), np.array([[9, 9, 9, 9]]), 3),
    ]
    assert [item.sum for item in items] == [39, 512, 0]
    check_line(small(), items)


LENGTHS = [1, 1, 1, 7, 2, 16, 1, 3, 3, 3, 9, 1, 2, 1, 30, 1]


@pytest.mark.parametrize("idle", [0, 0.5])
@pytest.mark.parametrize("ends", [False, True], ids=["", "ends"])
@pytest.mark.parametrize("lanes", [1, 3, 4, 8])
def test_sums_with_and_without_gaps(lanes: int, ends: bool, idle: float) -> None:
    check_line(small(lanes=lanes, scalers=1, terms=32 * lanes), random_items(lanes, LENGTHS * 3, ends=ends), idle=idle)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_line(preset: str) -> None:
    config = pe_arrays(preset)
    check_line(config, random_items(config.lanes, [1, 1, 4, 2, 1, 3], ends=True) + random_items(config.lanes, [3, 1]))


@pytest.mark.parametrize("b", [-128, 127])
@pytest.mark.parametrize("a", [-128, 127])
def test_the_longest_sums_of_ends(a: int, b: int) -> None:
    """With what comes after them: nothing of them stays."""
    config = small(lanes=4, terms=1536, keys=1)
    shape = (config.terms // config.lanes, config.lanes)
    check_line(config, [Item(np.full(shape, a), np.full(shape, b)), *random_items(4, [3, 1])])


# Planted faults


@pytest.mark.parametrize(
    "fault",
    [
        {"i__valid": lambda valid: Const(1)},
        {"i__payload": lambda payload: payload ^ 1},
        {"i__payload": lambda payload: payload & ~(1 << 64)},
        {"o__valid": lambda valid: Const(1)},
        {"o__payload": lambda payload: payload ^ 1},
        {"o__payload": lambda payload: payload ^ (1 << 22)},
        {"i__payload": lambda payload: payload & ~(1 << 69)},
    ],
    ids=["beats invented", "a bit of a row", "never first", "sums invented", "one off", "another's", "never held"],
)
def test_a_fault_is_caught(fault) -> None:
    config = small()
    with pytest.raises(AssertionError):
        check_line(config, random_items(4, LENGTHS), idle=0.5, **fault)
