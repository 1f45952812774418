# SPDX-License-Identifier: Apache-2.0
"""Accelerators after what should not happen, and after other work: the next list is golden, to the bit.

Resets in the middle of a layer, errors of memory, descriptors that cannot be run, layers of other sizes; many lists in
one simulation, none of which finds anything of the ones before.
"""

from bisect import bisect_right
from functools import cache

import numpy as np
import pytest

from config.descriptor import ErrorCode
from config.presets import systems
from config.system import TOPS
from sim import accelerator
from sim.episodes import By, Outcome
from sim.memory import Pace
from sim.stack import Step, random_steps
from tests.system.recovery import Lists, change, ended_well, gave_up

TOKENS = 13
LAYERS = 3
MARGIN = 100
"""Cycles before the end of a list, in which it may end before the host has broken it off."""


def config_of(method: str):
    return systems("tiny")[method]


@cache
def layers(method: str) -> list[Step]:
    return random_steps(config_of(method), "post", TOKENS, LAYERS, seed=11)


@cache
def undisturbed(method: str) -> list[Outcome]:
    """Of the first layer, of the first two, …"""
    lists = Lists(config_of(method))
    for count in range(1, LAYERS + 1):
        lists.add(layers(method)[:count])
    outcomes = lists.run()
    assert all(map(ended_well, outcomes))
    return outcomes


@pytest.mark.parametrize("method", TOPS)
def test_lists_of_all_sizes_one_behind_the_other(method: str) -> None:
    rng = np.random.default_rng(5)
    lists = Lists(config_of(method))
    for _ in range(12):
        lists.add_random(rng)
    assert all(map(ended_well, lists.run()))


@pytest.mark.parametrize("by", By)
@pytest.mark.parametrize("method", TOPS)
def test_a_list_broken_off_leaves_nothing_behind(method: str, by: By) -> None:
    rng = np.random.default_rng(6)
    lists, steps = Lists(config_of(method)), layers(method)
    cycles = undisturbed(method)[-1].cycles
    for after in rng.integers(0, cycles - MARGIN, 8):
        lists.add(steps, after=int(after), by=by, finished=0)
        lists.add(steps[:1])
        lists.add(steps, after=int(after) % MARGIN, by=by, finished=0)
        lists.add_random(rng)
    outcomes = lists.run()
    broken, next_ones = outcomes[::2], outcomes[1::2]
    assert {(each.status, each.events, each.code) for each in broken} == {(0, 0, 0)}
    assert all(map(ended_well, next_ones))
    first = undisturbed(method)[0]
    assert {each.bytes_read for each in next_ones[::2]} == {first.bytes_read}
    if by == By.ARESETN:
        assert {each.cycles for each in next_ones[::2]} == {first.cycles}


def test_resets_between_cocotb_and_its_memory() -> None:
    config, steps = config_of("spls"), layers("spls")
    laid = accelerator.lay_out(config, steps)
    accelerator.check(steps, laid, accelerator.run_by_cocotb(config, laid, stall=0.3, seed=3, broken_off=(700, 2500)))


@pytest.mark.parametrize("method", TOPS)
def test_errors_of_memory_at_any_word_and_burst(method: str) -> None:
    rng = np.random.default_rng(7)
    lists, steps = Lists(config_of(method)), layers(method)
    ends = [each.bytes_read // lists.config.bus_bytes for each in undisturbed(method)]
    due = []
    for word in {0, ends[0] - 1, ends[0], ends[-1] - 1, *map(int, rng.integers(0, ends[-1], 8))}:
        due.append((ErrorCode.BUS_READ, bisect_right(ends, word)))
        lists.add(steps, bad_read=word, finished=due[-1][1])
        lists.add(steps[:1])
    for burst in {0, TOKENS - 1, TOKENS, LAYERS * TOKENS - 1, *map(int, rng.integers(0, LAYERS * TOKENS, 4))}:
        due.append((ErrorCode.BUS_WRITE, burst // TOKENS))
        lists.add(steps, bad_write=burst, finished=due[-1][1])
        lists.add(steps[:1])
    outcomes = lists.run()
    assert [gave_up(each) for each in outcomes[::2]] == due
    assert all(map(ended_well, outcomes[1::2]))


NOWHERE = 1 << 40
"""An address that no memory answers at."""
ADDRESSES = {"parameters": 8, "weights1": 8, "weights2": 8, "predictor": 8, "y": 9}
"""Of a descriptor, with the code of the error if nobody answers there."""


@pytest.mark.parametrize("method", TOPS)
def test_addresses_at_which_nobody_answers(method: str) -> None:
    lists, steps = Lists(config_of(method)), layers(method)
    fields = [name for name in ADDRESSES if config_of(method).speculation.coded or name != "predictor"]
    for name in fields:
        lists.add(steps, change(lists.lay(steps), 1, **{name: NOWHERE}), finished=1)
        lists.add(steps[:1])
    lists.add(steps[:1], change(lists.lay(steps[:1]), 0, x=NOWHERE), finished=0)
    lists.add(steps)
    outcomes = lists.run()
    assert [gave_up(each) for each in outcomes[::2]] == [*((ADDRESSES[name], 1) for name in fields), (8, 0)]
    assert all(map(ended_well, outcomes[1::2]))


FAULTS = [
    (ErrorCode.BAD_MAGIC, {"magic": 1}),
    (ErrorCode.BAD_VERSION, {"version": 2}),
    (ErrorCode.RESERVED, {"flags": 1 << 15}),
    (ErrorCode.BAD_SHAPE, {"tokens": 17}),
    (ErrorCode.BAD_SHAPE, {"width": 20}),
    (ErrorCode.BAD_SHAPE, {"heads": 3}),
    (ErrorCode.BAD_SHAPE, {"head_width": 0}),
    (ErrorCode.BAD_SHAPE, {"ffn": 68}),
    (ErrorCode.BAD_SETTINGS, {"norm2_shift": 0}),
    (ErrorCode.BAD_CHAIN, {"tokens": TOKENS - 1}),
    (ErrorCode.MISALIGNED, {"weights2": 24}),
    (ErrorCode.MISALIGNED, {"y_stride": 8}),
]


@pytest.mark.parametrize("method", TOPS)
def test_descriptors_that_cannot_be_run(method: str) -> None:
    lists, steps = Lists(config_of(method)), layers(method)
    for number, (_, fields) in enumerate(FAULTS):
        lists.add(steps, change(lists.lay(steps), 1 + number % 2, **fields), finished=1 + number % 2)
        lists.add(steps[:1])
    outcomes = lists.run()
    assert [gave_up(each) for each in outcomes[::2]] == [
        (code, 1 + number % 2) for number, (code, _) in enumerate(FAULTS)
    ]
    assert all(map(ended_well, outcomes[1::2]))


@pytest.mark.parametrize("method", TOPS)
def test_a_memory_that_stalls_for_thousands_of_cycles(method: str) -> None:
    rng = np.random.default_rng(8)
    lists = Lists(config_of(method))
    for _ in range(2):
        lists.add_random(rng)
    pace = Pace(*5 * (0.01,), naps=0.3, nap=5000, latency=3000)
    assert all(map(ended_well, lists.run(pace=pace, limit=2_000_000)))
