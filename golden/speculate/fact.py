# SPDX-License-Identifier: Apache-2.0
"""FACT's prediction, to the bit: operands cut down to their leading ones, so that products are additions of exponents;
the k largest scores of each row are kept.

Q̂, K̂ ─► leading ones ─► scores ─► top k ─► keys that attention keeps
"""

from config.array import number_system
from config.speculate import FactSettings
from golden.arith.top import top
from golden.arrays import Array
from golden.speculate.operands import predicted, predicted_scores
from golden.speculate.plan import Plan, all_critical

SYSTEM = number_system("pot")


def predict(
    x: Array,
    wq: Array,
    wk: Array,
    settings: FactSettings,
    *,
    bq: Array | None = None,
    bk: Array | None = None,
    attend: Array | None = None,
) -> Plan:
    """The plan of a layer; every row is critical. x: int8 [..., T, D]; wq, wk: int8 [H, dh, D]; bq, bk: [H, dh] in
    units of int8's sums, or none; attend: bool [..., T], keys that may be attended to, or none for all.

    Raises `Refusal` for operands that do not fit each other.
    """
    found = predicted(x, wq, wk, settings, SYSTEM, bq=bq, bk=bk, attend=attend)
    return all_critical(top(predicted_scores(found.q, found.k, SYSTEM), found.pairs, settings.k))
