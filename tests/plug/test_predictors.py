# SPDX-License-Identifier: Apache-2.0
"""Predictors by name, and what they keep of real-valued heads, against the golden functions on one sequence."""

import numpy as np
import pytest
import torch

from config.errors import Refusal
from config.speculate import SplsSettings
from golden.arith.quantise import quantise_symmetric
from golden.speculate import lapa, spls
from golden.speculate.array import dot
from plug.predictors import PREDICTORS, Dense, Lapa, Spls, by_name
from plug.sight import Selection, Sight, quantised


def heads(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw)


def sight(pairs, real=None):
    return Sight.of(pairs, pairs.any(1).any(-2) if real is None else real)


def whole(batch, rows, keys):
    return sight(torch.ones(batch, 1, rows, keys, dtype=torch.bool), torch.ones(batch, rows, dtype=torch.bool))


def causal(batch, tokens):
    return sight(torch.ones(batch, 1, tokens, tokens, dtype=torch.bool).tril())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_codes_are_the_golden_ones_of_each_head(dtype):
    x = (heads(3, 4, 17, 8) * 3).to(dtype)
    x[2, 1] = 0
    codes = quantised(x, x.double().abs().amax((-1, -2), keepdim=True))
    for sequence in range(3):
        for head in range(4):
            golden = quantise_symmetric(x[sequence, head].double().numpy())[0]
            assert np.array_equal(codes[sequence, head].numpy(), golden)


def golden_spls(q, k, settings, window=8, bits=8):
    """Of one head, in NumPy."""
    sums = dot(quantise_symmetric(q.numpy())[0], quantise_symmetric(k.numpy())[0], spls.SYSTEM)
    shift = 0
    while spls.shifted(sums, shift, bits).tolist() != (sums >> shift).tolist():
        shift += 1
    return spls.select(spls.shifted(sums, shift, bits), np.ones(sums.shape, dtype=bool), settings, window)


