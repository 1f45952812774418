# SPDX-License-Identifier: Apache-2.0
"""The language model: the shipped weights do what their record says, in NumPy as in torch."""

import numpy as np
import pytest
import torch

from config.errors import Refusal
from golden.models import language
from golden.models.transformer import layer

TEXT = "Return the sum of the elements over a given axis.\n\nParameters\n----------\na : array_like\n"


@pytest.fixture(scope="module")
def model() -> language.LanguageModel:
    return language.load()[0]


def test_the_record_holds_for_one_window() -> None:
    model, record = language.load()
    ids = torch.tensor([int(each) for each in record["check"]["ids"].split()])
    logits = model.map(torch.as_tensor)(ids[None, :-1])[0]
    loss = torch.nn.functional.cross_entropy(logits.double(), ids[1:])
    assert len(ids) == 129
    assert float(torch.exp(loss)) == pytest.approx(record["check"]["perplexity"], rel=5e-4)


def test_it_is_better_than_counting() -> None:
    scores = language.load()[1]["scores"]
    assert len(scores) == 10
    for corpus, each in scores.items():
        assert each["perplexity"] < 0.8 * each["pairs"] < each["tokens"], corpus


def test_numpy_and_torch_agree(model: language.LanguageModel) -> None:
    ids = language.encode(TEXT)[None]
    double = model.map(lambda tensor: tensor.astype(np.float64))
    found = double(ids)
    assert found.shape == (1, ids.shape[1], language.VOCABULARY)
    assert np.abs(double.map(torch.as_tensor)(torch.as_tensor(ids)).numpy() - found).max() < 1e-9


def test_a_token_changes_nothing_before_it(model: language.LanguageModel) -> None:
    torched = model.map(torch.as_tensor)
    ids = torch.as_tensor(language.encode(TEXT))[None]
    other = ids.clone()
    other[0, 9] += 1
    before, after = torched(ids), torched(other)
    assert torch.equal(before[:, :9], after[:, :9])
    assert (before[:, 9:] != after[:, 9:]).any(dim=-1).all()


def test_embedding_layers_and_head_make_the_whole(model: language.LanguageModel) -> None:
    torched = model.map(torch.as_tensor)
    ids = torch.as_tensor(language.encode(TEXT))[None]
    x = torched.embed(ids)
    assert torch.equal(x[0, 3], torched.tokens[ids[0, 3]] + torched.positions[3])
    for weights in torched.layers:
        x = layer(x, weights, language.ARCHITECTURE)
    assert torch.equal(torched.logits(x), torched(ids))
    assert language.ARCHITECTURE.causal


@pytest.mark.parametrize("length", [0, 129])
def test_a_text_the_model_has_no_positions_for_is_refused(model: language.LanguageModel, length: int) -> None:
    with pytest.raises(Refusal) as refusal:
        model.embed(np.zeros((1, length), dtype=np.int64))
    assert str(refusal.value) == (f"A text must have 1 to 128 tokens, not {length}; the model has no more positions.")


@pytest.mark.parametrize("text", [TEXT, "naïve Ω 漢字 \t\r\n\0 end", ""])
def test_tokens_spell_any_text(text: str) -> None:
    ids = language.encode(text)
    assert ids.dtype == np.int64
    assert language.tokenizer().decode(ids.tolist(), skip_special_tokens=False) == text


def test_the_vocabulary_is_the_models() -> None:
    assert language.tokenizer().get_vocab_size() == language.VOCABULARY
