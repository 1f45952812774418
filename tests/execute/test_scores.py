# SPDX-License-Identifier: Apache-2.0
"""Scores of whole plans in RTL simulation: random ones, and real ones of MiniLM; how busy the lines are."""

import numpy as np
import pytest

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from config.presets import pe_arrays, speculation
from sim import minilm, scores
from sim.scores import Operands
from tests.cycles.test_gather import CHOSEN, plan
from tests.execute.gathering import plan_mask, shaped

SMALL = shaped(lines=4, lanes=4, banks=8, tokens=32, chunk=32, heads=2, sets=2, ports=2)


def random_operands(config: ItemsConfig, density: float) -> Operands:
    rng = np.random.default_rng(config.tokens)
    q, k = rng.integers(-128, 128, (2, config.heads, config.tokens, config.lanes))
    return Operands(q, k, plan_mask(config, density))


def test_random_plans() -> None:
    """One of as many keys as there are lines, one with fewer, whatever keeps lines from beginning."""
    arrays = PeArraysConfig(lines=4, lanes=4, terms=4, keys=1)
    layers = [random_operands(SMALL, density) for density in (0.5, 0.05)]
    found = scores.run(SMALL, arrays, layers)
    assert found[0].use(SMALL.lines) >= 0.9
    assert sum(each.cycles for each in scores.run(SMALL, arrays, layers, opened=0.3)) > sum(e.cycles for e in found)


@pytest.mark.long
@pytest.mark.parametrize(("method", "stores", "least"), [("spls", 1, 0.9), ("lapa", 2, 0.75)])
def test_real_plans_keep_the_lines_busy(method: str, stores: int, least: float) -> None:
    """All heads of a layer of MiniLM on a real sentence, each score golden; printed: docs/execution.md."""
    config = ItemsConfig(sets=16)
    _, seen = minilm.tensors(minilm.token_ids(speculation("minilm")["spls"]), 2, **CHOSEN["spls"])
    mask = seen["mask"] if method == "spls" else plan(method, 2)
    found = scores.run(config, pe_arrays("minilm"), [Operands(seen["q"], seen["k"], mask)], stores=stores)
    print(f"{method}: {found[0].use(config.lines):.3f} in {found[0].cycles} cycles")
    assert found[0].use(config.lines) >= least
