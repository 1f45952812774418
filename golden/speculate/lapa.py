# SPDX-License-Identifier: Apache-2.0
"""LAPA's prediction: scores by shift and add (ALOC), in rounds over bit slices of K̂ (MRSA), each of which drops the
keys that lie too far below the row's maximum (DDF), to the bit.

    Q̂ ─► leading ones ─┐
    K̂ ─► top slice ────┴─► A ─► threshold ─► survivors ─► next slice, survivors only ─► A ─► threshold ─► …
"""

from collections.abc import Sequence

from config.array import NumberSystem, number_system
from config.errors import require
from config.formats import OPERAND_BITS
from config.speculate import UNITY, LapaSettings
from golden.arrays import Array, namespace
from golden.speculate.operands import predicted, predicted_scores
from golden.speculate.plan import Plan, all_critical

SYSTEM = number_system("aloc")


def predict(
    x: Array,
    wq: Array,
    wk: Array,
    settings: LapaSettings,
    *,
    bq: Array | None = None,
    bk: Array | None = None,
    attend: Array | None = None,
    slices: Sequence[int] = (4, 4),
    system: NumberSystem = SYSTEM,
) -> Plan:
    """The plan of a layer; every row is critical. x: int8 [..., T, D]; wq, wk: int8 [H, dh, D]; bq, bk: [H, dh] in
    units of int8's sums, or none; attend: bool [..., T], keys that may be attended to, or none for all. slices, system:
    as the unit is built; the scheme's own system is ALOC. One that codes both operands codes each slice by itself.

    Raises `Refusal` for operands that do not fit each other, and unless there is an eta for each slice.
    """
    require(
        len(settings.eta) == len(slices),
        f"eta must hold one value for each of {len(slices)} rounds, not {len(settings.eta)}; give one per slice.",
    )
    found = predicted(x, wq, wk, settings, system, bq=bq, bk=bk, attend=attend)
    return all_critical(rounds(found.q, found.k, found.pairs, settings.eta, slices, system)[-1])


def rounds(
    q: Array, k: Array, pairs: Array, eta: Sequence[int], slices: Sequence[int], system: NumberSystem = SYSTEM
) -> list[Array]:
    """The survivors bool [..., T, S] of each round, for Q̂ [..., T, dh], K̂ [..., S, dh] and the allowed `pairs`."""
    sums, survivors, found = None, pairs, []
    for part, fraction in zip(sliced(k, slices), eta, strict=True):
        # What was dropped is added to as well: nobody looks.
        added = predicted_scores(q, part, system)
        sums = added if sums is None else sums + added
        survivors = kept(sums, survivors, fraction)
        found.append(survivors)
    return found


def sliced(k: Array, slices: Sequence[int]) -> list[Array]:
    """The bit slices of K̂ from the top, each at its own place: their sum is K̂. The top one carries the sign.

    At its place, a slice needs no shift of the sums before it, and a common factor does not change what survives.
    """
    parts, low = [], OPERAND_BITS
    for bits in slices:
        high, low = low, low - bits
        part = k >> low << low
        parts.append(part if high == OPERAND_BITS else part - (k >> high << high))
    return parts


def kept(sums: Array, survivors: Array, fraction: int) -> Array:
    """DDF: the survivors with 256·(max - A) ≤ fraction·(max - min), maximum and minimum over the row's survivors."""
    xp = namespace(sums)
    largest = xp.max(xp.where(survivors, sums, xp.min(sums)), axis=-1, keepdims=True)
    smallest = xp.min(xp.where(survivors, sums, xp.max(sums)), axis=-1, keepdims=True)
    return survivors & (UNITY * (largest - sums) <= fraction * (largest - smallest))
