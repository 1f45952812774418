# SPDX-License-Identifier: Apache-2.0
"""Comparison of number systems: top-k and recall by brute force, a whole prediction in scalar Python."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config.array import SYSTEMS
from config.errors import Refusal
from golden.models import minilm
from golden.speculate import compare


def test_recall_of_a_worked_example() -> None:
    exact = np.array([[5.0, 1.0, 4.0, 2.0], [0.0, 3.0, 3.0, 3.0]])
    predicted = np.array([[9, 8, 1, 0], [1, 1, 1, 1]])
    # Exact top 2: columns 0, 2 and, among equals, 1, 2; predicted: 0, 1 and 0, 1.
    assert compare.topk(exact, 2).tolist() == [[True, False, True, False], [False, True, True, False]]
    assert compare.topk(predicted, 2).tolist() == [[True, True, False, False], [True, True, False, False]]
    assert compare.topk_recall(exact, predicted, 2) == 2 / 4


def brute_topk(row: list[Any], k: int) -> set[int]:
    return set(sorted(range(len(row)), key=lambda column: (-row[column], column))[:k])


@pytest.mark.parametrize("spread", [2, 5, 10**12])
@pytest.mark.parametrize("k", [1, 2, 3, 7, 8, 20])
def test_recall_by_brute_force(k: int, spread: int) -> None:
    """A small spread makes many ties, which go to the lower column; a k over the row's length keeps the row."""
    rng = np.random.default_rng(k + spread)
    exact, predicted = rng.integers(-spread, spread, (2, 30, 8))
    found = [brute_topk(a, k) & brute_topk(b, k) for a, b in zip(exact.tolist(), predicted.tolist(), strict=True)]
    assert compare.topk_recall(exact, predicted, k) == sum(map(len, found)) / (30 * min(k, 8))
    for row, bitmap in zip(exact.tolist(), compare.topk(exact, k), strict=True):
        assert set(np.flatnonzero(bitmap)) == brute_topk(row, k)


def test_recall_of_the_truth_is_whole() -> None:
    scores = np.random.default_rng(1).normal(size=(9, 9))
    assert compare.topk_recall(scores, scores, 3) == 1.0
    assert compare.topk_recall(scores, -scores, 3) == 0.0


def test_comparing_different_shapes_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        compare.topk_recall(np.zeros((2, 3)), np.zeros((3, 2)), 1)
    assert str(refusal.value) == (
        "Exact and predicted scores must have one shape and not be empty, not (2, 3) and (3, 2); "
        "compare the same head on the same sentence."
    )


def test_keeping_nothing_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        compare.topk(np.zeros((2, 3)), 0)
    assert str(refusal.value) == "k must be at least 1, not 0; choose how many columns of a row are kept."


def test_scores_that_are_no_matrix_are_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        compare.topk(np.zeros(3), 1)
    assert str(refusal.value) == "Scores must be a matrix of rows and columns, not of shape (3,); reshape them."


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^The number system must be one of .*, not 'int7'; choose one of them"):
        compare.golden_dot("int7", np.zeros((1, 1), dtype=np.int8), np.zeros((1, 1), dtype=np.int8))


