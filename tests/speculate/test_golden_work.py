# SPDX-License-Identifier: Apache-2.0
"""What plans leave in multiply-accumulates, by hand: shared heads of K and V, padding, exact Q and K."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.speculate.plan import assemble
from golden.speculate.work import Sizes, Work

SIZES = Sizes(tokens=6, pairs=20, width=10, heads=4, key_heads=2, head_width=3, projection=7, ffn=11)


def planned(library=np):
    """A sequence of 4 tokens and one of 2 and padding; heads 0 and 1 share K and V, and so do 2 and 3."""
    mask = np.zeros((2, 4, 4, 4), dtype=bool)
    mask[0, 0, :, 0] = True
    mask[0, 1, :, 1] = True
    mask[0, 3, :2, 2:] = True
    mask[1, :, :, 0] = True
    reference = np.tile(np.arange(4), (2, 4, 1))
    # Of all heads row 1 of the second sequence; of three row 3 of the first, and of one of these a row of padding.
    reference[1, :, 1] = 0
    reference[0, :3, 3] = 2
    return assemble(library.asarray(mask), library.asarray(reference), 4, 3)


@pytest.mark.parametrize("library", [np, torch])
def test_counts_of_padded_sequences_whose_heads_share_keys(library):
    real = library.asarray(np.arange(4) < np.array([[4], [2]]))
    found = planned(library).counted(real, sharing=2)
    # First sequence: 3 rows of heads 0 and 1, 2 of head 3; keys 0 and 1 of the first pair, 2 and 3 of the second.
    # Second: row 0 of each head.
    assert (found.queries, found.keys, found.scores, found.values) == (8 + 4, 4 + 2, 10 + 4, 10 + 4)
    assert (found.ffn, found.projections) == (3 + 1, 4 + 1)
    assert planned(library).counted() == planned(library).counts
    assert planned(library).counts.queries == 8 + 4 * 3


def test_dropped_tokens_and_values_are_counted_in_padded_sequences_too():
    plan = replace(planned(), alive=np.array([[True, False, True, True]] * 2), value_share=255)
    found = plan.counted(np.ones((2, 4), dtype=bool))
    assert found == plan.counts
    assert (found.ffn, found.projections) == (2 + 3, 3 + 3)
    assert found.values == found.queries < found.scores


def test_work_of_a_layer_whose_heads_share_keys():
    assert SIZES.dense == Work(q=24 * 30, k=12 * 30, v=12 * 30, attention=2 * 80 * 3, projection=6 * 7, ffn=6 * 11)
    real = np.arange(4) < np.array([[4], [2]])
    counts = planned().counted(real, sharing=2)
    left = SIZES.left(counts, 5)
    assert left == Work(q=12 * 30, k=6 * 30, v=6 * 30, attention=28 * 3, projection=5 * 7, ffn=4 * 11, prediction=5)
    assert (left.qkv, left.total) == (24 * 30, 24 * 30 + 28 * 3 + 5 * 7 + 4 * 11)
    assert SIZES.left(counts, 5, after_qk=True) == replace(left, q=24 * 30, k=12 * 30)


def test_sequences_add_up():
    assert SIZES.times(3).dense == SIZES.dense + SIZES.dense + SIZES.dense
    assert SIZES.predicted_projections == 6 * (4 + 2) * 3 * 10
    assert SIZES.predicted_scores == 20 * 4 * 3
    assert SIZES.times(2).predicted_scores == 2 * SIZES.predicted_scores
