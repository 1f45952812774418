# SPDX-License-Identifier: Apache-2.0
"""Activations under random traffic of all writers and readers: those of the golden model; rates; faults."""

import random
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Const, Value

from config.presets import systems
from config.system import SystemConfig
from hdl.emit import verilog
from hdl.system.activations import PLACES, READERS, Activations
from hdl.system.layouts import Region, fetch_layout
from sim import replay
from tests.arith import simulate
from tests.planted import Planted
from tests.speculate.plans import pack
from tests.system.activating import Round, Traffic, shaped
from tests.system.plans import TINY
from tests.system.streaming import Streams

WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"
SINKS = [f"fetched{n}" for n in READERS]
SETTLE = 8
"""Cycles, and one more for each line, until the last contexts are written."""


def sources(config: SystemConfig) -> list[str]:
    lines = range(config.attention.arrays.lines)
    return [
        "input",
        "references",
        "hidden0",
        "hidden1",
        *(f"context{n}" for n in lines),
        *(f"fetch{n}" for n in READERS),
    ]


def check(config: SystemConfig, rounds: Sequence[Round], dut: Any = None, idle: float = 0, stall: float = 0) -> None:
    dut = dut or Activations(config)
    streams = Streams(dut, sources(config), SINKS, idle=idle, stall=stall, seed=len(rounds))

    async def bench(context: Any) -> None:
        written = 0
        for number, each in enumerate(rounds):
            # Now and then counting goes on.
            if number % 3 != 2:
                context.set(dut.start, 1)
                await context.tick()
                context.set(dut.start, 0)
                written = 0
            await streams.run(context, each.given, {name: len(words) for name, words in each.due.items()})
            assert streams.seen == each.due
            await streams.rest(context, SETTLE + config.attention.arrays.lines)
            written += each.contexts
            assert context.get(dut.contexts) == written % (1 << len(dut.contexts))

    simulate.run(dut, bench)


def traffic(config: SystemConfig, rounds: int, reads: int = 120) -> list[Round]:
    made = Traffic(config, rounds)
    return [made.fill(), *(made.round(reads) for _ in range(rounds))]


FLOWS = [{"idle": i, "stall": s} for i in (0, 0.5) for s in (0, 0.5)]
SMALL = shaped(TINY, ffn=16, scalers=2)
"""Lines that have a context as often may have to wait."""
SHAPES = {
    "one word a row, a part a word": shaped(TINY, ffn=16, width=4, values=4, heads=1),
    "odd words, bytes": shaped(TINY, ffn=12, width=12, values=1, heads=5, scalers=2),
    "contexts of one beat": shaped(TINY, ffn=16, heads=4, scalers=4),
}


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_what_is_read_is_what_was_written(flow: dict[str, float]) -> None:
    check(TINY, traffic(TINY, 4), **flow)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(shape: str) -> None:
    check(SHAPES[shape], traffic(SHAPES[shape], 4), idle=0.3, stall=0.3)


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_rows_without_keys_have_no_context(flow: dict[str, float]) -> None:
    config = systems("tiny")["spatten"]
    rounds = traffic(config, 4)
    assert 0 in [word for each in rounds for words in each.due.values() for word in words]
    check(config, rounds, **flow)


# Rates, and who waits for whom


def fetched_in(
    config: SystemConfig, fetches: dict[str, list[int]], taking: Sequence[str] = SINKS
) -> tuple[Streams, int]:
    """Of so many fetches, when they were taken, and how many cycles it took until all words had come."""
    dut = Activations(config)
    streams = Streams(dut, sources(config), SINKS, idle=0, stall=0, seed=1)
    cycles = 0

    async def bench(context: Any) -> None:
        nonlocal cycles
        due = {name: len(fetches.get(name.replace("fetched", "fetch"), ())) for name in SINKS}
        cycles = await streams.run(context, fetches, due)

    simulate.run(dut, bench)
    return streams, cycles


