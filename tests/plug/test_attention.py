# SPDX-License-Identifier: Apache-2.0
"""Attention with a predictor against torch's scaled_dot_product_attention."""

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as exact

from config.errors import Refusal
from plug import Dense, Lapa, Spls, attention
from plug.attention import real_rows
from plug.sight import Sight

EVERYTHING = [Dense(), Spls(k=1.0, k_similarity=1.0, s=0), Lapa((256, 256))]
PREDICTORS = [Spls(s=128), Lapa()]
NAMES = {"ids": lambda predictor: type(predictor).__name__.lower()}


def operands(*shape, keys=None, width=None, dtype=torch.float32, seed=0):
    """query [..., H, T, dh]; key, value."""
    draw = torch.Generator().manual_seed(seed)
    there = (*shape[:-2], keys or shape[-2])
    sizes = (shape, (*there, shape[-1]), (*there, width or shape[-1]))
    return tuple(torch.randn(*size, generator=draw).to(dtype) for size in sizes)


def forbidden(mask, dtype=torch.float32):
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)


def masks():
    draw = torch.Generator().manual_seed(3)
    some = torch.rand(2, 4, 12, 15, generator=draw) < 0.6
    some[0, :, 2] = False
    bias = torch.randn(2, 1, 12, 15, generator=draw)
    return {
        "none": None,
        "bool": some,
        "bool of all heads": some[:, :1],
        "bool matrix": some[0, 0],
        "float": forbidden(some),
        "float, added": bias + forbidden(some[:, :1]),
    }


def sequence(q, k, v, mask, predictor, scale=None):
    """The truth in float64, head by head: attention of critical rows over the kept pairs, copied into similar rows."""
    pairs = torch.ones(q.shape[0], 1, q.shape[2], k.shape[2], dtype=torch.bool) if mask is None else mask
    sight = Sight.of(pairs, real_rows(pairs))
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    kept = sight.settled(predictor.select(q, k, sight))
    scores = (q.double() @ k.double().mT) * (scale or q.shape[-1] ** -0.5)
    powers = torch.where(kept.mask, scores, torch.full_like(scores, -math.inf)).softmax(-1).nan_to_num()
    rows = powers @ v.double()
    return torch.stack(
        [torch.stack([r[i] for r, i in zip(*both, strict=True)]) for both in zip(rows, kept.reference, strict=True)]
    )


@pytest.mark.parametrize("name", masks())
@pytest.mark.parametrize("predictor", EVERYTHING, **NAMES)
def test_everything_kept_is_torchs_attention(predictor, name):
    q, k, v = operands(2, 4, 12, 8, keys=15, width=6)
    mask = masks()[name]
    found = attention(q, k, v, mask, predictor=predictor)
    assert torch.equal(found, exact(q, k, v, mask)) or not isinstance(predictor, Dense)
    double = mask if mask is None or mask.dtype == torch.bool else mask.double()
    assert float((found - exact(q.double(), k.double(), v.double(), double)).abs().max()) < 1e-6
    assert name not in ("bool", "float") or not bool(found[0, :, 2].any())


