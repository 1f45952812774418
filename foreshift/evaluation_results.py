# SPDX-License-Identifier: Apache-2.0
"""The tables and the picture of `foreshift eval`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from foreshift.pictures import GRID, INK, QUIET, save
from tasks.benchmarks import BENCHMARKS, Benchmark
from tasks.measure import Limits, Result
from tasks.prepared import BUILD, Setting, of_layer
from tasks.tuner import ALLOWED, Choice

PARTS = {"qkv": "Q, K, V", "attention": "attention", "projection": "projection", "ffn": "FFN", "total": "all"}
COLOURS = {
    "spls": "#1f5fa8",
    "spls-trained": "#7fb2e5",
    "lapa": "#d9822b",
    "fact": "#5a9e6f",
    "sanger": "#9b59a8",
    "spatten": "#8a8f98",
}
TASKS = {"retrieval": "MiniLM, retrieval", "language": "language model", "vision": "ViT"}


@dataclass(frozen=True)
class Row:
    """A method: its results by benchmark, none where no setting is within the allowed loss; those of dense int8, which
    stand in there; the scores in floating point; and what was tuned on calibration data, if anything was."""

    method: str
    title: str
    results: Sequence[Result | None]
    dense: Sequence[Result]
    references: Sequence[float]
    choices: Sequence[Choice] = ()

    @property
    def counted(self) -> list[Result]:
        """What means are taken of."""
        return [result or dense for result, dense in zip(self.results, self.dense, strict=True)]

    def mean(self, part: str, task: str | None = None) -> float:
        """Of a part's share that is left, over the benchmarks of a task or all."""
        return float(np.mean([result.left[part] for which, result in self._of(task)]))

    def loss(self, task: str | None = None) -> float:
        """Mean relative loss over the benchmarks of a task or all."""
        pairs = zip(self._of(None), self.references, strict=True)
        found = [which.loss(result.score, ref) for (which, result), ref in pairs if task in (None, which.task)]
        return float(np.mean(found))

    def good(self, task: str | None) -> str:
        """In how many benchmarks the loss is within what is allowed on average."""
        pairs = zip(BENCHMARKS, self.counted, self.references, strict=True)
        found = [which.loss(result.score, ref) <= ALLOWED for which, result, ref in pairs if task in (None, which.task)]
        return f"{sum(found)} of {len(found)}"

    def _of(self, task: str | None) -> list[tuple[Benchmark, Result]]:
        chosen = zip(BENCHMARKS, self.counted, strict=True)
        return [(which, result) for which, result in chosen if task in (None, which.task)]


def _score(which: Benchmark, score: float) -> str:
    return f"{score:.2f}" if which.task == "language" else f"{100 * score:.1f}"


def text(rows: Sequence[Row]) -> str:
    """Means over all benchmarks, for the terminal."""
    lines = [f"{'method':18}" + "".join(f"{title:>12}" for title in PARTS.values()) + f"{'prediction':>12}{'loss':>9}"]
    for row in rows:
        shares = "".join(f"{100 * row.mean(part):10.1f} %" for part in PARTS)
        lines.append(f"{row.title:18}{shares}{100 * row.mean('prediction'):10.1f} %{100 * row.loss():7.2f} %")
    return "\n".join(lines)


def markdown(rows: Sequence[Row], *, full: bool, limits: Limits) -> str:
    """The whole page."""
    sizes = f"{limits['retrieval']} pairs, {limits['language']} windows of 128 tokens, {limits['vision']} images"
    how = (
        f"Each method at the setting of each model that leaves least within {100 * ALLOWED:.0f} % mean relative loss "
        f"of the model in floating point on calibration data, and measured here on test data; at most {sizes}. "
        "Where no setting is within, dense int8 is counted."
        if full
        else f"A short form: the settings of config/settings.json, on few items; at most {sizes}. For a look only."
    )
    lines = ["# What the predictors do to real models", "", how, "", "![work left](eval.png)", "", "## Means", ""]
    lines += _means(rows)
    lines += ["", "## Benchmarks", "", *_table(rows), "", *_retrieval(rows), "", "## Where the work is left", ""]
    for row in rows[1:]:
        lines += [f"### {row.title}", "", *_breakdown(row), ""]
    return "\n".join(lines)


