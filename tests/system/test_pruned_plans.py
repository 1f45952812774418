# SPDX-License-Identifier: Apache-2.0
"""Plans that drop tokens and heads, through the plan store: rows without keys, and which tokens are left."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from config.presets import systems
from golden.speculate.plan import all_critical
from golden.speculate.records import records
from hdl.execute.items import Broken
from hdl.system.layouts import reference_layout
from hdl.system.plan_store import PlanStore
from tests.planted import Planted
from tests.speculate.plans import pack
from tests.system.plans import Layer
from tests.system.test_plan_store import Bench, Seen, due, number

CONFIG = systems("tiny")["spatten"]
ROWS = CONFIG.speculation.rows


def layer(seed: int, tokens: int, heads: int, dropped: float) -> Layer:
    """A token at least is left, and a head."""
    rng = np.random.default_rng(seed)
    kept, heads_left = (rng.random(count) >= dropped for count in (tokens, heads))
    kept[rng.integers(tokens)] = heads_left[rng.integers(heads)] = True
    mask = heads_left[:, None, None] & kept[:, None] & kept & np.ones((heads, tokens, tokens), bool)
    plan = all_critical(mask)
    return Layer(replace(plan, alive=kept), records(plan, ROWS, 1, False))


class PrunedBench(Bench):
    """Chunks of the tokens that are left come behind a layer's start, beside the first records."""

    def __init__(self, dut: Any, **flow: Any) -> None:
        super().__init__(dut, CONFIG, **flow)
        self._store = dut
        self._chunks: list[int] = []
        self.told: list[tuple[int, int]] = []

    async def _layer(self, context: Any, layer: Layer, queue: list[int]) -> Seen:
        alive = number(layer.plan.alive)
        self._chunks = [alive >> low & ((1 << ROWS) - 1) for low in range(0, layer.tokens, ROWS)]
        seen = await super()._layer(context, layer, queue)
        self.told.append((context.get(self._store.living), context.get(self._store.drops)))
        return seen

    async def _cycle(self, context: Any, queue: list[int], seen: Seen, rest: bool = False) -> None:
        store = self._store
        context.set(store.alive.valid, bool(self._chunks))
        context.set(store.alive.payload, self._chunks.pop(0) if self._chunks else self._rng.getrandbits(ROWS))
        await super()._cycle(context, queue, seen, rest)


SHAPES = [(16, 2), (13, 2), (5, 1), (1, 1), (16, 2)]


def check(dut: Any, share: float, **flow: Any) -> None:
    layers = [layer(seed, *shape, share) for seed, shape in enumerate(SHAPES)]
    bench = PrunedBench(dut, **flow)
    for seen, told, given in zip(bench.run(layers), bench.told, layers, strict=True):
        wanted = due(CONFIG, given)
        keyless = ~given.plan.mask.any(axis=-1)
        references = [
            pack(reference_layout(CONFIG), head=head, row=row, reference=row, nothing=bool(keyless[head, row]))
            for head, row in np.ndindex(*keyless.shape)
        ]
        assert seen.references == references
        for name in ("items", "heads", "projected", "computed", "broken"):
            assert getattr(seen, name) == getattr(wanted, name), name
        assert told == (number(given.plan.alive), not given.plan.alive.all())
        assert seen.projected == seen.computed == told[0]


@pytest.mark.parametrize("flow", [{}, {"idle": 0.4}, {"stall": 0.5}, {"late": True}], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_what_is_left_is_that_of_the_plan(share: float, flow: dict[str, Any]) -> None:
    check(PlanStore(CONFIG), share, **flow)


FAULTS = {
    "another token left": {"living": lambda living: living ^ 2},
    "none is dropped": {"drops": lambda drops: drops & 0},
    "rows without keys are needed": {"critical": lambda critical: critical | 0xF},
    "a context of nothing": {"references__payload": lambda payload: payload & ((1 << len(payload) - 1) - 1)},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_store_is_found(name: str) -> None:
    with pytest.raises(AssertionError):
        check(Planted(PlanStore(CONFIG), **FAULTS[name]), 0.5)


def test_a_plan_with_nothing_to_attend_to_is_refused() -> None:
    """Then good ones."""
    good = [layer(seed, 16, 2, 0.5) for seed in (1, 2)]
    plan = all_critical(np.zeros((2, 16, 16), bool))
    void = Layer(replace(plan, alive=np.ones(16, bool)), records(plan, ROWS, 1, False))
    bench = PrunedBench(PlanStore(CONFIG))
    found = bench.run([good[0], void, good[1]], broken=1)
    assert [seen.broken for seen in found] == [Broken.NONE.value, Broken.EMPTY.value, Broken.NONE.value]
