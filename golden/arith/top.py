# SPDX-License-Identifier: Apache-2.0
"""The k largest of a row."""

from golden.arrays import Array, namespace, positions, rising


def top(scores: Array, pairs: Array, k: int | Array) -> Array:
    """bool [..., T, S]: the k largest scores of each row among the allowed `pairs`, all of them if there are fewer; on
    equal scores the lower column wins. k: 1 or more, of all rows or int64 [..., T, 1]."""
    xp = namespace(scores)
    columns = scores.shape[-1]
    # Scores that differ from column to column, in the order of preference; what is not allowed lies below them all.
    ranked = scores * columns + (columns - 1 - positions(scores))
    ranked = xp.where(pairs, ranked, (xp.min(scores) - 1) * columns)
    last = xp.clip(xp.asarray(k, device=scores.device), None, columns) - 1
    last = xp.broadcast_to(last, (*ranked.shape[:-1], 1))
    return pairs & (ranked >= xp.take_along_axis(rising(ranked), columns - 1 - last, axis=-1))
