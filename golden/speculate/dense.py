# SPDX-License-Identifier: Apache-2.0
"""No prediction: every allowed pair of tokens is kept. What the predictors are measured against."""

from config.speculate import Settings
from golden.arrays import Array, namespace
from golden.speculate.operands import allowed, check_shapes
from golden.speculate.plan import Plan, all_critical


def predict(
    x: Array,
    wq: Array,
    wk: Array,
    settings: Settings,
    *,
    bq: Array | None = None,
    bk: Array | None = None,
    attend: Array | None = None,
) -> Plan:
    """The plan of a layer; of the operands [..., T, D] and [H, dh, D] only the shapes count. attend: bool [..., T],
    keys that may be attended to, or none for all."""
    check_shapes(x, wq, wk, settings)
    xp = namespace(x, wq, wk)
    pairs = allowed(x, settings, attend)
    return all_critical(xp.broadcast_to(pairs, (*pairs.shape[:-3], wq.shape[0], *pairs.shape[-2:])))
