# SPDX-License-Identifier: Apache-2.0
"""torch.nn.functional.scaled_dot_product_attention with a predictor: only the pairs that the predictor keeps are
attended to, and rows that it finds similar copy another's result."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from config.errors import Refusal, require
from plug.predictors import Dense, Predictor, require_predictor
from plug.sight import Selection, Sight, Tensor


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    predictor: Predictor,
) -> Tensor:
    """Attention [..., H, T, dv] of query [..., H, T, dh], key [..., H, S, dh] and value [..., H, S, dv], floating point
    of any width, on any device; the parameters mean what they mean in torch.nn.functional.scaled_dot_product_attention.

    attn_mask: bool, true where a key may be attended to, or floating point, added to the exact scores; -inf, or half of
    the most negative number of its type or less, forbids the pair. The predictor does not see what else is added.
    enable_gqa: H may be a multiple of the heads of key and value. A row that may attend to nothing gives zeros.

    With `Dense` this is torch's own function. Otherwise the result's gradient is that of attention over the kept pairs,
    copies included; the selection counts as a constant. Under torch.compile, the graph breaks here; fullgraph is not
    possible.

    Raises `Refusal` for dropout, NaN and infinities, is_causal beside a mask, a scale that is not positive, and shapes,
    types or devices that do not fit each other.
    """
    result: Tensor = _uncompiled(
        query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, predictor=predictor
    )
    return result


def attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float | None, kept: Selection
) -> Tensor:
    """Attention [B, H, T, dv] over the kept pairs; rows that refer to another are copies. bias: added to the scores, or
    none. Rows that keep nothing give zeros."""
    mask = kept.mask
    if bias is not None:
        mask = torch.where(mask, bias, torch.full((), -math.inf, dtype=bias.dtype, device=bias.device))
    shared = query.shape[-3] != key.shape[-3]
    result = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=shared)
    return result.gather(-2, kept.reference[..., None].expand_as(result))


def allowed(attn_mask: Tensor | None, is_causal: bool, batch: int, rows: int, keys: int, device: object) -> Tensor:
    """The allowed pairs, bool [B, 1 or H, T, S], of a mask [B or 1, H or 1, T or 1, S or 1]. is_causal: row i attends
    to keys 0 to i."""
    pairs = torch.ones((1, 1, rows, keys), dtype=torch.bool, device=device)
    if is_causal:
        pairs = pairs.tril()
    if attn_mask is not None:
        pairs = pairs & (
            attn_mask if attn_mask.dtype == torch.bool else attn_mask > torch.finfo(attn_mask.dtype).min / 2
        )
    return pairs.expand(batch, *pairs.shape[1:])


@contextmanager
def undisturbed(device: str) -> Iterator[None]:
    """Without gradients, and without autocast, which would round the integers of a prediction."""
    with torch.no_grad(), torch.autocast(device, enabled=False):
        yield


def real_rows(pairs: Tensor) -> Tensor:
    """bool [B, T]: rows that are no padding. In self-attention, padding is what no row may attend to."""
    batch, _, rows, keys = pairs.shape
    return pairs.any(1).any(-2) if rows == keys else torch.ones((batch, rows), dtype=torch.bool, device=pairs.device)


def repeated(x: Tensor, heads: int) -> Tensor:
    """Key or value heads [B, h, S, d], each as often as query heads share it: [B, H, S, d]."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
    *,
    predictor: Predictor,
) -> Tensor:
    require_predictor(predictor)
    _check(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    if isinstance(predictor, Dense) or 0 in (*query.shape, *key.shape):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
        )
    q, k, v = (_four(x) for x in (query, key, value))
    batch, heads, rows, _ = q.shape
    mask = None if attn_mask is None else _mask_of_batch(attn_mask, query.shape)
    with undisturbed(q.device.type):
        pairs = allowed(mask, is_causal, batch, rows, k.shape[-2], q.device)
        sight = Sight.of(pairs, real_rows(pairs))
        kept = sight.settled(predictor.select(q, repeated(k, heads), sight))
    bias = mask if mask is not None and mask.dtype != torch.bool else None
    return attend(q, k, v, bias, scale, kept).reshape(*query.shape[:-1], value.shape[-1])


_uncompiled = torch.compiler.disable(_attention, reason="what is kept hangs on the data")


def _four(x: Tensor) -> Tensor:
    """[..., H, T, d] as [B, H, T, d]."""
    return x.reshape(-1, *x.shape[-3:])


def _mask_of_batch(mask: Tensor, query: tuple[int, ...]) -> Tensor:
    """[B or 1, H or 1, T or 1, S or 1]."""
    mask = mask[(None,) * (len(query) - mask.ndim)]
    if any(size != 1 for size in mask.shape[:-3]):
        mask = mask.expand(*query[:-3], *mask.shape[-3:])
    return _four(mask)


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> None:
    require(dropout_p == 0, f"dropout_p must be 0, not {dropout_p}; call model.eval(), or set the dropout to 0.")
    require(
        attn_mask is None or not is_causal,
        "is_causal must be false where attn_mask is given, and it is true; leave one of them out.",
    )
    require(scale is None or scale > 0, f"scale must be above 0, not {scale}; negate the query instead.")
    _check_shapes(query, key, value, enable_gqa)
    if attn_mask is not None:
        _check_mask(attn_mask, query, key)
    for name, x in (("query", query), ("key", key), ("value", value)):
        require_finite(name, x)


def require_finite(name: str, x: Tensor) -> None:
    """Raise `Refusal` for NaN and infinities."""
    if not bool(torch.isfinite(x).all()):
        raise Refusal(f"{name} must hold finite numbers, not NaN or infinities; check where it comes from.")


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    q, k, v = (tuple(x.shape) for x in (query, key, value))
    require(
        len(q) >= 3
        and len(q) == len(k) == len(v)
        and q[:-3] == k[:-3] == v[:-3]
        and q[-1] == k[-1]
        and k[:-1] == v[:-1],
        f"query, key and value must be [..., H, T, dh], [..., H, S, dh] and [..., H, S, dv], not {q}, {k} and {v}; "
        "bring them into these shapes.",
    )
    require(
        q[-3] == k[-3] or (enable_gqa and k[-3] > 0 and q[-3] % k[-3] == 0),
        f"The heads of query must be those of key, or a multiple with enable_gqa, not {q[-3]} and {k[-3]}; set "
        "enable_gqa, or repeat the key's heads.",
    )
    same = query.is_floating_point() and query.dtype == key.dtype == value.dtype
    require(
        same and query.device == key.device == value.device,
        "query, key and value must have one floating-point type and one device, not "
        f"{', '.join(f'{x.dtype} on {x.device}' for x in (query, key, value))}; convert them.",
    )


def _check_mask(mask: Tensor, query: Tensor, key: Tensor) -> None:
    whole = (*query.shape[:-1], key.shape[-2])
    fits = len(whole) >= mask.ndim >= 2 and all(
        size in (1, there) for size, there in zip(reversed(mask.shape), reversed(whole), strict=False)
    )
    require(fits, f"attn_mask must broadcast to {whole}, not have shape {tuple(mask.shape)}; cut or expand it.")
    require(
        (mask.dtype == torch.bool or mask.is_floating_point()) and mask.device == query.device,
        f"attn_mask must be bool or floating point, on {query.device}, not {mask.dtype} on {mask.device}; convert it.",
    )
    require(
        mask.dtype == torch.bool or not bool((torch.isnan(mask) | (mask == math.inf)).any()),
        "attn_mask must hold no NaN and no positive infinity, and it does; use -inf where a key is forbidden.",
    )
