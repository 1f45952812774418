# SPDX-License-Identifier: Apache-2.0
"""The list of benchmarks."""

from collections import Counter

import pytest

from config.errors import Refusal
from tasks.benchmarks import BENCHMARKS, benchmark


def test_there_are_26() -> None:
    assert len({each.name for each in BENCHMARKS}) == 26
    assert Counter(each.task for each in BENCHMARKS) == {"retrieval": 10, "language": 10, "vision": 6}


@pytest.mark.parametrize(
    ("name", "metric", "lower"),
    [
        ("retrieval/scipy.stats", "top1", False),
        ("language/stdlib.text", "perplexity", True),
        ("vision/digits.noisy", "accuracy", False),
    ],
)
def test_a_benchmark_knows_its_metric(name: str, metric: str, lower: bool) -> None:
    found = benchmark(name)
    assert (found.name, found.metric, found.lower_is_better) == (name, metric, lower)


def test_losses_are_relative_and_positive_for_worse() -> None:
    assert benchmark("language/numpy").loss(22, 20) == pytest.approx(0.1)
    assert benchmark("retrieval/numpy").loss(0.72, 0.8) == pytest.approx(0.1)
    assert benchmark("vision/digits").loss(0.99, 0.9) == pytest.approx(-0.1)
    with pytest.raises(Refusal) as refusal:
        benchmark("vision/digits").loss(0.9, 0.0)
    assert str(refusal.value) == "The score to compare with must be above 0, not 0.0; measure it first."


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        benchmark("vision/letters")
    assert str(refusal.value).startswith("A benchmark must be one of retrieval/numpy, retrieval/scipy.stats, ")
    assert str(refusal.value).endswith("not 'vision/letters'; choose one.")
