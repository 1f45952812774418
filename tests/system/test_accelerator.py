# SPDX-License-Identifier: Apache-2.0
"""Whole layers through the accelerators, from memory to memory over AXI: equal to the golden layers, to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from config.errors import Refusal
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


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("method", ["sanger", "spatten"])
def test_padding_is_no_key(method, order):
    config = systems("tiny")[method]
    attend = np.arange(13) % 5 != 3
    steps = random_steps(config, order, 13, 3, 12, attend=attend)
    laid = accelerator.lay_out(config, steps, every=True)
    accelerator.check(steps, laid, accelerator.run(config, laid))
    # It matters: without the mask something else comes out.
    laid = accelerator.lay_out(config, [replace(step, attend=None) for step in steps], every=True)
    with pytest.raises(AssertionError, match="layer 0"):
        accelerator.check(steps, laid, accelerator.run(config, laid))


def test_layers_of_a_sequence_stay_together():
    config = systems("tiny")["spatten"]
    steps = random_steps(config, "post", 5, 2, 1)
    with pytest.raises(Refusal, match=r"^Layer 1 of a sequence must be chained to the one before, and stands alone; "):
        accelerator.lay_out(config, steps, chained=False)


def test_a_causal_sequence_is_refused():
    with pytest.raises(Refusal, match=r"^causal must be False, not True, as the unit has one sum for each token and "):
        random_steps(systems("tiny")["spatten"], "pre", 5, 2, 1, causal=True)


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
