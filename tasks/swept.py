# SPDX-License-Identifier: Apache-2.0
"""What a setting does to a model's answers, on calibration data alone: how far they move from those of dense int8, what
work is left, which share of the exact top keys was found."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial

import numpy as np
import torch

from config.speculate import Settings
from golden.arith.top import top
from golden.arrays import Array, matmul_transposed
from golden.execute.linear import LARGEST_PRODUCT
from golden.speculate.operands import allowed
from golden.speculate.plan import Plan, Planner
from golden.speculate.work import Sizes
from jobs.runner import Job
from jobs.store import Value
from tasks import language
from tasks.corpora import CORPORA
from tasks.measure import one_thread, version
from tasks.methods import METHODS, Method, Session, Tally, encoder
from tasks.prepared import WINDOWS, Prepared, Setting, batch, prepared
from tasks.tuner import distance, spread
from tasks.work import shares

SEQUENCES = {"retrieval": 6, "language": 15, "vision": 32}
QUICK_SEQUENCES = {"retrieval": 2, "language": 3, "vision": 8}
"""Texts and windows of 128 tokens, images; spread over all corpora and data sets."""
LEFT_OUT: Mapping[str, Callable[[Plan], Plan]] = {
    "keys": lambda plan: replace(plan, columns=plan.columns | True),
    "projections": lambda plan: replace(plan, agreed=plan.agreed & False),
}
"""What a plan would be without a step of SPLS that changes no answer."""


@dataclass(frozen=True)
class Request:
    """A setting of a method in all layers of a task's model, to be measured on about so many sequences. without: what
    the plan does not save, of `LEFT_OUT`, or nothing. Which sweeps ask for it does not matter."""

    task: str
    method: str
    setting: Setting
    without: str
    sequences: int

    def job(self) -> Job:
        """The measurement, to be run; its key is everything that the result depends on."""
        return Job(
            f"{version(self.task, module='tasks.swept')} swept {json.dumps(asdict(self), sort_keys=True)}",
            measured,
            (self,),
        )


@dataclass(frozen=True)
class Found:
    """moved: see `tasks.tuner.distance`. left: shares of the dense work. recall: of the keys that are kept, the share
    that is among as many exact ones. loss: by how much the language model's perplexity exceeds that of dense int8 on
    the same windows, relative to it."""

    moved: float
    left: dict[str, float]
    recall: float
    loss: float | None = None


@dataclass
class Recall(Tally):
    """Counts kept keys, and those among them that belong to the largest exact scores of their row."""

    causal: bool = False
    kept: int = 0
    hits: int = 0

    def see(self, plan: Plan, q: Array, k: Array) -> None:
        rows = plan.mask.sum(-1, keepdim=True)
        pairs = allowed(q[:, 0], Settings(causal=self.causal), None)
        best = top(matmul_transposed(q, k, LARGEST_PRODUCT), pairs, rows.clip(1))
        self.kept += int(rows.sum())
        self.hits += int((plan.mask & best).sum())


@dataclass(frozen=True)
class Sample:
    """What is run through a task's model, and what dense int8 makes of it; perplexity: of the language model then."""

    x: Array
    attend: Array
    dense: Array
    perplexity: float | None = field(default=None)


@cache
def sample(task: str, sequences: int) -> Sample:
    """About so many sequences of the calibration data."""
    some = spread(task, sequences)
    x, attend = batch(task).x[some], batch(task).attend[some]
    dense = encoder(prepared(task), METHODS["dense"], {}, Tally())(x, attend)
    return Sample(x, attend, dense, perplexity(dense, some) if task == "language" else None)


def perplexity(y: Array, some: slice) -> float:
    """Of the language model's last outputs for those windows of `batch`, which are training data."""
    windows = np.concatenate([language.corpus_windows(corpus, "train", WINDOWS) for corpus in CORPORA])[some]
    logits = language.model().logits(y.float())
    return float(torch.nn.functional.cross_entropy(logits.mT, torch.as_tensor(windows[:, 1:])).exp())


def evaluate(request: Request) -> Found:
    """Measure it, here and now."""
    task, given = request.task, sample(request.task, request.sequences)
    model, tally = prepared(task), Recall(causal=prepared(task).model.shape.causal)
    with torch.no_grad():
        run = encoder(model, _without(METHODS[request.method], request.without), request.setting, tally)
        y = run(given.x, given.attend)
        loss = None
        if given.perplexity is not None:
            loss = perplexity(y, spread(task, request.sequences)) / given.perplexity - 1
    return Found(distance(task, y, given.dense), shares(tally.left, tally.dense), tally.hits / max(tally.kept, 1), loss)


def measured(request: Request) -> Value:
    """`evaluate` in a worker, which has one thread."""
    one_thread()
    return asdict(evaluate(request))


def _without(method: Method, step: str) -> Method:
    return replace(method, start=partial(_start, method, step)) if step else method


def _start(method: Method, step: str, model: Prepared, setting: Setting, size: Sizes) -> Session:
    session = method.start(model, setting, size)

    def plan(number: int, attend: Array) -> Planner:
        found = session.plan(number, attend)
        return lambda *given: LEFT_OUT[step](found if isinstance(found, Plan) else found(*given))

    return replace(session, plan=plan)
