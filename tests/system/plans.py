# SPDX-License-Identifier: Apache-2.0
"""Plans of layers for the accelerators' parts, and the records that tell of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from config.presets import systems
from config.system import SystemConfig
from golden.speculate.plan import Plan
from golden.speculate.records import Record, records
from sim.speculation import golden_plan
from tests.speculate import layers
from tests.speculate.plans import random_plan, record_patterns

TINY = systems("tiny")["spls"]
"""Of 16 tokens and two heads, with windows of 4 rows."""


@dataclass(frozen=True)
class Layer:
    """A plan, and the records in which it comes."""

    plan: Plan
    sent: Sequence[Record]

    @property
    def heads(self) -> int:
        return self.plan.reference.shape[0]

    @property
    def tokens(self) -> int:
        return self.plan.reference.shape[1]

    def patterns(self, config: SystemConfig) -> list[int]:
        """As payloads."""
        return record_patterns(config.speculation, list(self.sent))


def layer_of(config: SystemConfig, plan: Plan, causal: bool = False) -> Layer:
    unit = config.speculation
    return Layer(plan, records(plan, unit.rows, unit.similarity_window, causal))


def random_layer(
    config: SystemConfig, seed: int, tokens: int | None = None, heads: int | None = None, **options: Any
) -> Layer:
    """Its critical rows have a key each, at the least. options: as of `random_plan`."""
    rng = np.random.default_rng(seed)
    tokens, heads = tokens or config.tokens, heads or config.heads
    plan = random_plan(rng, heads, tokens, config.speculation.similarity_window, **options)
    return layer_of(config, with_keys(plan), options.get("causal", False))


def with_keys(plan: Plan) -> Plan:
    """Critical rows that have no key get the first."""
    mask = plan.mask.copy()
    mask[plan.critical & ~mask.any(axis=-1), 0] = True
    return replace(plan, mask=mask, columns=mask.any(axis=-2))


def head_of_all_keys(config: SystemConfig, seed: int) -> Layer:
    """Head 0 is dense; all rows of the others copy the first of their window, which has one key."""
    dense, sparse = (random_layer(config, seed, similar=s, density=d).plan for s, d in ((0.0, 1.0), (1.0, 0.0)))
    chosen = {
        name: np.concatenate([getattr(dense, name)[:1], getattr(sparse, name)[1:]])
        for name in ("mask", "reference", "columns")
    }
    alone = np.arange(config.tokens)
    return layer_of(config, Plan(**chosen, leader=alone, agreed=np.zeros(config.tokens, bool)))


def real_layer(config: SystemConfig, seed: int, tokens: int, causal: bool = False, **chosen: Any) -> Layer:
    """What the speculation unit decides of random operands."""
    given = layers.layer(config.speculation, seed, tokens, causal=causal, **chosen)
    return layer_of(config, golden_plan(config.speculation, given), causal)
