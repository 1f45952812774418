# SPDX-License-Identifier: Apache-2.0
"""Measurements as jobs: a benchmark with a method at a setting, kept by everything that it depends on."""

import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from golden.models import checkpoint, minilm
from jobs.runner import Job
from jobs.sources import fingerprint
from jobs.store import Store, Value
from tasks import corpora
from tasks.benchmarks import Benchmark, benchmark, dense, measure
from tasks.methods import METHODS, Tally, encoder
from tasks.prepared import MODELS, SHIPPED, Setting, fine_tuned_name, prepared
from tasks.work import shares

FLOAT = "float"
"""The method that is the model in floating point."""
Limits = dict[str, int]
"""The most items of a benchmark of each task: pairs, windows, images."""


@dataclass(frozen=True)
class Request:
    """benchmark: a name. method: one of `METHODS`, or `FLOAT`. part: of the data. limit: at most so many items."""

    benchmark: str
    method: str
    setting: Setting
    limit: int
    part: str = "test"

    @property
    def key(self) -> str:
        """Everything that the result depends on."""
        weights = SHIPPED if self.method == FLOAT else METHODS[self.method].weights
        return f"{version(benchmark(self.benchmark).task, weights)} {json.dumps(asdict(self), sort_keys=True)}"

    def job(self) -> Job:
        """The measurement, to be run."""
        return Job(self.key, measured, (self,))


@dataclass(frozen=True)
class Result:
    """Of a request. score: in the benchmark's metric. left: shares of the dense work, see `tasks.work.shares`; empty
    for floating point. more: other figures by name, see `tasks.benchmarks.measure`."""

    benchmark: str
    method: str
    setting: Setting
    score: float
    left: dict[str, float]
    more: dict[str, float] = field(default_factory=dict)

    @property
    def which(self) -> Benchmark:
        """What was measured."""
        return benchmark(self.benchmark)


def evaluate(request: Request) -> Result:
    """Measure it, here and now."""
    which = benchmark(request.benchmark)
    if request.method == FLOAT:
        return _result(request, {}, measure(which, dense(which), part=request.part, limit=request.limit))
    chosen, tally = METHODS[request.method], Tally()
    run = encoder(prepared(which.task, chosen.weights), chosen, request.setting, tally)
    scores = measure(which, run, part=request.part, limit=request.limit)
    return _result(request, shares(tally.left, tally.dense), scores)


def _result(request: Request, left: dict[str, float], scores: dict[str, float]) -> Result:
    score = scores.pop(benchmark(request.benchmark).metric)
    return Result(request.benchmark, request.method, request.setting, score, left, scores)


def measured(request: Request) -> Value:
    """`evaluate` in a worker, which has one thread."""
    one_thread()
    return asdict(evaluate(request))


def one_thread() -> None:
    """Workers are as many as there are cores."""
    import torch

    torch.set_num_threads(1)


def known(store: Store, request: Request) -> Result | None:
    """What was measured before."""
    value = store.find(request.key)
    return Result(**value) if value else None


@cache
def version(task: str, weights: str) -> str:
    """Of all that a measurement of a task depends on, with a model of those weights: sources, weights, data."""
    names = {MODELS[task], MODELS[task] if weights == SHIPPED else fine_tuned_name(task, weights)}
    data = [each for each in checkpoint.FOLDER.iterdir() if each.name.partition(".")[0] in names]
    packages: dict[str, Any] = {
        **corpora.versions(),
        minilm.PACKAGE: importlib.metadata.version(minilm.DISTRIBUTION.split("==")[0]),
    }
    return fingerprint("tasks.measure", *(f"{name} {each}" for name, each in sorted(packages.items())), data=data)
