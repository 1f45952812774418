# SPDX-License-Identifier: Apache-2.0
"""LayerNorm in hardware: the golden function's results for rows of every kind, under every flow control, in time."""

import math
import random
from collections import deque
from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Signal, Value, signed

from golden.execute.layer_norm import Norm, layer_norm, normalised
from hdl.execute.layer_norm import LayerNormUnit, channel_layout
from hdl.execute.norm_widths import NormWidths
from tests.arith import simulate
from tests.planted import Planted

KINDS = ("random", "constant", "one differs", "ends", "peak", "narrow", "zero", "small")


def row_of(kind: str, width: int, rng: np.random.Generator) -> np.ndarray:
    """Within 16 bits."""
    low, high = -(2**15), 2**15 - 1
    match kind:
        case "constant":
            return np.full(width, rng.choice([low, -1, high]))
        case "one differs":
            return np.where(np.arange(width) == rng.integers(width), 4, 3) * rng.choice([1, -1, 100])
        case "ends":
            return rng.choice([low, high], width)
        case "peak":
            return np.where(
                np.arange(width) == rng.integers(width), rng.choice([low, high]), rng.integers(-20, 20, width)
            )
        case "narrow":
            return rng.integers(high - 3, high + 1, width)
        case "zero":
            return np.zeros(width, dtype=np.int64)
        case "small":
            return rng.integers(-300, 300, width)
    return rng.integers(low, high + 1, width)


def rows_of(width: int, count: int) -> np.ndarray:
    """Rows of all kinds, one behind the other."""
    rng = np.random.default_rng(width)
    return np.array([row_of(KINDS[i % len(KINDS)], width, rng) for i in range(count)], dtype=np.int64)


def norm_of(width: int, shift: int = 14, eps: int = 0) -> Norm:
    """Gains and offsets that bring most results into the range, and the ends of both."""
    rng = np.random.default_rng(3)
    gain = np.floor(rng.uniform(-1, 1, width) * 25 * 2**shift / 1024 + 0.5).astype(np.int64)
    offset = rng.integers(-(40 << shift), 40 << shift, width)
    gain[::7], offset[::5] = rng.choice([-(2**15), 2**15 - 1]), rng.choice([-(2**31), 2**31 - 1, 0])
    return Norm(np.clip(gain, -(2**15), 2**15 - 1), np.clip(offset, -(2**31), 2**31 - 1), shift, eps)


def beats_of(x: np.ndarray, lanes: int, bits: int) -> list[int]:
    """The last axis in beats, as patterns; noise beyond its end."""
    noise = np.random.default_rng(1).integers(-(1 << (bits - 1)), 1 << (bits - 1), (x.shape[0], -x.shape[1] % lanes))
    padded = np.concatenate([x, noise], axis=1).reshape(-1, lanes)
    return simulate.patterns(padded.T.tolist(), [bits] * lanes)


