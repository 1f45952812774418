# SPDX-License-Identifier: Apache-2.0
"""Retrieval: batches against single texts, and the scores against values worked out by hand."""

import numpy as np
import pytest
import torch

from config.errors import Refusal
from golden.models import minilm
from golden.models.encoder import encoder_layer, layer_inputs
from tasks import retrieval
from tasks.corpora import pairs

TEXTS = ["A short one.", "word " * 300, "The cat saw the mouse.", "Return the sum of two numbers, or of more."]


def test_batches_hold_each_text_once_and_pad_with_what_is_not_attended_to() -> None:
    ids = [np.arange(1, length + 1) for length in (5, 2, 9, 2, 7)]
    found = retrieval.batches(ids, size=2)
    assert [batch.places.tolist() for batch in found] == [[1, 3], [0, 4], [2]]
    assert found[1].ids.tolist() == [[1, 2, 3, 4, 5, 0, 0], [1, 2, 3, 4, 5, 6, 7]]
    assert found[1].attend.tolist() == [[True] * 5 + [False] * 2, [True] * 7]
    assert found[2].ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_a_long_text_is_cut_and_keeps_its_end_mark() -> None:
    short, long = minilm.truncated(["one two three", "word " * 300])
    assert short.tolist() == minilm.tokens("one two three").ids.tolist()
    assert len(long) == 128
    assert long.tolist() == minilm.tokens("word " * 126).ids.tolist()


def test_embeddings_are_those_of_each_text_alone() -> None:
    done = []
    found = retrieval.embed_texts(TEXTS, retrieval.dense(), done.append)
    assert sum(done) == len(TEXTS)
    for text, row in zip(TEXTS, found, strict=True):
        ids = minilm.truncated([text])[0]
        mean = encoder_layer(layer_inputs(ids)[-1], minilm.LAYERS - 1).mean(axis=0)
        assert np.abs(row - mean / np.linalg.norm(mean)).max() < 1e-5


def test_padding_may_hold_anything() -> None:
    dense = retrieval.dense()

    def spoiled(x: torch.Tensor, attend: torch.Tensor) -> torch.Tensor:
        return torch.where(attend[..., None], dense(x, attend), torch.nan)

    assert np.array_equal(retrieval.embed_texts(TEXTS[::2], spoiled), retrieval.embed_texts(TEXTS[::2], dense))


def test_scores_by_hand() -> None:
    rests = np.eye(4)
    summaries = np.array([[0.8, 0.6, 0, 0], [0.8, 0.6, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.1, 0.7, 0.7, 0.1]])
    # Ranks: first; second; fourth, as all are equally near; fourth, as the first is equally near.
    found = retrieval.scores(summaries, rests)
    assert found == retrieval.Scores(top1=1 / 4, mrr=(1 + 1 / 2 + 1 / 4 + 1 / 4) / 4)


def test_mean_cosine_by_hand() -> None:
    assert retrieval.mean_cosine(np.eye(2), np.array([[1.0, 0], [1, 0]])) == 0.5
    assert retrieval.mean_cosine(np.array([[0.6, 0.8]]), np.array([[0.8, 0.6]])) == pytest.approx(0.96)


def test_minilm_finds_most_of_a_few() -> None:
    few = pairs("scipy.stats", limit=8)
    summaries, rests = retrieval.embed_pairs(few, retrieval.dense())
    assert summaries.shape == rests.shape == (8, 384)
    assert np.allclose(np.linalg.norm(summaries, axis=1), 1)
    assert retrieval.scores(summaries, rests).top1 >= 0.75
    assert retrieval.scores(summaries, np.roll(rests, 1, axis=0)).top1 <= 0.25


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        retrieval.embed_texts([], retrieval.dense())
    assert str(refusal.value) == "There must be at least one text to embed, and there is none; give one."
    with pytest.raises(Refusal) as refusal:
        retrieval.scores(np.eye(3), np.eye(4))
    assert str(refusal.value) == (
        "Summaries and rests must be as many, and at least one, not (3, 3) and (4, 4); pair them."
    )
