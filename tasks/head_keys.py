# SPDX-License-Identifier: Apache-2.0
"""Is there anything to gain from a k for each head instead of one? Answered on calibration data alone.

some sequences ─► what each head's j-th predicted key is worth ─► k of each head, as many keys in all
the others ─────► one k, and those ks: probability that is kept, how far the answers move
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from config.execute import FRACTION_BITS
from config.settings import SCORE_BITS, keys
from config.speculate import SplsSettings
from golden.arith.top import top
from golden.arrays import Array, matmul_transposed
from golden.execute.layer import Layer
from golden.execute.linear import LARGEST_PRODUCT
from golden.speculate import spls
from golden.speculate.operands import Operands, predicted, predicted_scores
from golden.speculate.plan import Plan, Planner, all_critical
from golden.speculate.work import Sizes
from jobs.runner import Job
from jobs.store import Value
from tasks.measure import one_thread, version
from tasks.methods import Method, Session, Tally, encoder
from tasks.prepared import Prepared, Setting, prepared
from tasks.swept import sample
from tasks.tuner import distance
from tasks.work import shares

Floats = NDArray[np.float64]
SHARE = 0.2
"""Of the keys, for the one k: so few that it matters which head has how many."""


@dataclass(frozen=True)
class Kept:
    """mass: the mean share of a row's exact probability that its kept keys hold. moved, left: as in
    `tasks.swept.Found`."""

    mass: float
    moved: float
    left: dict[str, float]


@dataclass(frozen=True)
class Compared:
    """one: a k for all heads of a layer. own: one for each head, as many keys in all. needed: share of the keys with
    which the own ks keep as much probability as the one k does, all layers together."""

    one: Kept
    own: Kept
    needed: float

    @classmethod
    def of(cls, value: Value) -> "Compared":
        """From what `measured` gives."""
        return cls(Kept(**value["one"]), Kept(**value["own"]), value["needed"])


def job(task: str, sequences: int) -> Job:
    """The comparison for a task's model, on about so many sequences, half of them to choose on."""
    return Job(
        f"{version(task, module='tasks.head_keys')} heads {json.dumps([task, sequences])}", measured, (task, sequences)
    )


def measured(task: str, sequences: int) -> Value:
    """`compare` in a worker."""
    one_thread()
    return asdict(compare(task, sequences))


def compare(task: str, sequences: int) -> Compared:
    """Choose on the even sequences of the sample, look at the odd ones."""
    given, model = sample(task, sequences), prepared(task)
    one = keys(SHARE, given.x.shape[1])
    gains = worth(model, given.x[::2], given.attend[::2])
    own = [shared_out(each, one * len(each)) for each in gains]
    fresh = worth(model, given.x[1::2], given.attend[1::2])

    def kept(counts: Sequence[NDArray[np.int64]]) -> Kept:
        tally = Tally()
        run = encoder(model, _method(counts), {}, tally)
        y = run(given.x[1::2], given.attend[1::2])
        return Kept(mass(fresh, counts), distance(task, y, given.dense[1::2]), shares(tally.left, tally.dense))

    ones = [np.full(len(each), one) for each in gains]
    return Compared(kept(ones), kept(own), needed(gains, fresh, one))


def mass(gains: Sequence[Floats], counts: Sequence[NDArray[np.int64]]) -> float:
    """Mean over layers and heads of the probability that so many keys of each head hold."""
    pairs = zip(gains, counts, strict=True)
    return float(np.mean([[head[:k].sum() for head, k in zip(layer, ks, strict=True)] for layer, ks in pairs]))


def needed(gains: Sequence[Floats], fresh: Sequence[Floats], one: int) -> float:
    """The least share of `one` key per row for which ks chosen by `gains` keep as much of `fresh` as it does."""
    wanted = mass(fresh, [np.full(len(each), one) for each in fresh])
    heads = len(gains[0])
    for total in range(heads, one * heads + 1):
        if mass(fresh, [shared_out(each, total) for each in gains]) >= wanted:
            return total / (one * heads)
    return 1.0


def shared_out(gains: Floats, total: int) -> NDArray[np.int64]:
    """k of each head, 1 or more and `total` together, each key given to the head where it is worth most. gains [H, T]:
    what the j-th key of each head is worth."""
    heads, tokens = gains.shape
    counts = np.ones(heads, dtype=np.int64)
    # What comes later is never worth more than what has to be taken before it.
    falling = np.minimum.accumulate(gains, axis=1)
    for _ in range(total - heads):
        following = np.where(counts < tokens, falling[np.arange(heads), np.minimum(counts, tokens - 1)], -1)
        counts[int(following.argmax())] += 1
    return counts


def worth(model: Prepared, x: Array, attend: Array) -> list[Floats]:
    """Of each layer [H, T]: the mean exact probability of the j-th of a row's keys in the order of prediction, when all
    keys are attended to."""
    found: list[Floats] = [np.zeros((0, 0))] * len(model.layers)
    rows = [0] * len(model.layers)

    def start(model: Prepared, setting: Setting, size: Sizes) -> Session:
        def plan(number: int, attend: Array) -> Planner:
            def dense(x: Array, q: Array, k: Array) -> Plan:
                operands, scores = _predicted(model, number, x, attend)
                order = torch.where(operands.pairs, scores, scores.min() - 1).argsort(
                    dim=-1, descending=True, stable=True
                )
                p = probabilities(q, k, operands.pairs, model.layers[number]).gather(-1, order).sum((0, 2)).numpy()
                found[number] = found[number] + p if rows[number] else p
                rows[number] += q.shape[0] * q.shape[2]
                return all_critical(operands.pairs.expand(scores.shape))

            return dense

        return Session(plan)

    encoder(model, Method("", (), start), {}, Tally())(x, attend)
    return [total / count for total, count in zip(found, rows, strict=True)]


def probabilities(q: Array, k: Array, pairs: Array, layer: Layer) -> Array:
    """What softmax makes of the exact scores, in floating point, [B, H, T, T]."""
    scale: Any = layer.exponent.mul.double() / 2.0 ** layer.exponent.shift.double() / 2.0**FRACTION_BITS
    powers = matmul_transposed(q, k, LARGEST_PRODUCT).double() * scale * np.log(2)
    result: Array = powers.masked_fill(~pairs, -torch.inf).softmax(-1)
    return result


def _predicted(model: Prepared, number: int, x: Array, attend: Array) -> tuple[Operands, Array]:
    weights, scales = model.predictors(spls.SYSTEM, SCORE_BITS)[number]
    settings = SplsSettings(causal=model.model.shape.causal, scales=scales)
    biases = {"bq": weights.bq, "bk": weights.bk}
    operands = predicted(x, weights.wq, weights.wk, settings, spls.SYSTEM, **biases, attend=attend)
    return operands, predicted_scores(operands.q, operands.k, spls.SYSTEM)


def _method(counts: Sequence[NDArray[np.int64]]) -> Method:
    """HLog's top k with a k for each layer and head; no row is copied."""

    def start(model: Prepared, setting: Setting, size: Sizes) -> Session:
        def plan(number: int, attend: Array) -> Planner:
            def chosen(x: Array, q: Array, k: Array) -> Plan:
                operands, scores = _predicted(model, number, x, attend)
                return all_critical(top(scores, operands.pairs, torch.as_tensor(counts[number])[:, None, None]))

            return chosen

        return Session(plan, size.predicted_projections + size.predicted_scores)

    return Method("", (), start)
