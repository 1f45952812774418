# SPDX-License-Identifier: Apache-2.0
"""Sanger's prediction, to the bit: a softmax of 4-bit scores, and a threshold on its probabilities. How the mask packs
into the lines of its array.

Q, K, exact ─► 4 bits ─► scores ─► powers of two ─┬──────────────► power / total > threshold ─► keys that are kept
                                                  └─► total ───────┘
"""

from dataclasses import dataclass

from config.array import number_system
from config.errors import require
from config.execute import POWER_BITS
from config.formats import IntegerFormat
from config.speculate import PROBABILITY_UNITY, SangerSettings
from golden.arrays import Array, namespace
from golden.execute.scales import Scale
from golden.execute.softmax import powers_of
from golden.speculate.array import dot
from golden.speculate.plan import Plan, all_critical

SYSTEM = number_system("int4")
_DROPPED_BITS = 2 * IntegerFormat(4).dropped_bits
"""One unit of a product of 4 bits is 256 of 8."""


def predict(q: Array, k: Array, pairs: Array, settings: SangerSettings, exponent: Scale) -> Plan:
    """The plan of a layer; every row is critical. q, k: exact, int8 [..., H, T, dh]; pairs: bool [..., 1, T, T], as
    from `golden.speculate.operands.allowed`; exponent: the layer's own, of the scores of q and k.

    Raises `Refusal` for operands that do not fit each other.
    """
    tokens = q.shape[-2] if q.ndim > 2 else 0
    require(
        tuple(q.shape) == tuple(k.shape) and tuple(pairs.shape) == (*q.shape[:-3], 1, tokens, tokens),
        "q and k must both be [..., H, T, dh], and pairs [..., 1, T, T], not "
        f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(pairs.shape)}; cut Q and K into heads first.",
    )
    # At the scale of the exact scores, to which the exponent belongs.
    scores = dot(q, k, SYSTEM) << _DROPPED_BITS
    return all_critical(likely(powers_of(scores, pairs, exponent.mul, exponent.shift), settings.threshold))


def likely(powers: Array, threshold: int) -> Array:
    """bool [..., T, S]: the keys whose share of the row's `powers` is above threshold/65536, and those that have the
    largest power, 2^21, whatever their share. Keys that may not be attended to have a power of 0."""
    xp = namespace(powers)
    total = xp.sum(powers, axis=-1, keepdims=True)
    return (powers * PROBABILITY_UNITY > threshold * total) | (powers == 1 << POWER_BITS)


@dataclass(frozen=True)
class Packing:
    """What pack and split makes of a mask, over all its rows. kept: keys. occupied: sub-rows that hold any. lines: of
    the array, once the fuller ones are split."""

    kept: int
    occupied: int
    lines: int


def pack(mask: Array, width: int = 64, most: int = 16) -> Packing:
    """mask: bool [..., T, S]. A row is cut into sub-rows of `width` keys, the last may be shorter. Empty ones are
    skipped; one with n keys takes ceil(n / most) lines."""
    xp = namespace(mask)
    require(
        width >= 1 and most >= 1,
        f"width and most must be 1 or more, not {width} and {most}; 64 and 16 are Sanger's.",
    )
    *outer, columns = mask.shape
    padding = xp.zeros((*outer, -columns % width), dtype=xp.bool, device=mask.device)
    sub_rows = xp.reshape(xp.concat([mask, padding], axis=-1), (*outer, -1, width))
    held = xp.sum(sub_rows, axis=-1, dtype=xp.int64)
    return Packing(
        kept=int(xp.sum(held)), occupied=int(xp.count_nonzero(held)), lines=int(xp.sum((held + most - 1) // most))
    )
