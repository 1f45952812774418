# SPDX-License-Identifier: Apache-2.0
"""The language task: windows, held-out texts, and perplexities against values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from config.errors import Refusal
from golden.models import language as model
from tasks import language
from tasks.corpora import CORPORA, docstrings
from tasks.likeness import alike, words


def test_windows_overlap_by_the_token_that_is_both_read_and_predicted() -> None:
    ids = np.arange(300)
    found = language.windows(ids)
    assert found.tolist() == [list(range(129)), list(range(128, 257))]
    assert language.windows(ids, offset=43).tolist() == [list(range(43, 172)), list(range(171, 300))]
    assert len(language.windows(ids, offset=44)) == 1


def test_a_text_is_in_one_part_only() -> None:
    for corpus in CORPORA:
        test, train = (language.texts(corpus, part) for part in language.PARTS)
        texts = [each.text for each in docstrings(corpus)]
        assert set(test) < set(texts) - set(train)
        assert train == [text for text in texts if text in set(train)]
        assert 0.05 < 1 - len(train) / len(texts) < 0.16


def test_no_test_text_nearly_agrees_with_a_training_text_or_another_test_text() -> None:
    test, train = (
        [frozenset(words(text)) for corpus in CORPORA for text in language.texts(corpus, part)]
        for part in language.PARTS
    )
    for place, text in enumerate(test):
        others = train + test[:place]
        # Sets of sizes further apart cannot have so much in common.
        near = [other for other in others if 0.6 * len(text) <= len(other) <= len(text) / 0.6]
        assert not any(alike(text, other) for other in near)


@pytest.mark.parametrize("corpus", CORPORA)
def test_each_corpus_has_windows_enough(corpus: str) -> None:
    assert len(language.corpus_windows(corpus)) >= 20


def test_a_stream_is_the_texts_with_end_marks() -> None:
    coder = model.tokenizer()
    texts = language.texts("stdlib.data", "test")
    spelled = coder.decode(language.stream(["stdlib.data"], "test", coder).tolist(), skip_special_tokens=False)
    assert spelled == "".join(f"<|end|>{text}" for text in texts) + "<|end|>"


def test_held_out_windows_are_spread_evenly() -> None:
    every = language.corpus_windows("stdlib.data")
    assert every.shape[1] == 129
    taken = language.corpus_windows("stdlib.data", limit=4)
    assert [int((every == window).all(axis=1).argmax()) for window in taken] == [
        place * len(every) // 4 for place in range(4)
    ]


def test_perplexity_of_even_logits_is_the_size_of_the_vocabulary() -> None:
    found = language.corpus_windows("stdlib.data", limit=2)
    # Behind the last norm, a row of equal numbers is its offset alone: the same logits for every token.
    logits = language.model().logits(torch.zeros(1, 1, model.WIDTH))[0, 0].double()
    expected = torch.logsumexp(logits, 0) - logits[torch.as_tensor(found[:, 1:])]
    done: list[int] = []
    losses = language.losses(found, lambda x, attend: torch.zeros_like(x), done.append)
    assert done == [2]
    assert losses == pytest.approx(expected.numpy(), abs=1e-4)
    assert language.perplexity(found, lambda x, attend: torch.zeros_like(x)) == pytest.approx(
        math.exp(float(expected.mean())), rel=1e-4
    )


def test_the_encoder_is_told_to_attend_to_everything() -> None:
    told = []

    def encoder(x: torch.Tensor, attend: torch.Tensor) -> torch.Tensor:
        told.append((x.shape, x.dtype, attend.shape, bool(attend.all())))
        return x

    language.perplexity(language.corpus_windows("stdlib.data", limit=3), encoder)
    assert told == [((3, 128, model.WIDTH), torch.float32, (3, 128), True)]


def test_the_model_reads_better_than_counting() -> None:
    found = language.corpus_windows("scipy.stats", limit=4)
    record = model.load()[1]["scores"]["scipy.stats"]
    assert language.perplexity(found, language.dense()) < record["pairs"]


def test_counting_by_hand() -> None:
    counts = language.Counts(np.array([0, 1, 0, 1, 2]), vocabulary=4, prior=1.0)
    single = np.array([3, 3, 2, 1]) / 9
    assert counts.single == pytest.approx(single)
    window = np.array([[0, 1, 3]])
    # 0 was seen before 1 twice of two times; 1 before 3 in none of two.
    joint = [(2 + single[1]) / 3, (0 + single[3]) / 3]
    assert counts.perplexities(window) == pytest.approx(((single[1] * single[3]) ** -0.5, math.prod(joint) ** -0.5))


def test_an_unknown_part_or_corpus_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        language.texts("numpy", "calibration")
    assert str(refusal.value) == "A part must be one of test, train, not 'calibration'; choose one."
    with pytest.raises(Refusal):
        language.corpus_windows("pandas")
