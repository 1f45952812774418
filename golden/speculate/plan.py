# SPDX-License-Identifier: Apache-2.0
"""What a speculation unit decides: the plan of a layer, which the execution unit carries out.

Rows are tokens as queries, columns are tokens as keys. A row of a head is *critical*, and then its attention is
computed over the keys kept for it, or *similar* to an earlier critical row, whose result it copies.
"""

from collections.abc import Callable
from dataclasses import dataclass

from config.speculate import UNITY
from golden.arrays import Array, namespace, positions


@dataclass(frozen=True)
class Counts:
    """What a plan leaves to compute, in units that every model has, summed over heads where there are some.

    queries: rows of Q, scores, and context, of those that keep a key. keys: rows of K, and as many of V. scores: kept
    pairs; values: those of them whose V is added. ffn: tokens whose FFN is computed; projections: tokens whose output
    projection is.
    """

    queries: int
    keys: int
    scores: int
    ffn: int
    projections: int
    values: int


@dataclass(frozen=True)
class Plan:
    """The plan of a layer of H heads and T tokens, or of a batch of them; NumPy arrays or torch tensors.

    mask: bool [..., H, T, T], key j is kept for critical row i; all false in similar rows.
    reference: int64 [..., H, T], the critical row whose result row i takes, itself if it is critical.
    columns: bool [..., H, T], K and V of the token are needed: some critical row of the head keeps it.
    leader: int64 [..., T], the token whose FFN result is taken, itself if it is computed.
    agreed: bool [..., T], every head takes the same other row, so that the output projection is a copy as well.
    alive: bool [..., T], tokens whose rows are computed, or none if all are. The layer's output for the others is its
    input. They keep no keys, and are nobody's leader or reference.
    value_share: of each row's kept keys, how many 256ths have their V left out of the context: `share_left` stay, those
    with the largest softmax codes.
    """

    mask: Array
    reference: Array
    columns: Array
    leader: Array
    agreed: Array
    alive: Array | None = None
    value_share: int = 0

    @property
    def critical(self) -> Array:
        """bool [..., H, T]."""
        return self.reference == positions(self.reference)

    @property
    def counts(self) -> Counts:
        """What is left to compute."""
        return self.counted()

    def counted(self, real: Array | None = None, sharing: int = 1) -> Counts:
        """What is left to compute in rows that are no padding, bool [..., T], or in all. sharing: heads of Q that share
        a head of K and V, whose rows are computed if one of them needs them."""
        xp = namespace(self.leader)

        def count(flags: Array) -> int:
            return int(xp.count_nonzero(flags))

        alive = xp.ones_like(self.agreed) if self.alive is None else self.alive
        mask, columns = self.mask, self.columns
        if real is not None:
            alive, mask = alive & real, mask & real[..., None, :, None]
            columns = xp.any(mask, axis=-2)
        rows = xp.sum(mask, axis=-1, dtype=xp.int64)
        return Counts(
            queries=count(rows),
            keys=count(xp.any(xp.reshape(columns, (-1, sharing, columns.shape[-1])), axis=-2)),
            scores=int(xp.sum(rows)),
            ffn=count(alive & (self.leader == positions(self.leader))),
            projections=count(alive & ~self.agreed),
            values=int(xp.sum(share_left(rows, self.value_share))),
        )


Planner = Callable[[Array, Array, Array], Plan]
"""Makes the plan of a layer from what Q, K and V are made of, int8 [..., T, D], and from the exact Q and K, int8
[..., H, T, dh], which some predictors need and most do not."""


def share_left(count: Array, share: int) -> Array:
    """What is left of int64 counts without `share` 256ths of them, rounded down, but 1 of 1 or more."""
    xp = namespace(count)
    return xp.clip((count * (UNITY - share)) // UNITY, xp.clip(count, None, 1), None)


def all_critical(mask: Array) -> Plan:
    """The plan of kept keys [..., H, T, T] without a copied row."""
    xp = namespace(mask)
    reference = xp.broadcast_to(positions(mask), mask.shape[:-1])
    return assemble(mask, reference, 1, mask.shape[-3] + 1)


def assemble(mask: Array, reference: Array, window: int, least_votes: int) -> Plan:
    """The plan that follows from the kept keys and the references of all heads.

    mask: bool [..., H, T, T]; what it says of similar rows is dropped. reference: int64 [..., H, T], inside windows of
    `window` rows. least_votes: heads that must name the same row for a token's FFN to be copied (ESACT's f).
    """
    xp = namespace(mask, reference)
    mask = mask & (reference == positions(reference))[..., None]
    leader, agreed = _leaders(reference, window, least_votes)
    return Plan(mask=mask, reference=reference, columns=xp.any(mask, axis=-2), leader=leader, agreed=agreed)


def _leaders(reference: Array, window: int, least_votes: int) -> tuple[Array, Array]:
    """The row named most often by a token's heads as another's, the lower on a tie, if enough name it and its own FFN
    is computed; and whether all heads name one."""
    xp = namespace(reference)
    *outer, heads, tokens = reference.shape
    rows = positions(reference)
    # Rows name earlier ones of their window only, so places in it are all that is voted on.
    place = xp.where(reference == rows, window, reference - rows // window * window)
    votes = xp.stack([xp.count_nonzero(place == p, axis=-2) for p in range(window)], axis=-1)
    padding = xp.zeros((*outer, -tokens % window, window), dtype=votes.dtype, device=votes.device)
    votes = xp.reshape(xp.concat([votes, padding], axis=-2), (*outer, -1, window, window))
    most, named = xp.max(votes, axis=-1), xp.argmax(votes, axis=-1)
    leader: list[Array] = []
    for i in range(window):
        computed = xp.zeros(named.shape[:-1], dtype=xp.bool, device=named.device)
        for c in range(i):
            computed = computed | ((named[..., i] == c) & (leader[c] == c))
        leader.append(xp.where(computed & (most[..., i] >= least_votes), named[..., i], i))
    first = positions(named, -2)[:, None] * window
    leaders = xp.reshape(first + xp.stack(leader, axis=-1), (*outer, -1))[..., :tokens]
    return leaders, xp.reshape(most, (*outer, -1))[..., :tokens] == heads
