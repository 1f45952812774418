# SPDX-License-Identifier: Apache-2.0
"""Operations of a layer and their cycles on two PE arrays: the design target of the execution unit, of which there is
no RTL to hold this against.

    array 1:  Q, K, V of a head ─► scores of kept pairs ─┐             ┌─ half of projection and FFN
    array 2:                                             └─► context ──┴─ the other half

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
    """Cycles of a layer. generation, scores: of array 1; context: of array 2; attention: of those three, head behind
    head; dense: of projection and FFN on both arrays."""

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


def execute(arrays: PeArraysConfig, shape: ModelShape, left: Outputs, sparse: bool) -> Execution:
    """Cycles of one layer. sparse: kept keys are gathered."""

    def cycles(products: int, depth: int, lines: int, use: float) -> int:
        """Of so many dot products of so many terms."""
        return _ceil(products * -(-depth // arrays.lanes) / (lines * use))

    use = arrays.sparse_use if sparse else arrays.dense_use
    rows = left.queries + left.keys
    generation = cycles(rows * shape.head_width, shape.width, arrays.lines, arrays.dense_use)
    scores = cycles(left.pairs, shape.head_width, arrays.lines, use)
    # The same slots: a kept key's row of V is as wide as its row of K.
    context = scores
    first, second = (generation + scores) / shape.heads, context / shape.heads
    projection = cycles(
        left.projections * shape.width, shape.heads * shape.head_width, 2 * arrays.lines, arrays.dense_use
    )
    up = cycles(left.ffn * (shape.matrices - 1) * shape.hidden, shape.width, 2 * arrays.lines, arrays.dense_use)
    down = cycles(left.ffn * shape.width, shape.hidden, 2 * arrays.lines, arrays.dense_use)
    return Execution(
        generation=generation,
        scores=scores,
        context=context,
        attention=_ceil(first + (shape.heads - 1) * max(first, second) + second),
        dense=projection + up + down,
    )


def _ceil(value: float) -> int:
    return int(-(-value // 1))
