# SPDX-License-Identifier: Apache-2.0
"""A layer through the execution unit's parts in RTL simulation, phase by phase: every tensor checked, cycles counted.

x ─► generation ─► attention ─► projection ─► + ─► norm ─► up ─► GELU ─► down ─► + ─► norm

Each part is given golden tensors and has to give golden ones, so together they make the layer's.
"""

from dataclasses import dataclass

from config.pe_arrays import PeArraysConfig
from sim import dense
from sim.phases import ARRAYS, check, phases
from sim.planned import Planned


@dataclass(frozen=True)
class Spent:
    """Of a phase: cycles of the array that takes longer; multiplications; share of what the lanes of both could have
    done in that time; cycles simulated in a second, of one array."""

    cycles: int
    useful: int
    use: float
    rate: float


def run_dense(config: PeArraysConfig, planned: Planned) -> dict[str, Spent]:
    """The dense phases of a layer, by name. Raises AssertionError at the first value that is not golden."""
    spent = {}
    for phase in phases(planned):
        cycles, useful, rates = 0, 0, []
        for side, parts in zip((dense.Inner(config), dense.Outer(config)), phase.arrays, strict=True):
            found = dense.run(side, [part.product for part in parts])
            for part, result in zip(parts, found.results, strict=True):
                check(part, result)
            cycles, useful = max(cycles, found.cycles), useful + found.useful
            rates.append(found.rate)
        spent[phase.name] = Spent(cycles, useful, useful / (ARRAYS * config.lines * config.lanes * cycles), min(rates))
    return spent
