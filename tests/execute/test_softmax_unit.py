# SPDX-License-Identifier: Apache-2.0
"""The softmax unit against the golden model: every flow control, rows that go wrong, rates, latencies."""

import random
from itertools import pairwise

import numpy as np
import pytest
from amaranth.hdl import Const, Value
from amaranth.lib import wiring

from golden.arith.requantise import rescaled
from golden.execute.softmax import Softmax, context, powers, softmax
from hdl.execute.power import TABLE, Code
from hdl.execute.softmax import SoftmaxUnit
from tests.arith import simulate
from tests.execute.rows import Row, Seen, expected, scale_of, settings, through, transfers
from tests.planted import Fault, Planted

LANES = 2
SMALL, LARGE = -(1 << 31), (1 << 31) - 1
FLAT, STEEP = (1, 40), (65535, 1)
USUAL = (40_000, 26)


def unit(lanes: int = LANES, **others: int) -> SoftmaxUnit:
    return SoftmaxUnit(**{"lanes": lanes, "tokens": 8 * lanes, **others})


def row(
    scores: list[int], kept: list[int] | None = None, exponent=USUAL, context=(40_000, 21), lanes: int = LANES
) -> Row:
    """Padded to whole beats by what is not kept."""
    mask = np.ones(len(scores), dtype=bool) if kept is None else np.array(kept, dtype=bool)
    more = -len(scores) % LANES
    return Row(np.pad(np.array(scores, dtype=np.int64), (0, more), constant_values=LARGE), np.pad(mask, (0, more)),
               exponent, context)  # fmt: skip


def random_row(rng: np.random.Generator, beats: int, lanes: int = LANES, score_bits: int = 32) -> Row:
    """Scores of any size, of which any share is kept, with an exponent that tells them apart, mostly."""
    count, half = beats * lanes, 1 << (score_bits - 1)
    size = int(rng.integers(1, score_bits))
    scores = rng.integers(-half, half, count) >> int(rng.integers(0, score_bits - 1))
    mul = int(rng.integers(1 << 16) >> rng.integers(0, 16))
    shift = int(np.clip(int(mul).bit_length() + size - rng.integers(4, 14), 1, 40))
    context = (int(rng.integers(1 << 16)), int(rng.integers(1, 41)))
    return Row(scores, rng.random(count) < rng.choice([0.1, 0.5, 0.9, 1.0]), (mul, shift), context)


