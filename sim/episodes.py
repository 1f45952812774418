# SPDX-License-Identifier: Apache-2.0
"""Lists of layers one behind the other in one simulation, some of them disturbed, and how each of them ended.

list ─► start ─┬─► ends, or an error of memory ends it ─► interrupt ─┬─► what registers say ─► cleared
               └─► broken off after some cycles ─────────────────────┘
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.system import SystemConfig
from sim import memory
from sim.accelerator import LIMIT, OFFSETS, USUAL, Laid, Memory, build, start_by_host

SOFT_RESET, BUSY = 2, 1
RESET_CYCLES = 3
CLEARED = {"STATUS": 6, "INTERRUPT_STATUS": 3}
"""What software writes to forget how a list ended."""
TOLD = (*CLEARED, "ERROR_CODE", "ERROR_DESCRIPTOR", "CYCLES_LOW", "BYTES_READ_LOW")
"""Registers that are read behind each list; the first ones once more, when they have been cleared."""


class By(StrEnum):
    """What a list is broken off by."""

    ARESETN = "aresetn"
    SOFT_RESET = "soft reset"


@dataclass(frozen=True)
class Episode:
    """A list, and what happens to it.

    after: cycles from its start to where it is broken off, if it is, `by` what. bad_read, bad_write: numbers of the
    word read and of the burst written, from its start on, that memory answers with an error, if any.
    """

    laid: Laid
    after: int | None = None
    by: By = By.ARESETN
    bad_read: int | None = None
    bad_write: int | None = None


@dataclass(frozen=True)
class Outcome:
    """status, events: STATUS and INTERRUPT_STATUS; …_cleared: the same when they have been cleared.
    code, index: of the error. cycles, bytes_read: of the list, up to where registers are read."""

    status: int
    events: int
    code: int
    index: int
    cycles: int
    bytes_read: int
    status_cleared: int
    events_cleared: int


def run(
    config: SystemConfig,
    content: Memory,
    episodes: Sequence[Episode],
    *,
    pace: memory.Pace = USUAL,
    seed: int = 1,
    limit: int = LIMIT,
) -> tuple[bytes, list[Outcome]]:
    """The memory afterwards, and each list's outcome. content: all that the lists have in memory. Raises
    `SimulationError` if a list that goes on raises no interrupt within `limit` cycles, or breaks a rule of the bus."""
    scripts = [[*_begin(each), *_end(each, limit), *_tell()] for each in episodes]
    steps = [step for script in scripts for step in script]
    model = build(config)
    job = memory.Job(bytes(content.content), steps, pace=pace, seed=seed, limit=len(episodes) * (limit + 10_000))
    found = memory.run(model, job)
    outcomes, end = [], 0
    for script in scripts:
        end += len(script)
        read = [v for v, step in zip(found.values[end - len(_tell()) : end], _tell(), strict=True) if step.what == "r"]
        outcomes.append(Outcome(*read))
    return found.memory, outcomes


def _begin(episode: Episode) -> list[memory.Step]:
    return [memory.fail(episode.bad_read, episode.bad_write), *start_by_host(episode.laid)]


def _end(episode: Episode, limit: int) -> list[memory.Step]:
    if episode.after is None:
        return [memory.interrupt(limit)]
    if episode.by == By.ARESETN:
        return [memory.rest(episode.after), memory.reset(RESET_CYCLES)]
    return [
        memory.rest(episode.after),
        memory.write(OFFSETS["CONTROL"], SOFT_RESET),
        memory.poll(OFFSETS["STATUS"], BUSY, 0, limit),
    ]


def _tell() -> list[memory.Step]:
    clears = [memory.write(OFFSETS[name], value) for name, value in CLEARED.items()]
    return [*map(_read, TOLD), *clears, *map(_read, CLEARED)]


def _read(name: str) -> memory.Step:
    return memory.read(OFFSETS[name])
