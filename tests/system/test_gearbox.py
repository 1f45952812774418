# SPDX-License-Identifier: Apache-2.0
"""Between the memory's port and beats: every word, in order, without a pause, under every flow control."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.presets import systems
from hdl.system.gearbox import Join, RowLoader, RowPacker, Split, Unpack
from sim.packing import pack
from tests.arith import simulate
from tests.planted import Planted

FLOWS = ["", "i", "o", "io"]
"""Letters: the source pauses, the sink does."""


def through(dut, words: list[int], due: int, flow: str = "", **settings: int) -> tuple[list[int], list[int], list[int]]:
    """What leaves; and the cycles in which each word was taken and left. Settings stand from a cycle before."""
    rng, sink, taken, left = random.Random(len(words)), simulate.Sink(dut.o), [], []
    payload = Value.cast(dut.i.payload)

    async def bench(context):
        for name, value in settings.items():
            context.set(getattr(dut, name), value)
        await context.tick()
        queue, offered = list(words), False
        for cycle in range(4 * (len(words) + due) + 20):
            offered = bool(queue) and (offered or "i" not in flow or rng.random() < 0.5)
            context.set(payload, queue[0] if offered else rng.getrandbits(len(payload)))
            context.set(dut.i.valid, offered)
            context.set(dut.o.ready, "o" not in flow or rng.random() < 0.5)
            sink.sample(context)
            left.extend([cycle] * (len(sink.seen) - len(left)))
            if offered and context.get(dut.i.ready):
                queue.pop(0)
                taken.append(cycle)
                offered = False
            await context.tick()
        assert not queue

    simulate.run(dut, bench)
    return sink.seen, taken, left


def assert_full_speed(cycles: list[int]) -> None:
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))


def noise(count: int, bits: int) -> list[int]:
    rng = random.Random(bits)
    return [rng.getrandbits(bits) for _ in range(count)]


def parts_of(word: int, bits: int, parts: int) -> list[int]:
    return [word >> bits * n & (1 << bits) - 1 for n in range(parts)]


# Words


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(("bits", "parts"), [(8, 4), (5, 3), (8, 1), (1, 2)])
def test_split(bits: int, parts: int, flow: str) -> None:
    words = noise(20, bits * parts)
    found, taken, left = through(Split(bits * parts, bits), words, 20 * parts, flow)
    assert found == [part for word in words for part in parts_of(word, bits, parts)]
    if not flow:
        assert_full_speed(left)
        assert left[0] == taken[0] + 1


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(("bits", "parts"), [(8, 4), (5, 3), (8, 1), (1, 2)])
def test_join(bits: int, parts: int, flow: str) -> None:
    words = noise(20, bits * parts)
    given = [part for word in words for part in parts_of(word, bits, parts)]
    found, taken, left = through(Join(bits, bits * parts), given, 20, flow)
    assert found == words
    if not flow:
        assert_full_speed(taken)
        assert left[0] == taken[parts - 1] + 1


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(("bus", "payload"), [(8, 8), (8, 5), (8, 9), (8, 22), (8, 16)])
def test_every_payload_begins_with_a_word(bus: int, payload: int, flow: str) -> None:
    count = -(-payload // bus)
    given = noise(20 * count, bus)
    found, taken, left = through(Unpack(bus, payload), given, 20, flow)
    payloads = [given[at : at + count] for at in range(0, len(given), count)]
    wholes = [sum(word << bus * n for n, word in enumerate(words)) for words in payloads]
    assert found == [whole & (1 << payload) - 1 for whole in wholes]
    if not flow:
        assert_full_speed(taken)
        assert left[0] == taken[count - 1] + 1


@pytest.mark.parametrize(("kind", "bits"), [(Split, (10, 4)), (Join, (4, 10))])
def test_widths_that_do_not_divide_are_refused(kind, bits: tuple[int, int]) -> None:
    assert simulate.refusal_of(lambda: kind(*bits)) == (
        "The wider of both words must be a multiple of 4 bits, not of 10; fill it up."
    )


# Rows


def system(bus_bytes: int, values: int):
    """Rows of up to 24 values in lanes of 8."""
    base = systems("tiny")["dense"]
    return replace(base, bus_bytes=bus_bytes, values=values)


BUSES = [(16, 1), (16, 2), (16, 4), (4, 1), (4, 2), (4, 4), (8, 4)]
"""Bytes of the bus, values of a beat: from many beats in a word to two words for a beat."""


def rows_of(wide: bool, width: int, count: int = 5) -> np.ndarray:
    limit = 1 << (15 if wide else 7)
    return np.random.default_rng(width).integers(-limit, limit, (count, width))


def beats_of(rows: np.ndarray, values: int) -> list[int]:
    return pack(rows.reshape(-1, values), 16)


def memory_of(rows: np.ndarray, wide: bool, bus_bytes: int, fill) -> list[int]:
    """Rows in words of the bus, each filled up with what `fill` gives for a shape."""
    bits = 16 if wide else 8
    lacking = -rows.shape[1] % (8 * bus_bytes // bits)
    whole = np.concatenate([rows, fill((len(rows), lacking))], axis=1)
    return pack(whole.reshape(-1, 8 * bus_bytes // bits), bits)


def check_loader(dut, config, wide: bool, width: int, flow: str) -> None:
    rows, rng = rows_of(wide, width), np.random.default_rng(1)
    words = memory_of(rows, wide, config.bus_bytes, lambda shape: rng.integers(-99, 99, shape))
    beats = beats_of(rows, config.values)
    found, taken, left = through(dut, words, len(beats), flow, width=width, wide=wide)
    assert found == beats
    if not flow:
        assert_full_speed(left if config.bus_bytes >= config.values << wide else taken)


def check_packer(dut, config, wide: bool, width: int, flow: str) -> None:
    rows = rows_of(wide, width)
    words = memory_of(rows, wide, config.bus_bytes, np.zeros)
    found, taken, left = through(dut, beats_of(rows, config.values), len(words), flow, width=width, wide=wide)
    assert found == words
    if not flow:
        assert_full_speed(taken if config.bus_bytes >= config.values << wide else left)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("width", [4, 12, 16])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("bus_bytes", "values"), BUSES)
def test_rows(bus_bytes: int, values: int, wide: bool, width: int, flow: str) -> None:
    config = system(bus_bytes, values)
    check_loader(RowLoader(config), config, wide, width, flow)
    check_packer(RowPacker(config), config, wide, width, flow)


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        {"i__ready": lambda ready: Const(1)},
        {"o__ready": lambda ready: Const(1)},
        {"o__payload": lambda payload: payload ^ 1},
        {"wide": lambda wide: ~wide},
        {"width": lambda width: width - 4},
        {"i__payload": lambda payload: payload & 0x7F7F7F7F},
    ],
    ids=["word lost", "offer not held", "one off", "other size", "row too short", "sign lost"],
)
@pytest.mark.parametrize(("kind", "check"), [(RowLoader, check_loader), (RowPacker, check_packer)])
def test_a_fault_is_caught(kind, check, fault) -> None:
    config = system(16, 2)
    with pytest.raises(AssertionError):
        check(Planted(kind(config), **fault), config, False, 12, "io")