def normed(
    dut, rows: np.ndarray, norm: Norm, lanes: int, *, flow: str = "", cycles: int = 20000
) -> tuple[list[list[int]], list[int]]:
    """What leaves, and the cycles in which each beat entered and left. flow: letters, i: the source pauses, c: that of
    the channels does, o: the sink does, O: it does so for long."""
    rng = random.Random(len(rows))
    count, width = rows.shape
    beats = -(-width // lanes)
    values = beats_of(rows, lanes, 16)
    channel = beats_of((norm.gain & 0xFFFF | norm.offset << 16)[None], lanes, 48) * count
    sink, entered, left = simulate.Sink(dut.o), [], []

    async def bench(context):
        queues = deque(values), deque(channel)
        context.set(
            Cat(dut.width, dut.eps, dut.shift), width | norm.eps << len(dut.width) | norm.shift << len(dut.width) + 40
        )
        await context.tick()
        offered = [False, False]
        for cycle in range(cycles):
            for n, (port, letter) in enumerate(((dut.i, "i"), (dut.channel, "c"))):
                offered[n] = bool(queues[n]) and (offered[n] or letter not in flow or rng.random() < 0.5)
                payload = Value.cast(port.payload)
                context.set(payload, queues[n][0] if offered[n] else rng.getrandbits(len(payload)))
                context.set(port.valid, offered[n])
            slow = "O" in flow and cycle % 500 < 350
            context.set(dut.o.ready, not slow and ("o" not in flow or rng.random() < 0.5))
            sink.sample(context)
            if len(sink.seen) > len(left):
                left.append(cycle)
            for n, port in enumerate((dut.i, dut.channel)):
                if offered[n] and context.get(port.ready):
                    queues[n].popleft()
                    offered[n] = False
                    if n == 0:
                        entered.append(cycle)
            if len(left) == count * beats and not queues[0]:
                break
            await context.tick()

    simulate.run(dut, bench)
    assert len(sink.seen) == count * beats, (len(sink.seen), count * beats)
    lanes_seen = [[(word >> 8 * lane & 255 ^ 128) - 128 for lane in range(lanes)] for word in sink.seen]
    found = np.array(lanes_seen).reshape(count, -1)[:, :width]
    return found, entered, left


def check(dut, rows: np.ndarray, norm: Norm, lanes: int, **how) -> tuple[list[int], list[int]]:
    """The rows, normed, are the golden ones. Returns when beats entered and left."""
    found, entered, left = normed(dut, rows, norm, lanes, **how)
    assert np.array_equal(found, layer_norm(rows, norm))
    return entered, left


FLOWS = ("", "i", "o", "c", "ico", "O")


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(("lanes", "built", "width"), [(4, 24, 24), (4, 24, 21), (8, 24, 3), (1, 5, 5)])
def test_unit_is_golden(lanes: int, built: int, width: int, flow: str) -> None:
    rows, norm = rows_of(width, 24), norm_of(width)
    check(LayerNormUnit(lanes=lanes, width=built), rows, norm, lanes, flow=flow)


@pytest.mark.parametrize("eps", [1, 12345, 2**40 - 1])
@pytest.mark.parametrize("shift", [1, 40])
def test_settings(eps: int, shift: int) -> None:
    rows, norm = rows_of(12, 16), norm_of(12, shift=min(shift, 25), eps=eps)
    norm = Norm(norm.gain, norm.offset, shift, eps)
    check(LayerNormUnit(lanes=4, width=12), rows, norm, 4)


@pytest.mark.parametrize("width", [1, 2])
def test_the_shortest_rows(width: int) -> None:
    """One value is its own mean; of two, each is a deviation away."""
    values = np.array([-(2**15), 2**15 - 1, 0, -1, 7])
    rows = np.stack([values] * width, axis=1)
    rows[:, -1] = values[::-1]
    norm = norm_of(width, shift=9)
    check(LayerNormUnit(lanes=1, width=width), rows, norm, 1)


@pytest.mark.parametrize(("built", "width"), [(384, 384), pytest.param(768, 768, marks=pytest.mark.long), (768, 600)])
def test_widths_of_models(built: int, width: int) -> None:
    rows, norm = rows_of(width, len(KINDS)), norm_of(width)
    entered, left = check(LayerNormUnit(lanes=16, width=built), rows, norm, 16)
    assert_full_speed(entered)
    assert_full_speed(left)


# Throughput


def assert_full_speed(cycles: list[int]) -> None:
    """A beat in each cycle from the first to the last."""
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))


