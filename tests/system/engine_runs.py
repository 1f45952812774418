# SPDX-License-Identifier: Apache-2.0
"""Jobs of a dense engine, at random; runs of them in Verilator, every row of results compared with the golden one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from config.attention import AttentionConfig
from config.execute import GELU_TABLES
from config.presets import systems
from config.system import CHUNK_TILES, SystemConfig
from golden.execute.linear import Linear
from golden.system import dense
from golden.system.dense import Job, Sink
from golden.system.tiles import tile_bytes
from hdl.execute.gelu import ENTRY
from hdl.system.dense_layouts import load_layout
from hdl.system.layouts import Region, job_layout, result_layout
from sim import replay
from sim.packing import pack
from tests.system.engine_bench import FAULTS, EngineBench, ends_layout, memory_layout, rising_layout, told_layout
from tests.system.streams import bits_of, fields_of

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """A job and where its rows are."""

    job: Job
    region: Region
    words: int


@dataclass(frozen=True)
class Ran:
    """cycles: of each row. Counts are those of `ends_layout`."""

    cycles: Int64
    counts: Mapping[str, int]


def tiny() -> SystemConfig:
    return systems("tiny")["dense"]


def other() -> SystemConfig:
    """A bus narrower than a word of activations, two results at once."""
    return _of_lanes(8, bus_bytes=4, weight_words=160)


def wide() -> SystemConfig:
    """Words of activations as long as those of `minilm`."""
    return _of_lanes(32, ffn=192, bus_bytes=16, weight_words=400)


def many_lines() -> SystemConfig:
    """As many lines as `minilm` has, of few lanes."""
    config = tiny()
    items = replace(config.attention.items, lines=16, banks=16, ports=8, queue=16)
    arrays = replace(config.attention.arrays, lines=16, rows=16)
    return replace(config, attention=AttentionConfig(items, arrays, config.attention.stores))


def _of_lanes(lanes: int, **rest: int) -> SystemConfig:
    config = tiny()
    spec = replace(config.speculation, lanes=lanes, width=2 * lanes)
    items = replace(config.attention.items, lanes=lanes, banks=min(lanes, config.tokens))
    arrays = replace(config.attention.arrays, lanes=lanes, terms=8 * lanes, scalers=2)
    attention = AttentionConfig(items, arrays, config.attention.stores)
    return replace(config, speculation=spec, attention=attention, **rest)


@cache
def model(config: SystemConfig, side: str) -> replay.Model:
    return replay.build(EngineBench(config, side), f"engine_{side}")


def activations(config: SystemConfig, seed: int = 0) -> Int64:
    """Of each region, all bytes of each token's longest row."""
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (len(Region), config.tokens, config.row_words * config.lanes))


def tables(seed: int = 0) -> Int64:
    return np.random.default_rng(seed).integers(-128, 128, (GELU_TABLES, 256))


def layer(rng: np.random.Generator, columns: int, depth: int, bits: int) -> Linear:
    """Most results within their range."""
    bias = rng.integers(-1000, 1000, columns)
    bias[::5] = rng.choice([-(2**31), 2**31 - 1])
    shift = rng.integers(20, 26, columns) if bits == 8 else rng.integers(14, 18, columns)
    return Linear(rng.integers(-128, 128, (columns, depth)), bias, rng.integers(1 << 14, 1 << 16, columns), shift, bits)


def asked(
    config: SystemConfig,
    x: Int64,
    rows: NDArray[np.bool_],
    *,
    region: Region = Region.INPUT,
    words: int = 4,
    tiles: int = 2,
    sink: Sink = Sink.HIDDEN,
    index: int = 0,
    last: bool = False,
    seed: int = 0,
) -> Asked:
    rng = np.random.default_rng(seed)
    bits, depth = (16 if sink is Sink.WIDE else 8), words * config.lanes
    layers = [layer(rng, config.lanes, depth, bits) for _ in range(tiles)]
    choice = rng.integers(0, GELU_TABLES, (tiles, config.lanes))
    return Asked(Job(rows, x[region.value, :, :depth], layers, choice, sink, index, last), region, words)


