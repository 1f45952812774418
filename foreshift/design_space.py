# SPDX-License-Identifier: Apache-2.0
"""Energy of a layer against how far answers move: the settings of `make sweep` at the energies of `make power`.

dense: energy by phase ─┐
settings: work left ────┼─► Σ phase · what is left of it + prediction ─► energy of a layer ─► picture, page
units: prediction ──────┘
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foreshift.frontier import LEAST, frontier
from foreshift.power_results import NAMES, Table
from synth.report import lines_of

SETTINGS = Path("build/sweep/sweep.json")
"""What `foreshift sweep` has left."""
TASK = "retrieval"
"""Its model is the one whose layers `make power` runs."""
PARTS = {"generation": "qkv", "attention": "attention", "projection": "projection", "ffn": "ffn"}
"""Phase → the part of the work that it does."""
ARRAY = "prediction: array"
SYSTEMS = {"HLog": "hlog", "power": "pot", "int8": "int8", "int4": "int4"}
"""First word of a swept number system → its name."""
LINES = {
    "system": ("prediction in", "ESACT, prediction in"),
    "window": ("w", "ESACT, window of"),
    "slices": ("slices", "LAPA, rounds of bits"),
}
"""Sweep → what tells its lines apart, and the title of its panel."""
MOVED = (0.003, 0.01, 0.03)
"""1 − cosine, at which lines are compared."""

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """Figures of `make power`, of `make sweep`, and fJ of a term in each number system."""

    power: Figures
    sweep: Figures
    terms: Mapping[str, float]

    @property
    def dense(self) -> float:
        """µJ of a layer."""
        return float(self.power["accelerators"]["dense"]["chip_nj"]) * 1e-3


Line = list[tuple[float, float]]
"""(µJ of a layer, answers moved), by rising energy."""


def estimate(power: Figures, method: str, left: Mapping[str, float], array: float = 1.0) -> float:
    """µJ of a layer in a method's accelerator. left: shares of the dense work, by part. array: energy of a term of the
    predictor, by that of the one that was measured."""
    phases = power["accelerators"]["dense"]["phases_nj"]
    done = sum(energy * (left[PARTS[phase]] if phase in PARTS else 1.0) for phase, energy in phases.items())
    own = power["accelerators"][method]
    of_array = sum(own["blocks_nj"][ARRAY].values())
    return float(done + own["prediction"] * own["chip_nj"] + (array - 1) * of_array) * 1e-3


def check(power: Figures) -> Table:
    """The estimate beside what was measured, of each accelerator, from the work that its plans left; head first."""
    table: Table = [("accelerator", "measured µJ", "estimated µJ", "difference")]
    for method, own in power["accelerators"].items():
        measured, guess = own["chip_nj"] * 1e-3, estimate(power, method, own["left"])
        # No negative zero.
        apart = round(100 * (guess / measured - 1), 1) + 0.0
        table.append((NAMES[method], f"{measured:.1f}", f"{guess:.1f}", f"{apart:+.1f} %"))
    return table


def methods(known: Known) -> dict[str, Line]:
    """Of each method what no other setting beats in both, over all sweeps."""
    points: dict[str, Line] = {}
    for name in known.sweep["sweeps"]:
        for point, energy, moved in _points(known, name):
            points.setdefault(NAMES[point["method"]], []).append((energy, moved))
    return {method: frontier(line) for method, line in points.items()}


def lines(known: Known, name: str, key: str) -> dict[str, Line]:
    """Of each value of what a sweep varies."""
    found: dict[str, Line] = {}
    for point, energy, moved in _points(known, name):
        found.setdefault(str(point["at"][key]), []).append((energy, moved))
    return {value: sorted(line) for value, line in found.items() if len(line) > 1}


def _panels(known: Known) -> list[tuple[str, dict[str, Line]]]:
    """Of each of `LINES` that was swept, its title and its lines."""
    found = [(title, lines(known, name, key)) for name, (key, title) in LINES.items()]
    return [(title, each) for title, each in found if each]


def _points(known: Known, name: str) -> Iterator[tuple[Figures, float, float]]:
    for point in known.sweep["sweeps"].get(name, []):
        if point["method"] in known.power["accelerators"]:
            found = point[TASK]
            energy = estimate(known.power, point["method"], found["left"], _term(known, point))
            yield point, energy, max(found["moved"], LEAST)


def _term(known: Known, point: Figures) -> float:
    """Energy of a term in a point's number system, by that in the method's own."""
    word = str(point["at"].get("prediction in", "")).partition(",")[0].partition(" ")[0]
    return known.terms[SYSTEMS[word]] / known.terms["hlog"] if word else 1.0


def energy_at(line: Line, moved: float) -> float | None:
    """µJ of a layer where answers have moved so far, between the points of a line; none outside of it. The logarithm of
    what they moved is taken to be straight between points."""
    energies, by = zip(*reversed(frontier(line)), strict=True)
    return float(np.interp(math.log(moved), np.log(by), energies)) if by[0] <= moved <= by[-1] else None


def table(found: Mapping[str, Line], what: str) -> Table:
    """µJ of a layer at equal answers; head first."""
    rows: Table = [(what, *(f"moved by {moved:g}" for moved in MOVED))]
    for value, line in found.items():
        energies = (energy_at(line, moved) for moved in MOVED)
        rows.append((value, *("–" if each is None else f"{each:.1f}" for each in energies)))
    return rows


def markdown(known: Known) -> str:
    """The page; its picture is space.png."""
    text = [
        "# Energy against answers",
        "",
        f"A layer of MiniLM, 128 tokens: {known.dense:.1f} µJ dense. Each setting of `make sweep`, the same in all "
        "layers, no fine-tuning; its energy is that of dense, phase by phase, times the share of the phase's work that "
        "is left, and the prediction of its unit as `make power` measured it, with the array's energy at that of the "
        "number system. What a window's comparators or more rounds take is that of the unit as built. *moved*: "
        "1 − cosine of the embeddings to those of dense int8, on calibration data.",
        "",
        "![energy of a layer against how far answers move](space.png)",
        "",
        "µJ of a layer where answers have moved as far:",
        "",
        *lines_of(table(methods(known), "method")),
        "",
    ]
    for title, found in _panels(known):
        text += [*lines_of(table(found, title)), ""]
    text += ["How good the estimate is, for the plans that were measured:", "", *lines_of(check(known.power)), ""]
    return "\n".join(text)


def draw(known: Known, path: Path) -> None:
    """A panel for the methods, and one for each of `LINES`."""
    from matplotlib.figure import Figure

    from foreshift.pictures import save

    panels = [("method", methods(known)), *_panels(known)]
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, found) in zip(every, panels, strict=True):
        for value, line in found.items():
            xs, ys = zip(*line, strict=True)
            axes.plot(xs, ys, marker="o", markersize=3, label=value)
        axes.axvline(known.dense, color="#5b6b7a", linewidth=0.9, linestyle=":", label="dense")
        axes.set(title=title, xlabel="energy of a layer, µJ", yscale="log", ylim=(5e-4, None))
        axes.legend(frameon=False, fontsize=7.5)
        axes.spines[["top", "right"]].set_visible(False)
    every[0].set_ylabel("answers moved, 1 − cosine")
    save(figure, path)