@pytest.mark.parametrize(("built", "width"), [(36, 36), (48, 48), (384, 36), (384, 48)])
def test_a_beat_a_cycle_from_nine_beats_a_row(built: int, width: int) -> None:
    """Also where the unit is built for longer rows; and after so many rows that every buffer has been full."""
    dut = LayerNormUnit(lanes=4, width=built)
    assert width // 4 >= dut.period
    rows, norm = rows_of(width, 20), norm_of(width)
    entered, left = check(dut, rows, norm, 4)
    assert_full_speed(entered)
    assert_full_speed(left)
    assert left[0] - entered[width // 4 - 1] == dut.latency


@pytest.mark.parametrize("width", [4, 20, 32])
def test_shorter_rows_take_nine_cycles(width: int) -> None:
    dut = LayerNormUnit(lanes=4, width=width)
    beats = width // 4
    rows, norm = rows_of(width, 20), norm_of(width)
    _, left = check(dut, rows, norm, 4)
    assert left[-1] - left[0] == 19 * dut.period + beats - 1


# Construction


def test_ports() -> None:
    dut = LayerNormUnit(lanes=4, width=384)
    shapes = {name: shape.width for name, shape in simulate.ports(dut).items()}
    assert shapes == {
        "width": 9, "eps": 40, "shift": 6,
        "i__payload": 64, "i__valid": 1, "i__ready": 1,
        "channel__payload": 192, "channel__valid": 1, "channel__ready": 1,
        "o__payload": 32, "o__valid": 1, "o__ready": 1,
    }  # fmt: skip
    assert Value.cast(Signal(channel_layout(2))[1].offset).shape() == signed(32)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"lanes": 3, "width": 9}, "lanes must be a power of two from 1 to 256, not 3; choose one of them."),
        ({"lanes": 512, "width": 9}, "lanes must be a power of two from 1 to 256, not 512; choose one of them."),
        ({"lanes": 4, "width": 0}, "width must be an integer from 1 to 4096, not 0; set it to the longest row's."),
        (
            {"lanes": 4, "width": 4097},
            "width must be an integer from 1 to 4096, not 4097; set it to the longest row's.",
        ),
    ],
)
def test_illegal_shapes_are_refused(shape: dict[str, int], sentence: str) -> None:
    assert simulate.refusal_of(lambda: LayerNormUnit(**shape)) == sentence


# Widths


def largest_of(width: int) -> tuple[int, int, int]:
    """The largest magnitudes of c, of c at the root's scale, and of z, over rows in which one value stands out."""
    centred = scaled = z = 0
    for other in (0, 1, -(2**15), 2**15 - 2):
        for step in sorted({1, 2, 3, 181, 46341, 2**16 - 1} | {1 << n for n in range(16)}):
            for peak in (other + step, other - step):
                if not -(2**15) <= peak < 2**15:
                    continue
                row = [peak] + [other] * (width - 1)
                total = sum(row)
                v = width * sum(r * r for r in row) - total * total
                c = width * peak - total
                half = (v.bit_length() - 1) // 2 - 15
                centred = max(centred, abs(c))
                scaled = max(scaled, abs(math.floor(Fraction(c) / Fraction(2) ** (half + 4))))
                z = max(z, int(np.abs(normalised(np.array([row]), 0)).max()))
    return centred, scaled, z


@pytest.mark.parametrize("width", [2, 3, 5, 17, 24, 256, 257, 384, 768, 1024, 1025, 4096])
def test_nothing_overflows_and_little_is_wasted(width: int) -> None:
    """Where the bounds are sharpest: a value that stands alone is the furthest from a mean that there can be."""
    widths = NormWidths(width)
    centred, scaled, z = largest_of(width)
    for found, bits in ((centred, widths.centred), (scaled, widths.scaled), (z, widths.z)):
        assert bits - 2 <= (found + 1).bit_length() <= bits - 1
    assert width * 2**15 <= 2 ** (widths.total - 1)
    assert width * 2**30 < 2**widths.squares
    assert width**2 * 2**30 + 2**40 - 1 < 2**widths.variance
    assert widths.variance // 2 - 1 < 2**widths.down


# Planted faults


def check_planted(**fault) -> None:
    """A unit with a fault, under a flow that fills all its buffers."""
    rows, norm = rows_of(21, 16), norm_of(21, eps=2**12)
    check(Planted(LayerNormUnit(lanes=4, width=24), **fault), rows, norm, 4, flow="icO", cycles=2000)


def test_no_fault_passes() -> None:
    check_planted()


@pytest.mark.parametrize(
    "fault",
    [
        {"i__ready": lambda ready: Const(1)},
        {"o__ready": lambda ready: Const(1)},
        {"channel__valid": lambda valid: Const(1)},
        {"eps": lambda eps: eps[:3]},
        {"width": lambda width: (width + 1)[:5]},
    ],
    ids=["transfer lost", "offer not held", "channel invented", "eps cut", "one more"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises(AssertionError):
        check_planted(**fault)