def random_rows(count: int, seed: int = 0, longest: int = 8, **others: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    return [random_row(rng, int(rng.integers(1, longest + 1)), **others) for _ in range(count)]


def adversarial() -> list[Row]:
    """Each between two others, so that what stays of one would show in the next."""
    ramp = [n * 100_000 for n in range(-5, 6)]
    both = [row(ramp, exponent=e) for e in (USUAL, FLAT, STEEP)]
    return [
        row([5]),
        row([SMALL]),
        row([LARGE, SMALL], [0, 1]),
        row([7, 7, 7], [0, 0, 0]),
        row([SMALL] * 9),
        row([LARGE] * 16),
        row([0] * 16, exponent=STEEP),
        row([-77] * 5, exponent=FLAT),
        *both,
        *(row(each.scores[::-1].tolist(), each.kept[::-1].tolist(), each.exponent) for each in both),
        row([SMALL, LARGE] * 8, exponent=FLAT),
        row([SMALL, LARGE] * 8, exponent=STEEP),
        row([LARGE] + [SMALL] * 15, exponent=(65535, 40)),
        row([SMALL] * 15 + [LARGE], exponent=(65535, 40)),
        row([LARGE] * 3 + [4] * 4, [0] * 3 + [1] * 4),
        row([1, 2], [0, 0], context=(65535, 40)),
        row([SMALL, LARGE, 3], [0, 0, 0]),
        row([9, -9, 1], [1, 0, 0], context=(0, 1)),
        row([0, 1], exponent=(0, 1)),
        row([3] * 16, context=(65535, 40)),
        # Ties of the rounding, and the last exponents before powers end.
        row([0, -1, -2, -3, -4, -5], exponent=(1 << 5, 6)),
        row([0, *(-n for n in (1405, 1406, 1407, 1408, 1409, 4095, 4096))], exponent=(1, 1)),
        row([0, *(-2 * n for n in (1405, 1406, 1407, 1408, 1409, 2047, 2048))], exponent=(1, 1)),
    ]


def check(dut: wiring.Component, rows: list[Row], lanes: int = LANES, score_bits: int = 32, **rests: float) -> Seen:
    seen = through(dut, rows, lanes, score_bits, **rests)
    beats, scales = expected(rows, lanes)
    assert seen.beats == beats
    assert seen.scales == scales
    return seen


def test_scale_is_the_golden_one() -> None:
    """What a row's codes make of V, times the scale that is expected, is the golden context."""
    rng = np.random.default_rng(2)
    for each in adversarial() + random_rows(50):
        result = softmax(each.scores, each.kept, *(np.array(value) for value in each.exponent))
        v = rng.integers(-128, 128, (len(each.scores), 3))
        scale = scale_of(int(result.total[0]), *each.context)
        found = rescaled(result.codes @ v, scale & 0xFFFF, scale >> 16)
        context_of = (np.array([value]) for value in each.context)
        assert context(Softmax(result.codes[None], result.total[None]), v, *context_of)[0].tolist() == found.tolist()


# Construction and bad arguments


def test_ports() -> None:
    dut = SoftmaxUnit(lanes=16, tokens=4096)
    assert {name: shape.width for name, shape in simulate.ports(dut).items()} == {
        "i__payload": 16 * 33 + 1,
        "i__valid": 1,
        "i__ready": 1,
        "row": 44,
        "o__payload": 16 * 8 + 1,
        "o__valid": 1,
        "o__ready": 1,
        "scale__payload": 22,
        "scale__valid": 1,
        "scale__ready": 1,
        "error": 1,
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lanes": 0, "tokens": 8}, "lanes must be an integer from 1, not 0; raise lanes."),
        ({"lanes": 4, "tokens": 6}, "tokens must be a multiple of the 4 lanes, not 6; round tokens up."),
        ({"lanes": 4, "tokens": 0}, "tokens must be a multiple of the 4 lanes, not 0; round tokens up."),
        (
            {"lanes": 1, "tokens": 8, "score_bits": 33},
            "score_bits must be an integer from 2 to 32, not 33; set it to a score's width.",
        ),
        (
            {"lanes": 1, "tokens": 8, "shortest": 3},
            "shortest must be 1, 2, 4, 8 or 16, not 3; choose the next lower one.",
        ),
    ],
)
def test_illegal_shapes_are_refused(given: dict, sentence: str) -> None:
    assert simulate.refusal_of(lambda: SoftmaxUnit(**given)) == sentence


# Its parts


def test_table_is_golden() -> None:
    assert powers().tolist() == TABLE


