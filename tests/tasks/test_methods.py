# SPDX-License-Identifier: Apache-2.0
"""Methods on the real models: what they leave to compute, and that a sequence's plan is its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.models import integer, language
from golden.speculate.plan import all_critical
from golden.speculate.work import Work
from tasks import retrieval, vision
from tasks.corpora import CORPORA, pairs
from tasks.methods import METHODS, Tally, encoder
from tasks.prepared import prepared
from tasks.work import shares, sizes

LOSING = {
    "spls": {"s": 64, "f": 0.67, "k": 0.42, "k_similarity": 0.12},
    "lapa": {"eta1": 176, "eta2": 176},
    "fact": {"k": 0.28},
    "sanger": {"threshold": 393},
    "spatten": {"tokens": 0.2, "values": 0.6},
}


@pytest.fixture(scope="module")
def images():
    return vision.model().embed(torch.as_tensor(vision.images("digits")[0][:6]))


def run(task, method, rung, x, attend=None):
    tally = Tally()
    there = torch.ones(x.shape[:2], dtype=torch.bool) if attend is None else attend
    chosen = METHODS[method]
    y = encoder(prepared(task), chosen, chosen.setting([rung]), tally)(x, there)
    return y, shares(tally.left, tally.dense)


def test_the_mildest_setting_of_a_predictor_is_dense(images):
    dense, left = run("vision", "dense", {}, images)
    assert set(left.values()) == {1.0, 0.0}
    for method in ("lapa", "fact", "spatten"):
        y, left = run("vision", method, METHODS[method].rungs[0], images)
        assert torch.equal(y, dense)
        assert left["total"] == 1


@pytest.mark.parametrize("method", LOSING)
def test_stricter_settings_leave_less(method, images):
    totals = []
    for rung in (METHODS[method].rungs[0], LOSING[method], METHODS[method].rungs[-1]):
        y, left = run("vision", method, rung, images)
        assert torch.isfinite(y).all()
        totals.append(left["total"])
        assert left["prediction"] > 0 or method == "spatten"
    assert totals[0] > totals[1] > totals[2]


@pytest.mark.parametrize("method", LOSING)
def test_a_sequence_is_treated_as_if_it_were_alone(method):
    """Whatever it shares a batch with, and however much it is padded."""
    ids = torch.as_tensor(np.random.default_rng(1).integers(0, language.VOCABULARY, (7, 24)))
    from tasks.language import model

    x = model().embed(ids)
    attend = torch.arange(24) < torch.tensor([24, 9, 24, 24, 24, 9, 24])[:, None]
    together, _ = run("language", method, LOSING[method], x, attend)
    for row in (1, 3):
        length = int(attend[row].sum())
        alone, _ = run("language", method, LOSING[method], x[row : row + 1, :length])
        assert torch.equal(together[row, :length], alone[0])


@pytest.mark.parametrize("method", LOSING)
def test_language_does_not_look_ahead(method):
    from tasks.language import model

    ids = torch.as_tensor(np.random.default_rng(2).integers(0, language.VOCABULARY, (1, 24)))
    changed = ids.clone()
    changed[:, 17:] = (changed[:, 17:] + 7) % language.VOCABULARY
    before, after = (run("language", method, LOSING[method], model().embed(given))[0] for given in (ids, changed))
    assert torch.equal(before[:, :17], after[:, :17])
    assert not torch.equal(before[:, 17:], after[:, 17:])


def test_dense_int8_is_close_to_float(images):
    y, _ = run("vision", "dense", {}, images)
    exact = vision.dense()(images, torch.ones(images.shape[:2], dtype=torch.bool))
    assert float((y - exact).square().mean().sqrt() / exact.std()) < 0.03


def test_minilm_in_integers_keeps_its_embeddings():
    """Mean cosine to the float model's, over texts of all corpora that it was not calibrated on."""
    encode = encoder(prepared("retrieval"), METHODS["dense"], {}, Tally())
    chosen = [pair for corpus in CORPORA for pair in pairs(corpus, "test", 1)]
    exact, found = (retrieval.embed_pairs(chosen, run) for run in (retrieval.dense(), encode))
    cosines = [retrieval.mean_cosine(*each) for each in zip(found, exact, strict=True)]
    assert min(cosines) >= 0.995
    assert max(cosines) < 1


def test_work_is_counted_by_hand():
    """Two heads of 4, five tokens; one head keeps a single pair."""
    size = sizes(5, 8, 16, integer.Architecture(2, "post", False, 1e-5))
    assert size.dense == Work(q=5 * 64, k=5 * 64, v=5 * 64, attention=2 * 25 * 8, projection=5 * 64, ffn=2 * 5 * 8 * 16)
    mask = np.ones((1, 2, 5, 5), dtype=bool)
    mask[0, 1] = False
    mask[0, 1, 2, 3] = True
    counts = all_critical(mask).counts
    left = size.left(counts, 7)
    assert left == Work(6 * 32, 6 * 32, 6 * 32, 2 * 26 * 4, 5 * 64, 2 * 5 * 8 * 16, 7)
    assert size.left(counts, 7, after_qk=True) == replace(left, q=5 * 64, k=5 * 64)
    assert sizes(5, 8, 16, integer.Architecture(2, "pre", True, 1e-5)).pairs == 15


def test_sanger_computes_all_of_q_and_k(images):
    """It predicts from them; V alone may be left out."""
    _, left = run("vision", "sanger", METHODS["sanger"].rungs[-1], images)
    assert left["attention"] < 0.7
    assert 2 / 3 <= left["qkv"] < 1


def test_predictors_that_start_from_x_multiply_for_q_and_k(images):
    tokens, width = images.shape[1:]
    _, left = run("vision", "fact", {"k": 0.5}, images)
    size = sizes(tokens, width, prepared("vision").hidden, prepared("vision").model.shape)
    assert left["prediction"] == (2 * tokens * width**2 + tokens**2 * width) / size.dense.total


def test_layers_have_settings_of_their_own(images):
    """What one layer alone does, and what two do, is more than nothing and less than all."""
    method, mild, strict = METHODS["lapa"], METHODS["lapa"].rungs[0], LOSING["lapa"]
    totals = []
    for count in range(5):
        tally = Tally()
        setting = method.setting([strict] * count + [mild] * (4 - count))
        encoder(prepared("vision"), method, setting, tally)(images, torch.ones(images.shape[:2], dtype=torch.bool))
        totals.append(tally.left.total)
    assert len(set(totals)) == 5
    assert totals == sorted(totals, reverse=True)


def test_a_setting_of_one_number_is_that_of_all_layers(images):
    method, strict = METHODS["spls"], LOSING["spls"]
    found = []
    for rungs in ([strict], [strict] * 4):
        run = encoder(prepared("vision"), method, method.setting(rungs), Tally())
        found.append(run(images, torch.ones(images.shape[:2], dtype=torch.bool)))
    assert torch.equal(*found)
