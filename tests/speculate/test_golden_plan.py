# SPDX-License-Identifier: Apache-2.0
"""The golden plans against their definition, written out entry by entry, and against their twin in PyTorch."""

import numpy as np
import pytest
import torch

from config.errors import Refusal
from config.formats import OPERAND_BITS
from config.requantise import Multiplier
from config.speculate import HeadSettings, LapaSettings, Settings, SplsSettings
from golden.speculate import dense, lapa, plan, spls


def test_shifted_floors_and_saturates():
    sums = np.array([[-1, -8, 7, 8, 1023, 1024, -1025, 5000]])
    assert spls.shifted(sums, 3, 8).tolist() == [[-1, -1, 0, 1, 127, 127, -128, 127]]


def scores_of(rng, tokens, kind):
    scores = rng.integers(-128, 128, (tokens, tokens))
    match kind:
        case "equal":
            scores[:] = -3
        case "few values":
            scores = rng.integers(-2, 2, (tokens, tokens))
        case "rows alike":
            scores = np.repeat(rng.integers(-20, 20, (-(-tokens // 3), tokens)), 3, axis=0)[:tokens]
            scores += rng.integers(-1, 2, scores.shape)
    return scores


KINDS = ["random", "equal", "few values", "rows alike"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3, 11, 40])
def test_top_is_its_definition(kind, k):
    rng = np.random.default_rng(k)
    scores, pairs = scores_of(rng, 11, kind), rng.random((11, 11)) < 0.6
    found = spls.top(scores, pairs, k)
    for row in range(11):
        ranked = sorted(np.flatnonzero(pairs[row]), key=lambda column: (-scores[row, column], column))
        assert set(np.flatnonzero(found[row])) == set(ranked[:k])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("s", [0, 40, 256])
def test_similar_is_its_definition(kind, window, s):
    rng = np.random.default_rng(window + s)
    compared = np.where(rng.random((19, 19)) < 0.5, scores_of(rng, 19, kind), 0)
    reference = list(range(19))
    for i in range(19):
        near = []
        for c in range(i // window * window, i):
            distance = abs(compared[i] - compared[c]).sum()
            sizes = abs(compared[i]).sum() + abs(compared[c]).sum()
            if reference[c] == c and 256 * distance <= s * sizes:
                near.append((distance, c))
        if near:
            reference[i] = min(near)[1]
    assert spls.similar(compared, s, window).tolist() == reference


@pytest.mark.parametrize("slices", [(8,), (4, 4), (2, 3, 3), (1, 7), (7, 1)])
def test_slices_add_up(slices):
    k = np.arange(-128, 128)
    parts = lapa.sliced(k, slices)
    assert (sum(parts) == k).all()
    low = OPERAND_BITS
    for part, bits in zip(parts, slices, strict=True):
        low -= bits
        values = part >> low
        assert (part == values << low).all()
        expected = range(-(1 << bits - 1), 1 << bits - 1) if part is parts[0] else range(1 << bits)
        assert set(values.tolist()) == set(expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0, 1, 100, 255, 256])
def test_kept_is_its_definition(kind, fraction):
    rng = np.random.default_rng(fraction)
    sums, survivors = scores_of(rng, 11, kind), rng.random((11, 11)) < 0.5
    survivors[4] = False
    found = lapa.kept(sums, survivors, fraction)
    for row in range(11):
        alive = sums[row][survivors[row]]
        for column in range(11):
            stays = survivors[row, column] and 256 * (alive.max() - sums[row, column]) <= fraction * np.ptp(alive)
            assert found[row, column] == stays


def test_rounds_shrink_and_keep_the_maximum():
    rng = np.random.default_rng(5)
    q, k = rng.integers(-128, 128, (2, 9, 6))
    first, last = lapa.rounds(q, k, np.ones((9, 9), bool), (90, 90), (4, 4))
    assert (last <= first).all()
    assert last.any(axis=1).all()


def test_leaders():
    """Two heads name row 0 for row 1; one names row 1 for row 2; row 3's choice is itself a copy."""
    reference = np.array([[0, 0, 1, 1], [0, 0, 2, 1], [0, 1, 2, 1]])
    leader, agreed = plan._leaders(reference, 4, 2)
    assert leader.tolist() == [0, 0, 2, 3]
    assert agreed.tolist() == [False, False, False, True]
    leader, _ = plan._leaders(reference, 4, 1)
    assert leader.tolist() == [0, 0, 2, 3]
    leader, _ = plan._leaders(reference, 4, 4)
    assert leader.tolist() == [0, 1, 2, 3]


def test_a_tie_of_votes_goes_to_the_lower_row():
    leader, agreed = plan._leaders(np.array([[0, 1, 1], [0, 1, 0]]), 4, 1)
    assert (leader.tolist(), agreed.any()) == ([0, 1, 0], False)


def operands(tokens=13):
    rng = np.random.default_rng(8)
    return rng.integers(-128, 128, (tokens, 20)), *rng.integers(-128, 128, (2, 3, 6, 20))


SCALES = (HeadSettings(Multiplier(300, 20), Multiplier(250, 20), 6),)


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        (spls, SplsSettings(scales=SCALES, k=5, k_similarity=4, s=190, f=1)),
        (spls, SplsSettings(scales=SCALES * 3, k=5, k_similarity=5, s=230, f=2, causal=True)),
        (lapa, LapaSettings(scales=SCALES, eta=(120, 90))),
        (dense, Settings(scales=SCALES, causal=True)),
    ],
)
def test_torch_twin(module, settings):
    x, wq, wk = operands()
    attend = np.arange(13) != 2
    ours = module.predict(x, wq, wk, settings, attend=attend)
    given = (torch.asarray(array) for array in (x, wq, wk))
    twin = module.predict(*given, settings, attend=torch.asarray(attend))
    for name in ("mask", "reference", "columns", "leader", "agreed"):
        assert np.array_equal(getattr(ours, name), getattr(twin, name).numpy()), name
    assert ours.counts == twin.counts
    assert not ours.mask[:, :, 2].any()
    assert 0 < ours.counts.scores <= 3 * 13 * 13


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("module", [spls, lapa, dense])
def test_a_batch_is_its_sequences(module, causal):
    kinds = {spls: SplsSettings, lapa: LapaSettings, dense: Settings}
    chosen = {"k": 5, "k_similarity": 4, "s": 220, "f": 1} if module is spls else {}
    settings = kinds[module](scales=SCALES, causal=causal, **chosen)
    rng = np.random.default_rng(9)
    batch = rng.integers(-128, 128, (2, 3, 13, 20))
    # Neighbours alike, so that there is something to copy.
    batch[..., 1::2, :] = batch[..., :-1:2, :]
    _, wq, wk = operands()
    attend = rng.random((2, 3, 13)) < 0.7
    whole = module.predict(batch, wq, wk, settings, attend=attend)
    for at in np.ndindex(2, 3):
        alone = module.predict(batch[at], wq, wk, settings, attend=attend[at])
        for name in ("mask", "reference", "columns", "leader", "agreed"):
            assert np.array_equal(getattr(whole, name)[at], getattr(alone, name)), name


def test_counts():
    mask = np.ones((2, 3, 3), bool)
    found = plan.assemble(mask, np.array([[0, 0, 2], [0, 0, 2]]), 4, 2).counts
    assert found == plan.Counts(queries=4, keys=6, scores=12, ffn=2, projections=2, values=12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"k": 0}, "k must be an integer from 1 to 4096, not 0; set k to a value in that range."),
        ({"k": 3}, "k_similarity must be an integer from 1 to k = 3, not 13; lower it or raise k."),
        ({"s": 257}, "s must be an integer from 0 to 256, not 257; set s to a value in that range."),
        ({"f": 0}, "f must be an integer from 1 to 129, not 0; set f to a value in that range."),
    ],
)
def test_illegal_spls_settings(change, sentence):
    with pytest.raises(Refusal) as refused:
        SplsSettings(**change)
    assert str(refused.value) == sentence


def test_illegal_operands():
    x, wq, wk = operands()
    with pytest.raises(Refusal, match=r"^x must be \[\.\.\., T, D\], and wq and wk \[H, dh, D\] with the same D"):
        spls.predict(x[:, :5], wq, wk, SplsSettings())
    with pytest.raises(Refusal, match=r"^scales must hold one entry, or one for each of 3 heads, not 2"):
        lapa.predict(x, wq, wk, LapaSettings(scales=SCALES * 2))
    with pytest.raises(Refusal, match=r"^eta must hold one value for each of 3 rounds, not 2"):
        lapa.predict(x, wq, wk, LapaSettings(), slices=(4, 2, 2))
    with pytest.raises(Refusal, match=r"^eta must be 1 to 3 values"):
        LapaSettings(eta=())
    with pytest.raises(Refusal, match=r"^attend must hold one bool for each of 13 tokens"):
        dense.predict(x, wq, wk, Settings(), attend=np.ones(4, bool))
