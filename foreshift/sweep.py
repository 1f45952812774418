# SPDX-License-Identifier: Apache-2.0
"""`foreshift sweep`: what each setting of the predictors saves, and how far it moves the answers of real models.

settings × models ─► calibration data ─► answers moved, work left, keys found ─► tables, pictures
"""

import json
import sys
from argparse import Namespace
from collections.abc import Generator, Mapping
from pathlib import Path

from tqdm import tqdm

from foreshift.demo_results import staged
from foreshift.sweep_pictures import draw
from foreshift.sweep_results import Results, at_equal_work, figures, markdown
from jobs.runner import Job, follow, workers
from jobs.store import Store, Value
from tasks import head_keys
from tasks.benchmarks import METRICS
from tasks.head_keys import Compared
from tasks.sweeps import SWEEPS, Sweep, quick
from tasks.swept import QUICK_SEQUENCES, SEQUENCES, Found, Request

OUTPUT = Path("build/sweep")
MEASURED = "measured.jsonl"
TASKS = tuple(reversed(METRICS))
"""The quickest first."""


def run(args: Namespace) -> None:
    """Measure what has not been measured yet, write build/sweep, print what follows from it."""
    store = Store(OUTPUT / MEASURED)
    sweeps = quick() if args.quick else SWEEPS
    sequences = QUICK_SEQUENCES if args.quick else SEQUENCES
    total = len(TASKS) * (1 + sum(len(sweep.points) for sweep in sweeps.values()))
    with workers() as client, tqdm(total=total, unit="point", desc="sweeps", dynamic_ncols=True, smoothing=0) as bar:

        def progress(job: Job) -> None:
            bar.set_postfix_str(" ".join(_words(job)), refresh=False)
            bar.update()

        courses = [_course(task, sweeps, sequences[task]) for task in TASKS]
        found = dict(zip(TASKS, follow(client, courses, store, progress), strict=True))
    results = Results(
        sweeps,
        {task: points for task, (points, _) in found.items()},
        {task: heads for task, (_, heads) in found.items()},
        sequences,
    )
    with staged(OUTPUT) as folder:
        (folder / "sweep.md").write_text(markdown(results), encoding="utf-8")
        (folder / "sweep.json").write_text(json.dumps(figures(results), indent=1) + "\n", encoding="utf-8")
        draw(results, folder)
    print(json.dumps(figures(results), indent=1) if args.json else "\n".join(at_equal_work(results)))
    print(OUTPUT / "sweep.md", file=sys.stderr)


def _words(job: Job) -> tuple[str, str]:
    """Of which model a job measures what."""
    given = job.args[0]
    return (given.task, given.method) if isinstance(given, Request) else (str(given), "k per head")


Measured = tuple[dict[str, list[Found]], Compared]
"""A task's points by sweep, and what a k per head gains."""


def _course(task: str, sweeps: Mapping[str, Sweep], sequences: int) -> Generator[list[Job], list[Value], Measured]:
    points = [point for sweep in sweeps.values() for point in sweep.points]
    values = yield [
        *(point.request(task, sequences).job() for point in points),
        head_keys.job(task, sequences),
    ]
    left = iter(values)
    found = {name: [Found(**next(left)) for _ in sweep.points] for name, sweep in sweeps.items()}
    return found, Compared.of(next(left))
