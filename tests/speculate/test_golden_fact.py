# SPDX-License-Identifier: Apache-2.0
"""FACT's plans against their definition, written out entry by entry, and against their twin in PyTorch."""

import numpy as np
import pytest

from config.errors import Refusal
from config.requantise import Multiplier
from config.speculate import FactSettings, HeadSettings
from golden.speculate import fact
from tests.speculate.baselines import differing, tensor

TOKENS, WIDTH, HEADS, HEAD_WIDTH = 11, 20, 3, 6
# Scores are up to 12 bits wide: some are saturated, more or fewer of each head, and many are equal.
SCALES = tuple(
    HeadSettings(Multiplier(60 + 20 * head, 14), Multiplier(90 - 20 * head, 14), score_shift=4 + 2 * head)
    for head in range(HEADS)
)


def operands(seed=3):
    rng = np.random.default_rng(seed)
    given = {
        "x": rng.integers(-128, 128, (TOKENS, WIDTH)),
        "wq": rng.integers(-128, 128, (HEADS, HEAD_WIDTH, WIDTH)),
        "wk": rng.integers(-128, 128, (HEADS, HEAD_WIDTH, WIDTH)),
        "bq": rng.integers(-5000, 5000, (HEADS, HEAD_WIDTH)),
        "bk": rng.integers(-5000, 5000, (HEADS, HEAD_WIDTH)),
    }
    # Equal tokens have equal scores, and zeros have no leading one.
    given["x"][5] = given["x"][2]
    given["x"][:, 3] = 0
    return given


def power(value):
    size = 2 ** (abs(int(value)).bit_length() - 1)
    return 0 if value == 0 else size if value > 0 else -size


def product(x, w):
    return sum(power(a) * power(b) for a, b in zip(x, w, strict=True))


def code(total, multiplier):
    return max(-128, min(127, (total * multiplier.mul + (1 << multiplier.shift - 1)) >> multiplier.shift))


def score(total, shift, bits):
    most = 2 ** (bits - 1) - 1
    return max(-most - 1, min(most, total // 2**shift))


def defined(given, settings, attend, bits):
    """The keys of every row, by sorting."""
    mask = np.zeros((HEADS, TOKENS, TOKENS), bool)
    x = given["x"]
    for head in range(HEADS):
        scale = settings.scales[head if len(settings.scales) > 1 else 0]
        q, k = (
            [[code(product(x[t], w[head][n]) + int(b[head][n]), by) for n in range(HEAD_WIDTH)] for t in range(TOKENS)]
            for w, b, by in ((given["wq"], given["bq"], scale.q), (given["wk"], given["bk"], scale.k))
        )
        for row in range(TOKENS):
            keys = [key for key in range(TOKENS) if attend[key] and (key <= row or not settings.causal)]
            keys.sort(key=lambda key: (-score(product(q[row], k[key]), scale.score_shift, bits), key))
            mask[head, row, keys[: settings.k]] = True
    return mask


@pytest.mark.parametrize("k", [1, 4, 200])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bits", [5, 8, 16])
def test_predict_is_its_definition(k, causal, bits):
    settings = FactSettings(k=k, causal=causal, scales=SCALES)
    attend = np.arange(TOKENS) != 7
    plan = fact.predict(**operands(), settings=settings, attend=attend, score_bits=bits)
    assert np.array_equal(plan.mask, defined(operands(), settings, attend, bits))
    assert plan.critical.all()
    assert plan.alive is None


def test_scores_use_the_range():
    """Neither zeros nor the ends of int8 everywhere: else the definition above says little."""
    given = operands()
    found = fact.predicted(
        given["x"], given["wq"], given["wk"], FactSettings(scales=SCALES), fact.SYSTEM, bq=None, bk=None, attend=None
    )
    for values in (found.q, found.k):
        assert np.unique(values).size > 60
        assert (np.abs(values) < 127).mean() > 0.6


@pytest.mark.parametrize("causal", [False, True])
def test_torch_twin(causal):
    settings = FactSettings(k=4, causal=causal, scales=SCALES[:1])
    given, attend = operands(), np.arange(TOKENS) != 2
    ours = fact.predict(**given, settings=settings, attend=attend)
    twins = {name: tensor(array) for name, array in given.items()}
    twin = fact.predict(**twins, settings=settings, attend=tensor(attend))
    assert not differing(ours, twin)
    assert ours.counts == twin.counts


def test_a_batch_is_its_sequences():
    rng = np.random.default_rng(4)
    given = operands() | {"x": rng.integers(-128, 128, (2, 3, TOKENS, WIDTH))}
    attend = rng.random((2, 3, TOKENS)) < 0.7
    settings = FactSettings(k=4, scales=SCALES)
    whole = fact.predict(**given, settings=settings, attend=attend)
    for at in np.ndindex(2, 3):
        alone = fact.predict(**given | {"x": given["x"][at]}, settings=settings, attend=attend[at])
        assert np.array_equal(whole.mask[at], alone.mask)


def test_padding_changes_nothing():
    given, settings = operands(), FactSettings(k=4, scales=SCALES)
    alone = fact.predict(**given, settings=settings)
    noise = np.random.default_rng(5).integers(-128, 128, (6, WIDTH))
    longer = given | {"x": np.concatenate([given["x"], noise])}
    padded = fact.predict(**longer, settings=settings, attend=np.arange(TOKENS + 6) < TOKENS)
    assert np.array_equal(padded.mask[:, :TOKENS, :TOKENS], alone.mask)
    assert not padded.mask[:, :, TOKENS:].any()


def test_later_tokens_change_nothing_earlier():
    given, settings = operands(), FactSettings(k=4, causal=True, scales=SCALES)
    before = fact.predict(**given, settings=settings)
    given["x"][8:] = np.random.default_rng(6).integers(-128, 128, (TOKENS - 8, WIDTH))
    after = fact.predict(**given, settings=settings)
    assert np.array_equal(before.mask[:, :8], after.mask[:, :8])
    assert not np.array_equal(before.mask, after.mask)


def test_equal_scores_go_to_the_lower_column():
    given = operands()
    given["x"][:] = given["x"][0]
    plan = fact.predict(**given, settings=FactSettings(k=3, scales=SCALES))
    assert plan.mask[..., :3].all()
    assert not plan.mask[..., 3:].any()


def test_refusals():
    with pytest.raises(
        Refusal, match=r"^k must be an integer from 1 to 4096, not 0; set k to a value in that range\.$"
    ):
        FactSettings(k=0)
    given = operands()
    with pytest.raises(Refusal, match=r"^x must be \[\.\.\., T, D\], and wq and wk \[H, dh, D\] with the same D"):
        fact.predict(given["x"][:, 1:], given["wq"], given["wk"], FactSettings())