@pytest.mark.parametrize("predictor", EVERYTHING, **NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_precision(predictor, dtype):
    q, k, v = operands(2, 4, 12, 8, dtype=dtype)
    found = attention(q, k, v, is_causal=True, scale=0.3, predictor=predictor)
    assert found.dtype == dtype
    truth = exact(q.double(), k.double(), v.double(), is_causal=True, scale=0.3)
    assert float((found - truth).abs().max()) <= 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("mask", ["none", "bool of all heads", "bool matrix"])
def test_kept_pairs_are_attended_to_and_similar_rows_copied(predictor, mask):
    q, k, v = operands(2, 4, 12, 8, keys=15, width=6)
    q[:, :, 1::2] = q[:, :, ::2] * 1.01
    given = masks()[mask]
    found = attention(q, k, v, given, predictor=predictor)
    pairs = None if given is None else given.expand(2, given.shape[1] if given.ndim == 4 else 1, 12, 15)
    assert float((found - sequence(q, k, v, pairs, predictor)).abs().max()) < 1e-6
    assert not torch.allclose(found, exact(q, k, v, given), atol=1e-2)
    if isinstance(predictor, Spls):
        assert bool((found[:, :, 1:] == found[:, :, :-1]).all(-1).any())


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
def test_heads_of_key_and_value_are_shared(predictor):
    q, k, v = operands(2, 6, 12, 8)
    k, v = k[:, :2], v[:, :2]
    found = attention(q, k, v, is_causal=True, enable_gqa=True, predictor=predictor)
    whole = attention(q, *(x.repeat_interleave(3, dim=1) for x in (k, v)), is_causal=True, predictor=predictor)
    assert torch.allclose(found, whole, atol=1e-6)


@pytest.mark.parametrize("predictor", [Dense(), *PREDICTORS], **NAMES)
def test_any_leading_dimensions(predictor):
    q, k, v = operands(2, 3, 4, 12, 8)
    mask = torch.rand(2, 3, 1, 12, 12, generator=torch.Generator().manual_seed(1)) < 0.7
    found = attention(q, k, v, mask, predictor=predictor)
    for i in range(2):
        for j in range(3):
            alone = attention(q[i, j], k[i, j], v[i, j], mask[i, j], predictor=predictor)
            assert torch.allclose(found[i, j], alone, atol=1e-6)
    empty = attention(q[:, :, :, :0], k, v, predictor=predictor)
    assert empty.shape == (2, 3, 4, 0, 8)


@pytest.mark.parametrize("predictor", [*EVERYTHING, *PREDICTORS], **NAMES)
def test_later_tokens_change_nothing(predictor):
    q, k, v = operands(2, 3, 20, 8)
    before = attention(q, k, v, is_causal=True, predictor=predictor)
    for first in (1, 7, 8, 15):
        later = [torch.cat([x[:, :, :first], 9 * x[:, :, first:].flip(-1)], dim=2) for x in (q, k, v)]
        after = attention(*later, is_causal=True, predictor=predictor)
        assert torch.equal(after[:, :, :first], before[:, :, :first])


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
def test_the_lowest_number_forbids_a_pair_as_well(predictor):
    q, k, v = operands(2, 3, 20, 8)
    q[:, :, 5] *= -1
    lowest = torch.full((20, 20), torch.finfo(torch.float32).min).triu(1)
    assert torch.equal(
        attention(q, k, v, lowest, predictor=predictor), attention(q, k, v, is_causal=True, predictor=predictor)
    )


def test_the_gradient_is_that_of_the_kept_pairs():
    q, k, v = (x.requires_grad_() for x in operands(1, 2, 10, 8, dtype=torch.float64))
    q.data[:, :, 1::2] = q.data[:, :, ::2] * 1.01
    mask = torch.ones(1, 1, 10, 10, dtype=torch.bool).tril()
    mask[..., 4, :] = False
    weights = operands(1, 2, 10, 8, dtype=torch.float64, seed=1)[0]
    for predictor in PREDICTORS:
        found = (attention(q, k, v, mask, predictor=predictor) * weights).sum()
        truth = (sequence(q, k, v, mask, predictor) * weights).sum()
        for mine, golden in zip(
            torch.autograd.grad(found, (q, k, v)), torch.autograd.grad(truth, (q, k, v)), strict=True
        ):
            assert float((mine - golden.nan_to_num()).abs().max()) < 1e-12


def test_a_float_type_of_fewer_bits_around_it_changes_no_prediction():
    q, k, v = operands(2, 4, 40, 64)
    plain = attention(q, k, v, predictor=Spls(s=128))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = attention(q, k, v, predictor=Spls(s=128))
    assert float((around - plain).abs().max()) < 0.05


def test_the_graph_breaks_under_compile():
    q, k, v = operands(1, 2, 10, 8)
    plain = attention(q + 1, k, v, predictor=Lapa()) * 2

    def doubled(q, k, v):
        return attention(q + 1, k, v, predictor=Lapa()) * 2

    assert torch.equal(torch.compile(doubled, backend="eager")(q, k, v), plain)
    torch.compiler.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="what is kept hangs on the data"):
        torch.compile(doubled, backend="eager", fullgraph=True)(q, k, v)


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
def test_tensors_are_made_on_the_device_of_the_operands(predictor):
    """Where another device is the default, such as one of tensors without data."""
    q, k, v = operands(2, 4, 12, 8)
    plain = attention(q, k, v, is_causal=True, predictor=predictor)
    with torch.device("meta"):
        assert torch.equal(attention(q, k, v, is_causal=True, predictor=predictor), plain)


