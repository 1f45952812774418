# SPDX-License-Identifier: Apache-2.0
"""The strictest setting of each method that loses no more than allowed, benchmark by benchmark.

benchmark × method ─► bisection along the method's axes ─► measure ─► kept ─► next setting, or done
"""

import importlib.metadata
import itertools
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from golden.models import checkpoint, minilm
from jobs.runner import Job, run
from jobs.sources import fingerprint
from jobs.store import Store, Value
from tasks import corpora
from tasks.benchmarks import BENCHMARKS, METRICS, Benchmark, benchmark, dense, measure
from tasks.methods import METHODS, Setting, Tally, encoder
from tasks.prepared import prepared
from tasks.work import shares

ALLOWED = 0.01
"""Loss relative to the model in floating point."""
FLOAT = "float"
"""The method that is the model in floating point."""
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
    place: Place
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


def _value(name: str, method: str, place: Place, limit: int) -> Value:
    """`evaluate` in a worker, which has one thread."""
    import torch

    torch.set_num_threads(1)
    return asdict(evaluate(name, method, place, limit))


@cache
def version() -> str:
    """Of all that a measurement depends on: sources, models, data."""
    data = sorted(checkpoint.FOLDER.iterdir())
    packages = {**corpora.versions(), minilm.PACKAGE: importlib.metadata.version(minilm.DISTRIBUTION.split("==")[0])}
    return fingerprint("tasks.search", *(f"{name} {each}" for name, each in sorted(packages.items())), data=data)


def _key(name: str, method: str, place: Place, limit: int) -> str:
    return f"{version()} {name} {method} {','.join(map(str, place))} {limit}"


def known(store: Store, name: str, method: str, place: Place, limit: int) -> Result | None:
    """What was measured before."""
    value = store.find(_key(name, method, place, limit))
    return _result(value) if value else None


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
class _Search:
    """That of one method on one benchmark. steps: none where there is nothing to search."""

    which: Benchmark
    method: str
    limit: int
    steps: Generator[Place, bool, None] | None = None

    def job(self, place: Place) -> Job:
        """The measurement at a place."""
        given = (self.which.name, self.method, place, self.limit)
        return Job(_key(*given), _value, given, self)

    def follow(self, result: Result, reference: Result) -> Job | None:
        """The next measurement."""
        if self.steps is None:
            return None
        try:
            return self.job(self.steps.send(self.which.loss(result.score, reference.score) <= ALLOWED))
        except StopIteration:
            return None


def search(
    client: Any, methods: Iterable[str], limits: Limits, store: Store, progress: Callable[[Result], None]
) -> None:
    """Measure until the strictest good setting of each method is known on each benchmark; all is in the `store` then.
    `progress` is told of every result, of those that were known as well. client: of `jobs.runner.workers`."""

    def done(job: Job, value: Value) -> Job | None:
        result = _result(value)
        one: _Search = job.state
        progress(result)
        reference = result if one.method == FLOAT else known(store, one.which.name, FLOAT, (), one.limit)
        assert reference is not None
        return one.follow(result, reference)

    run(client, [_Search(which, FLOAT, limits[which.task]).job(()) for which in BENCHMARKS], store, done)
    # Task by task, the quickest first: what is known of one is whole, even if the rest takes hours.
    for task in reversed(METRICS):
        some = [which for which in BENCHMARKS if which.task == task]
        run(client, [_started(which, method, limits) for which in some for method in methods], store, done)


def fixed(
    client: Any, places: dict[str, Place], limits: Limits, store: Store, progress: Callable[[Result], None]
) -> None:
    """Measure one setting of each method on every benchmark, and the model in floating point."""
    chosen: dict[str, Place] = {FLOAT: ()} | places
    jobs = [
        _Search(which, method, limits[which.task]).job(place)
        for method, place in chosen.items()
        for which in BENCHMARKS
    ]
    run(client, jobs, store, lambda job, value: progress(_result(value)))


def best(which: Benchmark, method: str, limit: int, store: Store) -> Result | None:
    """Of the settings that were measured and are within the allowed loss, the one that leaves least; none if there is
    none."""
    reference = known(store, which.name, FLOAT, (), limit)
    if reference is None:
        return None
    places = itertools.product(*(range(len(axis)) for axis in METHODS[method].axes))
    found = filter(None, (known(store, which.name, method, place, limit) for place in places))
    good = [each for each in found if which.loss(each.score, reference.score) <= ALLOWED]
    return min(good, key=lambda each: each.left["total"], default=None)


def _started(which: Benchmark, method: str, limits: Limits) -> Job:
    found = steps([len(axis) for axis in METHODS[method].axes])
    return _Search(which, method, limits[which.task], found).job(next(found, ()))


def _result(value: Value) -> Result:
    return Result(**value | {"place": tuple(value["place"])})
