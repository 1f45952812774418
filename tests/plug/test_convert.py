# SPDX-License-Identifier: Apache-2.0
"""Models converted in place: what they answer, what they count, what they leave as it was."""

import numpy as np
import pytest
import torch
from transformers.models.mistral import MistralConfig, MistralModel
from transformers.models.qwen2 import Qwen2Config, Qwen2Model
from transformers.models.roberta import RobertaConfig, RobertaModel

from config.errors import Refusal
from plug import Dense, Lapa, Spls
from plug.convert import convert
from plug.counts import COMPONENTS
from tests.plug.models import CAUSAL, FFN, HEADS, MODELS, SHARED, WIDTH, assert_causal, example, state

PREDICTORS = [Spls(k=0.4, k_similarity=0.2, s=160, f=2), Lapa()]
NAMES = {"ids": lambda predictor: type(predictor).__name__.lower()}
HEAD = WIDTH // HEADS


@pytest.mark.parametrize("family", MODELS)
def test_dense_answers_as_the_model_does_and_counts_everything(family):
    made = example(family)
    truth, before = made(), state(made.model)
    converted = convert(made.model, Dense())
    found = made()
    assert float((found - truth)[made.real].abs().max()) < 2e-6
    report = converted.report()
    tokens, lengths = int(made.real.sum()), made.real.sum(1).tolist()
    shared = 2 if family == "llama" else 1
    pairs = sum(n * (n + 1) // 2 if family in CAUSAL else n * n for n in lengths)
    dense = {
        "Q": tokens * WIDTH * WIDTH,
        "K": tokens * WIDTH * WIDTH // shared,
        "V": tokens * WIDTH * WIDTH // shared,
        "attention": 2 * pairs * WIDTH,
        "projection": tokens * WIDTH * WIDTH,
        "FFN": tokens * WIDTH * FFN * (3 if family == "llama" else 2),
    }
    assert {name: row.dense for name, row in report.rows.items()} == {name: 2 * count for name, count in dense.items()}
    assert all(row.left == row.dense for row in report.rows.values())
    assert (report.prediction, report.tokens) == (0, 2 * tokens)
    converted.restore()
    assert state(made.model) == before
    assert torch.equal(made(), truth)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Qwen2Model(Qwen2Config(vocab_size=50, num_key_value_heads=2, **SHARED)),
        lambda: MistralModel(MistralConfig(vocab_size=50, num_key_value_heads=2, sliding_window=6, **SHARED)),
        lambda: RobertaModel(RobertaConfig(vocab_size=50, **SHARED)),
    ],
    ids=["qwen2", "mistral", "roberta"],
)
def test_models_of_the_same_style(make):
    model, ids = make().eval(), torch.arange(3, 25)[None]
    with torch.no_grad():
        truth = model(ids)[0]
        converted = convert(model, Dense())
        assert float((model(ids)[0] - truth).abs().max()) < 2e-6
        converted.restore()
        converted = convert(model, Spls())
        assert not torch.allclose(model(ids)[0], truth, atol=1e-3)
        assert len(converted.plans()) == 2


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("family", MODELS)
def test_counts_are_those_of_the_plans(family, predictor):
    made = example(family)
    converted = convert(made.model, predictor)
    made()
    shared = 2 if family == "llama" else 1
    left = dict.fromkeys(COMPONENTS, 0)
    prediction = 0
    for plan in converted.plans():
        for b, n in enumerate(made.real.sum(1).tolist()):
            mask, reference = (x[b].numpy()[:, :n] for x in (plan.mask, plan.reference))
            needed = mask.any(axis=1).reshape(HEADS // shared, shared, -1).any(axis=1)
            left["Q"] += int((reference == np.arange(n)).sum()) * WIDTH * HEAD
            left["K"] += int(needed.sum()) * WIDTH * HEAD
            left["attention"] += int(mask.sum()) * 2 * HEAD
            left["projection"] += int((~plan.agreed[b, :n]).sum()) * WIDTH * WIDTH
            computed = int((plan.leader[b, :n].numpy() == np.arange(n)).sum())
            left["FFN"] += computed * WIDTH * FFN * (3 if family == "llama" else 2)
            pairs = n * (n + 1) // 2 if family in CAUSAL else n * n
            prediction += n * WIDTH * (WIDTH + WIDTH // shared) + pairs * HEADS * HEAD
    left["V"] = left["K"]
    report = converted.report()
    assert {name: row.left for name, row in report.rows.items()} == left
    rounds_later = report.prediction - prediction
    assert rounds_later == 0 if isinstance(predictor, Spls) else 0 < rounds_later < prediction
    if isinstance(predictor, Spls):
        assert all(report.rows[name].left < report.rows[name].dense for name in ("Q", "attention", "FFN"))
    first = report.total
    made()
    assert converted.report().total.left == 2 * first.left
    converted.clear()
    assert converted.report().total.dense == 0


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_padding_changes_neither_answers_nor_counts(family, predictor):
    made = example(family)
    converted = convert(made.model, predictor)
    together, batch = made(), converted.report()
    converted.clear()
    alone = [made.sequence(index)() for index in range(2)]
    assert converted.report() == batch
    for index in range(2):
        assert float((alone[index][0] - together[index, made.real[index]]).abs().max()) < 1e-5


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_padding_at_the_left_is_not_seen(family, predictor):
    made = example(family, left=True)
    convert(made.model, predictor)
    before, ids = made(), made.inputs["input_ids"]
    after = made(input_ids=torch.where(made.real, ids, ids.flip(1) % 7 + 1))
    assert torch.equal(after[made.real], before[made.real])


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("family", CAUSAL)
def test_a_later_token_never_changes_an_earlier_output(family, predictor):
    made = example(family)
    convert(made.model, predictor)
    assert_causal(made)


def test_heads_that_share_keys_have_their_own_scales_of_them():
    """Tokens of very different size, so that scales change along the rows, in each head elsewhere."""
    made = example("llama", seed=5)
    made.model.model.embed_tokens.weight.data *= torch.rand(50, 1) * 8
    ids = made.inputs["input_ids"]
    made.inputs["attention_mask"] = torch.ones_like(ids)
    convert(made.model, Lapa())
    before = made()
    for first in (9, 16, 18):
        after = made(input_ids=torch.cat([ids[:, :first], ids[:, first:].flip(1)], dim=1))
        assert torch.equal(after[:, :first], before[:, :first])


WHERE = {  # Q, K, V, and the first half of the FFN, in a layer
    "bert": (
        "encoder.layer.{}.attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "intermediate.dense",
    ),
    "llama": ("model.layers.{}.self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj"),
    "vit": ("layers.{}.attention.q_proj", "attention.k_proj", "attention.v_proj", "mlp.fc1"),
}


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("family", WHERE)
def test_what_the_plan_leaves_out_is_not_used(family, predictor):
    """Results that the plan does not ask for become NaN, and nothing changes."""
    made = example(family)
    converted = convert(made.model, predictor)
    truth = made()
    spoilt = 0
    for index, plan in enumerate(converted.plans()):
        q, *others = WHERE[family]
        layer = q.format(index)[: -len(q.split("{}.")[1])]
        heads = 2 if family == "llama" else HEADS
        needed = plan.columns.unflatten(1, (heads, -1)).any(2)
        computed = plan.leader == torch.arange(plan.leader.shape[1])
        for name, used in zip(
            (q.format(index), *(layer + other for other in others)),
            (plan.critical, needed, needed, computed),
            strict=True,
        ):
            rows = (used.mT if used.ndim == 3 else used[..., None]).clone()
            spoilt += int((~rows).sum())

            def spoil(module, arguments, result, rows=rows):
                return result.masked_fill(~rows.repeat_interleave(result.shape[-1] // rows.shape[-1], -1), torch.nan)

            made.model.get_submodule(name).register_forward_hook(spoil)
    assert spoilt > 0
    assert torch.equal(made()[made.real], truth[made.real])


def test_heads_that_agree_make_a_copy_of_the_projection():
    made = example("bert")
    converted = convert(made.model, Spls(s=250))
    seen = []
    made.model.encoder.layer[0].attention.output.dense.register_forward_hook(lambda m, a, result: seen.append(result))
    made()
    plan = converted.plans()[0]
    for b, i in plan.agreed.nonzero().tolist():
        assert torch.equal(seen[0][b, i], seen[0][b, int(plan.reference[b, 0, i])])
    assert bool(plan.agreed.any())


class Late(Lapa):
    """One that chooses from the exact Q and K."""

    system = None


def test_a_predictor_of_exact_operands_needs_all_of_q_and_k():
    made = example("llama")
    truth = made()
    converted = convert(made.model, Late())
    assert not torch.allclose(made()[made.real], truth[made.real], atol=1e-3)
    report = converted.report()
    assert all(report.rows[name].left == report.rows[name].dense for name in ("Q", "K"))
    assert all(report.rows[name].left < report.rows[name].dense for name in ("V", "attention"))
    needed = sum(int(plan.columns.unflatten(1, (2, 2)).any(2).sum()) for plan in converted.plans())
    assert report.rows["V"].left == needed * WIDTH * HEAD
    pairs = report.rows["attention"].dense // 2
    assert pairs < report.prediction < 2 * pairs


def test_restoring_twice_and_converting_again():
    made = example("gpt2")
    truth, before = made(), state(made.model)
    converted = convert(made.model, Spls())
    with pytest.raises(Refusal) as refusal:
        convert(made.model, Lapa())
    assert str(refusal.value) == (
        "GPT2LMHeadModel must not be converted already, and it is; call restore() of its conversion first."
    )
    with pytest.raises(Refusal, match="The model must have been called, and was not"):
        converted.plans()
    converted.restore()
    again = convert(made.model, Lapa())
    converted.restore()
    assert not torch.equal(made(), truth)
    again.restore()
    assert state(made.model) == before
    assert torch.equal(made(), truth)


def through_data(query):
    query.weight.data.neg_(), query.bias.data.neg_()


def in_place(query):
    query.weight.neg_(), query.bias.neg_()


def replaced(query):
    query.weight.data, query.bias.data = -query.weight.data, -query.bias.data


@pytest.mark.parametrize("negate", [in_place, through_data, replaced])
def test_weights_that_change_are_coded_again(negate):
    made = example("bert")
    convert(made.model, PREDICTORS[0])
    before = made()
    flipped = [layer.attention.self.query for layer in made.model.encoder.layer]
    with torch.no_grad():
        for query in flipped:
            negate(query)
    changed = made()
    assert not torch.allclose(changed, before, atol=1e-3)
    fresh = example("bert")
    fresh.model.load_state_dict(made.model.state_dict())
    convert(fresh.model, PREDICTORS[0])
    assert torch.equal(fresh(), changed)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_converted_model_is_trained(family):
    made = example(family)
    convert(made.model, PREDICTORS[0])
    made.model(**made.inputs)[0][made.real].square().mean().backward()
    grown = {
        name: bool(w.grad is not None and w.grad.isfinite().all() and w.grad.any())
        for name, w in made.model.named_parameters()
    }
    assert all(grown[name] for name in grown if "pooler" not in name), grown


def test_a_report_in_words():
    made = example("vit")
    converted = convert(made.model, Spls())
    made()
    lines = str(converted.report()).splitlines()
    assert [line.split()[0] for line in lines] == ["dense", *COMPONENTS, "all", "prediction"]
    row = converted.report().rows["attention"]
    assert lines[4].split() == ["attention", f"{row.dense:,}", f"{row.left:,}", f"{row.share:.1%}"]


def test_generation_without_a_cache():
    made = example("llama", left=True)
    convert(made.model, Dense())
    found = made.model.generate(**made.inputs, max_new_tokens=2, min_new_tokens=2, do_sample=False, use_cache=False)
    assert found.shape == (2, made.real.shape[1] + 2)
    with pytest.raises(Refusal, match="without a cache of keys, and was given one; call it with use_cache=False"):
        made(use_cache=True)


def test_a_converted_model_under_compile():
    made = example("bert")
    made.model.encoder.layer = made.model.encoder.layer[:1]
    convert(made.model, PREDICTORS[0])
    truth = made()
    made.model.compile(backend="eager")
    assert torch.equal(made(), truth)


@pytest.mark.parametrize("predictor", PREDICTORS, **NAMES)
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_tensors_are_made_on_the_device_of_the_model(family, predictor):
    made = example(family)
    layer = made.model.get_submodule("encoder.layer.0" if family == "bert" else "model.layers.0")
    convert(made.model, predictor)
    given = {}
    layer.register_forward_pre_hook(lambda m, args, named: given.update(args=args, named=named), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, result: given.update(result=result))
    made()
    expected = given["result"]
    with torch.device("meta"), torch.no_grad():
        assert torch.equal(layer(*given["args"], **given["named"]), expected)
