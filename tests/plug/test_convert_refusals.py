# SPDX-License-Identifier: Apache-2.0
"""What cannot be converted, and what a converted model cannot honour: one sentence, and the model as it was."""

import pytest
import torch
from transformers.models.bart import BartConfig, BartModel
from transformers.models.bert import BertConfig, BertModel
from transformers.models.gpt2 import GPT2Config, GPT2Model
from transformers.models.mixtral import MixtralConfig, MixtralModel
from transformers.models.qwen3 import Qwen3Config, Qwen3Model

from config.errors import Refusal
from plug import Lapa, Spls
from plug import convert as module
from plug.convert import convert
from tests.plug.models import HEADS, SHARED, WIDTH, example, state

PREDICTORS = [Spls(k=0.4, k_similarity=0.2, s=160, f=2), Lapa()]


def poisoned():
    model = example("bert").model
    model.encoder.layer[1].attention.self.value.bias.data[3] = torch.nan
    return model


def chunked():
    return BertModel(BertConfig(vocab_size=9, chunk_size_feed_forward=4, **SHARED))


def headless():
    model = example("llama").model
    del model.model.layers[1].mlp
    return model


def lossy():
    model = example("vit").model
    old = model.layers[1].attention.q_proj
    model.layers[1].attention.q_proj = type("Linear4bit", (torch.nn.Linear,), {})(old.in_features, old.out_features)
    return model


def with_sinks():
    model = example("llama").model
    model.model.layers[1].self_attn.sinks = torch.nn.Parameter(torch.zeros(HEADS))
    return model


FAMILIES = "The model's attention must be BERT's, GPT-2's, Llama's or ViT's, without cross-attention, and "
INSTEAD = "; use plug.transformers.register, which needs no layer's weights."


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: torch.nn.Linear(3, 3),
            "model must be a model of Hugging Face transformers, not Linear; load one with AutoModel.",
        ),
        (
            lambda: BartModel(
                BartConfig(
                    vocab_size=9, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                    decoder_attention_heads=2, encoder_ffn_dim=8, decoder_ffn_dim=8, pad_token_id=1,
                    bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
                )
            ),
            FAMILIES + "BartModel has BartAttention" + INSTEAD,
        ),
        (
            lambda: Qwen3Model(Qwen3Config(vocab_size=9, num_key_value_heads=2, head_dim=8, **SHARED)),
            FAMILIES + "Qwen3Model has Qwen3Attention" + INSTEAD,
        ),
        (
            lambda: BertModel(BertConfig(vocab_size=9, is_decoder=True, add_cross_attention=True, **SHARED)),
            FAMILIES + "BertModel has BertAttention" + INSTEAD,
        ),
        (
            lambda: GPT2Model(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, add_cross_attention=True,
                                         bos_token_id=None, eos_token_id=None)),
            FAMILIES + "GPT2Model has GPT2Attention" + INSTEAD,
        ),
        (
            lambda: MixtralModel(MixtralConfig(vocab_size=9, num_key_value_heads=2, num_local_experts=2, **SHARED)),
            "The FFN must be made of linear layers that every token passes, not MixtralSparseMoeBlock; "
            "use another model.",
        ),
        (with_sinks, FAMILIES + "LlamaForCausalLM has LlamaAttention" + INSTEAD),
        (
            headless,
            "The layer around model.layers.1.self_attn must be BERT's, GPT-2's, Llama's or ViT's, and has no "
            "'model.layers.1.mlp'; use another model.",
        ),
        (lossy, "Q and K must be linear layers of floating-point weights, not Linear4bit; load them as such."),
        (
            poisoned,
            "The model's weights must be finite, and encoder.layer.1.attention.self.value.bias holds NaN or "
            "infinities; load them again.",
        ),
        (
            chunked,
            "chunk_size_feed_forward must be 0, and encoder.layer.0 has another; a row is copied from one in another "
            "chunk.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_left_as_it_was(make, sentence):
    model = make()
    before = state(model) if hasattr(model, "config") else None
    with pytest.raises(Refusal) as refusal:
        convert(model, Spls())
    assert str(refusal.value) == sentence
    assert before is None or state(model) == before


def test_what_a_call_cannot_honour_is_refused():
    made = example("bert")
    converted = convert(made.model, Spls())
    with pytest.raises(Refusal, match="must hold finite numbers"):
        made(input_ids=None, inputs_embeds=torch.full((2, 22, WIDTH), torch.nan))
    with pytest.raises(Refusal, match="must be the same for all heads, and is not; give one for all"):
        made(attention_mask=torch.ones(2, HEADS, 22, 22, dtype=torch.bool))
    made.model.train()
    with pytest.raises(Refusal, match=r"dropout must be 0, not 0.1; call model.eval\(\)"):
        made()
    converted.restore()
    with pytest.raises(Refusal, match="predictor must be a Predictor, not None"):
        convert(made.model, None)


def test_a_conversion_that_fails_half_way_is_undone(monkeypatch):
    """The second layer's hooks cannot be attached."""
    made = example("bert")
    before, attach, attached = state(made.model), module._Converted.attach, []

    def once(layer):
        if attached:
            raise MemoryError
        attached.append(layer)
        return attach(layer)

    monkeypatch.setattr(module._Converted, "attach", once)
    with pytest.raises(MemoryError):
        convert(made.model, PREDICTORS[0])
    assert state(made.model) == before
    monkeypatch.undo()
    convert(made.model, PREDICTORS[0]).restore()
    assert state(made.model) == before
