# SPDX-License-Identifier: Apache-2.0
"""FACT's prediction, to the bit: operands cut down to their leading ones, so that products are additions of exponents;
the k largest scores of each row are kept.

Q̂, K̂ ─► leading ones ─► scores ─► shift, saturate ─► top k ─► keys that attention keeps

How wide its scores are the paper does not say. They are brought into `score_bits` as SPLS brings its own.
"""

from config.array import number_system
from config.speculate import FactSettings
from golden.arith.top import top
from golden.arrays import Array
from golden.speculate.operands import predicted, predicted_scores, score_shifts
from golden.speculate.plan import Plan, all_critical
from golden.speculate.spls import shifted

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
    score_bits: int = 8,
) -> Plan:
    """The plan of a layer; every row is critical. x: int8 [..., T, D]; wq, wk: int8 [H, dh, D]; bq, bk: [H, dh] in
    units of int8's sums, or none; attend: bool [..., T], keys that may be attended to, or none for all. score_bits: as
    the unit is built.

    Raises `Refusal` for operands that do not fit each other.
    """
    found = predicted(x, wq, wk, settings, SYSTEM, bq=bq, bk=bk, attend=attend)
    shifts = score_shifts(settings, wq.shape[0], x)
    scores = shifted(predicted_scores(found.q, found.k, SYSTEM), shifts, score_bits)
    return all_critical(top(scores, found.pairs, settings.k))