def rows(config: SystemConfig, region: Region, words: int, tokens: int) -> list[int]:
    """Fetches of rows as an engine asks for them: token by token, word by word."""
    layout = fetch_layout(config)
    return [
        pack(layout, region=region.value, token=token, word=word) for token in range(tokens) for word in range(words)
    ]


REGIONS = {Region.INPUT: "width_words", Region.CONTEXT: "heads", Region.HIDDEN: "ffn_words"}


@pytest.mark.parametrize("region", Region)
@pytest.mark.parametrize("preset", ["tiny", "minilm"])
def test_two_engines_read_a_region_at_full_rate(preset: str, region: Region) -> None:
    """The same rows, from the same cycle on: all words, one more cycle, and the latency."""
    config = systems(preset)["spls"]
    fetches = rows(config, region, getattr(config, REGIONS[region]), 8)
    _, cycles = fetched_in(config, {"fetch0": fetches, "fetch1": fetches})
    assert cycles == len(fetches) + 1 + Activations.latency
    _, alone = fetched_in(config, {"fetch0": fetches})
    assert alone == len(fetches) + Activations.latency


def test_random_words_share_the_banks() -> None:
    """Two readers of one region, words at random: three of four cycles give two words."""
    rng, places = random.Random(1), rows(TINY, Region.HIDDEN, TINY.ffn_words, TINY.tokens)
    fetches = {f"fetch{n}": [rng.choice(places) for _ in range(400)] for n in range(2)}
    _, cycles = fetched_in(TINY, fetches)
    assert 1.25 < 800 / cycles < 1.5


def test_three_readers_of_one_bank_take_turns() -> None:
    even = rows(TINY, Region.INPUT, 1, 16) * 4
    streams, cycles = fetched_in(TINY, {f"fetch{n}": even for n in READERS})
    assert cycles == 3 * len(even) + Activations.latency
    for n in READERS:
        assert {after - before for before, after in pairwise(streams.taken[f"fetch{n}"][:-2])} == {3}


def test_a_reader_that_takes_nothing_holds_nobody_up() -> None:
    """It asks for as many words as it has places; the other one's come without a pause."""
    fetches = rows(TINY, Region.INPUT, TINY.width_words, 16)
    dut = Activations(TINY)
    streams = Streams(dut, sources(TINY), SINKS, idle=0, stall=0, seed=1)

    async def bench(context: Any) -> None:
        given = {"fetch0": fetches[:PLACES], "fetch1": fetches}
        cycles = await streams.run(context, given, {"fetched1": len(fetches)})
        assert cycles <= len(fetches) + 2 + Activations.latency
        with pytest.raises(AssertionError, match="'fetch0': 1} are not taken"):
            await streams.run(context, {"fetch0": fetches[:1]}, {}, limit=50)

    simulate.run(dut, bench)


def test_a_context_a_cycle() -> None:
    """Lines that would not pause, as many as a context has beats: each has its turn as its word is whole."""
    arrays = TINY.attention.arrays
    assert arrays.groups == arrays.lines
    each = {f"context{n}": [n << 1] * arrays.groups * 20 for n in range(arrays.lines)}
    streams, cycles = fetched_in(TINY, each)
    assert cycles <= 20 * arrays.groups + 2
    assert max(len(taken) for taken in streams.taken.values()) == 20 * arrays.groups


