# SPDX-License-Identifier: Apache-2.0
"""The driver in front of the RTL: a program of C fills descriptors in the simulated memory, reaches registers through
the simulated port, and finds golden rows."""

import subprocess
from pathlib import Path

import pytest

from config.descriptor import ErrorCode
from config.presets import systems
from sim import accelerator, driver
from sim.driver import Outcome
from sim.stack import Step, random_steps

OK, FAILED = 0, 4
CONFIG = systems("tiny")["spls"]


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return random_steps(CONFIG, "pre", 9, 2, 1)


@pytest.fixture(scope="module")
def laid(steps: list[Step]) -> accelerator.Laid:
    return accelerator.lay_out(CONFIG, steps)


def compiled(folder: Path, laid: accelerator.Laid, *, sleep: bool, **wrong: int) -> driver.Program:
    """wrong: values of the second layer."""
    folder.mkdir()
    first, second = driver.descriptors(laid)
    return driver.program(folder, laid, [first, second | wrong], sleep=sleep)


def check(steps: list[Step], laid: accelerator.Laid, outcome: Outcome) -> None:
    """All layers are finished, and their rows golden."""
    end = outcome.end
    assert (outcome.result, end["error"], end["layers"]) == (OK, 0, len(steps))
    ended = accelerator.Ended(outcome.memory, end["error"], end["layer"], end["cycles"], end)
    accelerator.check(steps, laid, ended)


def test_a_list_by_interrupt_and_by_polls(tmp_path: Path, steps: list[Step], laid: accelerator.Laid) -> None:
    both = [compiled(tmp_path / str(sleep), laid, sleep=sleep) for sleep in (True, False)]
    slept, polled = driver.run(CONFIG, laid, both)
    wanted = accelerator.run_by_cocotb(CONFIG, laid)
    for outcome in (slept, polled):
        check(steps, laid, outcome)
        for name in ("layers", "bytes_read", "bytes_written"):
            assert outcome.end[name] == wanted.counters[name.upper()]
        # A word of the bus in a cycle, at the most.
        assert outcome.end["cycles"] * CONFIG.bus_bytes > outcome.end["bytes_read"]
        # The program wrote the descriptors that Python would have written.
        assert outcome.memory[laid.descriptors :] == laid.memory.content[laid.descriptors :]
    # When it starts, and behind the interrupt.
    assert slept.reads == 2 < polled.reads


def test_a_list_that_is_given_up(tmp_path: Path, steps: list[Step], laid: accelerator.Laid) -> None:
    programs = [
        compiled(tmp_path / "shape", laid, sleep=True, tokens=CONFIG.tokens + 1),
        compiled(tmp_path / "place", laid, sleep=False, weights2=8),
        compiled(tmp_path / "sound", laid, sleep=True),
    ]
    shape, place, sound = driver.run(CONFIG, laid, programs)
    for outcome, code in ((shape, ErrorCode.BAD_SHAPE), (place, ErrorCode.MISALIGNED)):
        assert (outcome.result, outcome.end["error"], outcome.end["layer"]) == (FAILED, code, 1)
        assert outcome.end["layers"] == 1
    check(steps, laid, sound)


def test_the_example_needs_the_driver_and_its_user_only(tmp_path: Path) -> None:
    driver.gcc("-c", "example.c", "-o", str(tmp_path / "example.o"))
    listed = subprocess.run(
        ["nm", "-u", str(tmp_path / "example.o")], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in listed if name != "U"} == {
        f"foreshift_{name}"
        for name in (
            "init", "mode", "clear_counters", "interrupts", "start", "acknowledge", "poll", "wait", "error", "count"
        )
    } | {"example_layers", "example_sleep"}  # fmt: skip
