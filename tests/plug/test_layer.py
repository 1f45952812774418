# SPDX-License-Identifier: Apache-2.0
"""Plans of converted models against `golden.speculate`, to the bit, in NumPy, sequence by sequence."""

import math

import numpy as np
import pytest
import torch

from config.speculate import LapaSettings, SplsSettings
from golden.arith.quantise import quantise_symmetric
from golden.arith.requantise import requantise
from golden.arrays import split_heads
from golden.models.minilm import AttentionWeights, quantise_layer
from golden.speculate import lapa, spls
from golden.speculate.array import dot
from golden.speculate.calibrate import head_settings
from golden.speculate.compare import calibrate
from golden.speculate.plan import assemble
from plug import Lapa, Spls
from plug.convert import convert
from tests.plug.models import HEADS, WIDTH, example

FIELDS = ("mask", "reference", "columns", "leader", "agreed")


def inputs_of(made, modules):
    """X of each of the modules, float32 [B, T, D]."""
    seen = []

    def keep(module, arguments, named):
        seen.append((arguments[0] if arguments else named["hidden_states"]).numpy().copy())

    handles = [module.register_forward_pre_hook(keep, with_kwargs=True) for module in modules]
    made()
    for handle in handles:
        handle.remove()
    return seen


def heads_of(linear, heads=HEADS):
    bias = linear.bias.detach().numpy().reshape(heads, -1)
    return linear.weight.detach().numpy().reshape(heads, -1, WIDTH), bias


def projections(family, model):
    """Of each layer: the module that is given X, and W_Q, b_Q, W_K, b_K."""
    if family == "gpt2":
        for block in model.transformer.h:
            parts = [tensor.detach().numpy() for tensor in (block.attn.c_attn.weight.T, block.attn.c_attn.bias)]
            (wq, wk, _), (bq, bk, _) = (np.split(part, 3) for part in parts)
            heads = (part.reshape(HEADS, WIDTH // HEADS, *part.shape[1:]) for part in (wq, bq, wk, bk))
            yield block.attn, tuple(heads)
    elif family == "bert":
        for layer in model.encoder.layer:
            attention = layer.attention.self
            yield attention, (*heads_of(attention.query), *heads_of(attention.key))
    else:
        for layer in model.layers:
            yield layer.attention, (*heads_of(layer.attention.q_proj), *heads_of(layer.attention.k_proj))


def golden_plan(predictor, x, weights):
    """Of X [T, D] by `golden.speculate`."""
    operands, _ = quantise_layer(x, AttentionWeights(*weights))
    system = predictor.system
    scales = head_settings(operands, system, 8)
    given = {"bq": operands.bq, "bk": operands.bk}
    if isinstance(predictor, Lapa):
        settings = LapaSettings(scales=scales, eta=predictor.eta)
        return lapa.predict(operands.x, operands.wq, operands.wk, settings, **given, slices=predictor.slices)
    k, k_similarity = (math.ceil(share * len(x)) for share in (predictor.k, predictor.k_similarity))
    settings = SplsSettings(scales=scales, k=k, k_similarity=k_similarity, s=predictor.s, f=predictor.f)
    return spls.predict(operands.x, operands.wq, operands.wk, settings, **given, window=predictor.window)


@pytest.mark.parametrize(
    "predictor",
    [Spls(k=0.4, k_similarity=0.2, s=160, f=2), Spls(s=200, f=1, window=4), Lapa((128, 96)), Lapa((90,), (8,))],
)
@pytest.mark.parametrize("family", ["bert", "gpt2", "vit"])
def test_plans_are_the_golden_ones(family, predictor):
    """GPT-2 without its causal mask, under which scales differ from row to row."""
    made = example(family)
    made.model.config.is_causal = False
    modules, weights = zip(*projections(family, made.model), strict=True)
    converted = convert(made.model, predictor)
    inputs = inputs_of(made, modules)
    for plan, x, parts in zip(converted.plans(), inputs, weights, strict=True):
        for b, real in enumerate(made.real):
            n = int(real.sum())
            golden = golden_plan(predictor, x[b, :n], parts)
            assert np.array_equal(plan.mask[b, :, :n, :n].numpy(), golden.mask)
            assert not bool(plan.mask[b, :, :, n:].any())
            for field in FIELDS[1:]:
                assert np.array_equal(getattr(plan, field)[b][..., :n].numpy(), getattr(golden, field)), field
            assert isinstance(predictor, Lapa) or (golden.leader != np.arange(n)).any()


def rotated(x, base=10000.0):
    """Int8 heads [H, T, d], rotated by their positions and rounded to int8 again, head by head."""
    width = x.shape[-1]
    angles = np.arange(x.shape[-2])[:, None] / base ** (np.arange(0, width, 2) / width)
    cos, sin = (torch.asarray(f(angles)).float().double().numpy() for f in (np.cos, np.sin))
    left, right = x[..., : width // 2], x[..., width // 2 :]
    turned = np.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)
    return np.stack([quantise_symmetric(head)[0] for head in turned]).astype(np.int64)


def test_a_model_that_rotates_predicts_on_rotated_values():
    """Llama without its causal mask: heads of K are shared, Q̂ and K̂ rotated between requantising and scores."""
    made = example("llama")
    made.model.config.is_causal = False
    made.inputs["attention_mask"] = torch.ones_like(made.inputs["attention_mask"])
    modules = [layer.self_attn for layer in made.model.model.layers]
    predictor = Spls(k=0.4, k_similarity=0.2, s=160, f=2)
    converted = convert(made.model, predictor)
    inputs = inputs_of(made, modules)
    for plan, x, module in zip(converted.plans(), inputs, modules, strict=True):
        for b in range(2):
            found = []
            for linear, heads in ((module.q_proj, HEADS), (module.k_proj, 2)):
                codes = (quantise_symmetric(values)[0] for values in (x[b], linear.weight.detach().numpy()))
                sums = split_heads(dot(*codes, predictor.system), heads)
                scales = [calibrate(head) for head in sums]
                found.append(
                    rotated(np.stack([requantise(s, m.mul, m.shift) for s, m in zip(sums, scales, strict=True)]))
                )
            q, k = found[0], found[1].repeat(HEADS // 2, axis=0)
            sums = dot(q, k, predictor.system)
            shifts = [max(0, int(np.maximum(s, ~s).max()).bit_length() - 7) for s in sums]
            scores = np.stack([spls.shifted(s, shift, 8) for s, shift in zip(sums, shifts, strict=True)])
            settings = SplsSettings(k=9, k_similarity=5, s=160)
            mask, reference = spls.select(scores, np.ones(scores.shape, dtype=bool), settings, 8)
            golden = assemble(mask, reference, 8, 2)
            for field in FIELDS:
                assert np.array_equal(getattr(plan, field)[b].numpy(), getattr(golden, field)), field
