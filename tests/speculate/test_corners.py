# SPDX-License-Identifier: Apache-2.0
"""Random layers reach every corner of the selections that `hdl.cover` names; users' Verilog does not count any."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from config import presets
from config.speculate import SplsSettings
from hdl.emit import verilog
from hdl.speculate.speculation import SpeculationUnit
from sim import dot, runner, speculation
from tests.speculate.test_random_units import any_layer

ALL = {"o_waits", "key_not_attended", "causal"}
TOP_K = ALL | {"k_beyond_the_keys", "tie_at_the_cut", "score_saturated", "ring_full"}
CORNERS = {
    "spls": TOP_K | {"similar_row", "tie_of_distances", "window_cut_to_a_row", "leader_copied", "all_heads_agree"},
    "fact": TOP_K,
    "lapa": ALL
    | {"walk_skipped", "nothing_dropped", "all_but_one_dropped", "constant_row", "list_chased", "lone_block"}
    | {"rounds_left_out", "pair_walked"},
}
HEADS = {"fact": 6}
"""The queue of FACT's rows has room for nearly all of the two heads that the preset has: no column would wait."""
LAYERS = 48


@pytest.mark.long
@pytest.mark.parametrize("method", CORNERS)
def test_random_layers_reach_every_corner(method, monkeypatch):
    config = presets.speculation("tiny")[method]
    config = replace(config, heads=HEADS.get(method, config.heads))
    counts: Counter[str] = Counter()
    run = runner.run

    def counted(folder, top, bench, work, settings):
        run(folder, top, bench, work, settings)
        counts.update(runner.reached(folder, top, work))

    text = verilog(SpeculationUnit(config), config.name, corners=True)
    folder = runner.build(text, config.name, coverage=True)
    monkeypatch.setattr(speculation, "build", lambda _: folder)
    monkeypatch.setattr(runner, "run", counted)
    flows = [*dot.FLOWS.values(), dot.Flow(stall=0.9)]
    given = [(narrow(any_layer(config, 1000, n), n), flows[n % len(flows)]) for n in range(LAYERS)]
    speculation.run(config, given)
    assert set(counts) == CORNERS[method]
    assert {name for name, count in counts.items() if not count} == set()


def narrow(layer, number):
    """Every third layer has rows of X that repeat: rows that are alike. Every third has scores of few values, of which
    many are compared, rather generously: rows that are as near to one critical row as to another."""
    if number % 3 == 1:
        layer.x[:] = layer.x[np.arange(len(layer.x)) // 3]
    if number % 3 == 2 and isinstance(layer.settings, SplsSettings):
        scales = tuple(replace(scale, score_shift=12) for scale in layer.settings.scales)
        return replace(layer, settings=replace(layer.settings, scales=scales, k=5, k_similarity=5, s=200))
    return layer


@pytest.mark.parametrize("method", CORNERS)
def test_nothing_is_counted_for_users(method):
    config = presets.speculation("tiny")[method]
    text = verilog(SpeculationUnit(config), config.name)
    assert "cover" not in text
    assert "corner" not in text