def _means(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| method | task | "
        + " | ".join(PARTS.values())
        + f" | prediction adds | loss | within {100 * ALLOWED:.0f} % |",
        "|---|---|" + "---:|" * (len(PARTS) + 3),
    ]
    for row in rows:
        for task, title in (*TASKS.items(), (None, "all 26")):
            shares = " | ".join(f"{100 * row.mean(part, task):.1f} %" for part in PARTS)
            adds, loss = 100 * row.mean("prediction", task), 100 * row.loss(task)
            lines.append(f"| {row.title} | {title} | {shares} | {adds:.1f} % | {loss:.2f} % | {row.good(task)} |")
    return lines


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "Score and share of all work that is left, prediction apart. Top-1 and accuracy in %, perplexity as it is.",
        "",
        "| benchmark | metric | float | " + " | ".join(row.title for row in rows) + " |",
        "|---|---|---:|" + "---:|" * len(rows),
    ]
    for number, which in enumerate(BENCHMARKS):
        cells = [which.name, which.metric, _score(which, rows[0].references[number])]
        for row in rows:
            result = row.results[number]
            cells.append(f"{_score(which, result.score)} · {100 * result.left['total']:.0f} %" if result else "none")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _retrieval(rows: Sequence[Row]) -> list[str]:
    lines = [
        "Retrieval, mean over its corpora; cosine to the embeddings of the model in floating point.",
        "",
        "| method | top-1 | MRR | cosine |",
        "|---|---:|---:|---:|",
    ]
    for row in rows:
        found = [each for each in row.counted if each.which.task == "retrieval"]
        top1, mrr, cosine = (
            float(np.mean(each))
            for each in zip(*((r.score, r.more["mrr"], r.more["cosine"]) for r in found), strict=True)
        )
        lines.append(f"| {row.title} | {100 * top1:.1f} % | {mrr:.3f} | {cosine:.3f} |")
    return lines


def _breakdown(row: Row) -> list[str]:
    lines = [
        "| benchmark | " + " | ".join(PARTS.values()) + " | prediction adds |",
        "|---|" + "---:|" * (len(PARTS) + 1),
    ]
    for which, result in zip(BENCHMARKS, row.results, strict=True):
        if result:
            shares = " | ".join(f"{100 * result.left[part]:.1f} %" for part in PARTS)
            lines.append(f"| {which.name} | {shares} | {100 * result.left['prediction']:.1f} % |")
    for task, title in TASKS.items():
        setting = next((each.setting for each in row.results if each and each.which.task == task), None)
        if setting:
            lines += ["", f"{title}: {_words(setting)}."]
    for choice in row.choices:
        lines += [
            "",
            f"{TASKS[choice.task]}, calibration: {100 * choice.left:.1f} % left, loss {100 * choice.loss:.2f} %.",
        ]
    return lines


def _words(setting: Setting) -> str:
    """A setting in a line: what all layers have, once, and the rest layer by layer."""
    words = []
    for name, value in setting.items():
        if name == BUILD:
            words += [f"{key} {each}" for key, each in value.items()]
        elif isinstance(value, list) and len(set(value)) > 1:
            words.append(f"{name} {', '.join(f'{each:g}' for each in value)} by layer")
        else:
            words.append(f"{name} {of_layer(setting, 0)[name]:g}")
    return "; ".join(words)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Bars of what each method leaves of each part, a panel for each task."""
    figure = Figure(figsize=(9.5, 3.4), layout="constrained")
    panels = figure.subplots(1, len(TASKS), sharey=True, squeeze=False)[0]
    shown = [row for row in rows if row.method in COLOURS]
    width = 0.8 / len(shown)
    for panel, (task, title) in zip(panels, TASKS.items(), strict=True):
        for number, row in enumerate(shown):
            places = np.arange(len(PARTS)) + (number - (len(shown) - 1) / 2) * width
            heights = [100 * row.mean(part, task) for part in PARTS]
            panel.bar(places, heights, width * 0.9, color=COLOURS[row.method], label=row.title, zorder=2)
        panel.set_title(title, color=INK, fontsize=10)
        panel.set_xticks(range(len(PARTS)), list(PARTS.values()), fontsize=8, color=QUIET)
        panel.tick_params(colors=QUIET, labelsize=8)
        panel.grid(axis="y", color=GRID, zorder=0)
        panel.set_ylim(0, 105)
        for side in ("top", "right", "left"):
            panel.spines[side].set_visible(False)
    panels[0].set_ylabel("left of the dense work, %", color=QUIET, fontsize=9)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8
    )
    save(figure, path)
