# SPDX-License-Identifier: Apache-2.0
"""Number systems side by side: predict a head's attention in each, and measure what share of the truth it finds.

    X, W_Q ─► dot ─► + bias ─► requantise ─► Q̂ ─┐
    X, W_K ─► dot ─► + bias ─► requantise ─► K̂ ─┴─► dot ─► predicted scores ─► top-k, set against the exact top-k

Both dots are of the same system. Everything after quantisation is integer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.array import number_system
from config.errors import require
from config.requantise import Multiplier
from golden.arith.quantise import LARGEST_CODE
from golden.arith.requantise import requantise
from golden.execute.scales import multipliers
from golden.models.minilm import HEAD_WIDTH, HeadInputs
from golden.speculate import array
from golden.speculate.operands import in_units

Int64 = NDArray[np.int64]
Dot = Callable[[str, NDArray[Any], NDArray[Any]], Int64]


@dataclass(frozen=True)
class Prediction:
    """One head predicted in one system: Q̂, K̂ int64 [T, 32] within int8, and scores int64 [T, T], exact.

    `score_unit` is what a score of 1 means in the units of QKᵀ / √32.
    """

    q: Int64
    k: Int64
    scores: Int64
    q_multiplier: Multiplier
    k_multiplier: Multiplier
    score_unit: float


def golden_dot(system: str, x: NDArray[Any], w: NDArray[Any]) -> Int64:
    """x [T, D] times w [N, D] in `system`, one of `config.array.SYSTEMS`; exact int64 [T, N]."""
    return np.asarray(array.dot(x, w, number_system(system)), dtype=np.int64)


def calibrate(acc: Int64) -> Multiplier:
    """The multiplier that takes the largest |acc| to 127: no saturation, and the whole int8 range in use.

    `acc` holds the accumulators of one head in one system, bias included. Of all mul / 2^shift the one with the most
    bits in mul is taken. Accumulators that are all zero are calibrated as if the largest were 1. Each system gets
    its own setting, as systems that round towards zero have smaller accumulators and would lose range otherwise.
    """
    scale = multipliers(LARGEST_CODE / max(int(np.abs(acc).max()), 1))
    return Multiplier(int(scale.mul), int(scale.shift))


def predict(system: str, head: HeadInputs, dot: Dot = golden_dot) -> Prediction:
    """Predict `head` in `system`; `dot(system, x, w)` is the golden one unless another, such as the RTL, is given."""
    coded = number_system(system)
    q_acc = dot(system, head.x, head.wq) + in_units(head.bq, coded)
    k_acc = dot(system, head.x, head.wk) + in_units(head.bk, coded)
    q_multiplier, k_multiplier = calibrate(q_acc), calibrate(k_acc)
    q = _to_int8(q_acc, q_multiplier)
    k = _to_int8(k_acc, k_multiplier)
    return Prediction(
        q=q,
        k=k,
        scores=_scores(system, q, k, dot),
        q_multiplier=q_multiplier,
        k_multiplier=k_multiplier,
        score_unit=_score_unit(system, head, q_multiplier, k_multiplier),
    )


def _to_int8(acc: Int64, multiplier: Multiplier) -> Int64:
    return np.asarray(requantise(acc, multiplier.mul, multiplier.shift), dtype=np.int64)


def _scores(system: str, q: Int64, k: Int64, dot: Dot) -> Int64:
    """Q̂K̂ᵀ. ALOC codes one operand only, and at run time that is Q̂ (LAPA III-A): it takes the place of the weight."""
    return dot(system, k, q).T if system == "aloc" else dot(system, q, k)


def _score_unit(system: str, head: HeadInputs, q: Multiplier, k: Multiplier) -> float:
    """What a score of 1 means in the units of QKᵀ / √32: undo the requantisers, the scales and the dropped bits."""
    real_q = head.x_scale * head.wq_scale / q.real
    real_k = head.x_scale * head.wk_scale / k.real
    dots = 3  # the two projections and the product of their results
    return float(real_q * real_k * 2 ** (dots * number_system(system).unit_bits) / np.sqrt(HEAD_WIDTH))


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Row-wise softmax of real scores, for display; the hardware never computes it from a prediction."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def topk(scores: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """The k largest of each row [T, N] as a bitmap; on equal scores the lower column wins; k > N keeps the row."""
    require(
        scores.ndim == 2, f"Scores must be a matrix of rows and columns, not of shape {scores.shape}; reshape them."
    )
    require(k >= 1, f"k must be at least 1, not {k}; choose how many columns of a row are kept.")
    # Sorting the row from its end and reading it backwards puts the lower of two equal columns first.
    rising = np.argsort(scores[:, ::-1], axis=1, kind="stable")
    kept = scores.shape[1] - 1 - rising[:, ::-1][:, :k]
    bitmap = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(bitmap, kept, True, axis=1)
    return bitmap


def topk_recall(exact: NDArray[Any], predicted: NDArray[Any], k: int) -> float:
    """The share, 0 to 1, of the exact top-k entries of all rows that the predicted top-k finds."""
    require(
        exact.shape == predicted.shape and exact.size > 0,
        f"Exact and predicted scores must have one shape and not be empty, not {exact.shape} and {predicted.shape}; "
        "compare the same head on the same sentence.",
    )
    truth = topk(exact, k)
    return float((truth & topk(predicted, k)).sum() / truth.sum())
