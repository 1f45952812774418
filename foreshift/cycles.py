# SPDX-License-Identifier: Apache-2.0
"""Cycles of the speculation units: one head of MiniLM through each, simulated.

settings ─► first beat of X ── K̂, Q̂, scores ──► last record
            └─ cycles: busy, the array takes a beat; or not ─┘
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sim import minilm, speculation

CONDITIONS = (
    "T = 128, D = 384, dh = 32, in simulation, every record checked; from the first beat of X to the last record, "
    "nothing before or behind it to fill the gaps."
)


@dataclass(frozen=True)
class Head:
    """cycles: of one head by `method`; busy: those in which the array took a beat."""

    method: str
    cycles: int
    busy: int

    @property
    def busy_share(self) -> float:
        return self.busy / self.cycles


def measure(say: Callable[[str], None]) -> list[Head]:
    """Simulate a head on the unit of each method that predicts."""
    heads = []
    for method in minilm.SINGLE_HEAD:
        config, layer = minilm.single_head(method)
        say(f"building the simulation of the {method.upper()} unit for one head of MiniLM")
        speculation.build(config)
        say(f"simulating one head of MiniLM on the {method.upper()} unit")
        (result,) = speculation.run(config, layer)
        heads.append(Head(method, result.cycles, result.busy))
    return heads


def as_json(heads: Iterable[Head]) -> list[dict[str, Any]]:
    """All figures."""
    return [vars(head) | {"busy_share": head.busy_share} for head in heads]


def from_json(figures: Iterable[dict[str, Any]]) -> list[Head]:
    """What `as_json` was given."""
    return [Head(row["method"], row["cycles"], row["busy"]) for row in figures]


def text(heads: Iterable[Head]) -> str:
    """A table for a terminal."""
    rows = [f"{unit:4}  {cycles:>6}  {busy:>10}" for unit, cycles, busy in _rows(heads)]
    return "\n".join(["One head of MiniLM, alone", *rows])


def markdown(heads: Iterable[Head]) -> str:
    """A section of the speculation units' page."""
    first, *rest = (f"| {' | '.join(row)} |" for row in _rows(heads))
    return "\n".join(["## Cycles of one head of MiniLM", "", CONDITIONS, "", first, "|---|---:|---:|", *rest, ""])


def _rows(heads: Iterable[Head]) -> list[tuple[str, str, str]]:
    rows = [(head.method.upper(), str(head.cycles), f"{100 * head.busy_share:.1f} %") for head in heads]
    return [("unit", "cycles", "array busy"), *rows]