def changed(name, change):
    def call():
        q, k, v = operands(2, 4, 12, 8)
        given = {"query": q, "key": k, "value": v, "predictor": Spls()}
        given[name] = change(given.get(name))
        return attention(**given)

    return call


def poisoned(value):
    def change(x):
        x[1, 2, 3, 4] = value
        return x

    return change


SHAPES = (
    "query, key and value must be [..., H, T, dh], [..., H, S, dh] and [..., H, S, dv], not {}, {} and {}; "
    "bring them into these shapes."
)
NOT_FINITE = "{} must hold finite numbers, not NaN or infinities; check where it comes from."
USUAL = (2, 4, 12, 8)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            changed("dropout_p", lambda _: 0.1),
            "dropout_p must be 0, not 0.1; call model.eval(), or set the dropout to 0.",
        ),
        (
            changed("attn_mask", lambda _: torch.ones(12, dtype=torch.bool)),
            "attn_mask must broadcast to (2, 4, 12, 12), not have shape (12,); cut or expand it.",
        ),
        (changed("scale", lambda _: 0.0), "scale must be above 0, not 0.0; negate the query instead."),
        (changed("query", poisoned(math.nan)), NOT_FINITE.format("query")),
        (changed("key", poisoned(math.inf)), NOT_FINITE.format("key")),
        (changed("value", poisoned(-math.inf)), NOT_FINITE.format("value")),
        (changed("query", lambda q: q[0, 0]), SHAPES.format((12, 8), USUAL, USUAL)),
        (changed("value", lambda v: v[:, :, :5]), SHAPES.format(USUAL, USUAL, (2, 4, 5, 8))),
        (
            changed("query", lambda q: torch.cat([q, q], dim=1)),
            "The heads of query must be those of key, or a multiple with enable_gqa, not 8 and 4; set enable_gqa, or "
            "repeat the key's heads.",
        ),
        (
            changed("query", lambda q: q.half()),
            "query, key and value must have one floating-point type and one device, not torch.float16 on cpu, "
            "torch.float32 on cpu, torch.float32 on cpu; convert them.",
        ),
        (
            changed("attn_mask", lambda _: torch.ones(2, 1, 12, 11, dtype=torch.bool)),
            "attn_mask must broadcast to (2, 4, 12, 12), not have shape (2, 1, 12, 11); cut or expand it.",
        ),
        (
            changed("attn_mask", lambda _: torch.ones(12, 12, dtype=torch.int64)),
            "attn_mask must be bool or floating point, on cpu, not torch.int64 on cpu; convert it.",
        ),
        (
            changed("attn_mask", lambda _: torch.full((12, 12), math.nan)),
            "attn_mask must hold no NaN and no positive infinity, and it does; use -inf where a key is forbidden.",
        ),
        (
            changed("predictor", lambda _: "spls"),
            "predictor must be a Predictor, not 'spls'; make one with plug.by_name, or plug.Spls().",
        ),
        (
            lambda: attention(*operands(*USUAL), torch.ones(12, 12, dtype=torch.bool), 0.0, True, predictor=Dense()),
            "is_causal must be false where attn_mask is given, and it is true; leave one of them out.",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(call, sentence):
    with pytest.raises(Refusal) as refusal:
        call()
    assert str(refusal.value) == sentence
