# SPDX-License-Identifier: Apache-2.0
"""Lists of layers in one memory, and what each of them has to leave there and in the registers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config import descriptor
from config.descriptor import DESCRIPTOR_BYTES
from config.system import SystemConfig
from sim import episodes
from sim.accelerator import Laid, Memory, Rows, lay_out
from sim.episodes import Episode, Outcome
from sim.stack import Step, random_size, random_steps

BUSY, DONE, ERROR = 1, 2, 4
"""Bits of STATUS."""
DONE_EVENT, ERROR_EVENT = 1, 2


@dataclass
class Lists:
    """All that runs in one simulation, in its order."""

    config: SystemConfig
    content: Memory = field(default_factory=Memory)
    _due: list[tuple[Episode, list[Step], int]] = field(default_factory=list)

    def lay(self, steps: list[Step], chained: bool = True) -> Laid:
        """Every layer's output goes to memory."""
        return lay_out(self.config, steps, chained=chained, every=True, content=self.content)

    def add(
        self, steps: list[Step], laid: Laid | None = None, *, finished: int | None = None, **disturbed: Any
    ) -> None:
        """finished: so many layers end well; all, if it is none."""
        episode = Episode(laid or self.lay(steps), **disturbed)
        self._due.append((episode, steps, len(steps) if finished is None else finished))

    def add_random(self, rng: np.random.Generator) -> None:
        """Layers that are chained on chip, or layers of all sizes and orders, which are not."""
        chained = bool(rng.integers(2))
        count = int(rng.integers(1, 4))
        lengths = [count] if chained else [1] * count
        steps = [step for length in lengths for step in random_layers(self.config, rng, length)]
        self.add(steps, self.lay(steps, chained))

    def run(self, **options: Any) -> list[Outcome]:
        """Raises AssertionError where a finished layer's y is not golden, or something else in memory has changed."""
        before = bytes(self.content.content)
        found, outcomes = episodes.run(self.config, self.content, [each for each, _, _ in self._due], **options)
        after = bytearray(found)
        for number, (episode, steps, finished) in enumerate(self._due):
            for layer, (step, rows) in enumerate(zip(steps, episode.laid.y, strict=True)):
                assert rows is not None
                if layer < finished:
                    assert np.array_equal(rows.read(found), step.y), f"list {number}, layer {layer}"
                _blank(after, rows)
        assert bytes(after) == before
        return outcomes


def _blank(content: bytearray, rows: Rows) -> None:
    size = rows.count * rows.stride
    content[rows.address : rows.address + size] = bytes(size)


def change(laid: Laid, number: int, **fields: int) -> Laid:
    """The list with other values in a descriptor."""
    at = laid.descriptors + number * DESCRIPTOR_BYTES
    content = laid.memory.content
    known = descriptor.unpack(bytes(content[at : at + DESCRIPTOR_BYTES]))
    content[at : at + DESCRIPTOR_BYTES] = descriptor.pack(known | fields)
    return laid


def random_layers(config: SystemConfig, rng: np.random.Generator, count: int) -> list[Step]:
    order, tokens, seed = (
        ("pre", "post")[rng.integers(2)],
        int(rng.integers(1, config.tokens + 1)),
        int(rng.integers(1 << 30)),
    )
    causal = bool(rng.integers(2)) and not config.speculation.prunes
    return random_steps(config, order, tokens, count, seed, causal, random_size(config, rng))


def ended_well(outcome: Outcome) -> bool:
    """Done, told once, and forgotten when it is cleared."""
    told = (outcome.status, outcome.events, outcome.code, outcome.status_cleared, outcome.events_cleared)
    return told == (DONE, DONE_EVENT, 0, 0, 0)


def gave_up(outcome: Outcome) -> tuple[int, int] | None:
    """Code and index of a list that was given up, if that was told, and forgotten when it is cleared."""
    told = (outcome.status, outcome.events, outcome.status_cleared, outcome.events_cleared)
    return (outcome.code, outcome.index) if told == (ERROR, ERROR_EVENT, 0, 0) else None
