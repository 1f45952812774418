# SPDX-License-Identifier: Apache-2.0
"""Models of transformers whose attention is ours, through the attention interface."""

import sys

import pytest
import torch
from transformers.masking_utils import AttentionMaskInterface
from transformers.models.llama import LlamaForCausalLM
from transformers.models.mistral import MistralConfig, MistralModel

from config.errors import Refusal
from plug import Dense, Lapa, Spls
from plug.transformers import install, register
from tests.plug.models import CAUSAL, MODELS, SHARED, assert_causal, example

PREDICTORS = [Spls(s=128), Lapa()]
NAMES = {"ids": lambda predictor: type(predictor).__name__.lower()}


def with_attention(example, predictor):
    register(predictor)
    example.model.set_attn_implementation("foreshift")
    return example


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("family", MODELS)
def test_dense_is_the_models_own_attention(family, left):
    made = example(family, left)
    for own in ("sdpa", "eager"):
        made.model.set_attn_implementation(own)
        truth = made()
        found = with_attention(made, Dense())()
        assert float((found - truth)[made.real].abs().max()) < 2e-6


@pytest.mark.parametrize("predictor", [Dense(), *PREDICTORS], **NAMES)
@pytest.mark.parametrize("family", CAUSAL)
def test_a_later_token_never_changes_an_earlier_output(family, predictor):
    made = with_attention(example(family), predictor)
    assert_causal(made)


@pytest.mark.parametrize("family", CAUSAL)
def test_without_its_mask_function_a_causal_model_is_refused(family, monkeypatch):
    made = with_attention(example(family), Dense())
    monkeypatch.delitem(AttentionMaskInterface._global_mapping, "foreshift")
    with pytest.raises(Refusal, match="must be given its mask, and was given none"):
        made()


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("family", MODELS)
def test_a_predictor_changes_what_a_model_answers(family, predictor):
    made = example(family)
    truth = made()
    error = (with_attention(made, predictor)() - truth)[made.real].abs().max()
    assert 1e-3 < float(error) < float(truth[made.real].abs().max()) * 3


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_padding_is_not_seen(family, left, predictor):
    made = with_attention(example(family, left), predictor)
    before, ids = made(), made.inputs["input_ids"]
    after = made(input_ids=torch.where(made.real, ids, ids.flip(1) % 7 + 1))
    assert torch.equal(after[made.real], before[made.real])
    if not left:
        alone = made.sequence(1)()
        assert float((alone[0] - before[1, made.real[1]]).abs().max()) < 1e-5


@pytest.mark.parametrize("predictor", [Spls(k=6, k_similarity=4, s=128), Lapa()], **NAMES)
def test_packed_sequences_do_not_see_each_other(predictor):
    made = with_attention(example("llama"), predictor)
    ids = made.inputs["input_ids"][:1]
    places = torch.cat([torch.arange(8), torch.arange(14)])[None]
    with torch.no_grad():
        packed = made.model(ids, position_ids=places, use_cache=False)[0]
        alone = [made.model(part, use_cache=False)[0] for part in ids.split([8, 14], dim=1)]
    assert float((packed - torch.cat(alone, dim=1)).abs().max()) < 1e-5


@pytest.mark.parametrize("predictor", [Dense(), Spls(k=1.0, k_similarity=1.0, s=0)], **NAMES)
def test_a_sliding_window(predictor):
    torch.manual_seed(0)
    model = MistralModel(MistralConfig(vocab_size=50, num_key_value_heads=2, sliding_window=5, **SHARED)).eval()
    ids = torch.arange(3, 25)[None]
    with torch.no_grad():
        truth = model(ids)[0]
        register(predictor)
        model.set_attn_implementation("foreshift")
        assert float((model(ids)[0] - truth).abs().max()) < 2e-6


@pytest.mark.parametrize("family", CAUSAL)
def test_text_is_generated_with_a_cache(family):
    made = example(family, left=True)
    settings = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
    truth = made.model.generate(**made.inputs, **settings)
    assert torch.equal(with_attention(made, Dense()).model.generate(**made.inputs, **settings), truth)
    kept = Spls(k=1.0, k_similarity=1.0, s=0)
    assert torch.equal(with_attention(made, kept).model.generate(**made.inputs, **settings), truth)


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
def test_half_precision(predictor):
    made = with_attention(example("llama"), predictor)
    whole = made()
    made.model.to(torch.bfloat16)
    found = made()
    assert found.dtype == torch.bfloat16
    assert float((found - whole)[made.real].abs().mean()) < float(whole[made.real].abs().mean()) / 2


def test_a_model_from_a_folder(tmp_path):
    made = example("llama")
    truth = made()
    made.model.save_pretrained(tmp_path)
    register(Dense())
    loaded = LlamaForCausalLM.from_pretrained(tmp_path, attn_implementation="foreshift").eval()
    with torch.no_grad():
        assert torch.allclose(loaded(**made.inputs)[0][made.real], truth[made.real], atol=2e-6)


def test_two_names_are_two_predictors():
    made = example("bert")
    truth = made()
    register(Dense(), "foreshift_dense")
    register(Lapa(), "foreshift_lapa")
    made.model.set_attn_implementation("foreshift_lapa")
    assert not torch.allclose(made(), truth, atol=1e-4)
    made.model.set_attn_implementation("foreshift_dense")
    assert torch.allclose(made()[made.real], truth[made.real], atol=2e-6)


@pytest.mark.parametrize("name", ["sdpa", "eager", "flash_mine", "my sdpa", "a/b", ""])
def test_names_that_transformers_uses_are_refused(name):
    with pytest.raises(Refusal) as refusal:
        register(Dense(), name)
    assert str(refusal.value) == (
        f"name must be an identifier that transformers gives no meaning to, not {name!r}; for example 'foreshift'."
    )


def test_a_name_that_another_took_is_refused():
    AttentionMaskInterface.register("foreshift_theirs", lambda: None)
    with pytest.raises(Refusal, match="not 'foreshift_theirs'"):
        register(Dense(), "foreshift_theirs")


def test_no_predictor_is_refused():
    with pytest.raises(Refusal, match="predictor must be a Predictor, not 'spls'"):
        register("spls")


def test_transformers_must_be_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers.modeling_utils", None)
    with pytest.raises(Refusal) as refusal:
        install("foreshift_missing", lambda: (None, None))
    assert str(refusal.value) == (
        "transformers must be installed, version 5 or later, and transformers.modeling_utils is not; "
        "install it with `pip install transformers==5.23.0`."
    )


def test_dropout_is_refused():
    made = with_attention(example("bert"), Spls())
    made.model.train()
    with pytest.raises(Refusal, match=r"dropout_p must be 0, not 0.1; call model.eval\(\)"):
        made()


def test_what_attention_does_not_know_is_refused():
    made = with_attention(example("llama"), Spls())
    with pytest.raises(Refusal) as refusal:
        made(softcap=30.0)
    assert str(refusal.value) == "Attention must do without softcap, which LlamaAttention asks for; use another model."
