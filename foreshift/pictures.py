# SPDX-License-Identifier: Apache-2.0
"""Pictures of the demonstration: attention maps side by side, and bars of the share of the exact top-k found.

Drawn without a display. Text that came from outside is drawn as it is, never as mathematics, and a character that
the font lacks as an empty box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import shorten

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from numpy.typing import NDArray

DPI = 144
INK, QUIET, GRID = "#1b2733", "#5b6b7a", "#d9dfe5"
HIT, MISS = "#ff8c1a", "#d6246e"
MAP = "Blues"
SYSTEM_NAMES = {"hlog": "HLog", "aloc": "ALOC", "int8": "int8", "int4": "int4", "pot": "power of two"}
SYSTEM_COLOURS = {"hlog": "#1f5fa8", "aloc": "#e07b1a", "int8": "#8d99a6", "int4": "#b9c3cc", "pot": "#d5b48c"}

# Attention maps, in inches. A cell is as large as a token's label needs; short sentences get larger cells.
CELL, SMALLEST_MAP = 0.10, 4.6
CHARACTER, SHORTEST_LABEL = 0.066, 0.6  # of a token's label at the largest font
LARGEST_FONT, LARGEST_MARK = 7.5, 9.0  # in points, of which an inch has 72
TOP, BOTTOM, GAP, COLOUR_BAR = 1.45, 0.55, 0.15, 0.95
RECALL_SIZE = (11.0, 4.8)


@dataclass(frozen=True)
class Panel:
    """One attention map: `weights` [T, T] rows of queries, `kept` and `exact_kept` bitmaps of marked entries."""

    title: str
    note: str
    weights: NDArray[np.float64]
    kept: NDArray[np.bool_]
    exact_kept: NDArray[np.bool_]


def _map_size(tokens: Sequence[str]) -> tuple[float, float]:
    """The side of one map and the room for its labels, in inches."""
    longest = max(len(token) for token in tokens)
    return max(SMALLEST_MAP, CELL * len(tokens)), max(SHORTEST_LABEL, CHARACTER * longest + 0.1)


def attention_pixels(tokens: Sequence[str], panels: int = 3) -> tuple[int, int]:
    """Width and height in pixels of the picture of `panels` maps of a sentence."""
    side, labels = _map_size(tokens)
    width = panels * (labels + side) + (panels - 1) * GAP + COLOUR_BAR
    return round(width * DPI), round((TOP + side + labels + BOTTOM) * DPI)


def draw_attention(path: Path, heading: str, sentence: str, tokens: Sequence[str], panels: Sequence[Panel]) -> None:
    """Write the maps side by side as PNG, with the tokens on both axes and a mark on every kept entry.

    A filled mark is an entry of the exact top-k, a hollow one an entry that only the prediction kept. All maps share
    one colour scale, that of the first.
    """
    side, labels = _map_size(tokens)
    width, height = (pixels / DPI for pixels in attention_pixels(tokens, len(panels)))
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    _headings(figure, labels / width, height, heading, sentence)
    cell = 72 * side / len(tokens)
    bottom, tall = (BOTTOM + labels) / height, side / height
    shades = PowerNorm(0.5, vmin=0.0, vmax=float(panels[0].weights.max()))  # the square root shows the small weights
    for index, panel in enumerate(panels):
        left = labels + index * (side + labels + GAP)
        axes = figure.add_axes((left / width, bottom, side / width, tall))
        image = axes.imshow(panel.weights, cmap=MAP, norm=shades, interpolation="nearest")
        _label(axes, tokens, cell)
        _mark(axes, panel, cell)
        axes.set_title(panel.title, loc="left", fontsize=12, color=INK, pad=20, fontweight="bold")
        axes.text(0, 1.0 + 0.07 / side, panel.note, transform=axes.transAxes, fontsize=9.5, color=QUIET)
    bar = figure.add_axes((1 - 0.72 / width, bottom, 0.14 / width, tall))
    figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=8, color=QUIET, labelcolor=QUIET)
    bar.set_title("weight", fontsize=8.5, color=QUIET)
    _legend(figure)
    save(figure, path)


def _headings(figure: Figure, left: float, height: float, heading: str, sentence: str) -> None:
    """The title, and the sentence below it as far as one line holds it."""
    shown = _drawable(shorten(sentence, width=150, placeholder=" …"))
    figure.text(left, 1 - 0.38 / height, heading, fontsize=14, fontweight="bold", color=INK)
    figure.text(left, 1 - 0.64 / height, shown, fontsize=10, color=QUIET, parse_math=False)


def _label(axes: Axes, tokens: Sequence[str], cell: float) -> None:
    """Tokens on both axes and lines between them; `cell` is the side of one in points."""
    names = [_drawable(token) for token in tokens]
    places = range(len(names))
    size = min(LARGEST_FONT, 0.72 * cell)
    axes.set_xticks(places, names, rotation=90, fontsize=size, color=INK, parse_math=False)
    axes.set_yticks(places, names, fontsize=size, color=INK, parse_math=False)
    axes.tick_params(length=0, pad=3)
    borders, ends = np.arange(1, len(names)) - 0.5, (-0.5, len(names) - 0.5)
    axes.hlines(borders, *ends, colors="white", linewidth=min(0.5, cell / 20))
    axes.vlines(borders, *ends, colors="white", linewidth=min(0.5, cell / 20))
    for edge in axes.spines.values():
        edge.set_color(GRID)


def _mark(axes: Axes, panel: Panel, cell: float) -> None:
    """A dot per kept entry, at most a third of a cell wide."""
    points = min(LARGEST_MARK, cell / 3)
    for chosen, face, edge in (
        (panel.kept & panel.exact_kept, HIT, "white"),
        (panel.kept & ~panel.exact_kept, "white", MISS),
    ):
        rows, columns = np.nonzero(chosen)
        axes.scatter(columns, rows, s=points**2, c=face, edgecolors=edge, linewidths=points / 5, zorder=3)


def _legend(figure: Figure) -> None:
    """What the marks and the axes mean, along the lower edge."""
    entries = (
        (HIT, "white", "kept, and in the exact top-k"),
        ("white", MISS, "kept by the prediction, not in the exact top-k"),
    )
    marks = [
        Line2D([], [], linestyle="", marker="o", markersize=7, markerfacecolor=face, markeredgecolor=edge, label=words)
        for face, edge, words in entries
    ]
    marks.append(Line2D([], [], linestyle="", label="row: the token that looks; column: the token it looks at"))
    figure.legend(handles=marks, loc="lower center", ncols=3, frameon=False, fontsize=9, labelcolor=QUIET)


def draw_recall(path: Path, heading: str, panels: Mapping[str, Mapping[str, Mapping[int, float]]], tokens: int) -> None:
    """Write bars of the share found as PNG: a panel per title of `panels`, in it a group per k and a bar per system.

    A panel maps system to k to the share, 0 to 1. The line behind a group is the share that a blind guess finds,
    k of `tokens` columns.
    """
    figure = Figure(figsize=RECALL_SIZE, dpi=DPI, facecolor="white")
    figure.suptitle(heading, x=0.06, y=0.965, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.subplots_adjust(left=0.06, right=0.985, top=0.80, bottom=0.19, wspace=0.09)
    for place, (title, shares) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        axes.set_title(title, loc="left", fontsize=10.5, color=QUIET, pad=8)
        _bars(axes, shares, tokens)
        axes.tick_params(labelleft=place == 1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9.5, labelcolor=INK)
    save(figure, path)


def _bars(axes: Axes, shares: Mapping[str, Mapping[int, float]], tokens: int) -> None:
    kept = list(next(iter(shares.values())))
    pitch = 0.84 / len(shares)
    centres = np.arange(len(kept), dtype=np.float64)
    for index, (system, by_k) in enumerate(shares.items()):
        places = centres + (index - (len(shares) - 1) / 2) * pitch
        heights = [100 * by_k[k] for k in kept]
        bars = axes.bar(
            places, heights, pitch * 0.88, color=SYSTEM_COLOURS[system], label=SYSTEM_NAMES[system], zorder=2
        )
        axes.bar_label(bars, fmt="%.0f", fontsize=8.5, color=INK, padding=1.5)
    for index, (centre, k) in enumerate(zip(centres, kept, strict=True)):
        guess = 100 * min(k / tokens, 1.0)
        words = "" if index else "blind guess"  # once in the legend
        axes.hlines(
            guess, centre - 0.46, centre + 0.46, colors=INK, linestyles=":", linewidth=1.2, zorder=3, label=words
        )
    axes.set_xticks(centres, [f"top {k}" for k in kept], fontsize=10, color=INK)
    axes.set_yticks(range(0, 101, 20), [f"{share} %" for share in range(0, 101, 20)], fontsize=9, color=QUIET)
    axes.set_ylim(0, 108)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


@cache
def _font_characters() -> frozenset[int]:
    """The code points that the font of all pictures can draw."""
    return frozenset(FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())


def _drawable(text: str) -> str:
    """`text` with an empty box for every character that the font lacks."""
    return "".join(character if ord(character) in _font_characters() else "\N{WHITE SQUARE}" for character in text)


def save(figure: Figure, path: Path) -> None:
    """Write PNG without the version of the drawing library in it: the same picture gives the same bytes."""
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
