# SPDX-License-Identifier: Apache-2.0
"""ESACT's sparsity prediction with local similarity (SPLS), to the bit.

Q̂, K̂ ─► HLog scores ─► shift, saturate ─┬─► top k ──────────────► keys that attention keeps
                                          └─► top k_similarity ──► rows compared inside their window
"""

from config.array import number_system
from config.errors import require
from config.speculate import UNITY, WINDOWS, SplsSettings
from golden.arrays import Array, namespace
from golden.speculate.array import dot
from golden.speculate.operands import allowed, check_shapes, project
from golden.speculate.plan import Plan, assemble

SYSTEM = number_system("hlog")


def predict(
    x: Array,
    wq: Array,
    wk: Array,
    settings: SplsSettings,
    *,
    bq: Array | None = None,
    bk: Array | None = None,
    attend: Array | None = None,
    window: int = 8,
    score_bits: int = 8,
) -> Plan:
    """The plan of a layer. x: int8 [T, D]; wq, wk: int8 [H, dh, D]; bq, bk: [H, dh] in units of the sums, or none;
    attend: bool [T], keys that may be attended to, or none for all. window, score_bits: as the unit is built.

    Raises `Refusal` for operands that do not fit each other.
    """
    check_shapes(x, wq, wk, settings)
    xp = namespace(x, wq, wk)
    pairs = allowed(x.shape[0], settings, attend, x)
    masks, references = [], []
    for head in range(wq.shape[0]):
        scale = settings.scale(head)
        q = project(x, wq[head, ...], None if bq is None else bq[head, ...], scale.q, SYSTEM)
        k = project(x, wk[head, ...], None if bk is None else bk[head, ...], scale.k, SYSTEM)
        scores = shifted(dot(q, k, SYSTEM), scale.score_shift, score_bits)
        masks.append(top(scores, pairs, settings.k))
        compared = xp.where(top(scores, pairs, settings.k_similarity), scores, 0)
        references.append(similar(compared, settings.s, window))
    return assemble(xp.stack(masks), xp.stack(references), window, settings.f)


def shifted(sums: Array, shift: int, bits: int) -> Array:
    """Scores in `bits` bits: sums >> shift, towards minus infinity, saturated."""
    xp = namespace(sums)
    return xp.clip(sums >> shift, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def top(scores: Array, pairs: Array, k: int) -> Array:
    """bool [T, T]: the k largest scores of each row among the allowed `pairs`, all of them if there are fewer; on equal
    scores the lower column wins."""
    xp = namespace(scores)
    tokens = scores.shape[1]
    below_all = xp.min(scores) - 1
    order = xp.argsort(xp.where(pairs, scores, below_all), axis=1, descending=True, stable=True)
    # The place of each column in its row's order.
    place = xp.argsort(order, axis=1, stable=True)
    return pairs & (place < min(k, tokens))


def similar(compared: Array, s: int, window: int) -> Array:
    """int64 [T]: the critical row that each row of `compared` [T, T] is similar to, itself if it is critical.

    Row i is similar to an earlier critical row c of its window iff 256·D ≤ s·(N_i + N_c), D the sum of their absolute
    differences, N of their magnitudes; the smallest D wins, then the lower row.
    """
    xp = namespace(compared)
    require(
        window in WINDOWS, f"window must be one of {', '.join(map(str, WINDOWS))}, not {window!r}; choose one of them."
    )
    tokens = compared.shape[0]
    padding = -tokens % window
    rows = xp.concat([compared, xp.zeros((padding, tokens), dtype=xp.int64)], axis=0)
    rows = xp.reshape(rows, (-1, window, tokens))
    size = xp.sum(xp.abs(rows), axis=2)
    never = xp.max(size) * 2 + 1
    first = xp.arange(rows.shape[0]) * window
    references = [first]
    for i in range(1, window):
        distance = xp.sum(xp.abs(rows[:, i : i + 1, :] - rows[:, :i, :]), axis=2)
        near = UNITY * distance <= s * (size[:, i : i + 1] + size[:, :i])
        critical = xp.stack([references[c] == first + c for c in range(i)], axis=1)
        distance = xp.where(near & critical, distance, never)
        best = xp.argmin(distance, axis=1)
        references.append(xp.where(xp.any(near & critical, axis=1), first + best, first + i))
    return xp.reshape(xp.stack(references, axis=1), (-1,))[:tokens]
