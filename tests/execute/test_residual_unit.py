# SPDX-License-Identifier: Apache-2.0
"""Residual sums in hardware: the golden function's, under every flow control of all four streams, a beat a cycle."""

import itertools
import random
from collections import deque

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from golden.execute.layer import add
from golden.execute.scales import Scale
from hdl.execute.residual import ResidualUnit
from tests.arith import simulate
from tests.planted import Planted

LOW, HIGH = -(2**15), 2**15 - 1


def cases(lanes: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, mul, shift, result: the ends with each other, then such that many sums are near the ends of their range."""
    ends = itertools.product((LOW, -1, 0, 1, HIGH), (0, 1, 2**15, 2**16 - 1), (1, 15, 40), (LOW, -1, 0, HIGH))
    rng = np.random.default_rng(lanes)
    random_ones = [
        rng.integers(LOW, HIGH + 1, count),
        rng.integers(0, 2**16, count),
        rng.integers(12, 20, count),
        rng.integers(LOW, HIGH + 1, count),
    ]
    columns = np.concatenate([np.array(list(ends)), np.stack(random_ones, axis=1)])
    columns = columns[: len(columns) // lanes * lanes]
    return tuple(column.reshape(-1, lanes) for column in columns.T)  # type: ignore[return-value]


def golden(x, mul, shift, result) -> np.ndarray:
    return add(x, Scale(mul, shift), result)


def summed(
    dut, lanes: int, x, mul, shift, result, *, flow: str = "", cycles: int = 3000
) -> tuple[np.ndarray, list[int]]:
    """What leaves, and when. flow: letters, i, s, r: the source of values, scales, results pauses; o: the sink does."""
    rng = random.Random(lanes)

    def beats(x: np.ndarray, bits: int) -> deque:
        return deque(simulate.patterns(x.T.tolist(), [bits] * lanes))

    queues = [beats(x, 16), beats(mul | shift << 16, 22), beats(result, 16)]
    sides = list(zip((dut.i, dut.scale, dut.result), "isr", queues, strict=True))
    sink, left = simulate.Sink(dut.o), []

    async def bench(context):
        offered = [False] * 3
        for cycle in range(cycles):
            for n, (port, letter, queue) in enumerate(sides):
                offered[n] = bool(queue) and (offered[n] or letter not in flow or rng.random() < 0.5)
                payload = Value.cast(port.payload)
                context.set(payload, queue[0] if offered[n] else rng.getrandbits(len(payload)))
                context.set(port.valid, offered[n])
            context.set(dut.o.ready, "o" not in flow or rng.random() < 0.5)
            sink.sample(context)
            if len(sink.seen) > len(left):
                left.append(cycle)
            for n, (port, _, queue) in enumerate(sides):
                if offered[n] and context.get(port.ready):
                    queue.popleft()
                    offered[n] = False
            await context.tick()
            if len(left) == len(x) and not any(queues):
                break

    simulate.run(dut, bench)
    seen = [[(word >> 16 * lane & 0xFFFF ^ 0x8000) - 0x8000 for lane in range(lanes)] for word in sink.seen]
    return np.array(seen), left


def check(dut, lanes: int, flow: str = "") -> list[int]:
    """All sums are the golden ones. Returns when beats left."""
    given = cases(lanes, 60)
    found, left = summed(dut, lanes, *given, flow=flow)
    assert np.array_equal(found, golden(*given))
    return left


FLOWS = [
    "".join(letter for letter, on in zip("isro", each, strict=True) if on)
    for each in itertools.product([0, 1], repeat=4)
]


@pytest.mark.parametrize("flow", FLOWS)
def test_unit_is_golden(flow: str) -> None:
    check(ResidualUnit(lanes=2), 2, flow)


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_beat_a_cycle(lanes: int) -> None:
    dut = ResidualUnit(lanes=lanes)
    left = check(dut, lanes)
    assert left == list(range(dut.latency, dut.latency + len(left)))


def test_both_ends_are_reached() -> None:
    found = golden(*cases(2, 60))
    assert {LOW, HIGH} <= set(found.ravel().tolist())


def test_ports() -> None:
    shapes = {name: shape.width for name, shape in simulate.ports(ResidualUnit(lanes=2)).items()}
    assert {name: width for name, width in shapes.items() if name.endswith("payload")} == {
        "i__payload": 32, "scale__payload": 44, "result__payload": 32, "o__payload": 32,
    }  # fmt: skip


@pytest.mark.parametrize("lanes", [0, 257, 2.0])
def test_illegal_lanes_are_refused(lanes: int) -> None:
    assert simulate.refusal_of(lambda: ResidualUnit(lanes=lanes)) == (
        f"lanes must be an integer from 1 to 256, not {lanes}; choose one of them."
    )


@pytest.mark.parametrize(
    "fault",
    [
        {"i__ready": lambda ready: Const(1)},
        {"result__valid": lambda valid: Const(1)},
        {"o__ready": lambda ready: Const(1)},
        {"result__payload": lambda payload: payload & ~(1 << 15)},
        {"o__payload": lambda payload: payload ^ 1},
    ],
    ids=["value lost", "result invented", "offer not held", "sign lost", "one off"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises(AssertionError):
        check(Planted(ResidualUnit(lanes=2), **fault), 2, "isro")
