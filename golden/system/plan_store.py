# SPDX-License-Identifier: Apache-2.0
"""What an accelerator keeps of a layer's plan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.items import ItemsConfig
from golden.cycles.gather import Item, items_of
from golden.speculate.plan import Plan

Flags = NDArray[np.bool_]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Kept:
    """Of a plan of H heads and T tokens.

    columns, critical: bool [H, T], tokens whose K and V, and whose Q, are needed. items: in order. references: int64
    [H·T, 3], head, row and the row whose context it takes, in order. projected, computed: bool [T], tokens whose output
    projection, and whose FFN, is computed. leader, first: int64 [T], whose FFN, and, where it is not projected, whose
    projection a token takes.
    """

    columns: Flags
    critical: Flags
    items: list[Item]
    references: Int64
    projected: Flags
    computed: Flags
    leader: Int64
    first: Int64


def kept(plan: Plan, config: ItemsConfig) -> Kept:
    """What is kept of a plan of up to `config.heads` heads and `config.tokens` tokens; NumPy arrays."""
    reference, leader = np.asarray(plan.reference), np.asarray(plan.leader)
    heads, tokens = reference.shape
    head, row = np.divmod(np.arange(heads * tokens), tokens)
    alive = np.ones(tokens, np.bool_) if plan.alive is None else np.asarray(plan.alive)
    critical = np.asarray(plan.critical)
    if plan.alive is not None:
        # A row without keys is none that is needed.
        critical = critical & np.asarray(plan.mask).any(axis=-1)
    return Kept(
        columns=np.asarray(plan.columns),
        critical=critical,
        items=items_of(_padded(np.asarray(plan.mask), config.tokens), config),
        references=np.stack([head, row, reference.ravel()], axis=1),
        projected=alive & ~np.asarray(plan.agreed),
        computed=alive & (leader == np.arange(tokens)),
        leader=leader,
        first=reference[0],
    )


def _padded(mask: Flags, tokens: int) -> Flags:
    """As many rows and keys as are built, [H, T, T]."""
    return np.pad(mask, [(0, 0), *[(0, tokens - mask.shape[-1])] * 2])