def test_codes_of_powers() -> None:
    """Of those around each step of the codes, and at random."""
    steps = [((2 * code - 1) * (1 << 20)) // 255 + near for code in range(1, 256) for near in (0, 1)]
    given = [0, 1, 1 << 21, *steps, *np.random.default_rng(0).integers(0, 1 << 21, 500).tolist()]
    given = [power for power in given if power <= 1 << 21]
    assert simulate.evaluate(Code(), power=given).tolist() == [(255 * power + (1 << 20)) >> 21 for power in given]


# The unit, under every flow control


FLOWS = [
    pytest.param({"idle": idle, "stall": stall, "hold": hold}, id=f"{idle}-{stall}-{hold}")
    for idle in (0, 0.5)
    for stall in (0, 0.5)
    for hold in (0, 0.9)
]


@pytest.mark.parametrize("rests", FLOWS)
def test_unit_is_golden(rests: dict[str, float]) -> None:
    check(unit(), adversarial() + random_rows(12, seed=1), **rests)


@pytest.mark.parametrize(
    ("lanes", "score_bits", "shortest"), [(1, 32, 1), (3, 20, 2), (4, 32, 8), (8, 25, 16), (1, 2, 4)]
)
def test_shapes(lanes: int, score_bits: int, shortest: int) -> None:
    rows = random_rows(10, seed=lanes, lanes=lanes, score_bits=score_bits)
    dut = unit(lanes, score_bits=score_bits, shortest=shortest)
    check(dut, rows, lanes, score_bits, idle=0.3, stall=0.3, hold=0.5)


def test_longest_rows() -> None:
    """4096 keys: all equal, so that the total is 2^33; all but one as far below as still counts."""
    far = np.full(4096, -21 * 64)
    far[4000] = 0
    every = np.ones(4096, dtype=bool)
    rows = [Row(np.full(4096, 3), every, (1, 1)), Row(2 * far, every, (1, 1), (65535, 40))]
    check(SoftmaxUnit(lanes=16, tokens=4096), rows, 16)


# Rates and latencies


@pytest.mark.parametrize("shortest", [1, 4, 16])
def test_a_beat_a_cycle(shortest: int) -> None:
    """Rows of any lengths from the shortest on: the input never waits, and a row's codes come without a gap."""
    dut = unit(tokens=32 * LANES, shortest=shortest)
    lengths = [32, *[shortest] * (64 // shortest), 32, 32, shortest, 32, *range(shortest, 33, 3)]
    rows = [random_row(np.random.default_rng(n), length) for n, length in enumerate(lengths)]
    seen = check(dut, rows)
    assert seen.entered == list(range(sum(lengths)))
    ends = np.cumsum(lengths) - 1
    starts = ends - lengths + 1
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        assert seen.left[end] - seen.left[start] == end - start
        # It begins when it is complete, or when the row before it has left.
        assert seen.left[start] == max(end + dut.latency, seen.left[start - 1] + 1 if start else 0)
        assert seen.scaled[number] == seen.left[end] + dut.scale_latency


def test_shorter_rows_take_as_long_as_the_shortest() -> None:
    rows = [random_row(np.random.default_rng(n), 1) for n in range(60)]
    seen = check(unit(shortest=4), rows)
    assert {after - before for before, after in pairwise(seen.scaled)} == {4}


def test_scale_may_wait_for_all_codes_and_the_next_codes_for_the_scale() -> None:
    """A consumer that takes one thing after the other."""
    dut, rows = unit(), random_rows(12, seed=3)
    codes, scales = simulate.Sink(dut.o), simulate.Sink(dut.scale)
    queue = [(beat, settings(each)) for each in rows for beat in transfers(each, LANES, 32)]
    payload, row_ = Value.cast(dut.i.payload), Value.cast(dut.row)

    async def bench(context):
        at, ended = 0, 0
        for _ in range(3000):
            if at < len(queue):
                context.set(payload, queue[at][0])
                context.set(row_, queue[at][1])
            context.set(dut.i.valid, at < len(queue))
            context.set(dut.o.ready, ended == len(scales.seen))
            context.set(dut.scale.ready, ended > len(scales.seen))
            codes.sample(context)
            scales.sample(context)
            ended = sum(beat >> (8 * LANES) for beat in codes.seen)
            at += at < len(queue) and context.get(dut.i.ready)
            await context.tick()

    simulate.run(dut, bench)
    assert (codes.seen, scales.seen) == expected(rows, LANES)


def test_row_that_is_too_long_is_told_and_nothing_hangs() -> None:
    """It is cut after its 8th beat; the rest is a row of its own, with what stands at `row` then."""
    long = random_row(np.random.default_rng(5), 11)
    dut, rng = unit(), random.Random(1)
    sink, scales = simulate.Sink(dut.o), simulate.Sink(dut.scale)
    beats = transfers(long, LANES, 32)
    told: list[int] = []

    async def bench(context):
        context.set(Value.cast(dut.row), settings(long))
        context.set(dut.o.ready, 1)
        context.set(dut.scale.ready, 1)
        for now in range(80):
            context.set(dut.i.valid, now < len(beats))
            context.set(Value.cast(dut.i.payload), beats[now] if now < len(beats) else rng.getrandbits(8))
            told.append(context.get(dut.error))
            sink.sample(context)
            scales.sample(context)
            await context.tick()

    simulate.run(dut, bench)
    assert told == [0] * 8 + [1] * 72
    cut = [Row(long.scores[p], long.kept[p], long.exponent, long.context) for p in (slice(16), slice(16, None))]
    assert (sink.seen, scales.seen) == expected(cut, LANES)


# Planted faults, which the tests must catch


WRONG = [
    pytest.param({"i__payload": lambda i: i | 1 << (32 * LANES)}, id="a key that is not kept"),
    pytest.param({"i__payload": lambda i: i ^ 1 << 31}, id="sign of a score"),
    pytest.param({"row": lambda row: row ^ 1 << 16}, id="shift"),
    pytest.param({"o__payload": lambda o: o & ~1}, id="code rounded down"),
    pytest.param({"scale__payload": lambda scale: scale | 1}, id="quotient rounded up"),
    pytest.param({"i__ready": lambda ready: Const(1)}, id="beat lost"),
    pytest.param({"o__ready": lambda ready: Const(1)}, id="codes lost"),
    pytest.param({"scale__ready": lambda ready: Const(1)}, id="scale lost"),
]


@pytest.mark.parametrize("faults", WRONG)
def test_wrong_unit_is_caught(faults: dict[str, Fault]) -> None:
    with pytest.raises(AssertionError):
        check(Planted(unit(), **faults), adversarial(), idle=0.1, stall=0.8, hold=0.9)
