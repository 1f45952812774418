# SPDX-License-Identifier: Apache-2.0
"""Speculation units: whatever none can be built for is refused, in a sentence that says what to do."""

import re

import pytest

from config.errors import Refusal
from config.speculate import METHODS, SpeculationConfig


def ranged(name: str, low: int, high: int, given: object) -> str:
    return f"{name} must be an integer from {low} to {high}, not {given!r}; set {name} to a value in that range."


METHOD = "method must be one of spls, lapa, dense, fact, sanger, spatten, not {}; choose one of them."
ROWS = "rows must be a power of two, not {}; choose the next larger or smaller one."
TOKENS = "tokens must be a multiple of rows = 4, not {}; round it up."
WINDOW = "window must be one of 1, 2, 4, 8, 16 and at most rows = 4, not {}; choose another window or more rows."
SLICES = "slices must be 1 to 3 widths that add up to 8 bits, not {}; for example (4, 4)."
LOAD = "load must be a divisor of rows = 4, not {}; choose 1, or another divisor."
BROKEN = [
    ({"method": "topk"}, METHOD.format("'topk'")),
    ({"rows": 1}, ranged("rows", 2, 128, 1)),
    ({"rows": 256}, ranged("rows", 2, 128, 256)),
    ({"rows": 4.0}, ranged("rows", 2, 128, 4.0)),
    ({"rows": 6}, ROWS.format(6)),
    ({"lanes": 0}, ranged("lanes", 1, 256, 0)),
    ({"lanes": 257}, ranged("lanes", 1, 256, 257)),
    ({"load": 0}, LOAD.format(0)),
    ({"load": 3}, LOAD.format(3)),
    ({"load": 8}, LOAD.format(8)),
    ({"load": "all"}, LOAD.format("'all'")),
    ({"tokens": 3}, ranged("tokens", 4, 4096, 3)),
    ({"tokens": 4100}, ranged("tokens", 4, 4096, 4100)),
    ({"tokens": 18}, TOKENS.format(18)),
    ({"width": 0}, ranged("width", 1, 8192, 0)),
    ({"width": 8193}, ranged("width", 1, 8192, 8193)),
    ({"heads": 0}, ranged("heads", 1, 128, 0)),
    ({"heads": 129}, ranged("heads", 1, 128, 129)),
    ({"head_width": 0}, ranged("head_width", 1, 256, 0)),
    ({"head_width": 257}, ranged("head_width", 1, 256, 257)),
    ({"score_bits": 3}, ranged("score_bits", 4, 16, 3)),
    ({"score_bits": 17}, ranged("score_bits", 4, 16, 17)),
    ({"window": 3}, WINDOW.format(3)),
    ({"window": 8}, WINDOW.format(8)),
    ({"slices": ()}, SLICES.format("()")),
    ({"slices": (2, 2, 2, 2)}, SLICES.format("(2, 2, 2, 2)")),
    ({"slices": (4, 3)}, SLICES.format("(4, 3)")),
    ({"slices": (9, -1)}, SLICES.format("(9, -1)")),
    ({"slices": [4, 4]}, SLICES.format("[4, 4]")),
    ({"slices": (4.0, 4.0)}, SLICES.format("(4.0, 4.0)")),
]


def unit(**broken: object) -> SpeculationConfig:
    legal: dict[str, object] = {"rows": 4, "lanes": 4, "load": 2, "tokens": 16, "width": 16, "heads": 2}
    return SpeculationConfig(**(legal | {"head_width": 4, "window": 4, "score_bits": 8} | broken))  # type: ignore[arg-type]


@pytest.mark.parametrize(("broken", "sentence"), BROKEN)
def test_what_no_unit_can_be_is_refused(broken: dict[str, object], sentence: str) -> None:
    with pytest.raises(Refusal, match=f"^{re.escape(sentence)}$"):
        unit(**broken)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "legal",
    [
        {"rows": 2, "lanes": 1, "load": 1, "tokens": 2, "width": 1, "heads": 1, "head_width": 1, "window": 2},
        {"rows": 128, "lanes": 256, "load": 128, "tokens": 4096, "width": 8192, "heads": 128, "head_width": 256},
        {"score_bits": 4, "slices": (8,)},
        {"score_bits": 16, "slices": (1, 1, 6), "window": 1},
    ],
)
def test_the_ends_of_every_range_are_legal(method: str, legal: dict[str, object]) -> None:
    assert unit(method=method, **legal).method == method


def test_a_window_that_none_seeks_in_may_be_wider_than_the_array() -> None:
    for method in ("lapa", "fact"):
        assert unit(method=method, window=16).similarity_window == 1
