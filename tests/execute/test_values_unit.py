# SPDX-License-Identifier: Apache-2.0
"""Softmax at the lines and codes with rows of V: codes, scales and contexts are golden, whatever comes when."""

from dataclasses import replace

import pytest

from tests.arith import simulate
from tests.execute.attending import ARRAYS, CONFIG, Flow, check_all, heads_of, special, unit


def test_contexts_are_golden() -> None:
    check_all(CONFIG, ARRAYS, [heads_of(CONFIG, density) for density in (0.0, 0.4, 1.0)])


def test_special_rows() -> None:
    """Heads in pairs, one of each kind behind one of another."""
    heads = special(CONFIG)
    flows = {"at once": Flow()}
    seen = check_all(CONFIG, ARRAYS, [list(pair) for pair in zip(heads[::2], heads[1::2], strict=True)], flows=flows)
    kept = sum(int(each.kept.sum()) for each in heads)
    beats = sum(len(line) for run in seen for line in run.beats)
    assert beats < kept, "some codes are 0"


@pytest.mark.parametrize(
    ("items", "array", "others", "sentence"),
    [
        ({"tokens": 16}, {"keys": 16}, {}, "chunk must be tokens = 16, not 8; set it to that."),
        ({}, {"lines": 4}, {}, "lines and lanes of the array must be 2 and 4, not 4 and 4; set them to those."),
        ({}, {"keys": 7}, {}, "keys of the array must be at least chunk = 8, not 7; raise it."),
        ({}, {}, {"words": 4}, "words must be an integer from chunk = 8, not 4; raise it."),
        ({}, {}, {"entries": 3}, "entries must be a power of two from 2, not 3; choose one."),
    ],
)  # fmt: skip
def test_illegal_shapes_are_refused(items: dict, array: dict, others: dict, sentence: str) -> None:
    config, arrays = replace(CONFIG, **items), replace(ARRAYS, **array)
    assert simulate.refusal_of(lambda: unit(config, arrays, **others)) == sentence
