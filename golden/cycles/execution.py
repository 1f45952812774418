# SPDX-License-Identifier: Apache-2.0
"""Operations of a layer and their cycles on two PE arrays.

    array 1:  Q, K, V of half of the heads ──┬─ scores of kept pairs ─┐  ┌─ half of projection and FFN
    array 2:  Q, K, V of the others ─────────┘      context beside ◄──┴──┴─ the other half

Softmax, LayerNorm, GELU and the residuals keep up with the arrays that feed them, and take no cycles of their own.
"""

from dataclasses import astuple, dataclass

from config.errors import require
from config.pe_arrays import PeArraysConfig
from golden.cycles.shapes import ModelShape
from golden.cycles.statistics import Statistics, allowed_pairs


@dataclass(frozen=True)
class Outputs:
    """What a plan leaves of a layer: rows of Q, and of K and V together, over all heads; pairs scored, over all heads;
    tokens of the output projection and of the FFN."""

    queries: int
    keys: int
    pairs: int
    projections: int
    ffn: int


@dataclass(frozen=True)
class Operations:
    """Multiply-accumulates of a layer: of Q, K and V; of scores; of probabilities times V; of the output projection; of
    the FFN."""

    generation: int
    scores: int
    context: int
    projection: int
    ffn: int

    @property
    def total(self) -> int:
        return int(sum(astuple(self)))


@dataclass(frozen=True)
class Execution:
    """Cycles of a layer. generation: of both arrays; scores: of array 1; context: of array 2, beside them; attention:
    of those three; dense: of projection and FFN on both arrays."""

    generation: int
    scores: int
    context: int
    attention: int
    dense: int

    @property
    def total(self) -> int:
        return self.attention + self.dense


def outputs(shape: ModelShape, tokens: int, statistics: Statistics) -> Outputs:
    """Of one layer, rounded to whole rows and pairs. Raises `Refusal` unless there is a token."""
    require(
        isinstance(tokens, int) and tokens >= 1, f"tokens must be an integer of 1 or more, not {tokens!r}; give one."
    )
    return Outputs(
        queries=round(shape.heads * tokens * statistics.queries),
        keys=2 * round(shape.groups * tokens * statistics.keys),
        pairs=round(shape.heads * allowed_pairs(tokens, shape.causal) * statistics.scores),
        projections=round(tokens * statistics.projections),
        ffn=round(tokens * statistics.ffn),
    )


def operations(shape: ModelShape, left: Outputs) -> Operations:
    """Of one layer."""
    inner = shape.heads * shape.head_width
    return Operations(
        generation=(left.queries + left.keys) * shape.head_width * shape.width,
        scores=left.pairs * shape.head_width,
        context=left.pairs * shape.head_width,
        projection=left.projections * inner * shape.width,
        ffn=left.ffn * shape.matrices * shape.width * shape.hidden,
    )


def execute(arrays: PeArraysConfig, shape: ModelShape, left: Outputs) -> Execution:
    """Cycles of one layer. Rows of a head are taken as the mean of all heads."""

    def cycles(products: float, depth: int, lines: int, use: float) -> int:
        """Of so many dot products of so many terms."""
        return _ceil(products * -(-depth // arrays.lanes) / (lines * use))

    both, use = 2 * arrays.lines, arrays.dense_use
    made = shape.heads * listed(left.queries / shape.heads, arrays.lines)
    made += 2 * shape.groups * listed(left.keys / 2 / shape.groups, arrays.lines)
    generation = cycles(made * shape.head_width, shape.width, both, use)
    scores = cycles(left.pairs, shape.head_width, arrays.lines, arrays.sparse_use)
    # The same slots: a kept key's row of V is as wide as its row of K.
    context = scores
    fed = listed(left.ffn, arrays.lines)
    projection = cycles(listed(left.projections, arrays.lines) * shape.width, shape.heads * shape.head_width, both, use)
    up = cycles(fed * (shape.matrices - 1) * shape.hidden, shape.width, both, use)
    down = cycles(fed * shape.width, shape.hidden, both, use)
    return Execution(
        generation=generation,
        scores=scores,
        context=context,
        attention=generation + max(scores, context),
        dense=projection + up + down,
    )


def listed(rows: float, lines: int) -> float:
    """Rows with those added that their last list lacks: as many as lines, or as half of them."""
    whole, rest = divmod(_ceil(rows), lines)
    half = lines / 2
    return whole * lines + (0 if not rest else half if rest <= half else lines)


def _ceil(value: float) -> int:
    return int(-(-value // 1))
