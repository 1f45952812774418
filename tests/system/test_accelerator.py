# SPDX-License-Identifier: Apache-2.0
"""Whole layers through the accelerators, from memory to memory over AXI: equal to the golden layers, to the bit."""

import pytest

from config.presets import systems
from sim import accelerator
from sim.board import Weather
from sim.stack import random_steps

CASES = [
    # order, tokens, layers, seed, causal
    ("post", 13, 1, 3, False),
    ("post", 16, 2, 4, False),
    ("pre", 16, 2, 5, True),
    ("pre", 7, 3, 6, False),
    ("post", 1, 1, 7, False),
    ("post", 16, 1, 9, True),
]


def steps_of(config, case):
    order, tokens, count, seed, causal = case
    return random_steps(config, order, tokens, count, seed, causal=causal)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_esact_between_cocotb_and_its_memory(case, stall):
    config = systems("tiny")["spls"]
    steps = steps_of(config, case)
    laid = accelerator.lay_out(config, steps)
    accelerator.check(steps, laid, accelerator.run(config, laid, stall=stall, seed=case[3]))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["lapa", "dense"])
def test_others_on_a_board(method, case):
    config = systems("tiny")[method]
    steps = steps_of(config, case)
    for chained, weather in ((True, Weather()), (False, Weather(stall=0.3, latency=100))):
        laid = accelerator.lay_out(config, steps, chained=chained)
        accelerator.check(steps, laid, accelerator.run_on_board(config, laid, weather=weather))


@pytest.mark.parametrize("switches", [{"overlap": False}, {"eager": False}])
def test_results_do_not_hang_on_when_things_happen(switches):
    config = systems("tiny")["spls"]
    steps = steps_of(config, CASES[1])
    laid = accelerator.lay_out(config, steps)
    ended = accelerator.run(config, laid, **switches)
    accelerator.check(steps, laid, ended)
    both = accelerator.run(config, laid)
    assert ended.counters["PREDICTION_HIDDEN"] < both.counters["PREDICTION_HIDDEN"]
    assert ended.cycles > both.cycles
