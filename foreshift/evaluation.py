# SPDX-License-Identifier: Apache-2.0
"""`foreshift eval`: what each predictor does to real models, over 26 benchmarks: accuracy, work left, work added.

short: settings.json ─────────────────────────────► test ─► table
full:  tune on calibration data ─► settings.json ─► test ─► table
"""

import json
import sys
from argparse import Namespace
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from config import settings
from foreshift.demo_results import staged
from foreshift.evaluation_results import Row, draw, markdown, text
from jobs.runner import Job, follow, workers
from jobs.store import Store, Value
from tasks.benchmarks import BENCHMARKS, METRICS
from tasks.measure import FLOAT, Limits, Request, Result
from tasks.methods import METHODS
from tasks.prepared import BUILD, MODELS, Setting
from tasks.tuner import Choice, of_task, tune

OUTPUT = Path("build/eval")
MEASURED = "measured.jsonl"
SHORT: Limits = {"retrieval": 10, "language": 3, "vision": 32}
FULL: Limits = {"retrieval": 120, "language": 48, "vision": 530}
TUNED_ON: Limits = {"retrieval": 30, "language": 12, "vision": 150}
"""Of the calibration part of each benchmark."""
TASKS = tuple(reversed(METRICS))
"""The quickest first: what is known of one is whole, even if the rest takes hours."""


def run(args: Namespace) -> None:
    """Measure what has not been measured yet, print the table, write build/eval."""
    store = Store(OUTPUT / MEASURED)
    limits = FULL if args.full else SHORT
    with workers() as client, tqdm(unit="run", desc="26 benchmarks", dynamic_ncols=True, smoothing=0) as bar:

        def progress(job: Job) -> None:
            bar.set_postfix_str(" ".join(_words(job)), refresh=False)
            bar.update()

        courses = [_course(task, method, limits, args.full) for task in TASKS for method in (FLOAT, *METHODS)]
        if not args.full:
            bar.reset(total=len(BENCHMARKS) * (1 + len(METHODS)))
        found = [each for each in follow(client, courses, store, progress) if each]
    rows, chosen = _rows(found), _chosen(found)
    with staged(OUTPUT) as folder:
        (folder / "eval.md").write_text(markdown(rows, full=args.full, limits=limits), encoding="utf-8")
        (folder / "eval.json").write_text(json.dumps(_as_json(rows), indent=2) + "\n", encoding="utf-8")
        (folder / "settings.json").write_text(settings.text(chosen), encoding="utf-8")
        draw(rows, folder / "eval.png")
    print(json.dumps(_as_json(rows), indent=2) if args.json else text(rows))
    print(OUTPUT / "eval.md", file=sys.stderr)


def _words(job: Job) -> tuple[str, str]:
    """What a job measures, and with which method."""
    given = job.args[0]
    return (given.benchmark, given.method) if isinstance(given, Request) else (job.args[0], job.args[1])


Tested = tuple[str, Choice | None, list[Result]]
"""A method, what the tuner chose for a task's model if it was asked to, and the results of the task's benchmarks, none
where no setting is good enough."""


def _course(task: str, method: str, limits: Limits, full: bool) -> Generator[list[Job], list[Value], Tested]:
    choice: Choice | None = None
    setting: Setting | None = {}
    if method not in (FLOAT, "dense"):
        if full:
            choice = yield from tune(task, method, TUNED_ON)
            setting = choice.setting if choice else None
        else:
            setting = _kept(method, task)
    if setting is None:
        return method, choice, []
    values = yield [Request(which.name, method, setting, limits[task]).job() for which in of_task(task)]
    return method, choice, [Result(**value) for value in values]


def _kept(method: str, task: str) -> Setting | None:
    """The setting in the file, as the tuner gave it."""
    found = settings.chosen(method, MODELS[task])
    build = settings.build(method)
    return None if found is None else found | ({BUILD: build} if build else {})


def _rows(found: list[Tested]) -> list[Row]:
    by_name: dict[str, dict[str, Result]] = {method: {} for method in (FLOAT, *METHODS)}
    for method, _, results in found:
        by_name[method] |= {each.benchmark: each for each in results}
    losses = {method: [choice for name, choice, _ in found if name == method and choice] for method in METHODS}
    names = [which.name for which in BENCHMARKS]
    return [
        Row(
            method,
            METHODS[method].title,
            [by_name[method].get(name) for name in names],
            [by_name["dense"][name] for name in names],
            [by_name[FLOAT][name].score for name in names],
            losses[method],
        )
        for method in METHODS
    ]


def _chosen(found: list[Tested]) -> dict[str, dict[str, Any]]:
    """What was tuned, in the form of `config/settings.json`; of the rest what that file says."""
    result: dict[str, dict[str, Any]] = {}
    for method, each in METHODS.items():
        entry: dict[str, Any] = {BUILD: each.build} if each.build else {}
        for task, model in MODELS.items():
            choice = next((one for name, one, _ in found if name == method and one and one.task == task), None)
            kept = settings.chosen(method, model)
            setting = choice.setting if choice else kept
            if setting is not None:
                entry[model] = {name: value for name, value in setting.items() if name != BUILD}
        result[method] = entry
    return result


def _as_json(rows: list[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, which in enumerate(BENCHMARKS):
        entry: dict[str, Any] = {"metric": which.metric, "float": rows[0].references[number]}
        for row in rows:
            result = row.results[number]
            entry[row.method] = result and {"score": result.score, "setting": result.setting, "left": result.left}
        found[which.name] = entry
    found["tuned"] = {row.method: [asdict(choice) for choice in row.choices] for row in rows if row.choices}
    return found
