# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning: a few steps help, the plans are the golden predictor's, and what is stored can be measured."""

import json
from dataclasses import replace
from itertools import islice

import pytest
import torch

from config.errors import Refusal
from golden.models import checkpoint
from tasks import corpora, finetune, prepared, prose, vision
from tasks.finetune import FAMILIES, LENGTHS, losses
from tasks.methods import METHODS, Tally, encoder
from tasks.prepared import MODELS, of_layer, prepare
from tasks.train import Recipe, fit

SHORT = Recipe(steps=12, batch=16, rate=1e-3, warm=2, decay=0.0, seed=5)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def few_texts(monkeypatch):
    """In the place of every docstring of every source, which takes minutes to look through."""
    monkeypatch.setattr(prose, "texts", lambda: tuple(each.text for each in corpora.docstrings("torch.nn")))


def test_a_few_steps_on_one_batch_help():
    parameters = {
        f"layer.{number}.{name}": torch.as_tensor(tensor).clone().requires_grad_()
        for number, layer in enumerate(prepared.weights_of("vision")[0])
        for name, tensor in vars(layer).items()
    }
    batch = losses("vision", SHORT)()
    course = fit(parameters, lambda: batch, SHORT)
    assert course[-1] < 0.7 * course[0]


def test_batches_are_drawn_anew_and_again_the_same():
    for task, family in FAMILIES.items():
        recipe = replace(family.recipe, batch=2)
        first, second = (list(islice(family.batches(recipe), 2)) for _ in range(2))
        for (x, labels), (other, told) in zip(first, second, strict=True):
            assert torch.equal(x, other)
            assert labels is None or torch.equal(labels, told)
        assert first[0][0].shape != first[1][0].shape or not torch.equal(first[0][0], first[1][0])
        assert (first[0][1] is None) == (task == "retrieval")


def test_texts_have_one_length_in_a_batch():
    for x, _ in islice(FAMILIES["retrieval"].batches(SHORT), 6):
        assert x.shape[1] in LENGTHS
        assert x.shape[0] == SHORT.batch * (1 if x.shape[1] == 128 else 2)


def test_the_loss_of_what_the_shipped_model_gives_is_nothing_to_gain():
    """Without labels it is zero; with labels, that of the shipped model."""
    x = torch.randn(3, 8, 384)
    assert float(finetune.embedding_loss([x], [x], None)) == pytest.approx(0, abs=1e-5)
    y, labels = torch.randn(3, 64, 64), torch.tensor([1, 2, 3])
    told = torch.nn.functional.cross_entropy(vision.model().logits(y), labels)
    assert float(FAMILIES["vision"].loss([y], [y], labels)) == pytest.approx(float(told), rel=1e-5)
    assert float(FAMILIES["vision"].loss([y + 0.1], [y], labels)) != pytest.approx(float(told), rel=1e-5)


def test_the_model_in_training_is_planned_as_the_one_in_integers():
    """From the same codes, the same plan."""
    model = prepare("vision", *prepared.weights_of("vision"))
    setting = FAMILIES["vision"].setting
    for number in (1, 3):
        codes = model.inputs[number][:3]
        real = codes * torch.as_tensor(model.model.layers[number].qkv_scale)
        found = model.choose(setting)(number, real)
        expected = model.spls(number, setting, codes.shape[1]).planner()(codes, codes, codes)
        assert torch.equal(found.mask, expected.mask)
        assert torch.equal(found.reference, expected.reference)
        assert (found.leader != torch.arange(64)).any()


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Benchmarks of ten images."""
    whole = finetune.measure
    monkeypatch.setattr(finetune, "measure", lambda which, encoder: whole(which, encoder, limit=10))
    monkeypatch.setattr(finetune, "UNFINISHED", tmp_path)


def test_the_same_training_without_a_plan(few, tmp_path, capsys):
    assert finetune.main(["vision", "--steps", "2", "--dense", "--folder", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "vision-dense.json").read_text())
    assert record["command"] == "python -m tasks.finetune vision --dense"
    assert record["setting"] == {}
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 7
    assert printed[0].startswith("vision/digits, dense: accuracy 1 before, ")
    assert printed[-1].startswith("mean relative loss, dense: ")


@pytest.fixture
def stored(few, tmp_path, monkeypatch):
    """A vision model, fine-tuned for a moment."""
    assert finetune.main(["vision", "--steps", "2", "--folder", str(tmp_path)]) == 0
    read = checkpoint.read
    monkeypatch.setattr(checkpoint, "read", lambda name, folder=tmp_path, command=None: read(name, folder, command))
    return tmp_path


def test_the_command_stores_what_can_be_measured(stored):
    record = json.loads((stored / "vision-spls.json").read_text())
    assert record["command"] == "python -m tasks.finetune vision"
    assert record["recipe"]["steps"] == 2
    assert record["setting"] == FAMILIES["vision"].setting
    weights, _ = prepared.weights_of("vision", "spls")
    shipped, _ = prepared.weights_of("vision")
    assert abs(weights[0].wq - shipped[0].wq).max() > 0
    found = prepared.prepared.__wrapped__("vision", "spls")
    x = vision.model().embed(torch.as_tensor(vision.images("digits")[0][:4]))
    tally = Tally()
    y = encoder(found, METHODS["spls"], record["setting"], tally)(x, torch.ones(x.shape[:2], dtype=torch.bool))
    assert torch.isfinite(y).all()
    assert tally.left.total < 0.7 * tally.dense.total


def test_ranges_are_those_of_the_sparse_run(stored):
    """They differ from those of a dense one."""
    weights, shape = prepared.weights_of("vision", "spls")
    sparse = prepared.prepare_sparse("vision", weights, shape, FAMILIES["vision"].setting)
    dense = prepare("vision", weights, shape)
    assert any(
        (one.qkv_scale != other.qkv_scale).any()
        for one, other in zip(sparse.model.layers, dense.model.layers, strict=True)
    )


def test_a_missing_checkpoint_is_refused_with_the_command_that_makes_it():
    with pytest.raises(Refusal) as refusal:
        prepared.weights_of("vision", "none")
    assert str(refusal.value) == (
        "The checkpoint vision-none must have its record vision-none.json, and it is missing; restore the folder from "
        "the repository, or train it anew with `python -m tasks.finetune vision`."
    )


@pytest.mark.parametrize("task", MODELS)
def test_shipped_models_were_made_by_the_recipe(task):
    contents, record = prepared.fine_tuned(task, "spls")
    family = FAMILIES[task]
    assert record["setting"] == family.setting
    assert record["recipe"] == vars(family.recipe)
    assert set(contents) == {"safetensors"}
    layers = len(prepared.weights_of(task)[0])
    assert all(of_layer(record["setting"], number)["s"] >= 0 for number in range(layers))
