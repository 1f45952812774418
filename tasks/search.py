# SPDX-License-Identifier: Apache-2.0
"""The strictest setting of each method that loses no more than allowed, benchmark by benchmark, on several processes;
whatever was measured is kept, so that a run that was interrupted goes on.

    benchmark × method ─► bisection along the method's path ─► measure ─► a line of the file ─► next setting or done
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from config.errors import Refusal
from tasks.benchmarks import BENCHMARKS, METRICS, Benchmark, benchmark, dense, measure
from tasks.methods import METHODS, Setting, Tally, encoder
from tasks.prepared import prepared
from tasks.work import shares

ALLOWED = 0.01
"""Loss relative to the model in floating point."""
FLOAT = "float"
"""The method that is the model in floating point."""
ROOT = Path(__file__).resolve().parent.parent
_SOURCES = ("config", "golden", "tasks")
Place = tuple[int, ...]
"""On each axis of a method."""
Limits = dict[str, int]
"""The most items of a benchmark of each task: pairs, windows, images."""


@dataclass(frozen=True)
class Result:
    """One measurement. place: of the setting on each of the method's axes. left: shares of the dense work, see
    `tasks.work.shares`; empty for floating point."""

    benchmark: str
    method: str
    place: tuple[int, ...]
    setting: Setting
    limit: int
    score: float
    left: dict[str, float]


def evaluate(name: str, method: str, place: Place, limit: int) -> Result:
    """Measure a benchmark, on at most `limit` items, with a method at a place on its axes."""
    which = benchmark(name)
    if method == FLOAT:
        return Result(name, method, (), {}, limit, measure(which, dense(which), limit=limit), {})
    chosen, tally = METHODS[method], Tally()
    setting = chosen.setting(place)
    score = measure(which, encoder(prepared(which.task), chosen, setting, tally), limit=limit)
    return Result(name, method, place, setting, limit, score, shares(tally.left, tally.dense))


class Store:
    """Measurements in a file, a line of JSON each. Those of other sources than today's are not looked at; they stay in
    the file. Raises `Refusal` if the file is not one of these."""

    def __init__(self, path: Path) -> None:
        self._path, self._version = path, fingerprint()
        self._known: dict[tuple[str, str, Place, int], Result] = {}
        written = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole, _, torn = written.rpartition("\n")
        if torn:  # the run was stopped while it wrote
            path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        for number, line in enumerate(whole.splitlines(), 1):
            self._read(number, line)

    def _read(self, number: int, line: str) -> None:
        try:
            fields = json.loads(line)
            if fields.pop("version") != self._version:
                return
            result = Result(**fields | {"place": tuple(fields["place"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Refusal(
                f"{self._path} must hold a measurement on each line, and line {number} is none; remove that line."
            ) from error
        self._known[_key(result)] = result

    def find(self, name: str, method: str, place: Place, limit: int) -> Result | None:
        """What was measured before."""
        return self._known.get((name, method, place, limit))

    def all(self, name: str, method: str, limit: int) -> list[Result]:
        """All that was measured of a method on a benchmark."""
        return [each for key, each in self._known.items() if (key[0], key[1], key[3]) == (name, method, limit)]

    def add(self, result: Result) -> None:
        """Keep a measurement; it is in the file when this returns."""
        self._known[_key(result)] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result) | {"version": self._version}) + "\n")


def _key(result: Result) -> tuple[str, str, Place, int]:
    return result.benchmark, result.method, result.place, result.limit


def fingerprint() -> str:
    """Of all sources that a measurement depends on."""
    total = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".json", ".safetensors"):
                total.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return total.hexdigest()[:16]


def steps(lengths: Sequence[int]) -> Generator[Place, bool, None]:
    """Places to be tried, each sent back as whether it was good. Goodness falls from mild to strict. One axis after the
    other is cut in halves, those before it at their strictest good place, those behind it at the mildest."""
    place = [0] * len(lengths)
    for axis, length in enumerate(lengths):
        # What is mildest on a later axis was good on the one before.
        low, high = (-1 if axis == 0 else 0), length
        while high - low > 1:
            place[axis] = (low + high) // 2
            good = yield tuple(place)
            low, high = (place[axis], high) if good else (low, place[axis])
        if low < 0:
            return
        place[axis] = low


@dataclass
class _Job:
    """The search of one method on one benchmark."""

    which: Benchmark
    method: str
    limit: int
    steps: Generator[Place, bool, None] | None
    place: Place


def search(
    methods: Iterable[str], limits: Limits, store: Store, progress: Callable[[Result], None], processes: int = 2
) -> None:
    """Measure until the strictest good setting of each method is known on each benchmark; all is in the `store` then.
    `progress` is told of every result, of those that were known as well."""
    run = _Run(store, progress)
    references = [_Job(which, FLOAT, limits[which.task], None, ()) for which in BENCHMARKS]
    with _pool(processes) as pool:
        run.all(pool, references, lambda job, result: None)
        # Task by task, the quickest first: what is known of one is whole, even if the rest takes hours.
        for task in reversed(METRICS):
            some = [which for which in BENCHMARKS if which.task == task]
            jobs = [_started(which, method, limits) for which in some for method in methods]
            run.all(pool, jobs, lambda job, result: _next(job, result, store))


def fixed(
    places: dict[str, Place], limits: Limits, store: Store, progress: Callable[[Result], None], processes: int = 2
) -> None:
    """Measure one setting of each method on every benchmark, and the model in floating point."""
    chosen: dict[str, Place] = {FLOAT: ()} | places
    jobs = [
        _Job(which, name, limits[which.task], None, place) for name, place in chosen.items() for which in BENCHMARKS
    ]
    with _pool(processes) as pool:
        _Run(store, progress).all(pool, jobs, lambda job, result: None)


def best(which: Benchmark, method: str, limit: int, store: Store) -> Result | None:
    """Of the settings that were measured and are within the allowed loss, the one that leaves least; none if there is
    none."""
    reference = store.find(which.name, FLOAT, (), limit)
    if reference is None:
        return None
    found = store.all(which.name, method, limit)
    good = [each for each in found if which.loss(each.score, reference.score) <= ALLOWED]
    return min(good, key=lambda each: each.left["total"], default=None)


def _started(which: Benchmark, method: str, limits: Limits) -> _Job:
    search = steps([len(axis) for axis in METHODS[method].axes])
    return _Job(which, method, limits[which.task], search, next(search, ()))


def _next(job: _Job, result: Result, store: Store) -> _Job | None:
    reference = store.find(job.which.name, FLOAT, (), job.limit)
    assert reference is not None
    assert job.steps is not None
    try:
        job.place = job.steps.send(job.which.loss(result.score, reference.score) <= ALLOWED)
    except StopIteration:
        return None
    return job


@dataclass
class _Run:
    store: Store
    progress: Callable[[Result], None]

    def all(
        self, pool: ProcessPoolExecutor, jobs: Iterable[_Job], follow: Callable[[_Job, Result], _Job | None]
    ) -> None:
        """Every job, and what follows from its result."""
        running: dict[Future[Result], _Job] = {}
        for job in jobs:
            self._go_on(pool, running, job, follow)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job, result = running.pop(future), future.result()
                self.store.add(result)
                self.progress(result)
                following = follow(job, result)
                if following:
                    self._go_on(pool, running, following, follow)

    def _go_on(
        self,
        pool: ProcessPoolExecutor,
        running: dict[Future[Result], _Job],
        job: _Job | None,
        follow: Callable[[_Job, Result], _Job | None],
    ) -> None:
        """Past what is known, to the next measurement."""
        while job:
            known = self.store.find(job.which.name, job.method, job.place, job.limit)
            if known is None:
                running[pool.submit(evaluate, job.which.name, job.method, job.place, job.limit)] = job
                return
            self.progress(known)
            job = follow(job, known)


def _pool(processes: int) -> ProcessPoolExecutor:
    # Threads of torch do not survive a fork.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_quiet)


def _quiet() -> None:
    """One thread for each process, which are as many as there are cores."""
    import torch

    torch.set_num_threads(1)
    # Processes end with the first one, which is told of an interruption as well.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
