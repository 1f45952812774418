# SPDX-License-Identifier: Apache-2.0
"""Sums over measured energies, by made-up ones that can be added in the head."""

import pytest

from foreshift import extrapolation
from foreshift.predictor_costs import FROM_X, HEAD_WIDTH
from synth import scaling

PHASES = {"load": 1.0, "generation": 100.0, "attention": 50.0, "projection": 30.0, "ffn": 219.0}


def accelerator(**parts):
    own = {f"prediction: {name}": {"cells": energy, "memories": 1.0} for name, energy in parts.items()}
    predicted = sum(line["cells"] + line["memories"] for line in own.values())
    blocks = {**own, "array 1": {"cells": 7.0, "memories": 7.0}}
    return {"phases_nj": PHASES, "blocks_nj": blocks, "chip_nj": 400 + predicted}


OURS = accelerator(array=13.0, projector=9.0, selection=4.0)
THEIRS = accelerator(array=13.0, selection=4.0)
POWER = {"accelerators": {"spls": OURS, "sanger": THEIRS, "dense": accelerator()}}


def test_what_was_measured_is_what_it_was():
    assert extrapolation.attention(OURS, "spls", 128) == pytest.approx(50 + 14 + 10 + 5)
    assert extrapolation.chip(OURS, "spls", 128) == pytest.approx(OURS["chip_nj"])
    assert extrapolation.chip(THEIRS, "sanger", 128) == pytest.approx(THEIRS["chip_nj"])


def test_tokens_count_once_and_pairs_twice():
    share = FROM_X / (FROM_X + HEAD_WIDTH)
    assert share == pytest.approx(192 / 224)
    array = 14 * (share * 4 + (1 - share) * 16)
    assert extrapolation.attention(OURS, "spls", 512) == pytest.approx(16 * 50 + array + 4 * 10 + 16 * 5)
    assert extrapolation.attention(THEIRS, "sanger", 512) == pytest.approx(16 * (50 + 14 + 5))
    assert extrapolation.chip(POWER["accelerators"]["dense"], "dense", 512) == pytest.approx(16 * 50 + 4 * 350)


def test_keys_that_are_scored_in_rounds_are_scored_more_than_once():
    array = 14 * (192 / 256 * 4 + 64 / 256 * 16)
    assert extrapolation.attention(OURS, "lapa", 512) == pytest.approx(16 * 50 + array + 4 * 10 + 16 * 5)


def test_operations_are_those_of_a_layer():
    products = 128 * (4 * 384 * 384 + 2 * 384 * 1536) + 2 * 128 * 128 * 384
    assert extrapolation.operations(128) == 2 * products


def test_the_page():
    page = extrapolation.markdown(POWER)
    assert f"| Sanger : ESACT | {69 / 79:.2f} |" in page
    assert "SpAtten" not in page
    removed = extrapolation.operations(128) / (0.48 * 400 + 29) * 1e-3 / scaling.scaled_power(1.0, 45)
    last = page[page.index("52 %") :].splitlines()
    assert next(line for line in last if line.startswith("| ESACT |")).endswith(f" {removed:.2f} |")
