# SPDX-License-Identifier: Apache-2.0
"""What a plan leaves to compute, as shares of the dense amount."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.array import require_range
from config.errors import require
from config.speculate import MAX_ROUNDS, UNITY
from golden.arrays import Array, namespace
from golden.speculate.plan import Plan

SHARES = ("queries", "keys", "scores", "projections", "ffn")


@dataclass(frozen=True)
class Statistics:
    """Shares of the dense amount that a plan leaves, 0 to 1.

    queries: rows of Q. keys: rows of K, and as many of V. scores: pairs of a query and a key. projections, ffn: tokens
    whose output projection and FFN are computed. visited: of LAPA's rounds behind the first, a share each: keys that at
    least one query of a block still wants, of all that it may attend to; empty if there is one round. eta: LAPA's
    settings, one for each round or more: the threshold takes as many cycles as they have bits.

    Raises `Refusal` for what is no share, and more rounds than a unit can have.
    """

    queries: float = 1.0
    keys: float = 1.0
    scores: float = 1.0
    projections: float = 1.0
    ffn: float = 1.0
    visited: tuple[float, ...] = ()
    eta: tuple[int, ...] = (128,) * MAX_ROUNDS

    def __post_init__(self) -> None:
        shares = [(name, getattr(self, name)) for name in SHARES] + [("visited", share) for share in self.visited]
        for name, share in shares:
            require(
                isinstance(share, (int, float)) and 0 <= share <= 1,
                f"{name} must be a share from 0 to 1, not {share!r}; divide what is left by the dense amount.",
            )
        require(
            len(self.visited) < MAX_ROUNDS and len(self.visited) < len(self.eta),
            f"visited must hold a share for each round behind the first, {MAX_ROUNDS - 1} at most and fewer than eta "
            f"has values, not {self.visited!r}; leave the first round out.",
        )
        for value in self.eta:
            require_range("eta", value, 0, UNITY)


def allowed_pairs(tokens: int, causal: bool) -> int:
    """Pairs of a query and a key of one head."""
    return tokens * (tokens + 1) // 2 if causal else tokens**2


def of_plan(
    plan: Plan, causal: bool = False, *, visited: Sequence[float] = (), eta: Sequence[int] = (128,) * MAX_ROUNDS
) -> Statistics:
    """Statistics of the plan of one layer [H, T, T] in which all tokens may be attended to."""
    heads, tokens = plan.reference.shape[-2:]
    counts = plan.counts
    return Statistics(
        queries=counts.queries / (heads * tokens),
        keys=counts.keys / (heads * tokens),
        scores=counts.scores / (heads * allowed_pairs(tokens, causal)),
        projections=counts.projections / tokens,
        ffn=counts.ffn / tokens,
        visited=tuple(visited),
        eta=tuple(eta),
    )


def visited(survivors: Sequence[Array], rows: int, causal: bool = False) -> tuple[float, ...]:
    """The shares of `Statistics` from the survivors bool [H, T, T] of each round but the last, as
    `golden.speculate.lapa.rounds` gives them, on a unit that scores `rows` queries side by side."""
    shares = []
    for mask in survivors:
        xp = namespace(mask)
        heads, tokens = mask.shape[0], mask.shape[-1]
        found = allowed = 0
        for first in range(0, tokens, rows):
            found += int(xp.count_nonzero(xp.any(mask[:, first : first + rows], axis=-2)))
            allowed += heads * (min(first + rows, tokens) if causal else tokens)
        shares.append(found / allowed)
    return tuple(shares)
