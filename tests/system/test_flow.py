# SPDX-License-Identifier: Apache-2.0
"""Queues in registers, words that a memory shows, rings of tiles: all words, in order, a word a cycle."""

import random

import pytest
from amaranth.hdl import Const, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.store import Store
from hdl.system.flow import Queue, Shown
from hdl.system.tile_store import TileStore, turn_layout
from tests.arith import simulate
from tests.planted import Planted
from tests.system.streams import bits_of, through

BITS = 8
FLOWS = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)]


def noise(count: int) -> list[int]:
    rng = random.Random(count)
    return [rng.getrandbits(BITS) for _ in range(count)]


def cycles_of(dut, sources: dict[str, list[int]], due: int) -> list[int]:
    """In which the words of `o` leave, if nobody waits."""
    found: list[int] = []

    def each(context, now):
        if context.get(dut.o.valid) and context.get(dut.o.ready):
            found.append(now)

    through(dut, sources, {"o": due}, each=each)
    return found


@pytest.mark.parametrize(("idle", "stall"), FLOWS)
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_queue(depth: int, idle: float, stall: float) -> None:
    words = noise(60)
    found = through(Queue(unsigned(BITS), depth), {"i": words}, {"o": 60}, seed=depth, idle=idle, stall=stall)
    assert found["o"] == words


@pytest.mark.parametrize("depth", [2, 4])
def test_queue_at_full_speed(depth: int) -> None:
    assert cycles_of(Queue(unsigned(BITS), depth), {"i": noise(20)}, 20) == list(range(1, 21))


def test_queue_holds_its_depth() -> None:
    """`i.ready` asks nobody: it is 0 when all places are used, though one of them is left in that cycle."""
    dut, seen = Queue(unsigned(BITS), 3), []

    def each(context, now):
        context.set(dut.o.ready, now >= 10)
        seen.append(context.get(dut.i.valid) & context.get(dut.i.ready))

    assert through(dut, {"i": noise(9)}, {"o": 9}, each=each)["o"] == noise(9)
    assert seen[:12] == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


class Counted(wiring.Component):
    """What a memory shows, of places 0, 1, 2, … in turn, each with its number."""

    def __init__(self) -> None:
        super().__init__({"o": Out(stream.Signature(BITS)), "go": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.shown = shown = Shown(unsigned(BITS))
        m.submodules.store = store = Store(1 << BITS, unsigned(BITS))
        at, written = Signal(BITS), Signal(BITS)
        m.d.sync += written.eq(written + 1)
        m.d.comb += [
            # A place is read some cycles behind its writing.
            store.write.eq(1),
            store.write_at.eq(written),
            store.word.eq(written),
            shown.enters.eq(shown.moves & self.go & (written > 4 + at)),
            store.read.eq(shown.enters),
            store.read_at.eq(at),
            shown.word.eq(store.stored),
        ]
        with m.If(shown.enters):
            m.d.sync += at.eq(at + 1)
        wiring.connect(m, shown.o, wiring.flipped(self.o))
        return m


@pytest.mark.parametrize(("idle", "stall"), FLOWS)
def test_shown(idle: float, stall: float) -> None:
    dut, rng = Counted(), random.Random(1)
    found = through(
        dut, {}, {"o": 90}, stall=stall, each=lambda context, now: context.set(dut.go, rng.random() >= idle)
    )
    assert found["o"] == list(range(90))


def test_shown_at_full_speed() -> None:
    dut = Counted()
    found: list[int] = []

    def each(context, now):
        context.set(dut.go, 1)
        if context.get(dut.o.valid):
            found.append(now)

    through(dut, {}, {"o": 40}, each=each)
    assert found == list(range(found[0], found[0] + 40))


DEPTH, MOST = 20, 8


def tiles(seed: int) -> tuple[list[int], list[int], list[int]]:
    """Words of some jobs' tiles, turns of their lists, and what leaves: word and `last`."""
    rng = random.Random(seed)
    words: list[int] = []
    turns: list[int] = []
    due: list[int] = []
    for _ in range(12):
        size = rng.randint(1, MOST)
        count = rng.randint(1, DEPTH // size)
        job = [[rng.getrandbits(BITS) for _ in range(size)] for _ in range(count)]
        words += [word for tile in job for word in tile]
        lists = rng.randint(1, 3)
        for number in range(lists):
            for place, tile in enumerate(job):
                fields = {"words": size, "first": number == 0, "last": number == lists - 1, "ends": place == count - 1}
                turns.append(bits_of(turn_layout(MOST), fields))
                due += [word | (at == size - 1) << BITS for at, word in enumerate(tile)]
    return words, turns, due


@pytest.mark.parametrize(("idle", "stall"), FLOWS)
@pytest.mark.parametrize("seed", range(3))
def test_tiles_leave_once_for_each_list(seed: int, idle: float, stall: float) -> None:
    words, turns, due = tiles(seed)
    dut = TileStore(DEPTH, unsigned(BITS), MOST)
    found = through(dut, {"i": words, "turns": turns}, {"o": len(due)}, seed=seed, idle=idle, stall=stall)
    assert found["o"] == due


def test_tiles_at_full_speed() -> None:
    """Words that come one a cycle leave so, while others take their places."""
    turns = [bits_of(turn_layout(MOST), {"words": 8, "first": 1, "last": 1, "ends": 1})] * 10
    found = cycles_of(TileStore(DEPTH, unsigned(BITS), MOST), {"i": noise(80), "turns": turns}, 80)
    assert found == list(range(found[0], found[0] + 80))


@pytest.mark.parametrize(
    "fault",
    [
        {"i__ready": lambda ready: Const(1)},
        {"turns__payload": lambda payload: payload | 1 << 5},
        {"turns__payload": lambda payload: payload & ~(1 << 6)},
        {"o__payload": lambda payload: payload ^ 1 << BITS},
    ],
    ids=["no room", "all for the last time", "no end", "no last"],
)
def test_a_fault_is_caught(fault) -> None:
    words, turns, due = tiles(1)
    dut = Planted(TileStore(DEPTH, unsigned(BITS), MOST), **fault)
    with pytest.raises(AssertionError):
        assert through(dut, {"i": words, "turns": turns}, {"o": len(due)}, limit=3000)["o"] == due


def test_refusals() -> None:
    assert simulate.refusal_of(lambda: Queue(unsigned(BITS), 1)) == "depth must be an integer from 2, not 1; raise it."
