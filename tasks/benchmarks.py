# SPDX-License-Identifier: Apache-2.0
"""The 26 benchmarks, as data: what each is called, and what a score of it means."""

from dataclasses import dataclass

from config.errors import require
from tasks.corpora import CORPORA
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
    require(
        False, f"A benchmark must be one of {', '.join(each.name for each in BENCHMARKS)}, not {name!r}; choose one."
    )
    raise AssertionError