def some_rows(config: SystemConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """None, one, half of the lines, one more, as many as there are lines, all, or any."""
    lines = config.attention.arrays.lines
    count = rng.choice([0, 1, lines // 2, lines // 2 + 1, lines, config.tokens, rng.integers(config.tokens + 1)])
    rows = np.zeros(config.tokens, np.bool_)
    rows[rng.permutation(config.tokens)[:count]] = True
    return rows


def random_jobs(config: SystemConfig, x: Int64, count: int, seed: int) -> list[Asked]:
    """Of every kind that an engine may be given."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        sink = rng.choice(list(Sink))
        words = int(rng.integers(1, config.row_words + 1) if rng.random() < 0.5 else rng.integers(1, 5))
        room = 2 * (config.weight_words // (words * config.lanes))
        most = {Sink.QUERY: 1, Sink.KEY_VALUE: 2}.get(sink, min(CHUNK_TILES, config.row_words))
        tiles = int(rng.integers(1, min(room, most) + 1))
        index = rng.integers(config.row_words - tiles + 1) if sink.counts else rng.integers(config.heads)
        found.append(
            asked(
                config,
                x,
                some_rows(config, rng),
                region=Region(int(rng.integers(len(Region)))),
                words=words,
                tiles=tiles,
                sink=sink,
                index=int(index),
                last=bool(rng.random() < 0.5),
                seed=seed + number,
            )
        )
    return found


def words_of(config: SystemConfig, side: str, jobs: Sequence[Asked]) -> dict[str, list[int]]:
    """Payloads of jobs, of what is loaded for them, and of their weights."""
    given, loads, content = [], [], b""
    every = np.arange(config.lanes)
    for each in jobs:
        job = each.job
        fields = {
            "rows": sum(1 << int(token) for token in np.flatnonzero(job.rows)),
            "region": each.region,
            "words": each.words,
            "tiles": len(job.tiles),
            "sink": job.sink.value,
            "index": job.index,
            "last": job.last,
        }
        given.append(bits_of(job_layout(config), fields))
        loads.append(bits_of(load_layout(config), {"tiles": len(job.tiles), "words": each.words}))
        for tile, choice in zip(job.tiles, job.choice, strict=True):
            content += tile_bytes(config, side, tile, every, each.words, choice)
    size = config.bus_bytes
    words = [int.from_bytes(content[at : at + size], "little") for at in range(0, len(content), size)]
    return {"jobs": given, "loads": loads, "weights": words}


def memory_words(config: SystemConfig, x: Int64) -> list[int]:
    layout = memory_layout(config)
    low = layout["word"].offset
    found = []
    for region in Region:
        for token in range(config.tokens):
            rows = pack(x[region.value, token].reshape(-1, config.lanes), 8)
            for word, content in enumerate(rows):
                at = bits_of(layout["at"].shape, {"region": region, "token": token, "word": word})
                found.append(at | content << low)
    return found


def rising(config: SystemConfig, seed: int, gap: int) -> list[int]:
    """Limits of all regions from none to all tokens, one at a time; gap: cycles between two steps."""
    rng, limits = np.random.default_rng(seed), [0] * len(Region)
    steps = rng.permutation(np.repeat(np.arange(len(Region)), config.tokens))
    found = []
    for region in steps:
        limits[region] += 1
        found.append(bits_of(rising_layout(config), {"limits": limits, "gap": gap}))
    return found


def open_limits(config: SystemConfig) -> list[int]:
    return [bits_of(rising_layout(config), {"limits": [config.tokens] * len(Region), "gap": 0})]


def table_words(given: Int64) -> list[int]:
    entries = ((code, number, given[number][code + 128]) for number in range(len(given)) for code in range(-128, 128))
    return [bits_of(ENTRY, {"code": c, "table": t, "entry": int(e)}) for c, t, e in entries]


def run(
    config: SystemConfig,
    side: str,
    jobs: Sequence[Asked],
    x: Int64,
    *,
    limits: list[int] | None = None,
    idle: float = 0.0,
    stall: float = 0.0,
    shaken: bool = False,
    loops: bool = False,
    starved: bool = False,
    fault: str = "",
) -> Ran:
    """Raises AssertionError at the first row, or the first thing told beside it, that is not golden."""
    gelu = tables()
    due = list(dense.results(config, [each.job for each in jobs], gelu))
    words = {"memory": memory_words(config, x), "tables": table_words(gelu), **words_of(config, side, jobs)}
    words["limits"] = limits or open_limits(config)
    settings = {"jobs_due": len(jobs), "shaken": int(shaken), "loops": int(loops), "starved": int(starved)}
    settings["fault"] = 1 + list(FAULTS).index(fault) if fault else 0
    steps = [replay.Step(["memory", "tables"], settings), replay.Step(["limits", "jobs", "loads", "weights"])]
    limit = 5000 + (100 if starved else 8) * len(words["weights"]) + 2 * len(words["memory"]) + 40 * len(due)
    limit += sum(word >> rising_layout(config)["gap"].offset for word in words["limits"])
    given = replay.Job(words, {"o": len(due), "ends": 1}, steps, idle=idle, stall=stall, limit=limit)
    found = replay.run(model(config, side), given)
    check(config, jobs, due, found.sinks["o"].payloads)
    ends = fields_of(ends_layout(config), found.sinks["ends"].payloads[0])
    assert ends["error"] == 0
    assert ends["progress"] == config.tokens
    return Ran(found.sinks["o"].cycles, ends)


def check(config: SystemConfig, jobs: Sequence[Asked], due: Sequence[dense.Row], payloads: Sequence[int]) -> None:
    told, result = told_layout(config), result_layout(config)
    assert len(payloads) == len(due)
    for number, (row, payload) in enumerate(zip(due, payloads, strict=True)):
        beside = fields_of(told, payload)
        fields = fields_of(result, beside["result"])
        place = f"row {number}, of job {row.job}, token {row.token}"
        known = {"sink": row.sink.value, "token": row.token, "index": row.index, "value": int(row.value)}
        assert {name: fields[name] for name in known} == known, place
        assert fields["values"] == pack(row.values[np.newaxis], 16)[0], place
        assert beside["error"] == 0, place
        assert beside["idle"] == 0, place
        expected = dense.progress(config, [each.job for each in jobs], due, number, beside["taken"])
        assert beside["progress"] == expected, place
