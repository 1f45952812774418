# SPDX-License-Identifier: Apache-2.0
"""Operations, cycles and traffic of the execution, against counting them."""

from dataclasses import replace

import pytest

from config import presets
from config.errors import Refusal
from config.pe_arrays import PeArraysConfig
from golden.cycles import execution, traffic
from golden.cycles.shapes import ModelShape
from golden.cycles.statistics import Statistics, allowed_pairs

PLAIN = PeArraysConfig(lines=2, lanes=4, rows=2, dense_use=1.0, sparse_use=1.0, memory_bytes=1)
SHAPE = ModelShape("small", 1, 8, 2, 4, 16)
DENSE = Statistics()


def test_operations_are_those_of_the_matrices():
    found = execution.operations(SHAPE, execution.outputs(SHAPE, 3, DENSE))
    assert found == execution.Operations(3 * 3 * 8 * 8, 3 * 3 * 8, 3 * 3 * 8, 3 * 8 * 8, 2 * 3 * 8 * 16)
    assert found.total == 3 * 8 * (3 * 8 + 3 + 3 + 8 + 32)


def test_shared_heads_and_gates():
    shape = replace(SHAPE, key_heads=1, gated=True, causal=True)
    found = execution.operations(shape, execution.outputs(shape, 3, DENSE))
    assert found == execution.Operations((6 + 6) * 4 * 8, 2 * 6 * 4, 2 * 6 * 4, 3 * 8 * 8, 3 * 3 * 8 * 16)
    assert shape.weights == 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16
    assert allowed_pairs(3, causal=True) == 6


def test_cycles_of_full_arrays_are_operations_by_lanes():
    left = execution.outputs(SHAPE, 4, DENSE)
    work, found = execution.operations(SHAPE, left), execution.execute(PLAIN, SHAPE, left)
    assert (found.generation, found.scores, found.context) == (
        work.generation // 16,
        work.scores // 8,
        work.scores // 8,
    )
    assert found.dense == (work.projection + work.ffn) // 16
    assert found.attention == found.generation + found.scores
    assert found.total == found.attention + found.dense


def test_lanes_that_no_term_fills_take_their_time():
    arrays = replace(PLAIN, lanes=3)
    found = execution.execute(arrays, SHAPE, execution.outputs(SHAPE, 4, DENSE))
    assert found.scores == 2 * 16 * 2 // 2
    assert found.generation == 3 * 4 * 8 * 3 // 4


def test_the_last_list_of_rows_takes_half_of_the_time_or_all_of_it():
    assert [execution.listed(rows, 4) for rows in (0, 1, 2, 3, 4, 4.2, 6, 7)] == [0, 2, 2, 4, 4, 6, 6, 8]
    arrays = replace(PLAIN, lines=4)
    left = execution.Outputs(queries=2 * 3, keys=2 * 2 * 5, pairs=0, projections=2, ffn=6)
    found = execution.execute(arrays, SHAPE, left)
    assert found.generation == (2 * 4 + 2 * 2 * 6) * 4 * 2 // 8
    assert found.dense == 2 * 8 * 2 // 8 + 6 * 16 * 2 // 8 + 6 * 8 * 4 // 8


def test_use_of_the_lanes():
    arrays = replace(PLAIN, dense_use=0.5, sparse_use=0.25)
    left = execution.outputs(SHAPE, 4, DENSE)
    plain, found = (execution.execute(each, SHAPE, left) for each in (PLAIN, arrays))
    assert (found.generation, found.scores, found.dense) == (2 * plain.generation, 4 * plain.scores, 2 * plain.dense)


def test_what_a_plan_leaves_is_what_remains():
    left = execution.outputs(SHAPE, 8, Statistics(queries=0.5, keys=0.25, scores=0.125, projections=0.75, ffn=0.625))
    assert left == execution.Outputs(queries=8, keys=8, pairs=16, projections=6, ffn=5)
    nothing = execution.outputs(SHAPE, 8, Statistics(queries=0, keys=0, scores=0, projections=0, ffn=0))
    assert execution.execute(PLAIN, SHAPE, nothing).total == 0


def test_bytes_of_the_memory():
    left, unit = execution.outputs(SHAPE, 4, DENSE), presets.speculation("tiny")["spls"]
    unit = replace(unit, width=8, head_width=4)
    dense, predicted = traffic.memory(SHAPE, 4, left, None), traffic.memory(SHAPE, 4, left, unit)
    assert dense == traffic.Memory(weights=4 * 64 + 2 * 128, codes=0, inputs=32, rows=2 * 64, outputs=32)
    # W_Q and W_K in 5 bits.
    assert predicted == replace(dense, codes=2 * 64 * 5 // 8, inputs=64)
    fewer = traffic.memory(SHAPE, 4, execution.outputs(SHAPE, 4, Statistics(keys=0.5)), unit)
    assert fewer.rows == dense.rows // 2


def test_bytes_of_the_buffers():
    left = execution.outputs(SHAPE, 4, DENSE)
    work = execution.operations(SHAPE, left)
    found = traffic.buffers(PLAIN, SHAPE, 4, left, work, None, DENSE)
    # Two rows pass by each weight: weights are read twice.
    assert found.generation == work.generation // 2 + 2 * 3 * 64 + 3 * 32
    assert found.attention == 32 * (8 + 10) + 2 * 32
    assert found.dense == (work.projection + work.ffn) // 4 + 2 * (64 + 256) + 32 + 4 * (32 + 8)
    assert found.prediction == 0


def test_bytes_of_the_predictor():
    """One head, one group, two slices of the width, codes of 5 bits; every tile and block by hand."""
    unit = replace(presets.speculation("tiny")["spls"], width=8, heads=1, tokens=8)
    shape = ModelShape("small", 1, 8, 1, 4, 16)
    left = execution.outputs(shape, 8, DENSE)
    work = execution.operations(shape, left)
    found = traffic.buffers(PLAIN, shape, 8, left, work, unit, DENSE)
    x, made, keys, queries = 2 * 2 * 8 * 4 * 5, 2 * 8 * 4 * 5, 2 * 8 * 4 * 5, 8 * 4 * 5
    partial = 2 * 2 * 8 * unit.rows * unit.array.acc_bits
    assert found.prediction == (x + made + keys + queries + partial) // 8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lines": 0}, r"^lines must be an integer from 1 to 1024, not 0"),
        ({"dense_use": 0}, r"^dense_use must be a share above 0 and up to 1, not 0; choose for example 0\.9\.$"),
        ({"sparse_use": float("nan")}, r"^sparse_use must be a share above 0 and up to 1, not nan"),
        ({"memory_bytes": 1.5}, r"^memory_bytes must be an integer"),
    ],
)
def test_arrays_that_cannot_be(change, sentence):
    with pytest.raises(Refusal, match=sentence):
        PeArraysConfig(**change)


def test_shares_that_cannot_be():
    with pytest.raises(Refusal, match=r"^keys must be a share from 0 to 1, not 1\.5; divide"):
        Statistics(keys=1.5)
    with pytest.raises(Refusal, match=r"^visited must be a share from 0 to 1, not nan"):
        Statistics(visited=(float("nan"),))
    with pytest.raises(Refusal, match=r"^visited must hold a share for each round behind the first, 2 at most"):
        Statistics(visited=(1, 1, 1))
    with pytest.raises(Refusal, match=r"^visited must hold .* fewer than eta has values"):
        Statistics(visited=(1,), eta=(128,))
    with pytest.raises(Refusal, match=r"^tokens must be an integer of 1 or more, not 0; give one\.$"):
        execution.outputs(SHAPE, 0, DENSE)
