# SPDX-License-Identifier: Apache-2.0
"""Attention of whole plans in RTL simulation, from items to contexts: random ones, and real ones of MiniLM."""

import numpy as np
import pytest

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from config.presets import pe_arrays, speculation
from sim import attention, minilm
from sim.attention import Operands
from tests.cycles.test_gather import CHOSEN, plan
from tests.execute.gathering import plan_mask, shaped

SMALL = shaped(lines=2, lanes=4, banks=4, tokens=32, chunk=32, heads=2, sets=2, ports=1)
ARRAYS = PeArraysConfig(lines=2, lanes=4, terms=64, keys=32, scalers=1)


def random_operands(config: ItemsConfig, density: float, *, steep: int = 0) -> Operands:
    """With so steep exponents that `steep` bits more of a score are told apart than for a few codes of 0."""
    rng = np.random.default_rng(config.tokens)
    q, k, v = rng.integers(-128, 128, (3, config.heads, config.tokens, config.lanes))
    exponent = np.stack([rng.integers(1 << 15, 1 << 16, config.heads), np.full(config.heads, 25 - steep)], axis=1)
    context = np.stack([rng.integers(1 << 14, 1 << 16, config.heads), rng.integers(22, 26, config.heads)], axis=1)
    return Operands(q, k, v, plan_mask(config, density), exponent, context)


@pytest.mark.parametrize("taken", [1, 0.3])
def test_random_plans(taken: float) -> None:
    layers = [random_operands(SMALL, density, steep=steep) for density, steep in ((0.5, 0), (0.05, 3), (1.0, 6))]
    runs = attention.run(SMALL, ARRAYS, layers, taken=taken)
    assert attention.run(SMALL, ARRAYS, layers, taken=taken, behavioural=True) == runs
    for run in runs:
        scored, added = run.use(SMALL.lines)
        print(f"{run.keys} keys in {run.cycles} cycles: {scored:.3f} scored, {added:.3f} added")


@pytest.mark.long
def test_real_plans() -> None:
    """All heads of a layer of MiniLM on a real sentence, under three plans; printed: docs/attention.md."""
    config = ItemsConfig(sets=16)
    layer, seen = minilm.tensors(minilm.token_ids(speculation("minilm")["spls"]), 2, **CHOSEN["spls"])
    scales = [attention.of_heads(each, config.heads) for each in (layer.exponent, layer.context)]
    masks = {"spls": seen["mask"], "lapa": plan("lapa", 2), "all keys": np.ones_like(seen["mask"])}
    layers = [Operands(seen["q"], seen["k"], seen["v"], mask, *scales) for mask in masks.values()]
    runs = attention.run(config, pe_arrays("minilm"), layers, stores=4, behavioural=True)
    for name, run in zip(masks, runs, strict=True):
        scored, added = run.use(config.lines)
        print(
            f"{name}: {run.keys} keys, {run.beats} codes, {run.cycles} cycles; {scored:.3f} scored, {added:.3f} added"
        )
    assert runs[0].use(config.lines)[0] >= 0.9
    assert runs[2].use(config.lines)[0] >= 0.95
    # Rows of 8 keys: an item of a line takes as long as its context.
    items = int(masks["lapa"].any(axis=-1).sum())
    assert runs[1].cycles <= 1.15 * items * (pe_arrays("minilm").groups + 2) / config.lines
