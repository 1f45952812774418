# SPDX-License-Identifier: Apache-2.0
"""The GELU unit against the golden model: every operand in every table, under every flow control."""

import random

import numpy as np
import pytest
from amaranth.hdl import Const, Value
from amaranth.lib import wiring

from golden.execute.gelu import Steps, gelu, table
from hdl.execute.gelu import GeluUnit
from tests.arith import simulate
from tests.planted import Fault, Planted

LANES = 3
TABLES = np.stack([table(Steps(0.05, 0), Steps(0.02, -120)), table(Steps(0.2, 3), Steps(0.1, 0))])


def every_operand(lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Operands and choices [beats, lanes]: each operand in each table in each lane, in an order of its own."""
    both = np.arange(512)
    orders = np.stack([np.random.default_rng(lane).permutation(both) for lane in range(lanes)], axis=1)
    return orders % 256 - 128, orders // 256


def written(tables: np.ndarray) -> list[int]:
    """Each `entry`, in no order."""
    entries = [(code, number, int(one[code + 128])) for number, one in enumerate(tables) for code in range(-128, 128)]
    random.Random(0).shuffle(entries)
    return [simulate.patterns([[value] for value in entry], [8, 1, 8])[0] for entry in entries]


def looked_up(
    dut: wiring.Component, x: np.ndarray, choice: np.ndarray, *, idle=0.0, stall=0.0, tables=TABLES
) -> tuple[np.ndarray, list[int], list[int]]:
    """What leaves, and the cycles in which beats were taken and left, after the tables were written."""
    lanes, rng = x.shape[1], random.Random(7)
    widths = [8] * lanes + [1] * lanes
    queue = [
        simulate.patterns([[value] for value in [*row, *of]], widths)[0] for row, of in zip(x, choice, strict=True)
    ]
    sink, entered, left = simulate.Sink(dut.o), [], []
    payload, entry = Value.cast(dut.i.payload), Value.cast(dut.entry)

    async def bench(context):
        context.set(dut.write, 1)
        for word in written(tables):
            context.set(entry, word)
            await context.tick()
        context.set(dut.write, 0)
        at, offered = 0, False
        for now in range(len(queue) * (4 if idle or stall else 1) + 20):
            context.set(entry, rng.getrandbits(len(entry)))
            offered = at < len(queue) and (offered or rng.random() >= idle)
            context.set(dut.i.valid, offered)
            context.set(payload, queue[at] if offered else rng.getrandbits(len(payload)))
            context.set(dut.o.ready, rng.random() >= stall)
            sink.sample(context)
            if len(sink.seen) > len(left):
                left.append(now)
            if offered and context.get(dut.i.ready):
                entered.append(now)
                at, offered = at + 1, False
            await context.tick()

    simulate.run(dut, bench)
    codes = np.array([[beat >> 8 * lane & 255 for lane in range(lanes)] for beat in sink.seen], dtype=np.int64)
    return simulate.signed_values(codes.reshape(-1, lanes), 8), entered, left


def expected(x: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """By the golden model, in which a channel has one choice: each element is a channel of its own."""
    return gelu(x.reshape(-1), TABLES, choice.reshape(-1)).reshape(x.shape)


def check(dut: wiring.Component, x: np.ndarray, choice: np.ndarray, **rests: float) -> tuple[list[int], list[int]]:
    """The cycles in which beats were taken and left."""
    found, *cycles = looked_up(dut, x, choice, **rests)
    assert np.array_equal(found, expected(x, choice))
    return cycles[0], cycles[1]


def test_ports() -> None:
    assert {name: shape.width for name, shape in simulate.ports(GeluUnit(lanes=LANES)).items()} == {
        "write": 1,
        "entry": 17,
        "i__payload": 9 * LANES,
        "i__valid": 1,
        "i__ready": 1,
        "o__payload": 8 * LANES,
        "o__valid": 1,
        "o__ready": 1,
    }


@pytest.mark.parametrize("lanes", [0, 2.0])
def test_illegal_shapes_are_refused(lanes: int) -> None:
    said = simulate.refusal_of(lambda: GeluUnit(lanes=lanes))
    assert said == f"lanes must be an integer from 1, not {lanes}; raise lanes."


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["no back-pressure", "back-pressure"])
@pytest.mark.parametrize("idle", [0.0, 0.5], ids=["no idle", "idle"])
def test_unit_is_golden(idle: float, stall: float) -> None:
    x, choice = every_operand(LANES)
    entered, left = check(GeluUnit(lanes=LANES), x, choice, idle=idle, stall=stall)
    if not idle and not stall:
        assert entered == list(range(len(x)))
        assert left == [cycle + GeluUnit.latency for cycle in entered]


def test_entry_counts_from_the_next_cycle_on() -> None:
    """One is written again while it is looked up; what waits at the output stays."""
    dut = GeluUnit(lanes=1)
    seen: list[int] = []

    async def bench(context):
        context.set(dut.write, 1)
        context.set(Value.cast(dut.entry), 5 | 1 << 8 | 11 << 9)
        await context.tick()
        context.set(Value.cast(dut.entry), 5 | 1 << 8 | 22 << 9)
        context.set(Value.cast(dut.i.payload), 5 | 1 << 8)
        context.set(dut.i.valid, 1)
        for ready in (0, 0, 1, 1):
            await context.tick()
            context.set(dut.o.ready, ready)
            seen.append(context.get(dut.o.payload[0]))

    simulate.run(dut, bench)
    assert seen == [11, 11, 11, 22]


WRONG = [
    pytest.param({"i__payload": lambda i: i ^ 1 << 8 * LANES}, id="the other table"),
    pytest.param({"i__payload": lambda i: i ^ 1 << 7}, id="sign"),
    pytest.param({"entry": lambda entry: entry | 1 << 8}, id="one table written"),
    pytest.param({"write": lambda write: Const(1)}, id="written unasked"),
    pytest.param({"i__ready": lambda ready: Const(1)}, id="beat lost"),
    pytest.param({"o__ready": lambda ready: Const(1)}, id="result lost"),
]


@pytest.mark.parametrize("faults", WRONG)
def test_wrong_unit_is_caught(faults: dict[str, Fault]) -> None:
    x, choice = every_operand(LANES)
    with pytest.raises(AssertionError):
        check(Planted(GeluUnit(lanes=LANES), **faults), x, choice, stall=0.5)
