# SPDX-License-Identifier: Apache-2.0
"""How much of a layer's multiplications a plan leaves, part by part, and what its prediction adds."""

from dataclasses import astuple, dataclass, replace

from golden.speculate.plan import Counts


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
    """A layer, and what passes it: tokens; pairs of tokens that may attend, of one head, summed over the sequences.

    width: D; heads of Q and key_heads of K and V, `head_width` each; projection, ffn: multiply-accumulates per token of
    the output projection and of the FFN.
    """

    tokens: int
    pairs: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    projection: int
    ffn: int

    @property
    def dense(self) -> Work:
        """Without a plan."""
        counts = Counts(
            queries=self.heads * self.tokens,
            keys=self.key_heads * self.tokens,
            scores=self.heads * self.pairs,
            values=self.heads * self.pairs,
            ffn=self.tokens,
            projections=self.tokens,
        )
        return self.left(counts)

    def left(self, counts: Counts, prediction: int = 0, *, after_qk: bool = False) -> Work:
        """What the counts of a plan leave. after_qk: the plan is made from the exact Q and K, so both are computed
        whole."""
        row = self.head_width * self.width
        queries, keys = counts.queries, counts.keys
        if after_qk:
            queries, keys = self.heads * self.tokens, self.key_heads * self.tokens
        return Work(
            q=queries * row,
            k=keys * row,
            v=counts.keys * row,
            attention=(counts.scores + counts.values) * self.head_width,
            projection=counts.projections * self.projection,
            ffn=counts.ffn * self.ffn,
            prediction=prediction,
        )

    def times(self, sequences: int) -> "Sizes":
        """Of so many times as much."""
        return replace(self, tokens=sequences * self.tokens, pairs=sequences * self.pairs)

    @property
    def predicted_projections(self) -> int:
        """Products of Q̂ and K̂."""
        return self.tokens * (self.heads + self.key_heads) * self.head_width * self.width

    @property
    def predicted_scores(self) -> int:
        """Products of all predicted scores."""
        return self.pairs * self.heads * self.head_width
