# SPDX-License-Identifier: Apache-2.0
"""The tables of `foreshift sweep`, and the figures behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from foreshift.evaluation_results import TASKS
from foreshift.frontier import LEAST, at_work
from tasks.head_keys import Compared, Kept
from tasks.sweeps import Point, Sweep
from tasks.swept import Found

MOVED = {"retrieval": "1 − cosine", "language": "nats", "vision": "nats"}
"""In what it is said how far answers move."""
CLAIMS = (
    ("ESACT", "computation removed at < 1 % loss, mean of 26 benchmarks", "52.03 % (51.7 % in one text)"),
    ("LAPA-C", "perplexity loss at η of about 0.5", "≤ 0.5 %"),
    ("LAPA-A", "attention complexity removed at about 2 % perplexity loss", "84 %"),
    ("LAPA", "complexity that the rounds (MRSA) remove", "19 %"),
    ("LAPA", "complexity that the threshold (DDF) removes", "11 %"),
)
"""What the papers say of themselves."""
ESACT_LEFT, LAPA_A_LEFT, LAPA_A_LOSS, LAPA_C_LOSS = 0.4797, 0.16, 0.02, 0.005
"""The same as shares of the work or attention that is left, and of perplexity."""


@dataclass(frozen=True)
class Results:
    """found: by task and sweep, in the order of its points. heads: by task. sequences: of each task's sample."""

    sweeps: Mapping[str, Sweep]
    found: Mapping[str, Mapping[str, Sequence[Found]]]
    heads: Mapping[str, Compared]
    sequences: Mapping[str, int]

    def pairs(self, task: str, name: str) -> list[tuple[Point, Found]]:
        """The points of a sweep with what was found."""
        return list(zip(self.sweeps[name].points, self.found[task][name], strict=True))

    def lines(self, task: str, name: str) -> dict[Any, list[tuple[float, float]]]:
        """Of a sweep that is to be compared at equal work: of each value (share left, moved), rising."""
        sweep = self.sweeps[name]
        result: dict[Any, list[tuple[float, float]]] = {}
        for point, found in self.pairs(task, name):
            result.setdefault(point.at[sweep.line], []).append((found.left[sweep.part], max(found.moved, LEAST)))
        return {value: sorted(line) for value, line in result.items()}


def common(lines: Mapping[Any, Sequence[tuple[float, float]]]) -> float:
    """The share of the work in the middle of what all lines reach."""
    long = [line for line in lines.values() if len(line) > 1]
    return (max(line[0][0] for line in long) + min(line[-1][0] for line in long)) / 2


def at_equal_work(results: Results) -> list[str]:
    """Tables: how far answers move if the same work is left."""
    lines = []
    for name, sweep in results.sweeps.items():
        if sweep.line:
            lines += [f"*{sweep.title}*", "", *_equal_table(results, name), ""]
    return lines


def _equal_table(results: Results, name: str) -> list[str]:
    lines = {task: results.lines(task, name) for task in TASKS}
    levels = {task: common(lines[task]) for task in TASKS if any(len(line) > 1 for line in lines[task].values())}
    heads = [f"{title}, {levels[task]:.0%} left" for task, title in TASKS.items() if task in levels]
    table = [_row([results.sweeps[name].line, *heads]), "|---|" + "---:|" * len(heads)]
    for value in next(iter(lines.values())):
        found = [at_work(lines[task][value], levels[task]) for task in levels]
        if any(each is not None for each in found):
            table.append(_row([str(value), *("–" if each is None else f"{each:.3g}" for each in found)]))
    return table


def markdown(results: Results) -> str:
    """The whole page."""
    sample = ", ".join(f"{count} of {TASKS[task]}" for task, count in results.sequences.items())
    units = ", ".join(f"{TASKS[task]}: {unit}" for task, unit in MOVED.items())
    lines = [
        "# Sweeps",
        "",
        f"Calibration data alone; sequences: {sample}. *moved*: how far answers are from those of dense int8 "
        f"({units}). *left*: share of the work, prediction apart. *perplexity*: against dense int8 on the same "
        "windows, which are training data. *recall*: of the keys kept, the share among as many exact ones. Settings "
        "are the same in all layers.",
        "",
        "![methods](methods.png)",
        "",
        "![attention](attention.png)",
        "",
        "## At equal work",
        "",
        "How far answers move where as much work is left, between the measured points.",
        "",
        *at_equal_work(results),
        "![number systems](systems.png)",
        "",
        "![windows](windows.png)",
        "",
    ]
    for name, sweep in results.sweeps.items():
        lines += [f"## {sweep.title}", "", *_table(results, name), ""]
    lines += ["## k per head", "", *_heads(results.heads), "", "## What the papers claim, not measured here", ""]
    lines += [_row(["method", "figure", "claimed"]), "|---|---|---:|", *(_row(claim) for claim in CLAIMS), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(results: Results, name: str) -> list[str]:
    sweep = results.sweeps[name]
    left = "left" if sweep.part == "total" else f"{sweep.part} left"
    ats = list(sweep.points[0].at)
    heads = list(ats)
    for task, title in TASKS.items():
        heads += [f"{title}: moved", left, *(["perplexity"] if task == "language" else [])]
        heads += ["recall"] if sweep.recall else []
    lines = [_row(heads), "|---|" + "---:|" * (len(heads) - 1)]
    for number, point in enumerate(sweep.points):
        cells = [str(point.at[each]) for each in ats]
        for task in TASKS:
            cells += _cells(results.found[task][name][number], sweep)
        lines.append(_row(cells))
    return lines


def _cells(found: Found, sweep: Sweep) -> list[str]:
    cells = [f"{max(found.moved, 0):.3g}", f"{found.left[sweep.part]:.1%}"]
    if found.loss is not None:
        cells.append(f"{found.loss:+.2%}")
    return cells + ([f"{found.recall:.3f}"] if sweep.recall else [])


def _heads(heads: Mapping[str, Compared]) -> list[str]:
    lines = [
        "HLog's top k, no row copied: one k for all heads of a layer, against one for each head and as many keys in "
        "all, chosen on half of the sequences by the probability that is kept, and measured on the others.",
        "",
        _row(["model", "one k: kept · moved · attention left", "k per head", "keys needed for as much"]),
        "|---|" + "---:|" * 3,
    ]
    for task, title in TASKS.items():
        one, own = heads[task].one, heads[task].own
        cells = [_kept(one), _kept(own), f"{heads[task].needed:.0%}"]
        lines.append(_row([title, *cells]))
    return lines


def _kept(found: Kept) -> str:
    return f"{found.mass:.2%} · {found.moved:.3g} · {found.left['attention']:.1%}"


def figures(results: Results) -> dict[str, Any]:
    """Everything, as JSON holds it."""
    return {
        "sequences": dict(results.sequences),
        "sweeps": {
            name: [
                {**asdict(point), **{task: asdict(results.found[task][name][number]) for task in TASKS}}
                for number, point in enumerate(sweep.points)
            ]
            for name, sweep in results.sweeps.items()
        },
        "heads": {task: asdict(each) for task, each in results.heads.items()},
        "claimed": [list(claim) for claim in CLAIMS],
    }
