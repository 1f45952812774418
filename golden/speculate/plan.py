# SPDX-License-Identifier: Apache-2.0
"""What a speculation unit decides: the plan of a layer, which the execution unit carries out.

Rows are tokens as queries, columns are tokens as keys. A row of a head is *critical*, and then its attention is
computed over the keys kept for it, or *similar* to an earlier critical row, whose result it copies.
"""

from dataclasses import dataclass

from golden.arrays import Array, namespace


@dataclass(frozen=True)
class Counts:
    """What a plan leaves to compute, in units that every model has, summed over heads where there are some.

    queries: rows of Q, scores, and context. keys: rows of K, and as many of V. scores: kept pairs. ffn: tokens whose
    FFN is computed; projections: tokens whose output projection is.
    """

    queries: int
    keys: int
    scores: int
    ffn: int
    projections: int


@dataclass(frozen=True)
class Plan:
    """The plan of a layer of H heads and T tokens; NumPy arrays or torch tensors.

    mask: bool [H, T, T], key j is kept for critical row i; all false in similar rows.
    reference: int64 [H, T], the critical row whose result row i takes, itself if it is critical.
    columns: bool [H, T], K and V of the token are needed: some critical row of the head keeps it.
    leader: int64 [T], the token whose FFN result is taken, itself if it is computed.
    agreed: bool [T], every head takes the same other row, so that the output projection is a copy as well.
    """

    mask: Array
    reference: Array
    columns: Array
    leader: Array
    agreed: Array

    @property
    def critical(self) -> Array:
        """bool [H, T]."""
        xp = namespace(self.reference)
        return self.reference == xp.arange(self.reference.shape[1])[None, :]

    @property
    def counts(self) -> Counts:
        """What is left to compute."""
        xp = namespace(self.leader)
        own = self.leader == xp.arange(self.leader.shape[0])
        return Counts(
            queries=int(xp.sum(xp.astype(self.critical, xp.int64))),
            keys=int(xp.sum(xp.astype(self.columns, xp.int64))),
            scores=int(xp.sum(xp.astype(self.mask, xp.int64))),
            ffn=int(xp.sum(xp.astype(own, xp.int64))),
            projections=int(xp.sum(xp.astype(~self.agreed, xp.int64))),
        )


def assemble(mask: Array, reference: Array, window: int, least_votes: int) -> Plan:
    """The plan that follows from the kept keys and the references of all heads.

    mask: bool [H, T, T]; what it says of similar rows is dropped. reference: int64 [H, T], inside windows of `window`
    rows. least_votes: heads that must name the same row for a token's FFN to be copied (ESACT's f).
    """
    xp = namespace(mask, reference)
    rows = xp.arange(reference.shape[1])
    mask = mask & (reference == rows[None, :])[:, :, None]
    leader, agreed = _leaders(reference, window, least_votes)
    return Plan(mask=mask, reference=reference, columns=xp.any(mask, axis=1), leader=leader, agreed=agreed)


def _leaders(reference: Array, window: int, least_votes: int) -> tuple[Array, Array]:
    """The row named most often by a token's heads as another's, the lower on a tie, if enough name it and its own FFN
    is computed; and whether all heads name one."""
    xp = namespace(reference)
    heads, tokens = reference.shape
    rows = xp.arange(tokens)
    first = rows // window * window
    # Rows name earlier ones of their window only, so distances from its first row are all that is voted on.
    place = xp.where(reference == rows[None, :], window, reference - first[None, :])
    votes = xp.stack([xp.sum(xp.astype(place == p, xp.int64), axis=0) for p in range(window)], axis=1)
    most, named = xp.max(votes, axis=1), first + xp.argmax(votes, axis=1)
    leader = [0] * tokens
    for i in range(tokens):
        candidate = int(named[i])
        copied = int(most[i]) >= least_votes and int(most[i]) > 0 and leader[candidate] == candidate
        leader[i] = candidate if copied else i
    return xp.asarray(leader, dtype=xp.int64), most == heads