@pytest.mark.parametrize(("rows", "keys"), [(20, 20), (11, 30), (1, 9)])
@pytest.mark.parametrize("bits", [5, 8])
def test_spls_is_the_golden_selection_of_each_head(rows, keys, bits):
    q, k = heads(2, 3, rows, 16) * 2, heads(2, 3, keys, 16, seed=1)
    q[:, :, 1::2] = q[:, :, : rows // 2 * 2 : 2] * 1.01 if rows > 1 else q[:, :, 1::2]
    found = Spls(k=7, k_similarity=4, s=64, score_bits=bits).select(q, k, whole(2, rows, keys))
    for sequence in range(2):
        for head in range(3):
            settings = SplsSettings(k=7, k_similarity=4, s=64)
            mask, reference = golden_spls(q[sequence, head], k[sequence, head], settings, bits=bits)
            assert np.array_equal(found.reference[sequence, head].numpy(), reference)
            assert np.array_equal(found.mask[sequence, head].numpy(), mask)
    assert rows == 1 or not bool(found.critical.all())


def test_a_negative_score_fits_one_further():
    """Scores -128, 2 and 3 fit into 8 bits as they are; shifted, the last two would be the same."""
    q, k = torch.tensor([[[[1]]]]), torch.tensor([[[[-128], [2], [3]]]])
    found = Spls(k=1, k_similarity=1).choose(q, k, whole(1, 1, 3), torch.ones(1, 1, 1, dtype=torch.bool))
    assert found.mask.tolist() == [[[[False, False, True]]]]


@pytest.mark.parametrize(("eta", "slices"), [((128, 96), (4, 4)), ((100,), (8,)), ((200, 150, 100), (3, 3, 2))])
def test_lapa_is_the_golden_selection_of_each_head(eta, slices):
    q, k = heads(2, 3, 20, 16), heads(2, 3, 20, 16, seed=1)
    found = Lapa(eta, slices).select(q, k, whole(2, 20, 20))
    for sequence in range(2):
        for head in range(3):
            codes = (quantise_symmetric(x[sequence, head].numpy())[0].astype(np.int64) for x in (q, k))
            survivors = lapa.rounds(*codes, np.ones((20, 20), dtype=bool), eta, slices)
            assert np.array_equal(found.mask[sequence, head].numpy(), survivors[-1])
            for scored, golden in zip(found.scored[1:], survivors[:-1], strict=True):
                assert np.array_equal(scored[sequence, head].numpy(), golden)
    assert bool(found.critical.all())
    assert bool(found.scored[0].all())


def test_a_share_is_of_the_keys_that_are_no_padding():
    q, k = heads(3, 2, 20, 16), heads(3, 2, 20, 16, seed=1)
    pairs = torch.ones(3, 1, 20, 20, dtype=torch.bool)
    lengths = [20, 10, 5]
    for sequence, length in enumerate(lengths):
        pairs[sequence, :, :, length:] = False
    found = Spls(k=0.3, k_similarity=0.1, s=0).select(q, k, sight(pairs))
    for sequence, kept in enumerate([6, 3, 2]):
        assert found.mask[sequence].sum(-1).unique().tolist() == [kept]
        alone = Spls(k=kept, k_similarity=1, s=0).select(q, k, sight(pairs))
        assert torch.equal(found.mask[sequence], alone.mask[sequence])


@pytest.mark.parametrize("predictor", [Spls(s=160), Lapa()], ids=["spls", "lapa"])
def test_padding_changes_nothing(predictor):
    q, k = heads(1, 3, 32, 16), heads(1, 3, 32, 16, seed=1)
    q[:, :, 21:], k[:, :, 21:] = q[:, :, 21:] * 50, k[:, :, 21:] * 50
    pairs = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    pairs[..., 21:] = False
    padded = sight(pairs)
    padded = padded.settled(predictor.select(q, k, padded))
    alone = whole(1, 21, 21)
    alone = alone.settled(predictor.select(q[:, :, :21], k[:, :, :21], alone))
    assert torch.equal(padded.mask[:, :, :21, :21], alone.mask)
    assert torch.equal(padded.reference[:, :, :21], alone.reference)
    assert not bool(padded.mask[..., 21:].any())


@pytest.mark.parametrize("predictor", [Spls(s=160), Lapa()], ids=["spls", "lapa"])
@pytest.mark.parametrize("louder", [1.0, 100.0])
def test_later_tokens_do_not_choose_what_earlier_rows_keep(predictor, louder):
    q, k = heads(2, 3, 24, 16), heads(2, 3, 24, 16, seed=1)
    seen = causal(2, 24)
    before = seen.settled(predictor.select(q, k, seen))
    for first in (1, 5, 8, 19):
        q2, k2 = q.clone(), k.clone()
        q2[:, :, first:], k2[:, :, first:] = louder * heads(2, 3, 24 - first, 16, seed=2), louder * k[:, :, first:]
        after = seen.settled(predictor.select(q2, k2, seen))
        assert torch.equal(after.mask[:, :, :first], before.mask[:, :, :first])
        assert torch.equal(after.reference[:, :, :first], before.reference[:, :, :first])


def test_a_causal_row_has_the_scale_of_what_it_sees():
    magnitudes = torch.tensor([[[1.5, 0.5, 3.0, 4.0, 5.0]]]).double()
    seen = causal(1, 5)
    assert seen.largest_key(magnitudes).tolist() == [[[2, 2, 4, 4, 8]]]
    assert seen.largest_row(magnitudes).tolist() == [[[2, 2, 4, 4, 8]]]
    assert whole(1, 5, 5).largest_key(magnitudes).tolist() == [[[5.0] * 5]]


@pytest.mark.parametrize("first", [True, False], ids=["first attends", "first attends to nothing"])
def test_copies_bring_in_nothing_that_the_mask_forbids(first):
    """Two sequences in one window, packed: with s = 256 all rows of a window are alike."""
    q, k = heads(1, 2, 8, 16), heads(1, 2, 8, 16, seed=1)
    pairs = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    pairs[..., :4, :4] = pairs[..., 4:, 4:] = True
    pairs[..., 0, :] = pairs[..., :, 0] = first
    pairs[..., 0, 4:] = pairs[..., 4:, 0] = False
    chosen = Spls(s=256).select(q, k, sight(pairs))
    assert bool((chosen.reference == 0).all())
    settled = sight(pairs, torch.ones(1, 8, dtype=torch.bool)).settled(chosen)
    kept = settled.mask.gather(-2, settled.reference[..., None].expand_as(settled.mask))
    assert not bool((kept & ~pairs).any())
    assert torch.equal(kept.any(-1), pairs.any(-1).expand(1, 2, 8))


def test_a_copy_of_a_copy_is_one_of_the_critical_row():
    reference = torch.tensor([[[0, 0, 1, 3, 2]]])
    seen = causal(1, 5)
    settled = seen.settled(Selection(seen.pairs, reference))
    assert settled.reference.tolist() == [[[0, 0, 0, 3, 0]]]
    assert settled.mask.any(-1).tolist() == [[[True, False, False, True, False]]]


def test_a_row_does_not_copy_padding():
    pairs = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    pairs[..., 0] = False
    chosen = Selection(pairs, torch.tensor([[[0, 0, 0]]]))
    assert sight(pairs).settled(chosen).reference.tolist() == [[[0, 1, 2]]]
    chosen = Selection(pairs, torch.tensor([[[0, 1, 1]]]))
    assert sight(pairs).settled(chosen).reference.tolist() == [[[0, 1, 1]]]


def test_predictors_by_name():
    assert by_name("spls", k=5, k_similarity=2) == Spls(k=5, k_similarity=2)
    assert by_name("lapa", eta=(100,), slices=(8,)) == Lapa((100,), (8,))
    assert by_name("dense") == Dense()
    assert list(PREDICTORS) == ["dense", "spls", "lapa"]


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("esact", {}, "The predictor must be one of dense, spls, lapa, not 'esact'; choose one of them."),
        ("dense", {"k": 1}, "Settings of dense must be among none, not k; leave those out."),
        ("lapa", {"k": 1}, "Settings of lapa must be among eta, slices, not k; leave those out."),
        ("spls", {"k": 0.0}, "k must be a share above 0 and at most 1, or an integer, not 0.0; set it so."),
        ("spls", {"k": 1.5}, "k must be a share above 0 and at most 1, or an integer, not 1.5; set it so."),
        ("spls", {"k": float("nan")}, "k must be a share above 0 and at most 1, or an integer, not nan; set it so."),
        ("spls", {"k": 0}, "k must be an integer from 1 to 4096, not 0; set k to a value in that range."),
        ("spls", {"k": 3, "k_similarity": 4}, "k_similarity must be at most k = 3, not 4; lower it or raise k."),
        ("spls", {"s": 257}, "s must be an integer from 0 to 256, not 257; set s to a value in that range."),
        (
            "spls",
            {"score_bits": 3},
            "score_bits must be an integer from 4 to 16, not 3; set score_bits to a value in that range.",
        ),
        ("lapa", {"eta": (1, 2, 3)}, "eta must hold one value for each of 2 slices, not 3; give one per slice."),
    ],
)
def test_what_is_no_predictor_is_refused(name, settings, sentence):
    with pytest.raises(Refusal) as refusal:
        by_name(name, **settings)
    assert str(refusal.value) == sentence