@pytest.mark.parametrize("largest", [1, 2, 3, 63, 64, 126, 127, 128, 129, 255, 1000, 65535, 6291456, 2**40])
@pytest.mark.parametrize("sign", [1, -1])
def test_calibration_takes_the_largest_accumulator_to_127(largest: int, sign: int) -> None:
    acc = np.array([[0, sign * largest], [largest // 3, -(largest // 2)]], dtype=np.int64)
    multiplier = compare.calibrate(acc)
    assert 0 <= multiplier.mul < 2**16
    assert 1 <= multiplier.shift <= 40
    q = compare.requantise(acc, multiplier.mul, multiplier.shift)
    assert int(q[0, 1]) == sign * 127
    # No pair of one shift more would fit, and of this shift none is nearer.
    exact = Fraction(127, largest)
    assert multiplier.shift == 40 or round(exact * 2 ** (multiplier.shift + 1)) >= 2**16
    assert abs(multiplier.mul - exact * 2**multiplier.shift) <= Fraction(1, 2)


def test_calibration_of_silence() -> None:
    assert compare.calibrate(np.zeros((3, 4), dtype=np.int64)) == compare.calibrate(np.ones((3, 4), dtype=np.int64))


def hlog(value: int) -> int:
    levels = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
    magnitude = abs(value)
    nearest = max(levels, key=lambda level: (-abs(level - magnitude), level)) if magnitude else 0
    return -nearest if value < 0 else nearest


def leading_one(value: int) -> int:
    return 0 if value == 0 else (-1 if value < 0 else 1) * 2 ** (abs(value).bit_length() - 1)


def int4(value: int) -> int:
    return min((value + 8) // 16, 7)


# How each system reads the streamed and the stationary operand of a product.
READ = {
    "hlog": (hlog, hlog),
    "aloc": (int, leading_one),
    "pot": (leading_one, leading_one),
    "int8": (int, int),
    "int4": (int4, int4),
}


def scalar_dot(system: str, x: list[list[int]], w: list[list[int]]) -> list[list[int]]:
    first, second = READ[system]
    return [[sum(first(a) * second(b) for a, b in zip(row, other, strict=True)) for other in w] for row in x]


def scalar_projection(system: str, x: list[list[int]], w: list[list[int]], bias: list[int]) -> list[list[int]]:
    """Q̂ or K̂: products, the bias in the system's unit, and the requantiser at its best setting."""
    shift_bias = [(b + 128) // 256 for b in bias] if system == "int4" else bias
    acc = [[a + b for a, b in zip(row, shift_bias, strict=True)] for row in scalar_dot(system, x, w)]
    largest = max(abs(a) for row in acc for a in row)
    shift = next(s for s in range(40, 0, -1) if int(Fraction(127 * 2**s, largest) + Fraction(1, 2)) < 2**16)
    mul = int(Fraction(127 * 2**shift, largest) + Fraction(1, 2))
    return [[max(-128, min(127, (a * mul + 2 ** (shift - 1)) // 2**shift)) for a in row] for row in acc]


def random_head(seed: int) -> minilm.HeadInputs:
    rng = np.random.default_rng(seed)
    x, wq, wk = (rng.integers(-127, 128, shape).astype(np.int8) for shape in ((7, 24), (5, 24), (5, 24)))
    bq, bk = rng.integers(-40000, 40000, (2, 5))
    return minilm.HeadInputs(x, wq, wk, bq, bk, x_scale=0.5, wq_scale=0.25, wk_scale=0.125)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("system", SYSTEMS)
def test_prediction_equals_scalar_python(system: str, seed: int) -> None:
    head = random_head(seed)
    q = scalar_projection(system, head.x.tolist(), head.wq.tolist(), head.bq.tolist())
    k = scalar_projection(system, head.x.tolist(), head.wk.tolist(), head.bk.tolist())
    first, second = READ[system]
    if system == "aloc":  # at run time it is Q̂ that is coded
        first, second = second, first
    scores = [[sum(first(a) * second(b) for a, b in zip(row, other, strict=True)) for other in k] for row in q]
    prediction = compare.predict(system, head)
    assert prediction.q.tolist() == q
    assert prediction.k.tolist() == k
    assert prediction.scores.tolist() == scores


@pytest.mark.parametrize("system", SYSTEMS)
def test_prediction_multiplies_where_it_is_told_to(system: str) -> None:
    """A prediction does its three products by the dot it is given, and by nothing else."""
    head, asked = random_head(9), []

    def dot(which: str, x: NDArray[Any], w: NDArray[Any]) -> NDArray[np.int64]:
        asked.append((which, x, w))
        return compare.golden_dot(which, x, w)

    prediction = compare.predict(system, head, dot)
    first, second = (prediction.k, prediction.q) if system == "aloc" else (prediction.q, prediction.k)
    expected = [(head.x, head.wq), (head.x, head.wk), (first, second)]
    for (which, x, w), (x_expected, w_expected) in zip(asked, expected, strict=True):
        assert which == system
        np.testing.assert_array_equal(x, x_expected)
        np.testing.assert_array_equal(w, w_expected)


@pytest.mark.parametrize("system", SYSTEMS)
def test_score_unit_undoes_the_scales(system: str) -> None:
    """With operands that every system holds exactly, a score is QKᵀ / √32 but for the requantisers' rounding."""
    x, w = np.array([[64]], dtype=np.int8), np.array([[32]], dtype=np.int8)
    none = np.zeros(1, dtype=np.int64)
    head = minilm.HeadInputs(x, w, w, none, none, x_scale=0.5, wq_scale=0.25, wk_scale=0.125)
    prediction = compare.predict(system, head)
    held = {"hlog": (128, 128), "aloc": (64, 127), "pot": (64, 64), "int8": (127, 127), "int4": (112, 112)}[system]
    real = (64 * 0.5) * (32 * 0.25) * (64 * 0.5) * (32 * 0.125) / np.sqrt(32)
    expected = real * held[0] / 127 * held[1] / 127  # Q̂ = K̂ = 127, read as the system reads it
    assert prediction.scores.item() * prediction.score_unit == pytest.approx(expected, rel=2**-14)


def test_softmax_rows_are_probabilities() -> None:
    weights = compare.softmax(np.array([[0.0, np.log(3.0)], [1000.0, 1000.0], [-1000.0, 0.0]]))
    np.testing.assert_allclose(weights, [[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]], rtol=1e-12, atol=1e-300)


def test_on_a_real_sentence_finer_systems_find_more() -> None:
    """Mean over all heads of a real layer: int8 finds more than HLog, and HLog more than power of two and int4."""
    text = "The old man the boat that the young left behind when they went to see the city for themselves."
    x, weights = minilm.embed(minilm.tokens(text).ids), minilm.attention_weights(0)

    def mean_recall(system: str) -> float:
        return float(
            np.mean(
                [
                    compare.topk_recall(
                        minilm.exact_scores(x, weights, head),
                        compare.predict(system, minilm.head_inputs(x, weights, head)).scores,
                        4,
                    )
                    for head in range(minilm.HEADS)
                ]
            )
        )

    found = {system: mean_recall(system) for system in SYSTEMS}
    assert found["int8"] > 0.9
    assert found["int8"] > found["hlog"] > max(found["pot"], found["int4"])
    assert found["aloc"] > max(found["pot"], found["int4"])
