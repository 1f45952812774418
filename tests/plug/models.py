# SPDX-License-Identifier: Apache-2.0
"""Small models of transformers with random weights, one of each family, and inputs for them."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers.models.bert import BertConfig, BertModel
from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel
from transformers.models.llama import LlamaConfig, LlamaForCausalLM
from transformers.models.vit import ViTConfig, ViTModel

WORDS, TOKENS, WIDTH, HEADS, FFN = 50, 22, 32, 4, 48
SHARED = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS, "intermediate_size": FFN}
NO_WORDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}


@dataclass(frozen=True)
class Example:
    """A model, what it is called with, and which of its tokens are no padding, bool [B, T]."""

    model: Any
    inputs: dict[str, torch.Tensor]
    real: torch.Tensor

    def __call__(self, **changed: Any) -> torch.Tensor:
        """What the model answers, [B, T, D]."""
        with torch.no_grad():
            return self.model(**(self.inputs | changed))[0]

    def sequence(self, index: int) -> "Example":
        """One of the sequences alone, without its padding."""
        inputs = {name: x[index : index + 1, self.real[index]] for name, x in self.inputs.items()}
        return replace(self, inputs=inputs, real=self.real[index : index + 1, self.real[index]])


def example(family: str, left: bool = False, seed: int = 0) -> Example:
    """`bert`, `gpt2`, `llama` (two heads of K and V) or `vit`; two sequences, one of them padded."""
    torch.manual_seed(seed)
    model = MODELS[family]().eval()
    if family == "vit":
        pixels = torch.randn(2, 3, 32, 32)
        return Example(model, {"pixel_values": pixels}, torch.ones(2, 17, dtype=torch.bool))
    real = torch.ones(2, TOKENS, dtype=torch.bool)
    real[1, slice(0, 7) if left else slice(TOKENS - 7, None)] = False
    ids = torch.randint(1, WORDS, (2, TOKENS)).where(real, torch.zeros(1, dtype=torch.int64))
    return Example(model, {"input_ids": ids, "attention_mask": real.long()}, real)


def assert_causal(made: Example) -> None:
    """A later token never changes an earlier output, and does change its own."""
    ids = made.inputs["input_ids"]
    made.inputs["attention_mask"] = torch.ones_like(ids)
    before = made()
    for first in (1, 13):
        after = made(input_ids=torch.cat([ids[:, :first], ids[:, first:].flip(1)], dim=1))
        assert torch.equal(after[:, :first], before[:, :first])
        assert not torch.equal(after[:, first:], before[:, first:])


def state(model: Any) -> tuple[Any, ...]:
    """What a conversion may change."""
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), sorted(vars(m))) for m in model.modules()]
    return hooks, model.config._attn_implementation, getattr(model.config, "use_cache", None)


def _louder(model: Any) -> Any:
    """With biases, and attention that is not flat, as it is when weights are drawn small."""
    for name, weights in model.named_parameters():
        if name.endswith("bias"):
            weights.data.normal_(0, 0.3)
        if any(part in name for part in ("query", "key", "q_proj", "k_proj", "c_attn")):
            weights.data *= 8
    return model


MODELS = {
    "bert": lambda: _louder(BertModel(BertConfig(vocab_size=WORDS, max_position_embeddings=64, **SHARED))),
    # With a scale of its own in each layer.
    "gpt2": lambda: _louder(
        GPT2LMHeadModel(
            GPT2Config(
                vocab_size=WORDS,
                n_embd=WIDTH,
                n_layer=2,
                n_head=HEADS,
                n_positions=64,
                n_inner=FFN,
                scale_attn_by_inverse_layer_idx=True,
                **NO_WORDS,
            )
        )
    ),
    "llama": lambda: _louder(
        LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, num_key_value_heads=2, **SHARED, **NO_WORDS))
    ),
    "vit": lambda: _louder(ViTModel(ViTConfig(image_size=32, patch_size=8, **SHARED))),
}
CAUSAL = ["gpt2", "llama"]
