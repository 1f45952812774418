# SPDX-License-Identifier: Apache-2.0
"""The settings that are swept, as data: one thing varied alone, or against what sets how much work is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks.prepared import BUILD, Setting
from tasks.swept import Request

NEVER = 2.0
"""More heads than there are: no FFN is copied."""
SPLS: Setting = {"s": 64, "f": 0.5, "k": 0.5, "k_similarity": 0.12, BUILD: {"window": 8, "score_bits": 8}}
"""What is swept around; the same in all layers."""
LINE = (32, 64, 112)
"""The s of a line: from little work saved to much."""
SYSTEMS: Mapping[str, Setting] = {
    "int8": {"system": "int8"},
    "HLog, nearest": {"rounding": "nearest"},
    "HLog, nearest down": {"rounding": "nearest_down"},
    "HLog, truncated": {"rounding": "truncate"},
    "power of two": {"system": "pot"},
    "int4": {"system": "int4"},
}
"""Number systems that SPLS can predict in."""
ETAS = (256, 192, 160, 128, 104)
SLICES: Mapping[str, Setting] = {
    "8": {"slices": [8]},
    "8, symmetric": {"slices": [8], "system": "pot"},
    "4+4": {"slices": [4, 4]},
    "2+6": {"slices": [2, 6]},
    "6+2": {"slices": [6, 2]},
    "3+3+2": {"slices": [3, 3, 2]},
    "2+2+4": {"slices": [2, 2, 4]},
}
"""Rounds of LAPA by the bits that each looks at; symmetric: K̂ is coded as well as Q̂, both as powers of two."""


@dataclass(frozen=True)
class Point:
    """A line of a table. at: what is varied, by its heading. method, setting, without: see `tasks.swept.Request`."""

    at: Mapping[str, Any]
    method: str
    setting: Setting
    without: str = ""

    def request(self, task: str, sequences: int) -> Request:
        """Its measurement; lines of several tables with one setting have the same."""
        return Request(task, self.method, self.setting, self.without, sequences)


@dataclass(frozen=True)
class Sweep:
    """title: what is asked. points: the lines. part: whose share of work that is left is shown. recall: whether the
    share of the exact top keys found is shown. line: the heading whose values are compared at equal work, if any."""

    title: str
    points: Sequence[Point]
    part: str = "total"
    recall: bool = False
    line: str = ""


def spls(**changed: Any) -> Setting:
    """`SPLS` with changes; what is no setting of it is how the unit is built."""
    build = {name: value for name, value in changed.items() if name not in SPLS}
    return SPLS | {name: value for name, value in changed.items() if name in SPLS} | {BUILD: SPLS[BUILD] | build}


def _spls(at: Mapping[str, Any], without: str = "", **changed: Any) -> Point:
    return Point(at, "spls", spls(**changed), without)


def _lapa(slices: str, *eta: int) -> Point:
    setting = {f"eta{number}": value for number, value in enumerate(eta, 1)}
    heads = {"slices": slices} | {f"η{number}": value for number, value in enumerate(eta, 1)}
    return Point(heads, "lapa", setting | {BUILD: SLICES[slices]})


def _all_rounds(slices: str, eta: int) -> Point:
    rounds = len(SLICES[slices]["slices"])
    return Point({"slices": slices, "η": eta}, "lapa", _lapa(slices, *[eta] * rounds).setting)


def _share(value: float) -> str:
    return "none" if value >= NEVER else "one" if value <= 0.01 else f"{value:.0%} of heads"


SWEEPS: Mapping[str, Sweep] = {
    "system": Sweep(
        "Number system of SPLS's prediction",
        [_spls({"prediction in": name, "s": s}, s=s, **system) for name, system in SYSTEMS.items() for s in LINE],
        recall=True,
        line="prediction in",
    ),
    "keys": Sweep(
        "The same, keys only: no row is copied",
        [
            _spls({"prediction in": name, "k": k}, f=NEVER, k=k, k_similarity=min(k, 0.12), window=1, **system)
            for name, system in SYSTEMS.items()
            for k in (0.12, 0.35)
        ],
        part="attention",
        recall=True,
    ),
    "window": Sweep(
        "Window of rows that are compared",
        [_spls({"w": 1, "s": "any"}, window=1)]
        + [_spls({"w": w, "s": s}, s=s, window=w) for w in (2, 4, 8, 16) for s in LINE],
        line="w",
    ),
    "score_bits": Sweep(
        "Bits of a score",
        [_spls({"bits": bits, "s": s}, s=s, score_bits=bits) for bits in (4, 6, 8, 12) for s in LINE],
        recall=True,
        line="bits",
    ),
    "s_f": Sweep(
        "How different rows may be that share a result, and the heads that must agree for an FFN to be copied",
        [_spls({"s": s, "f": _share(f)}, s=s, f=f) for f in (NEVER, 0.75, 0.5, 0.25, 0.01) for s in LINE],
        line="f",
    ),
    "k": Sweep(
        "Keys that attention keeps",
        [_spls({"k": k}, k=k) for k in (0.12, 0.2, 0.35, 0.5, 1.0)],
        recall=True,
    ),
    "k_similarity": Sweep(
        "Keys whose scores are compared: fewer than attention keeps (k = 0.5), or one k for both",
        [_spls({"k": 0.5, "k of similarity": k}, k_similarity=k) for k in (0.05, 0.08, 0.12, 0.2, 0.35, 0.5)]
        + [_spls({"k": k, "k of similarity": k}, k=k, k_similarity=k) for k in (0.2, 0.35)],
    ),
    "steps": Sweep(
        "SPLS without one of its steps, and with one alone",
        [
            _spls({"steps": "all"}),
            _spls({"steps": "without top k"}, k=1.0),
            _spls({"steps": "without similar rows"}, window=1),
            _spls({"steps": "without FFN copies"}, f=NEVER),
            _spls({"steps": "without leaving out K and V"}, "keys"),
            _spls({"steps": "without projection copies"}, "projections"),
            _spls({"steps": "top k alone"}, f=NEVER, window=1),
            _spls({"steps": "similar rows alone"}, f=NEVER, k=1.0),
        ],
    ),
    "eta": Sweep(
        "LAPA's two thresholds",
        [_lapa("4+4", first, second) for first in ETAS[:-1] for second in ETAS[1:]],
        part="attention",
        recall=True,
    ),
    "slices": Sweep(
        "LAPA's rounds and slices, one η for all rounds",
        [_all_rounds(slices, eta) for slices in SLICES for eta in ETAS[1:4]],
        part="attention",
        recall=True,
        line="slices",
    ),
    "fact": Sweep(
        "FACT",
        [Point({"k": k}, "fact", {"k": k}) for k in (0.65, 0.5, 0.35, 0.22, 0.12)],
        part="attention",
        recall=True,
    ),
    "sanger": Sweep(
        "Sanger",
        [
            Point({"threshold": round(value / 65536, 4)}, "sanger", {"threshold": value})
            for value in (33, 131, 262, 524, 1311)
        ],
        part="attention",
        recall=True,
    ),
    "spatten": Sweep(
        "SpAtten, tokens dropped",
        [
            Point({"tokens dropped": f"{share:.0%}"}, "spatten", {"tokens": share, "values": 0})
            for share in (0.05, 0.1, 0.2, 0.3, 0.4)
        ],
    ),
}


def quick() -> dict[str, Sweep]:
    """A few points of each sweep, from mild to strict; of a sweep in lines, the ends of every second line."""
    return {name: replace(sweep, points=_few(sweep)) for name, sweep in SWEEPS.items()}


def _few(sweep: Sweep) -> list[Point]:
    if not sweep.line:
        return list(sweep.points[:: max(1, len(sweep.points) // 2)])
    lines: dict[Any, list[Point]] = {}
    for point in sweep.points:
        lines.setdefault(point.at[sweep.line], []).append(point)
    return [point for line in list(lines.values())[::2] for point in (line if len(line) == 1 else (line[0], line[-1]))]
