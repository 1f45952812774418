# SPDX-License-Identifier: Apache-2.0
"""The pictures of `foreshift sweep`: how far answers move against what is left to compute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foreshift.evaluation_results import COLOURS, TASKS
from foreshift.frontier import LEAST, frontier
from foreshift.pictures import GRID, INK, QUIET, save
from foreshift.sweep_results import (
    ESACT_LEFT,
    LAPA_A_LEFT,
    LAPA_A_LOSS,
    LAPA_C_LOSS,
    MOVED,
    Results,
)
from tasks.methods import METHODS

SYSTEM_COLOURS = {
    "int8": "#8a8f98",
    "HLog, nearest": "#1f5fa8",
    "HLog, nearest down": "#4f8fd0",
    "HLog, truncated": "#9cc3ea",
    "power of two": "#5a9e6f",
    "int4": "#9b59a8",
}
WINDOW_COLOURS = {2: "#a9c9ea", 4: "#6fa3d8", 8: "#1f5fa8", 16: "#12365f"}
ROUND_COLOURS = {"8": "#f0b87f", "8, symmetric": "#3a9fa5", "4+4": "#b8641a", "3+3+2": "#5f3208"}
ROUND_NAMES = {"8": "1 round", "8, symmetric": "1 round, both coded", "4+4": "2 rounds of 4 bits", "3+3+2": "3 rounds"}
SIZE = (9.5, 3.8)
SMALLEST = 0.01
"""% of perplexity: less, or none, is drawn as that much."""


@dataclass(frozen=True)
class Line:
    """points: (x, y)."""

    label: str
    colour: str
    points: Sequence[tuple[float, float]]


def draw(results: Results, folder: Path) -> None:
    """All of them."""
    _panels(folder / "methods.png", lambda axes, task: _methods(axes, results, task))
    _panels(folder / "systems.png", lambda axes, task: _swept(axes, results, task, "system", SYSTEM_COLOURS))
    _panels(folder / "windows.png", lambda axes, task: _swept(axes, results, task, "window", WINDOW_COLOURS))
    _attention(results, folder / "attention.png")


def _panels(path: Path, fill: Callable[[Axes, str], None]) -> None:
    """A panel for each model."""
    figure = Figure(figsize=SIZE, layout="constrained")
    panels = figure.subplots(1, len(TASKS), squeeze=False)[0]
    for axes, (task, title) in zip(panels, TASKS.items(), strict=True):
        axes.set_yscale("log")
        fill(axes, task)
        _frame(axes, title, "computation left, %", f"answers moved, {MOVED[task]}")
    _legend(figure)
    save(figure, path)


def _methods(axes: Axes, results: Results, task: str) -> None:
    lines = []
    for method, colour in COLOURS.items():
        pairs = [pair for name in results.sweeps for pair in results.pairs(task, name) if pair[0].method == method]
        points = frontier([(found.left["total"], max(found.moved, LEAST)) for _, found in pairs])
        lines.append(Line(METHODS[method].title.partition(" ")[0], colour, points))
    _draw(axes, lines)
    _upright(axes, 100 * ESACT_LEFT, "ESACT claims\n< 1 % loss here")


def _swept(axes: Axes, results: Results, task: str, name: str, colours: Mapping[Any, str]) -> None:
    lines = results.lines(task, name)
    named = {value: f"w = {value}" if isinstance(value, int) else value for value in colours}
    _draw(axes, [Line(named[value], colour, lines.get(value, [])) for value, colour in colours.items()])


def _attention(results: Results, path: Path) -> None:
    """The language model's perplexity against what is left of attention: predictors, and LAPA's rounds."""
    figure = Figure(figsize=SIZE, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, squeeze=False)[0]
    keys = {"lapa": ("slices", "slices", "4+4"), "spls": ("keys", "prediction in", "HLog, nearest")}
    lines = [
        Line("LAPA, 2 rounds" if method == "lapa" else "HLog top k", COLOURS[method], _loss(results, name, at, value))
        for method, (name, at, value) in keys.items()
    ]
    lines += [Line(METHODS[method].title, COLOURS[method], _loss(results, method)) for method in ("fact", "sanger")]
    rounds = [
        Line(ROUND_NAMES[slices], colour, _loss(results, "slices", "slices", slices))
        for slices, colour in ROUND_COLOURS.items()
    ]
    for axes, shown, title in ((left, lines, "keys chosen by"), (right, rounds, "LAPA in")):
        _draw(axes, shown)
        axes.axhline(100 * LAPA_C_LOSS, color=QUIET, linewidth=0.9, linestyle=":")
        axes.annotate("LAPA-C claims ≤ 0.5 %", (0.99, 100 * LAPA_C_LOSS), xycoords=axes.get_yaxis_transform(), **_NOTE)
        axes.plot(100 * LAPA_A_LEFT, 100 * LAPA_A_LOSS, marker="x", color=QUIET)
        axes.annotate("LAPA-A claims", (100 * LAPA_A_LEFT, 100 * LAPA_A_LOSS), **_NOTE | {"ha": "left"})
        _frame(axes, f"Language model, {title}", "attention left, %", "perplexity, % above dense int8")
        axes.set_yscale("log")
    right.set_ylabel("")
    _legend(figure)
    save(figure, path)


_NOTE: dict[str, Any] = {
    "xytext": (0, 4),
    "textcoords": "offset points",
    "fontsize": 7.5,
    "color": QUIET,
    "ha": "right",
}


def _loss(results: Results, name: str, at: str = "", value: object = None) -> list[tuple[float, float]]:
    pairs = [pair for pair in results.pairs("language", name) if not at or pair[0].at[at] == value]
    return sorted((found.left["attention"], max(SMALLEST, 100 * (found.loss or 0))) for _, found in pairs)


def _draw(axes: Axes, lines: Sequence[Line]) -> None:
    """The lines, x in %."""
    for line in lines:
        if line.points:
            xs, ys = zip(*line.points, strict=True)
            style: dict[str, Any] = {"marker": "o", "markersize": 3, "linewidth": 1.6, "zorder": 3}
            axes.plot(100 * np.array(xs), ys, color=line.colour, label=line.label, **style)


def _legend(figure: Figure) -> None:
    """What the colours of all panels stand for, each once, below them."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=min(6, len(found)), frameon=False, fontsize=8.5
    )


def _upright(axes: Axes, x: float, words: str) -> None:
    axes.axvline(x, color=QUIET, linewidth=0.9, linestyle=":", zorder=1)
    axes.annotate(words, (x, 0.02), xycoords=axes.get_xaxis_transform(), **_NOTE | {"ha": "left", "xytext": (3, 0)})


def _frame(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, color=INK, fontsize=10, loc="left")
    axes.set_xlabel(across, color=QUIET, fontsize=8.5)
    axes.set_ylabel(up, color=QUIET, fontsize=8.5)
    axes.tick_params(which="both", colors=QUIET, labelsize=8)
    axes.grid(color=GRID, linewidth=0.7, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
