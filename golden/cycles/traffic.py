# SPDX-License-Identifier: Apache-2.0
"""Bytes that a layer moves: between memory and buffers, and between buffers and arrays."""

from dataclasses import astuple, dataclass

from config.pe_arrays import PeArraysConfig
from config.speculate import SpeculationConfig
from golden.cycles.execution import Operations, Outputs
from golden.cycles.shapes import ModelShape
from golden.cycles.statistics import Statistics, allowed_pairs

SUM_BYTES = 4
"""Of an int32 score on its way to the softmax."""


@dataclass(frozen=True)
class Memory:
    """Bytes between memory and buffers. weights: of all matrices, once. codes: of the predictor's W_Q and W_K, once.
    inputs: X, for each unit. rows: of K and V that are needed, out and back. outputs: the layer's."""

    weights: int
    codes: int
    inputs: int
    rows: int
    outputs: int

    @property
    def total(self) -> int:
        return int(sum(astuple(self)))


@dataclass(frozen=True)
class Buffers:
    """Bytes read and written on the chip. prediction: X, Q̂ and K̂ as codes, and partial sums. generation: X, weights,
    Q, K, V. attention: Q, K, V, scores and probabilities of kept pairs, context. dense: of projection and FFN."""

    prediction: int
    generation: int
    attention: int
    dense: int

    @property
    def total(self) -> int:
        return int(sum(astuple(self)))


def memory(shape: ModelShape, tokens: int, left: Outputs, config: SpeculationConfig | None) -> Memory:
    """Of one layer; config: of the speculation unit, none if nothing is predicted."""
    inner, x = shape.heads * shape.head_width, tokens * shape.width
    bits = config.array.system.w.code_bits if config else 0
    return Memory(
        weights=shape.weights,
        # Of each head, also where heads share K: the unit makes every head's K̂ anew.
        codes=_bytes(2 * inner * shape.width * bits),
        inputs=x * (2 if config else 1),
        rows=2 * left.keys * shape.head_width,
        outputs=x,
    )


def buffers(
    arrays: PeArraysConfig,
    shape: ModelShape,
    tokens: int,
    left: Outputs,
    work: Operations,
    config: SpeculationConfig | None,
    statistics: Statistics,
) -> Buffers:
    """Of one layer. A line reads an activation for all lines of its array, and keeps `rows` sums per weight."""
    inner = shape.heads * shape.head_width

    def products(operations: int, weights: int, rows: int, lines: int) -> int:
        """Reads of activations and of weights; of so many rows, `arrays.rows` go by one weight after the other."""
        return -(-operations // lines) + weights * -(-rows // arrays.rows)

    generated = shape.width * (inner + 2 * shape.groups * shape.head_width)
    critical = round((left.queries + left.keys) / (shape.heads + 2 * shape.groups))
    made = (left.queries + left.keys) * shape.head_width
    # Q once a row, K and V once a pair; scores and probabilities written and read; the context written.
    pairs = left.pairs * (2 * shape.head_width + 2 * SUM_BYTES + 2)
    hidden = shape.matrices * shape.width * shape.hidden
    dense = products(work.projection, inner * shape.width, left.projections, 2 * arrays.lines)
    dense += products(work.ffn, hidden, left.ffn, 2 * arrays.lines)
    return Buffers(
        prediction=_prediction(config, tokens, statistics, shape.causal) if config else 0,
        generation=products(work.generation, generated, critical, arrays.lines) + made,
        attention=pairs + 2 * left.queries * shape.head_width,
        dense=dense + left.projections * shape.width + left.ffn * (2 * shape.hidden + shape.width),
    )


def _prediction(config: SpeculationConfig, tokens: int, statistics: Statistics, causal: bool) -> int:
    """Reads and writes of the unit's own stores."""
    system, tiles = config.array.system, 2 * config.groups * config.width_slices
    beat = config.lanes * system.x.code_bits
    # All tiles but the first read X; that one writes it, slice by slice.
    x = (config.heads * tiles) * tokens * beat
    made = config.heads * tokens * config.head_width * (system.x.code_bits + system.w.code_bits)
    # A block's queries are read once a round, its keys once per slice and round.
    rounds = 1 + sum(statistics.visited)
    blocks = -(-tokens // config.rows)
    keys = allowed_pairs(blocks, causal) * config.rows * rounds
    scored = config.heads * keys * config.head_slices * beat
    queries = config.heads * tokens * config.head_width * system.w.code_bits * (1 + len(statistics.visited))
    sums = config.rows * config.array.acc_bits
    # Partial sums are written behind every slice but the last, and read behind every one but the first.
    partial = 2 * config.heads * 2 * config.groups * (config.width_slices - 1) * tokens * sums
    partial += 2 * round(config.heads * keys * (config.head_slices - 1)) * sums
    return _bytes(x + made + scored + queries + partial)


def _bytes(bits: float) -> int:
    return -(-round(bits) // 8)
