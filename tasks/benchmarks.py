# SPDX-License-Identifier: Apache-2.0
"""The 26 benchmarks, as data: what each is called, what a score of it means, and how it is measured."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from config.errors import Refusal, require
from tasks import language, retrieval, vision
from tasks.corpora import CORPORA, PAIRS, pairs
from tasks.encoder import Encoder, Progress, silent
from tasks.vision import DATA_SETS

METRICS = {"retrieval": "top1", "language": "perplexity", "vision": "accuracy"}
LOWER_IS_BETTER = frozenset({"perplexity"})


@dataclass(frozen=True)
class Benchmark:
    """task: one of `METRICS`. data: a corpus of `tasks.corpora`, or a data set of `tasks.vision`."""

    task: str
    data: str

    @property
    def name(self) -> str:
        """Such as retrieval/scipy.stats."""
        return f"{self.task}/{self.data}"

    @property
    def metric(self) -> str:
        """What is measured."""
        return METRICS[self.task]

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller score is the better one."""
        return self.metric in LOWER_IS_BETTER

    def loss(self, score: float, reference: float) -> float:
        """How much worse the score is than the reference, relative to it: 0.01 is 1 %, negative is better."""
        require(reference > 0, f"The score to compare with must be above 0, not {reference}; measure it first.")
        return (score - reference if self.lower_is_better else reference - score) / reference


BENCHMARKS = tuple(
    Benchmark(task, data)
    for task, names in (("retrieval", CORPORA), ("language", CORPORA), ("vision", DATA_SETS))
    for data in names
)
"""Ten of retrieval, ten of language, six of vision."""


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name. Raises Refusal for a name that none has."""
    for each in BENCHMARKS:
        if each.name == name:
            return each
    raise Refusal(
        f"A benchmark must be one of {', '.join(each.name for each in BENCHMARKS)}, not {name!r}; choose one."
    )


PARTS = ("test", "calibration")
"""What is reported, and what settings are found on. For the models trained here, calibration is on training data."""

_DENSE: dict[str, Callable[[], Encoder]] = {
    "retrieval": retrieval.dense,
    "language": language.dense,
    "vision": vision.dense,
}


def dense(which: Benchmark) -> Encoder:
    """The layers of the benchmark's model in floating point."""
    return _DENSE[which.task]()


def size(which: Benchmark, part: str = "test", limit: int | None = None) -> int:
    """How many items `measure` goes through: pairs, windows of tokens, or images."""
    place = _place(which, part, limit)
    if which.task == "retrieval":
        return len(pairs(which.data, place, PAIRS if limit is None else limit))
    if which.task == "language":
        return len(language.corpus_windows(which.data, place, limit))
    return len(vision.images(which.data, place)[1][:limit])


def measure(
    which: Benchmark, encoder: Encoder, part: str = "test", limit: int | None = None, progress: Progress = silent
) -> dict[str, float]:
    """The score in the benchmark's metric with `encoder` for the layers of its model, over at most `limit` items; of
    retrieval also `mrr`, and `cosine`, the mean to the embeddings of the model in floating point.

    Raises Refusal for an unknown part, and for a limit below 1.
    """
    place = _place(which, part, limit)
    if which.task == "retrieval":
        return _retrieved(which.data, encoder, place, limit, progress)
    if which.task == "language":
        found = language.perplexity(language.corpus_windows(which.data, place, limit), encoder, progress)
    else:
        found = vision.accuracy(which.data, encoder, limit, progress, part=place)
    return {which.metric: found}


def _retrieved(corpus: str, encoder: Encoder, part: str, limit: int | None, progress: Progress) -> dict[str, float]:
    chosen = pairs(corpus, part, PAIRS if limit is None else limit)
    found = retrieval.embed_pairs(chosen, encoder, progress)
    exact = _exact(corpus, part, limit)
    scores = retrieval.scores(*found)
    cosines = [retrieval.mean_cosine(*each) for each in zip(found, exact, strict=True)]
    return {"top1": scores.top1, "mrr": scores.mrr, "cosine": sum(cosines) / len(cosines)}


@cache
def _exact(corpus: str, part: str, limit: int | None) -> tuple[retrieval.Embeddings, retrieval.Embeddings]:
    """Embeddings by the model in floating point, of which a worker needs the same again and again."""
    return retrieval.embed_pairs(pairs(corpus, part, PAIRS if limit is None else limit), retrieval.dense())


def _place(which: Benchmark, part: str, limit: int | None) -> str:
    """What the task calls that part of its data, after checking what was asked for."""
    require(part in PARTS, f"A part must be one of {', '.join(PARTS)}, not {part!r}; choose one.")
    require(limit is None or limit >= 1, f"The limit must be at least 1, not {limit}; ask for one item or more.")
    return "train" if part == "calibration" and which.task != "retrieval" else part
