# SPDX-License-Identifier: Apache-2.0
"""How much of a model's multiplications a plan leaves, part by part, and what its prediction adds."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace

from config.errors import require
from golden.models.transformer import Architecture
from golden.speculate.plan import Counts, Plan


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates: of Q, of K, of V; of scores and probabilities times V; of the output projection; of the
    FFN. prediction: products of the predictor, in its own number system."""

    q: int = 0
    k: int = 0
    v: int = 0
    attention: int = 0
    projection: int = 0
    ffn: int = 0
    prediction: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def total(self) -> int:
        """Without the prediction."""
        return self.qkv + self.attention + self.projection + self.ffn

    @property
    def qkv(self) -> int:
        """Of Q, K and V."""
        return self.q + self.k + self.v


@dataclass(frozen=True)
class Sizes:
    """A layer: tokens T, width D, its heads in all, width of the FFN; pairs of tokens that may attend, of one head."""

    tokens: int
    width: int
    heads: int
    hidden: int
    pairs: int

    @property
    def dense(self) -> Work:
        """Of one sequence without a plan."""
        counts = Counts(
            queries=self.heads * self.tokens,
            keys=self.heads * self.tokens,
            scores=self.heads * self.pairs,
            values=self.heads * self.pairs,
            ffn=self.tokens,
            projections=self.tokens,
        )
        return self.left(counts)

    def left(self, counts: Counts, prediction: int = 0) -> Work:
        """What the counts of a plan leave."""
        head = self.width // self.heads
        return Work(
            q=counts.queries * head * self.width,
            k=counts.keys * head * self.width,
            v=counts.keys * head * self.width,
            attention=(counts.scores + counts.values) * head,
            projection=counts.projections * self.width**2,
            ffn=2 * counts.ffn * self.width * self.hidden,
            prediction=prediction,
        )

    @property
    def predicted_projections(self) -> int:
        """Products of Q̂ and K̂ of one sequence."""
        return 2 * self.tokens * self.width**2

    @property
    def predicted_scores(self) -> int:
        """Products of all predicted scores of one sequence."""
        return self.pairs * self.width


def sizes(tokens: int, width: int, hidden: int, shape: Architecture) -> Sizes:
    """Of a layer of that architecture."""
    pairs = tokens * (tokens + 1) // 2 if shape.causal else tokens**2
    return Sizes(tokens, width, shape.heads, hidden, pairs)


def left(plan: Plan, size: Sizes, prediction: int, *, after_qk: bool = False) -> Work:
    """Of a batch [B, ...]; prediction: products per sequence. after_qk: the plan is made from the exact Q and K, so
    both are computed whole."""
    found = size.left(plan.counts, prediction * len(plan.leader))
    if not after_qk:
        return found
    whole = size.dense
    return replace(found, q=whole.q * len(plan.leader), k=whole.k * len(plan.leader))


def shares(done: Work, dense: Work) -> dict[str, float]:
    """Each part, and `total`, as a share of its own dense amount; `prediction` as a share of the whole."""
    require(dense.total > 0, "The dense amount of work must be above 0; measure at least one sequence.")
    parts: Iterable[str] = ("qkv", "attention", "projection", "ffn", "total")
    found = {part: getattr(done, part) / getattr(dense, part) for part in parts}
    return found | {"prediction": done.prediction / dense.total}
