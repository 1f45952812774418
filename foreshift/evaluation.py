# SPDX-License-Identifier: Apache-2.0
"""`foreshift eval`: what each predictor does to real models, over 26 benchmarks: accuracy, work left, work added."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from foreshift.demo_results import staged
from foreshift.evaluation_results import Row, draw, markdown, text
from jobs.runner import workers
from jobs.store import Store
from tasks.benchmarks import BENCHMARKS
from tasks.methods import METHODS
from tasks.search import FLOAT, Limits, Place, Result, best, fixed, known, search

OUTPUT = Path("build/eval")
MEASURED = "measured.jsonl"
SHORT: Limits = {"retrieval": 10, "language": 3, "vision": 32}
FULL: Limits = {"retrieval": 200, "language": 48, "vision": 530}
TYPICAL: dict[str, Place] = {
    "dense": (),
    "spls": (2, 3, 2),
    "lapa": (2, 2),
    "fact": (2,),
    "sanger": (3,),
    "spatten": (1, 2),
}
"""Of the short form, which looks for nothing: a setting of each method in the milder half."""


def run(args: Namespace) -> None:
    """Measure what has not been measured yet, print the table, write build/eval."""
    store = Store(OUTPUT / MEASURED)
    limits = FULL if args.full else SHORT
    with workers() as client, _bar(args.full) as bar:

        def progress(result: Result) -> None:
            bar.set_postfix_str(f"{result.benchmark} {result.method}", refresh=False)
            bar.update()

        if args.full:
            # A search takes as many steps as the answers lead to: the bar's end is the most there can be.
            search(client, METHODS, limits, store, progress)
        else:
            fixed(client, TYPICAL, limits, store, progress)
    rows = [_row(name, store, limits, args.full) for name in ("dense", *(name for name in METHODS if name != "dense"))]
    with staged(OUTPUT) as folder:
        (folder / "eval.md").write_text(markdown(rows, full=args.full, limits=limits), encoding="utf-8")
        (folder / "eval.json").write_text(json.dumps(_as_json(rows), indent=2) + "\n", encoding="utf-8")
        draw(rows, folder / "eval.png")
    print(json.dumps(_as_json(rows), indent=2) if args.json else text(rows))
    print(OUTPUT / "eval.md", file=sys.stderr)


def _bar(full: bool) -> Any:
    most = len(BENCHMARKS) * (len(METHODS) + 1)
    if full:
        most = len(BENCHMARKS) * (
            1 + sum(max(1, sum(_halvings(len(axis)) for axis in each.axes)) for each in METHODS.values())
        )
    return tqdm(total=most, unit="run", desc="26 benchmarks", dynamic_ncols=True, smoothing=0)


def _halvings(length: int) -> int:
    return length.bit_length()


def _row(method: str, store: Store, limits: Limits, full: bool) -> Row:
    """A method's results, one for each benchmark, or none where no setting is good enough."""
    results = []
    for which in BENCHMARKS:
        limit = limits[which.task]
        if full and method != "dense":
            results.append(best(which, method, limit, store))
        else:
            results.append(known(store, which.name, method, TYPICAL[method], limit))
    dense = [known(store, which.name, "dense", (), limits[which.task]) for which in BENCHMARKS]
    references = [known(store, which.name, FLOAT, (), limits[which.task]) for which in BENCHMARKS]
    return Row(
        method,
        METHODS[method].title,
        results,
        [each for each in dense if each],
        [each.score for each in references if each],
    )


def _as_json(rows: list[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, which in enumerate(BENCHMARKS):
        entry: dict[str, Any] = {"metric": which.metric, "float": rows[0].references[number]}
        for row in rows:
            result = row.results[number]
            entry[row.method] = result and {"score": result.score, "setting": result.setting, "left": result.left}
        found[which.name] = entry
    return found
