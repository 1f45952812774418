# SPDX-License-Identifier: Apache-2.0
"""Context of rows with a few kept keys: the golden function's, in every flow, at the rate of the scalers."""

import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.pe_arrays import PeArraysConfig
from golden.execute.softmax import Softmax, context
from hdl.execute.context import ContextLine
from hdl.execute.scaler import Scaler
from tests.arith import simulate
from tests.execute.items import Item, beats, random_items, small
from tests.execute.rows import scale_of
from tests.planted import Planted

TAG_BITS = 3


@dataclass(frozen=True)
class Row:
    """Codes times V, total of the row's powers, and the head's multiplier."""

    item: Item
    total: int
    mul: int
    shift: int

    @property
    def golden(self) -> list[int]:
        row = Softmax(self.item.a[None], np.array([[self.total]]))
        return [int(v) for v in context(row, self.item.b, np.array([self.mul]), np.array([self.shift]))[0]]

    @property
    def scale(self) -> int:
        """Payload of `scale`, as the softmax unit gives it."""
        return scale_of(self.total, self.mul, self.shift)


def rows_of(items: list[Item]) -> list[Row]:
    """Most results within int8, and all kinds of totals and shifts, the largest ones too."""
    rng = np.random.default_rng(len(items))
    rows = []
    for number, item in enumerate(items):
        total = int(rng.integers(1 << 21, (1 << 21) * len(item.a) + 1))
        largest = max(1, int(np.abs(item.sums).max()))
        over = total.bit_length() - 22
        mul = int(rng.integers(1 << 14, 1 << 16))
        shift = min(40, max(1, (largest * mul // 2).bit_length() - over - 6 + int(rng.integers(-1, 2))))
        if number % 7 == 0:
            total, mul, shift = 1 << 33, (1 << 16) - 1, 40
        rows.append(Row(item, total, mul, shift))
    return rows


def contexts(dut, rows: list[Row], config: PeArraysConfig, flow: str = "", cycles: int = 6000) -> tuple[list, list]:
    """Tag and context of each row, and the cycles in which beats left. flow: letters, i, s: the source of beats, scales
    pauses; o: the sink does."""
    rng = random.Random(len(rows))
    queues = [deque(beats([row.item for row in rows], TAG_BITS)), deque(row.scale for row in rows)]
    sink, left = simulate.Sink(dut.o), []
    total = len(rows) * config.groups

    async def bench(context):
        offered = [False, False]
        for cycle in range(cycles):
            for n, (port, letter) in enumerate(((dut.i, "i"), (dut.scale, "s"))):
                offered[n] = bool(queues[n]) and (offered[n] or letter not in flow or rng.random() < 0.4)
                payload = Value.cast(port.payload)
                context.set(payload, queues[n][0] if offered[n] else rng.getrandbits(len(payload)))
                context.set(port.valid, offered[n])
            context.set(dut.o.ready, "o" not in flow or rng.random() < 0.4)
            sink.sample(context)
            if len(sink.seen) > len(left):
                left.append(cycle)
            for n, port in enumerate((dut.i, dut.scale)):
                if offered[n] and context.get(port.ready):
                    queues[n].popleft()
                    offered[n] = False
            await context.tick()
            if len(left) == total and not any(queues):
                break

    simulate.run(dut, bench)
    found, bits = [], 8 * config.scalers
    for row in range(len(sink.seen) // config.groups):
        parts = sink.seen[row * config.groups : (row + 1) * config.groups]
        assert [part >> bits & 1 for part in parts] == [0] * (config.groups - 1) + [1]
        tags = {part >> (bits + 1) for part in parts}
        values = [(part >> 8 * k & 255 ^ 128) - 128 for part in parts for k in range(config.scalers)]
        found.append((tags.pop(), values))
        assert not tags
    return found, left


def check_contexts(config: PeArraysConfig, items: list[Item], dut=None, **how) -> list[int]:
    rows = rows_of(items)
    found, left = contexts(dut or ContextLine(config, tag_bits=TAG_BITS), rows, config, **how)
    assert found == [(row.item.tag, row.golden) for row in rows]
    return left


LENGTHS = [1, 1, 3, 7, 2, 16, 1, 3, 9, 1, 2, 16, 1, 5]


@pytest.mark.parametrize("flow", ["", "i", "s", "o", "iso", "so"])
@pytest.mark.parametrize(("lanes", "scalers"), [(4, 2), (4, 4), (3, 1)])
def test_context_is_golden(lanes: int, scalers: int, flow: str) -> None:
    check_contexts(small(lanes=lanes, scalers=scalers), random_items(lanes, LENGTHS * 2, codes=True), flow=flow)


@pytest.mark.parametrize("keys", [128, 512])
@pytest.mark.parametrize("b", [-128, 127])
def test_the_largest_sums(keys: int, b: int) -> None:
    """Also for so many keys that no shift of 40 would bring their sums below a half."""
    config = small(lanes=1, scalers=1, keys=keys)
    item = Item(np.full(keys, 255), np.full((keys, 1), b))
    rows = [Row(item, keys << 21, 65535, shift) for shift in (24, 40)]
    found, _ = contexts(ContextLine(config, tag_bits=TAG_BITS), rows, config, cycles=2000)
    assert found == [(0, row.golden) for row in rows]


def test_results_reach_both_ends_and_zero() -> None:
    values = {value for row in rows_of(random_items(4, LENGTHS * 2, codes=True)) for value in row.golden}
    assert {-128, 0, 127} <= values


@pytest.mark.parametrize("scalers", [2, 4])
def test_rows_of_thirteen_keys(scalers: int) -> None:
    """A line of 32 lanes: an item every max(keys, groups + 2) cycles. Four scalers are enough, two are 72 % of it."""
    config = small(lanes=32, scalers=scalers, terms=1536, keys=128)
    left = check_contexts(config, random_items(32, [13] * 12, codes=True))
    ends = np.array(left[config.groups - 1 :: config.groups])
    assert np.diff(ends)[3:].tolist() == [max(13, config.groups + 2)] * 8


def test_latency() -> None:
    dut = Scaler(small(), dense=False)
    assert simulate.ports(dut)["o__payload"].width == 2 * 8 + 1
    assert dut.latency == 9


@pytest.mark.parametrize(
    "fault",
    [
        {"i__ready": lambda ready: Const(1)},
        {"scale__ready": lambda ready: Const(1)},
        {"scale__valid": lambda valid: Const(1)},
        {"o__ready": lambda ready: Const(1)},
        {"o__payload": lambda payload: payload ^ 1},
        {"scale__payload": lambda payload: payload ^ (1 << 20)},
    ],
    ids=["beat lost", "scale lost", "scale invented", "offer not held", "one off", "shift off"],
)
def test_a_fault_is_caught(fault) -> None:
    config = small()
    dut = Planted(ContextLine(config, tag_bits=TAG_BITS), **fault)
    with pytest.raises(AssertionError):
        check_contexts(config, random_items(4, LENGTHS, codes=True), dut, flow="iso")
