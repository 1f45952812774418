# SPDX-License-Identifier: Apache-2.0
"""Dense engines with their arrays: every row of results golden, in its order, at every flow; what they tell; use."""

from dataclasses import replace

import numpy as np
import pytest

from config.presets import systems
from config.system import SIDES, SystemConfig
from golden.system import dense
from golden.system.dense import Sink
from hdl.emit import verilog
from hdl.system.dense_engine import DenseEngine
from hdl.system.layouts import Region
from tests.arith import simulate
from tests.flow.test_verilog import WAIVERS, lint
from tests.system.engine_bench import FAULTS
from tests.system.engine_runs import (
    Asked,
    activations,
    asked,
    many_lines,
    other,
    random_jobs,
    rising,
    run,
    tables,
    tiny,
    wide,
)

FLOWS = {
    "free": {},
    "shaken": {"idle": 0.4, "stall": 0.4, "shaken": True},
    "stalled": {"stall": 0.85},
    "weights late": {"starved": True, "idle": 0.2},
}


@pytest.fixture(params=SIDES)
def side(request) -> str:
    return request.param


def every(config: SystemConfig, count: int | None = None) -> np.ndarray:
    """The first tokens, or all."""
    return np.arange(config.tokens) < (config.tokens if count is None else count)


@pytest.mark.parametrize("flow", FLOWS)
def test_rows_are_golden(side: str, flow: str) -> None:
    config, seed = tiny(), list(FLOWS).index(flow)
    x = activations(config, seed)
    run(config, side, random_jobs(config, x, 40, 1000 * seed), x, **FLOWS[flow])


def test_rows_are_not_fetched_before_they_are_there(side: str) -> None:
    config = tiny()
    x = activations(config)
    run(config, side, random_jobs(config, x, 25, 9), x, limits=rising(config, 9, 60), shaken=True)


@pytest.mark.long
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("make", [other, wide])
def test_other_shapes(make, side: str, flow: str) -> None:
    config, seed = make(), 10 + list(FLOWS).index(flow)
    x = activations(config, seed)
    run(config, side, random_jobs(config, x, 30, 1000 * seed), x, **FLOWS[flow])


def test_down_begins_behind_ups_rows(side: str) -> None:
    """Hidden values are what the next jobs multiply, as far as progress says that they are there: the array makes no
    pause."""
    config, rows = tiny(), every(tiny())
    x = activations(config)
    up = [
        asked(config, x, rows, words=8, tiles=8, sink=Sink.HIDDEN, index=8 * n, last=n == 1, seed=n) for n in range(2)
    ]
    hidden = x.copy()
    hidden[Region.HIDDEN.value] = hidden_rows(config, up, x)
    down = [
        asked(config, hidden, rows, region=Region.HIDDEN, words=16, tiles=2, sink=Sink.WIDE, index=2 * n, seed=9 + n)
        for n in range(2)
    ]
    counts = run(config, side, [*up, *down], x, loops=True).counts
    assert counts["beats"] / counts["cycles"] >= 0.95


def hidden_rows(config: SystemConfig, up: list[Asked], x: np.ndarray) -> np.ndarray:
    found = x[Region.HIDDEN.value].copy().reshape(config.tokens, -1, config.lanes)
    for row in dense.results(config, [each.job for each in up], tables()):
        found[row.token, row.index] = row.values
    return found.reshape(config.tokens, -1)


def test_jobs_without_rows(side: str) -> None:
    """Their weights are dropped; the last one of them is over when those before are."""
    config, none = tiny(), every(tiny(), 0)
    x = activations(config)
    some = [asked(config, x, every(config, n), tiles=3, last=n == 3, seed=n) for n in (3, 0, 0, 7, 0)]
    jobs = [*some, *(asked(config, x, none, words=7, tiles=5, last=n == 2, seed=n) for n in range(4))]
    run(config, side, jobs, x)


FIRST_ROWS = 80
"""Cycles until the first list is there."""


@pytest.mark.parametrize(("rows", "words", "tiles"), [(16, 16, 4), (16, 8, 1), (6, 16, 4)], ids=str)
def test_an_array_never_waits(side: str, rows: int, words: int, tiles: int) -> None:
    """Where results leave as fast as beats come, and weights as fast as they are used."""
    config = tiny()
    x = activations(config)
    jobs = [asked(config, x, every(config, rows), words=words, tiles=tiles, sink=Sink.WIDE, seed=n) for n in range(6)]
    counts = run(config, side, jobs, x).counts
    assert counts["beats"] / counts["cycles"] >= 0.98
    assert counts["waits_weights"] + counts["waits_rows"] <= 0.02 * counts["cycles"] + FIRST_ROWS


@pytest.mark.long
def test_use_at_minilm(side: str) -> None:
    """Generation, up and down of a dense layer."""
    config = systems("minilm")["dense"]
    x = activations(config)
    for words, tiles, region in ((12, 2, Region.INPUT), (12, 4, Region.INPUT), (48, 2, Region.HIDDEN)):
        jobs = [
            asked(config, x, every(config), region=region, words=words, tiles=tiles, sink=Sink.WIDE, seed=n)
            for n in range(2)
        ]
        counts = run(config, side, jobs, x).counts
        assert counts["beats"] / counts["cycles"] >= 0.98


# Construction, planted faults


@pytest.mark.parametrize("preset", ["tiny", "minilm"])
def test_lint_is_clean(preset: str, side: str, tmp_path) -> None:
    path = tmp_path / "dense_engine.v"
    path.write_text(verilog(DenseEngine(systems(preset)["dense"], side), "dense_engine"))
    assert lint(path, str(WAIVERS)) == []


def test_refusals() -> None:
    config = tiny()
    assert simulate.refusal_of(lambda: DenseEngine(config, "inner")) == (
        "side must be one of dot, outer, not 'inner'; choose one of them."
    )
    arrays = replace(config.attention.arrays, lanes=12, scalers=1)
    items = replace(config.attention.items, lanes=12, banks=16)
    attention = replace(config.attention, arrays=arrays, items=items)
    spec = replace(config.speculation, lanes=12, width=24)
    odd = replace(config, speculation=spec, attention=attention, ffn=48)
    assert simulate.refusal_of(lambda: DenseEngine(odd, "dot")) == (
        "lanes must be a power of two, not 12; choose the next one."
    )


SEEN_WITH = {"weights invented": {"starved": True}, "results lost": {"stall": 0.93}}
"""What lets a fault be seen that nobody would notice else."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str) -> None:
    config = tiny()
    x = activations(config)
    jobs = random_jobs(config, x, 12, 5)
    given = SEEN_WITH.get(fault, {"limits": rising(config, 5, 10), "stall": 0.4, "shaken": True})
    with pytest.raises(AssertionError):
        run(config, "dot", jobs, x, fault=fault, **given)


def test_lists_longer_than_the_way_of_their_results() -> None:
    """The array takes a column with the last of its results, when the first have left."""
    config = many_lines()
    x = activations(config)
    jobs = [asked(config, x, every(config, rows), tiles=2, sink=Sink.HIDDEN, seed=rows) for rows in (12, 16, 3)]
    run(config, "outer", jobs, x)
