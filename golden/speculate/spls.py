# SPDX-License-Identifier: Apache-2.0
"""ESACT's sparsity prediction with local similarity (SPLS), to the bit.

Q̂, K̂ ─► HLog scores ─► shift, saturate ─┬─► top k ──────────────► keys that attention keeps
                                          └─► top k_similarity ──► rows compared inside their window
"""

from config.array import NumberSystem, number_system
from config.errors import require
from config.speculate import UNITY, WINDOWS, SplsSettings
from golden.arith.top import top
from golden.arrays import Array, namespace, positions
from golden.speculate.operands import predicted, predicted_scores, score_shifts
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
    system: NumberSystem = SYSTEM,
) -> Plan:
    """The plan of a layer. x: int8 [..., T, D]; wq, wk: int8 [H, dh, D]; bq, bk: [H, dh] in units of int8's sums, or
    none; attend: bool [..., T], keys that may be attended to, or none for all. window, score_bits, system: as the unit
    is built; the scheme's own system is HLog.

    Raises `Refusal` for operands that do not fit each other.
    """
    found = predicted(x, wq, wk, settings, system, bq=bq, bk=bk, attend=attend)
    shifts = score_shifts(settings, wq.shape[0], x)
    scores = shifted(predicted_scores(found.q, found.k, system), shifts, score_bits)
    mask, reference = select(scores, found.pairs, settings, window)
    return assemble(mask, reference, window, settings.f)


def select(scores: Array, pairs: Array, settings: SplsSettings, window: int) -> tuple[Array, Array]:
    """What is kept, bool [..., T, S], and the critical row that each row is similar to, int64 [..., T]: from scores
    int64 [..., T, S] and the allowed `pairs`."""
    xp = namespace(scores)
    kept = top(scores, pairs, settings.k)
    compared = top(scores, pairs, settings.k_similarity) if settings.k_similarity != settings.k else kept
    return kept, similar(xp.where(compared, scores, 0), settings.s, window)


def shifted(sums: Array, shift: int | Array, bits: int) -> Array:
    """Scores in `bits` bits: sums >> shift, towards minus infinity, saturated."""
    xp = namespace(sums)
    return xp.clip(sums >> shift, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def similar(compared: Array, s: int, window: int) -> Array:
    """int64 [..., T]: the critical row that each row of `compared` [..., T, S] is similar to, itself if it is critical.

    Row i is similar to an earlier critical row c of its window iff 256·D ≤ s·(N_i + N_c), D the sum of their absolute
    differences, N of their magnitudes; the smallest D wins, then the lower row.
    """
    xp = namespace(compared)
    require(
        window in WINDOWS, f"window must be one of {', '.join(map(str, WINDOWS))}, not {window!r}; choose one of them."
    )
    *outer, tokens, columns = compared.shape
    padding = xp.zeros((*outer, -tokens % window, columns), dtype=xp.int64, device=compared.device)
    rows = xp.reshape(xp.concat([compared, padding], axis=-2), (*outer, -1, window, columns))
    size = xp.sum(xp.abs(rows), axis=-1)
    never = xp.max(size) * 2 + 1
    first = xp.broadcast_to(positions(size, -2) * window, size.shape[:-1])
    references = [first]
    for i in range(1, window):
        distance = xp.sum(xp.abs(rows[..., i : i + 1, :] - rows[..., :i, :]), axis=-1)
        near = UNITY * distance <= s * (size[..., i : i + 1] + size[..., :i])
        critical = xp.stack([references[c] == first + c for c in range(i)], axis=-1)
        distance = xp.where(near & critical, distance, never)
        best = xp.argmin(distance, axis=-1)
        references.append(xp.where(xp.any(near & critical, axis=-1), first + best, first + i))
    return xp.reshape(xp.stack(references, axis=-1), (*outer, -1))[..., :tokens]
