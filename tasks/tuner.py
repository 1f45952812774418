# SPDX-License-Identifier: Apache-2.0
"""Finds the settings of each layer of a model under a loss budget, on calibration data alone.

    layer × rung ─► how far the answers move, what is left ─► frontier of settings ─► bisection by measured loss

Each rung of a method is tried in one layer at a time, all others dense, or as the model was trained to be run. How far
the answers move from those of the shipped model is taken to add up over layers, which gives, for every price of a moved
answer, the rung of each layer: a line of settings from mild to strict. That it does not quite add up is no matter: what
is chosen from the line is measured, whole, on the benchmarks.
"""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jobs.runner import Job
from jobs.store import Value
from tasks.benchmarks import BENCHMARKS, Benchmark
from tasks.measure import FLOAT, Limits, Request, Result, one_thread, version
from tasks.methods import METHODS, Tally, encoder
from tasks.prepared import SHIPPED, Setting, batch, fine_tuned, of_layer, prepared, weights_of

ALLOWED = 0.01
"""Mean relative loss to the model in floating point over a task's benchmarks."""
SEQUENCES = {"retrieval": 10, "language": 10, "vision": 32}
"""On which rungs are tried."""
STEPS = 24
"""Settings on a frontier, at most."""
PRICES = np.geomspace(1e-5, 1e4, 400)
"""Of the work that is left against how far the answers move."""


@dataclass(frozen=True)
class Trial:
    """A rung in one layer, or in all: how far the answers move, and the share of the model's work that is left."""

    moved: float
    left: float


@dataclass(frozen=True)
class Choice:
    """What was found for a method on a task's model. results: on the calibration part, of each of its benchmarks."""

    task: str
    method: str
    setting: Setting
    loss: float
    left: float


def tried(task: str, method: str, layer: int | None) -> Value:
    """Every rung of a method in that layer, or in all layers: a worker's job."""
    one_thread()
    chosen = METHODS[method]
    model = prepared(task, chosen.weights)
    others = _others(task, method)
    x, attend = batch(task).x, batch(task).attend
    some = slice(None, None, max(1, len(x) // SEQUENCES[task]))
    x, attend = x[some], attend[some]
    dense = encoder(prepared(task), METHODS["dense"], {}, Tally())(x, attend)
    found = []
    for rung in chosen.rungs:
        tally = Tally()
        rungs = [rung] if layer is None else [rung if n == layer else other for n, other in enumerate(others)]
        y = encoder(model, chosen, chosen.setting(rungs), tally)(x, attend)
        found.append(asdict(Trial(distance(task, y, dense), tally.left.total / tally.dense.total)))
    return {"trials": found}


def _others(task: str, method: str) -> list[Setting]:
    """The rungs of the layers that nothing is tried in: the mildest; or in a model that was trained for a setting,
    those that it was trained for."""
    chosen, layers = METHODS[method], len(weights_of(task)[0])
    if chosen.weights == SHIPPED:
        return [chosen.rungs[0]] * layers
    setting = fine_tuned(task, chosen.weights)[1]["setting"]
    return [{name: of_layer(setting, layer)[name] for name in chosen.rungs[0]} for layer in range(layers)]


def distance(task: str, y: Any, dense: Any) -> float:
    """How far a model's answers are from those for the last layer's output `dense`, float [B, T, D]: one less the
    cosine of embeddings, or the divergence of the probabilities of tokens or classes."""
    import torch

    from tasks import language, vision

    if task == "retrieval":
        return float((1 - torch.cosine_similarity(y.mean(1), dense.mean(1), dim=-1)).mean())
    ends = language.model() if task == "language" else vision.model()
    found, exact = (torch.log_softmax(ends.logits(each.float()), dim=-1) for each in (y, dense))
    return float((exact.exp() * (exact - found)).sum(-1).mean())


def frontier(trials: Sequence[Sequence[Trial]]) -> list[tuple[int, ...]]:
    """The rung of each layer, for prices from mild to strict; all different, at most `STEPS`, evenly spread over the
    work that they leave. trials: of each layer, by rung."""
    found: dict[tuple[int, ...], float] = {}
    for price in PRICES:
        rungs = tuple(
            min(range(len(layer)), key=lambda n: (layer[n].moved + price * layer[n].left, n)) for layer in trials
        )
        found[rungs] = sum(layer[n].left for layer, n in zip(trials, rungs, strict=True))
    line = sorted(found, key=lambda rungs: -found[rungs])
    if len(line) <= STEPS:
        return line
    wanted = np.linspace(found[line[0]], found[line[-1]], STEPS)
    lefts = np.array([found[rungs] for rungs in line])
    return [line[place] for place in sorted({int(np.abs(lefts - left).argmin()) for left in wanted})]


def of_task(task: str) -> list[Benchmark]:
    """Its benchmarks."""
    return [which for which in BENCHMARKS if which.task == task]


def mean_loss(results: Sequence[Result], references: Sequence[Result]) -> float:
    """Mean over benchmarks of the loss relative to floating point."""
    pairs = zip(results, references, strict=True)
    return float(np.mean([one.which.loss(one.score, reference.score) for one, reference in pairs]))


def tune(task: str, method: str, limits: Limits) -> Generator[list[Job], list[Value], Choice | None]:
    """Finds the strictest setting on the frontier whose mean loss on the calibration part is within `ALLOWED`; none if
    there is none. Goodness is taken to fall along the frontier."""
    chosen = METHODS[method]
    layers: Sequence[int | None] = range(len(weights_of(task)[0])) if chosen.layered else [None]
    of_layers = yield [
        Job(f"{version(task, chosen.weights)} tried {task} {method} {layer}", tried, (task, method, layer))
        for layer in layers
    ]
    trials = [[Trial(**each) for each in value["trials"]] for value in of_layers]
    line = [chosen.setting([chosen.rungs[n] for n in rungs]) for rungs in frontier(trials)]
    references = yield _measurements(task, FLOAT, {}, limits)
    exact = [Result(**value) for value in references]
    low, high, best = -1, len(line), None
    while high - low > 1:
        place = (low + high) // 2
        values = yield _measurements(task, method, line[place], limits)
        results = [Result(**value) for value in values]
        loss = mean_loss(results, exact)
        if loss <= ALLOWED:
            left = float(np.mean([each.left["total"] for each in results]))
            low, best = place, Choice(task, method, line[place], loss, left)
        else:
            high = place
    return best


def _measurements(task: str, method: str, setting: Setting, limits: Limits) -> list[Job]:
    return [Request(which.name, method, setting, limits[task], "calibration").job() for which in of_task(task)]
