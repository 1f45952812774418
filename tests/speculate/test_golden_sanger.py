# SPDX-License-Identifier: Apache-2.0
"""Sanger's plans against their definition, written out entry by entry, and against their twin in PyTorch."""

import math

import numpy as np
import pytest

from config.errors import Refusal
from config.speculate import SangerSettings, Settings
from golden.execute.scales import Scale
from golden.speculate import sanger
from golden.speculate.operands import allowed
from tests.speculate.baselines import differing, tensor

TOKENS, HEADS, HEAD_WIDTH = 13, 3, 6
EXPONENT = Scale(np.array([40000, 50000, 60000])[:, None, None], np.array([19, 20, 18])[:, None, None])


def operands(seed=3, outer=()):
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (2, *outer, HEADS, TOKENS, HEAD_WIDTH))


def pairs_of(causal=False, attend=None, outer=()):
    x = np.zeros((*outer, TOKENS, 1))
    return allowed(x, Settings(causal=causal), attend)


def rounded(value):
    return max(-8, min(7, math.floor(value / 16 + 0.5)))


def product(q, k):
    return sum(rounded(a) * rounded(b) for a, b in zip(q, k, strict=True))


def defined(q, k, pairs, threshold):
    """Entry by entry, with fractions for the threshold."""
    mask = np.zeros((HEADS, TOKENS, TOKENS), bool)
    for head, row in np.ndindex(HEADS, TOKENS):
        keys = [key for key in range(TOKENS) if pairs[0, row, key]]
        scores = {key: product(q[head, row], k[head, key]) for key in keys}
        mul, shift = int(EXPONENT.mul[head, 0, 0]), int(EXPONENT.shift[head, 0, 0]) - 8
        powers = {}
        for key in keys:
            below = max(scores.values()) - scores[key]
            steps = (below * mul + 2 ** (shift - 1)) // 2**shift
            powers[key] = (round(2 ** (15 - steps % 64 / 64)) << 6) >> steps // 64
        for key in keys:
            likely = powers[key] * 65536 > threshold * sum(powers.values())
            mask[head, row, key] = likely or powers[key] == 2**21
    return mask


@pytest.mark.parametrize("threshold", [0, 131, 3000, 20000, 65535])
@pytest.mark.parametrize("causal", [False, True])
def test_predict_is_its_definition(threshold, causal):
    q, k = operands()
    pairs = pairs_of(causal, np.arange(TOKENS) != 2)
    plan = sanger.predict(q, k, pairs, SangerSettings(threshold=threshold), EXPONENT)
    assert np.array_equal(plan.mask, defined(q, k, pairs, threshold))
    assert plan.critical.all()
    assert plan.mask[:, 3:].any(axis=-1).all()
    assert 0 < plan.counts.scores < pairs.sum() * HEADS


def test_the_threshold_itself_is_dropped():
    powers = np.array([[32768, 16384, 0, 16384]]) << 6
    assert sanger.likely(powers, 16384).tolist() == [[True, False, False, False]]
    assert sanger.likely(powers, 16383).tolist() == [[True, True, False, True]]
    assert sanger.likely(powers, 0).tolist() == [[True, True, False, True]]


def test_flat_rows_keep_their_largest():
    powers = np.full((1, 700), 1 << 21)
    powers[0, 4] -= 1
    kept = sanger.likely(powers, SangerSettings().threshold)
    assert np.flatnonzero(~kept).tolist() == [4]


def test_rows_without_keys_keep_none():
    q, k = operands()
    plan = sanger.predict(q, k, pairs_of(attend=np.zeros(TOKENS, bool)), SangerSettings(threshold=0), EXPONENT)
    assert not plan.mask.any()
    assert plan.counts.queries == 0


@pytest.mark.parametrize("causal", [False, True])
def test_torch_twin(causal):
    q, k = operands()
    pairs, settings = pairs_of(causal, np.arange(TOKENS) != 2), SangerSettings(threshold=2000)
    ours = sanger.predict(q, k, pairs, settings, EXPONENT)
    twin = sanger.predict(tensor(q), tensor(k), tensor(pairs), settings, EXPONENT.map(tensor))
    assert not differing(ours, twin)
    assert ours.counts == twin.counts


def test_a_batch_is_its_sequences():
    q, k = operands(outer=(2, 2))
    attend = np.random.default_rng(1).random((2, 2, TOKENS)) < 0.7
    pairs, settings = pairs_of(False, attend, (2, 2)), SangerSettings(threshold=2000)
    whole = sanger.predict(q, k, pairs, settings, EXPONENT)
    for at in np.ndindex(2, 2):
        alone = sanger.predict(q[at], k[at], pairs[at], settings, EXPONENT)
        assert not differing(sanger.all_critical(whole.mask[at]), alone)


def test_padding_changes_nothing():
    q, k = operands()
    settings, attend = SangerSettings(threshold=2000), np.arange(TOKENS) < 9
    padded = sanger.predict(q, k, pairs_of(attend=attend), settings, EXPONENT).mask
    short = sanger.predict(q[:, :9], k[:, :9], np.ones((1, 9, 9), bool), settings, EXPONENT).mask
    assert np.array_equal(padded[:, :9, :9], short)
    assert not padded[..., 9:].any()


def test_later_tokens_change_nothing_earlier():
    q, k = operands()
    settings = SangerSettings(threshold=2000)
    before = sanger.predict(q, k, pairs_of(True), settings, EXPONENT).mask
    q[:, 9:], k[:, 9:] = operands(seed=4)[..., 9:, :]
    after = sanger.predict(q, k, pairs_of(True), settings, EXPONENT).mask
    assert np.array_equal(before[:, :9], after[:, :9])
    assert not np.array_equal(before, after)


@pytest.mark.parametrize(("columns", "width", "most"), [(130, 64, 16), (128, 64, 16), (20, 8, 3), (7, 64, 1)])
def test_pack_is_its_definition(columns, width, most):
    rng = np.random.default_rng(columns)
    mask = rng.random((2, 3, 9, columns)) < rng.choice([0, 0.02, 0.3, 0.9], (2, 3, 9, 1))
    kept = occupied = lines = 0
    for at in np.ndindex(2, 3, 9):
        for first in range(0, columns, width):
            held = sum(map(bool, mask[at][first : first + width]))
            kept, occupied = kept + held, occupied + (held > 0)
            while held > 0:
                lines, held = lines + 1, held - most
    expected = sanger.Packing(kept, occupied, lines)
    assert sanger.pack(mask, width, most) == sanger.pack(tensor(mask), width, most) == expected
    assert 0 < occupied < 54 * -(-columns // width)
    assert lines > occupied


def test_refusals():
    sentence = r"^threshold must be an integer from 0 to 65535, not {}; set threshold to a value in that range\.$"
    for wrong in (-1, 65536):
        with pytest.raises(Refusal, match=sentence.format(wrong)):
            SangerSettings(threshold=wrong)
    assert SangerSettings().threshold == 131
    q, k = operands()
    with pytest.raises(
        Refusal, match=r"^q and k must both be \[\.\.\., H, T, dh\], and pairs \[\.\.\., 1, T, T\], not"
    ):
        sanger.predict(q, k, pairs_of()[0], SangerSettings(), EXPONENT)
    with pytest.raises(Refusal, match=r"^x must lie in \[-128, 127\]"):
        sanger.predict(q * 2, k, pairs_of(), SangerSettings(), EXPONENT)
    with pytest.raises(Refusal, match=r"^width and most must be 1 or more, not 0 and 16; 64 and 16 are Sanger's\.$"):
        sanger.pack(pairs_of(), 0)
