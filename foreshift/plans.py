# SPDX-License-Identifier: Apache-2.0
"""The plans of a sentence: what each speculation unit would leave to compute of a layer, head by head."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from config.presets import speculation
from config.speculate import LapaSettings, SplsSettings
from foreshift.pictures import GRID, HIT, INK, QUIET, save
from golden.models.minilm import AttentionWeights, Floats
from golden.speculate import lapa, spls
from golden.speculate.calibrate import head_settings, quantised
from golden.speculate.plan import Plan

METHODS = {"spls": "SPLS (ESACT)", "lapa": "LAPA"}
PRESET = "minilm"
COLUMNS, SIZE, STRIP, HEADING = 6, 1.55, 0.06, 0.5
"""Maps beside each other; the side of one, in inches; the strip of needed columns, as a share of it; the heading's
height, in inches."""
DROPPED, KEPT, SIMILAR = "#f3f6f9", "#1f5fa8", "#fbd9b5"


@dataclass(frozen=True)
class Shares:
    """What is left of a layer's work, each part 0 to 1 of its own dense amount."""

    q: float
    kv: float
    attention: float
    projection: float
    ffn: float


def predict(x: Floats, weights: AttentionWeights) -> dict[str, Plan]:
    """Both plans of a layer with input `x` [T, 384], at settings that a tenth of T and a third of it stand behind."""
    operands, tokens = quantised(x, weights), len(x)
    given = {name: getattr(operands, name).astype(np.int64) for name in ("x", "wq", "wk", "bq", "bk")}
    units = speculation(PRESET)
    plans = {}
    for method in METHODS:
        unit = units[method]
        scales = head_settings(operands, unit.array.system, unit.score_bits)
        if method == "spls":
            k = max(1, round(0.35 * tokens))
            chosen = SplsSettings(scales=scales, k=k, k_similarity=max(1, tokens // 10), s=128, f=8)
            plans[method] = spls.predict(**given, settings=chosen, window=unit.window, score_bits=unit.score_bits)
        else:
            plans[method] = lapa.predict(**given, settings=LapaSettings(scales=scales), slices=unit.slices)
    return plans


def shares(plan: Plan) -> Shares:
    """Of a plan's counts."""
    heads, tokens = plan.reference.shape
    counts = plan.counts
    return Shares(
        q=counts.queries / (heads * tokens),
        kv=counts.keys / (heads * tokens),
        attention=counts.scores / (heads * tokens * tokens),
        projection=counts.projections / tokens,
        ffn=counts.ffn / tokens,
    )


def table(plans: dict[str, Plan]) -> str:
    """The work that is left, in Markdown."""
    lines = [
        "| work left of dense | Q rows | K, V rows | attention | output projection | FFN |",
        "| ------------------ | -----: | --------: | --------: | ----------------: | --: |",
    ]
    for method, plan in plans.items():
        left = shares(plan)
        parts = (left.q, left.kv, left.attention, left.projection, left.ffn)
        lines.append(f"| {METHODS[method]:18} | " + " | ".join(f"{100 * part:.1f} %" for part in parts) + " |")
    return "\n".join(lines)


def draw(path: Path, heading: str, plans: dict[str, Plan]) -> None:
    """A map per method and head: kept pairs, similar rows, and below it the columns whose K and V are needed."""
    heads = len(next(iter(plans.values())).reference)
    lines = -(-heads // COLUMNS)
    height = lines * (SIZE + 0.28) + 0.45
    figure = Figure(figsize=(COLUMNS * SIZE * 1.12 + 0.2, height * len(plans) + HEADING))
    ratios = [HEADING] + [height] * len(plans)
    top, *parts = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios).flat
    top.suptitle(heading, x=0.02, y=0.7, ha="left", color=INK, fontsize=12, fontweight="bold")
    for part, (method, plan) in zip(parts, plans.items(), strict=True):
        left = shares(plan)
        part.suptitle(
            f"{METHODS[method]}: left are {100 * left.q:.0f} % of Q, {100 * left.kv:.0f} % of K and V, "
            f"{100 * left.attention:.0f} % of attention, {100 * left.ffn:.0f} % of the FFN",
            x=0.02,
            ha="left",
            y=0.95,
            color=INK,
            fontsize=9.5,
        )
        part.subplots_adjust(left=0.02, right=0.98, top=0.85, bottom=0.05, wspace=0.1, hspace=0.26)
        grid = part.subplots(lines, COLUMNS, squeeze=False)
        for head, axes in enumerate(grid.flat):
            if head < heads:
                _map(axes, plan, head)
            else:
                axes.set_axis_off()
    marks = (("kept", KEPT), ("dropped", DROPPED), ("row copied from a similar one", SIMILAR), ("K, V needed", HIT))
    top.legend(
        handles=[Patch(facecolor=colour, edgecolor=GRID, label=label) for label, colour in marks],
        loc="upper right",
        ncols=4,
        frameon=False,
        fontsize=8,
        labelcolor=QUIET,
    )
    save(figure, path)


def _map(axes: Axes, plan: Plan, head: int) -> None:
    tokens = plan.reference.shape[1]
    shown: NDArray[np.int64] = np.where(plan.mask[head], 1, 0)
    shown[plan.reference[head] != np.arange(tokens)] = 2
    axes.imshow(shown, cmap=ListedColormap([DROPPED, KEPT, SIMILAR]), vmin=0, vmax=2, interpolation="nearest")
    strip = axes.inset_axes((0, -2 * STRIP, 1, STRIP))
    strip.imshow(plan.columns[head][np.newaxis], cmap=ListedColormap([DROPPED, HIT]), vmin=0, vmax=1, aspect="auto")
    for each in (axes, strip):
        each.set_xticks([])
        each.set_yticks([])
        each.spines[:].set_color(GRID)
    axes.set_title(f"head {head}", color=QUIET, fontsize=7, pad=2)
