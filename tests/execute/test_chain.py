# SPDX-License-Identifier: Apache-2.0
"""A layer's products through both arrays in RTL simulation: every tensor is golden, in a small layer and in real ones;
what a plan leaves out does not take time."""

from dataclasses import replace

import numpy as np
import pytest

from config.pe_arrays import PeArraysConfig
from config.presets import attention
from golden.cycles import execution
from golden.cycles.shapes import MODELS
from golden.cycles.statistics import of_plan
from golden.execute.layer import execute
from golden.execute.linear import linear
from golden.speculate.plan import assemble
from sim import chain, dense, planned
from sim.phases import check, phases
from sim.planned import Planned
from tests.execute.test_layer import HEADS, HIDDEN, WIDTH, codes_of, converted, inputs

TOKENS = 11
SMALL = PeArraysConfig(lines=4, lanes=4, terms=64, keys=16, scalers=2)


def small_layer() -> Planned:
    """Some rows are copies, some keys are needed by none, some FFNs are their leader's."""
    rng = np.random.default_rng(3)
    x = inputs(TOKENS)
    _, _, found = converted("post", x)
    own = np.arange(TOKENS)
    reference = np.where((own % 4 == 2) & (rng.random((HEADS, TOKENS)) < 0.7), own - 1, own)
    mask = rng.random((HEADS, TOKENS, TOKENS)) < 0.4
    mask |= np.eye(TOKENS, dtype=bool)
    mask[..., 7] = own == 10
    plan = assemble(mask, reference, 4, 2)
    tensors: dict[str, np.ndarray] = {"x": codes_of("post", x, found)}
    execute(tensors["x"], found.layer, plan, watch=tensors.__setitem__)
    return Planned(found.layer, plan, tensors)


def test_a_layer_is_golden() -> None:
    layer = small_layer()
    assert 0 < np.count_nonzero(layer.plan.leader != np.arange(TOKENS)) < TOKENS
    spent = chain.run_dense(SMALL, layer)
    assert list(spent) == ["generation", "projection", "up", "down"]
    counts = layer.plan.counts
    assert spent["generation"].useful == (counts.queries + 2 * counts.keys) * (WIDTH // HEADS) * WIDTH
    assert spent["projection"].useful == counts.projections * WIDTH * WIDTH
    assert spent["up"].useful == spent["down"].useful == counts.ffn * WIDTH * HIDDEN
    # By what they compute, the arrays give the same at the same time.
    quick = chain.run_dense(SMALL, layer, behavioural=True)
    assert [each.cycles for each in quick.values()] == [each.cycles for each in spent.values()]


@pytest.mark.parametrize("side", [dense.Inner, dense.Outer])
def test_products_under_pauses(side) -> None:
    layer = small_layer()
    parts = [part for phase in phases(layer) for parts in phase.arrays for part in parts]
    found = dense.run(side(SMALL), [part.product for part in parts], idle=0.4, stall=0.4)
    for part, result in zip(parts, found.results, strict=True):
        check(part, result)


def test_a_difference_is_named() -> None:
    (part, *_), _ = phases(small_layer())[2].arrays
    wrong = part.due.copy()
    wrong[2, 3] += 1
    with pytest.raises(AssertionError, match=rf"^up, columns from 0: token {part.rows[2]}, column 3 is "):
        check(part, wrong)
    check(part, linear(part.product.x, part.product.layer))


@pytest.mark.parametrize("side", [dense.Inner, dense.Outer])
def test_a_fault_goes_red(side) -> None:
    """One weight is not the golden one."""
    (part, *_), _ = phases(small_layer())[2].arrays
    layer = part.product.layer
    w = layer.w.copy()
    w[0] = -w[0] - 1
    found = dense.run(side(SMALL), [replace(part.product, layer=replace(layer, w=w))])
    with pytest.raises(AssertionError, match="column 0 is"):
        check(part, found.results[0])


@pytest.mark.long
@pytest.mark.parametrize("method", planned.METHODS)
def test_real_layers_take_the_time_of_what_is_left(method: str) -> None:
    """The first and the last layer of MiniLM; docs/layers.md has all of them."""
    unit = attention("minilm")
    assert unit is not None
    config = unit.arrays
    ids = planned.sentence(0, 128)
    layers, exact = (planned.layers(ids, name)[:: planned.LAYERS - 1] for name in (method, "dense"))
    runs = [chain.run_layers(unit, each) for each in (layers, exact)]
    attention_ = chain.total({str(n): spent[chain.ATTENTION] for n, spent in enumerate(runs[0])})
    assert attention_.use(config) >= 0.9
    for sparse, whole in zip(*runs, strict=True):
        found, wanted = chain.total(sparse), chain.total(whole)
        assert found.cycles <= 1.1 * found.useful / wanted.useful * wanted.cycles
        assert all(spent.use(config) >= 0.95 for spent in whole.values())


@pytest.mark.long
@pytest.mark.parametrize(("method", "number"), [("dense", 0), ("spls", 5), ("lapa", 3)])
def test_cycle_model(method: str, number: int) -> None:
    """Within 2 % of a simulated layer."""
    unit = attention("minilm")
    assert unit is not None
    layer = planned.layers(planned.sentence(0, 128), method)[number]
    (spent,) = chain.run_layers(unit, [layer])
    left = execution.outputs(MODELS["minilm-l6"], 128, of_plan(layer.plan))
    model = execution.execute(unit.arrays, MODELS["minilm-l6"], left)
    assert model.total == pytest.approx(chain.total(spent).cycles, rel=0.02)
