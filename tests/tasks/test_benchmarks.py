# SPDX-License-Identifier: Apache-2.0
"""The list of benchmarks."""

from collections import Counter

import pytest

from config.errors import Refusal
from tasks import language, retrieval, vision
from tasks.benchmarks import BENCHMARKS, benchmark, dense, measure, size
from tasks.corpora import pairs


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


def test_retrieval_is_also_told_how_far_its_embeddings_are() -> None:
    which = benchmark("retrieval/torch.nn")

    def worse(x, attend):
        y = dense(which)(x, attend)
        return y + 0.3 * y.roll(1, dims=-1)

    found = measure(which, worse, "calibration", 3)
    assert found["top1"] <= found["mrr"] <= 1
    assert 0.8 < found["cosine"] < 0.99


def test_a_measurement_is_the_tasks_own() -> None:
    done: list[int] = []
    which = benchmark("retrieval/torch.nn")
    found = retrieval.embed_pairs(pairs("torch.nn", "calibration", 3), retrieval.dense())
    scores = retrieval.scores(*found)
    exact = {"top1": scores.top1, "mrr": scores.mrr, "cosine": pytest.approx(1)}
    assert measure(which, dense(which), "calibration", 3, done.append) == exact
    which = benchmark("language/stdlib.data")
    windows = language.corpus_windows("stdlib.data", "train", 3)
    expected = {"perplexity": language.perplexity(windows, language.dense())}
    assert measure(which, dense(which), "calibration", 3, done.append) == expected
    which = benchmark("vision/digits.noisy")
    expected = {"accuracy": vision.accuracy("digits.noisy", vision.dense(), 5, part="train")}
    assert measure(which, dense(which), "calibration", 5, done.append) == expected
    assert done == [3, 3, 5]


def test_sizes_are_those_of_the_data() -> None:
    assert size(benchmark("retrieval/numpy")) == len(pairs("numpy")) == 200
    assert size(benchmark("retrieval/numpy"), limit=9) == 9
    assert size(benchmark("language/stdlib.data")) == len(language.corpus_windows("stdlib.data"))
    assert size(benchmark("language/stdlib.data"), limit=9) == 9
    assert size(benchmark("vision/digits")) == 530
    assert size(benchmark("vision/digits"), "calibration") == 1267
    assert size(benchmark("vision/digits"), limit=9) == 9


@pytest.mark.parametrize("name", ["retrieval/numpy", "language/numpy", "vision/digits"])
def test_an_unknown_part_and_no_items_are_refused(name: str) -> None:
    for use in (size, lambda which, *rest: measure(which, lambda x, attend: x, *rest)):
        with pytest.raises(Refusal) as refusal:
            use(benchmark(name), "train")
        assert str(refusal.value) == "A part must be one of test, calibration, not 'train'; choose one."
        with pytest.raises(Refusal) as refusal:
            use(benchmark(name), "test", 0)
        assert str(refusal.value) == "The limit must be at least 1, not 0; ask for one item or more."
