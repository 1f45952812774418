# SPDX-License-Identifier: Apache-2.0
"""Whole layers through the accelerators, from memory to memory over AXI: equal to the golden layers, to the bit."""

import pytest

from config.presets import systems
from sim import accelerator
from sim.memory import Pace
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
    return random_steps(config, order, tokens, count, seed, causal=causal and not config.speculation.prunes)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("method", ["spls", "fact", "sanger", "spatten"])
def test_between_cocotb_and_its_memory(method, case, stall):
    config = systems("tiny")[method]
    steps = steps_of(config, case)
    laid = accelerator.lay_out(config, steps)
    accelerator.check(steps, laid, accelerator.run_by_cocotb(config, laid, stall=stall, seed=case[3]))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["lapa", "dense", "fact", "sanger", "spatten"])
def test_others(method, case):
    config = systems("tiny")[method]
    steps = steps_of(config, case)
    for chained, pace in ((True, accelerator.USUAL), (False, Pace(0.3, 0.3, 0.3, 0.3, 0.3, 0.02, 200, 50))):
        laid = accelerator.lay_out(config, steps, chained=chained or config.speculation.prunes)
        accelerator.check(steps, laid, accelerator.run(config, laid, pace=pace))


@pytest.mark.parametrize(("method", "switch"), [("spls", "overlap"), ("spls", "eager"), ("sanger", "overlap")])
def test_results_do_not_hang_on_when_things_happen(method, switch):
    config = systems("tiny")[method]
    steps = steps_of(config, CASES[1])
    laid = accelerator.lay_out(config, steps)
    without, both = (accelerator.run_by_cocotb(config, laid, **switches) for switches in ({switch: False}, {}))
    accelerator.check(steps, laid, without)
    # Which of them is the quicker one hangs on how much of the first head's work is for nothing.
    assert without.counters["CYCLES_GENERATION"] != both.counters["CYCLES_GENERATION"]
    if switch == "overlap":
        assert without.counters["PREDICTION_HIDDEN"] < both.counters["PREDICTION_HIDDEN"]