def test_what_is_there_is_read_at_once() -> None:
    """A part, a word, a reference, by a fetch in the cycle behind that in which it is taken; a context, in the cycle in
    which it is counted."""
    made, dut, row = Traffic(TINY, 1), Activations(TINY), 5
    streams = Streams(dut, sources(TINY), SINKS, idle=0, stall=0, seed=1)

    async def bench(context: Any) -> None:
        async def read(region: Region, token: int, word: int) -> None:
            fetch = pack(fetch_layout(TINY), region=region.value, token=token, word=word)
            await streams.run(context, {"fetch0": [fetch]}, {"fetched0": 1})
            assert streams.taken["fetch0"] == [0]
            assert streams.seen["fetched0"] == [made.word(region.value, token, word)]

        await streams.run(context, made.fill().given, {})
        await streams.rest(context, SETTLE + TINY.attention.arrays.lines)
        for beat in range(TINY.width_words * TINY.lanes // TINY.values):
            await streams.run(context, {"input": [made.part(row, beat)]}, {})
            await read(Region.INPUT, row, beat * TINY.values // TINY.lanes)
        for word in range(TINY.ffn_words):
            await streams.run(context, {f"hidden{word % 2}": [made.hidden(row, word)]}, {})
            await read(Region.HIDDEN, row, word)
        for head in range(TINY.heads):
            await streams.run(context, {"references": [made.reference(head, row)]}, {})
            await read(Region.CONTEXT, row, head)
            before = context.get(dut.contexts)
            await streams.run(context, {"context3": made.context(int(made.golden.references[head, row]), head)}, {})
            while context.get(dut.contexts) == before:
                await context.tick()
            await read(Region.CONTEXT, row, head)

    simulate.run(dut, bench)


# In Verilog


@pytest.mark.parametrize("preset", ["tiny", "minilm"])
@pytest.mark.parametrize("corners", [False, True], ids=["", "corners"])
def test_verilog_is_lint_clean(preset: str, corners: bool, tmp_path: Path) -> None:
    path = tmp_path / "activations.v"
    path.write_text(verilog(Activations(systems(preset)["spls"]), "activations", corners=corners))
    command = ["verilator", "--lint-only", "-Wall", str(WAIVERS), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_verilog_is_the_same() -> None:
    """Everything is written, then everything is read, in Verilator, from memories that hold anything."""
    made = Traffic(TINY, 7)
    given, order = made.fill().given, random.Random(1)
    due = {}
    for reader, regions in READERS.items():
        places = [(region, t, w) for region in regions for t in range(TINY.tokens)
                  for w in range(getattr(TINY, REGIONS[region]))]  # fmt: skip
        order.shuffle(places)
        layout = fetch_layout(TINY)
        given[f"fetch{reader}"] = [pack(layout, region=r.value, token=t, word=w) for r, t, w in places]
        due[f"fetched{reader}"] = [made.word(region.value, t, w) for region, t, w in places]
    first = [name for name in given if not name.startswith("fetch")]
    steps = [replay.Step(first), replay.Step([f"fetch{n}" for n in READERS])]
    model = replay.build(Activations(TINY), "activations")
    job = replay.Job(given, {name: len(words) for name, words in due.items()}, steps, idle=0.3, stall=0.3, limit=20_000)
    found = replay.run(model, job)
    assert {name: record.payloads for name, record in found.sinks.items()} == due


# Planted faults


FAULTS: dict[str, dict[str, Callable[[Value], Value]]] = {
    "a byte": {"fetched1__payload": lambda word: word ^ 1},
    "a word twice": {"fetched0__ready": lambda ready: Const(0)},
    "a word lost": {"fetched2__ready": lambda ready: Const(1)},
    "a fetch lost": {"fetch0__ready": lambda ready: Const(1)},
    "another region": {"fetch0__payload": lambda fetch: fetch ^ (fetch[0] & ~fetch[1])},
    "another token": {"fetch2__payload": lambda fetch: fetch ^ 4},
    "own row": {"references__payload": lambda each: each & ((1 << 5) - 1)},
    "reference lost": {"references__valid": lambda valid: Const(0)},
    "hidden lost": {"hidden0__ready": lambda ready: Const(1)},
    "exchanged": {"hidden1__payload": lambda each: each ^ 1},
    "part lost": {"input__valid": lambda valid: Const(0)},
    "another part": {"input__payload": lambda part: part ^ 16},
    "another's context": {"context2__payload": lambda part: part ^ (1 << len(part) - 1)},
    "group lost": {"context1__ready": lambda ready: Const(1)},
    "never started": {"start": lambda start: Const(0)},
    "miscounted": {"contexts": lambda contexts: contexts - 1},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name: str) -> None:
    rounds = traffic(SMALL, 3)
    with pytest.raises(AssertionError):
        check(SMALL, rounds, Planted(Activations(SMALL), **FAULTS[name]), stall=0.5)
