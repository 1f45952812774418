# SPDX-License-Identifier: Apache-2.0
"""Training: a few steps lower the loss, twice in the same way, and the command stores what it trained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from config.errors import Refusal
from golden.models import checkpoint, language, vision
from tasks import corpora, train
from tasks import language as text

VISION = train.Recipe(steps=12, batch=16, rate=1e-3, warm=2, seed=5)
LANGUAGE = train.Recipe(steps=6, batch=1, rate=1e-3, warm=2, seed=5)
IDS = np.tile(np.arange(0, 500, 7), 8)


def trained(recipe: train.Recipe) -> tuple[list[float], train.Parameters]:
    """On one batch, over and over: on many, so few steps would show little but chance."""
    shapes, losses = (
        (vision.SHAPES, train.vision_losses(recipe))
        if recipe is VISION
        else (language.SHAPES, train.language_losses(IDS, recipe))
    )
    parameters, batch = train.start(shapes, recipe.seed), losses()
    return train.fit(parameters, lambda: batch, recipe), parameters


@pytest.mark.parametrize("recipe", [VISION, LANGUAGE], ids=["vision", "language"])
def test_a_few_steps_lower_the_loss_and_do_so_again(recipe: train.Recipe) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    (losses, parameters), (again, others) = trained(recipe), trained(recipe)
    torch.set_num_threads(threads)
    assert len(losses) == recipe.steps
    assert losses[-1] < losses[0] - 0.1
    assert losses == again
    assert all(torch.equal(parameters[name], others[name]) for name in parameters)


def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "EACH", 2)
    recipe = train.Recipe(steps=5, batch=2, rate=1e-3, warm=2)
    shapes = {"w": (3, 4), "offset": (3,)}
    drawn: list[int] = []

    def run(kept: Path | None, last: int = 99, recipe: train.Recipe = recipe) -> tuple[list[float], train.Parameters]:
        chance = np.random.default_rng(1)

        def following() -> train.Loss:
            x = torch.as_tensor(chance.normal(size=4), dtype=torch.float32)
            drawn.append(1)
            if len(drawn) > last:
                raise KeyboardInterrupt
            return lambda parameters: (parameters["w"] @ x + parameters["offset"] - 1).square().sum()

        parameters = train.start(shapes, 1)
        return train.fit(parameters, following, recipe, kept=kept), parameters

    losses, expected = run(None)
    drawn.clear()
    kept = tmp_path / "state" / "toy.pt"
    with pytest.raises(KeyboardInterrupt):
        run(kept, last=3)
    drawn.clear()
    again, found = run(kept)
    assert again == losses
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [path.name for path in kept.parent.iterdir()] == ["toy.pt"]
    other = train.Recipe(steps=6, batch=2, rate=1e-3, warm=2)
    assert run(kept, recipe=other)[0] == run(None, recipe=other)[0] != losses


def test_a_start_is_plain() -> None:
    parameters = train.start(vision.SHAPES, seed=1)
    assert (parameters["gain"] == 1).all()
    assert (parameters["layer.1.gain2"] == 1).all()
    assert not parameters["layer.0.bq"].any()
    assert not parameters["layer.3.offset1"].any()
    assert float(parameters["layer.0.wq"].detach().std()) == pytest.approx(0.5 / 8, rel=0.1)
    assert float(parameters["layer.0.wo"].detach().std()) == pytest.approx(0.5 / 8 / 8**0.5, rel=0.1)
    assert not torch.equal(parameters["layer.0.wq"], train.start(vision.SHAPES, seed=2)["layer.0.wq"])


def test_a_pass_reads_every_window_once() -> None:
    recipe = train.Recipe(steps=1, batch=2, rate=1e-3)
    following = train.language_losses(np.arange(128 * 9), recipe)
    seen: list[int] = []

    class Spy(Exception):
        pass

    def assemble(parameters: train.Parameters):
        def read(ids: torch.Tensor):
            seen.extend(ids[:, 0].tolist())
            raise Spy

        return read

    original, language.assemble = language.assemble, assemble
    try:
        for _ in range(4):
            with pytest.raises(Spy):
                following()({})
    finally:
        language.assemble = original
    assert len(seen) == 8
    assert sorted(seen) == list(range(min(seen), min(seen) + 8 * 128, 128))


def test_the_command_stores_a_model_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(train, "UNFINISHED", tmp_path / "unfinished")
    try:
        assert train.main(["vision", "--steps", "2", "--folder", str(tmp_path)]) == 0
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    _, record = vision.load(tmp_path)
    assert record["recipe"]["steps"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vision.json", "vision.safetensors"]
    assert "digits: accuracy 0." in capsys.readouterr().out
    assert checkpoint.read("vision")[1]["recipe"]["steps"] == train.VISION.steps


def test_a_stored_model_is_scored_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents, record = checkpoint.read("language")
    stale = record | {"versions": corpora.versions(), "scores": {}, "check": {}}
    checkpoint.write("language", contents, stale, tmp_path)
    windows = text.corpus_windows("stdlib.data")
    monkeypatch.setattr(corpora, "CORPORA", ("stdlib.data",))
    train.score("language", tmp_path)
    found, scored = checkpoint.read("language", tmp_path)
    assert found == contents
    assert scored["scores"]["stdlib.data"]["windows"] == len(windows)
    expected = text.perplexity(windows, text.dense())
    assert scored["scores"]["stdlib.data"]["perplexity"] == pytest.approx(expected, abs=1e-3)
    assert [int(each) for each in scored["check"]["ids"].split()] == windows[0].tolist()
    assert {name for name in scored if scored[name] != stale[name]} == {"scores", "check"}


def test_the_command_scores_a_stored_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents, record = checkpoint.read("vision")
    checkpoint.write("vision", contents, record | {"versions": corpora.versions(), "scores": {}}, tmp_path)
    threads = torch.get_num_threads()
    try:
        assert train.main(["vision", "--score", "--folder", str(tmp_path)]) == 0
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    assert checkpoint.read("vision", tmp_path)[0] == contents
    scored = checkpoint.read("vision", tmp_path)[1]["scores"]
    assert {name: each["accuracy"] for name, each in scored.items()} == {
        name: pytest.approx(each["accuracy"], abs=0.01) for name, each in record["scores"].items()
    }
    assert "digits: accuracy 0." in capsys.readouterr().out


def test_a_model_that_was_trained_on_other_texts_is_not_scored(tmp_path: Path) -> None:
    contents, record = checkpoint.read("language")
    checkpoint.write("language", contents, record | {"versions": {"python": "2.7"}}, tmp_path)
    with pytest.raises(Refusal) as refusal:
        train.score("language", tmp_path)
    assert str(refusal.value).startswith(
        "The packages must be those that language was trained with, {'python': '2.7'}, not {'python': "
    )
    assert str(refusal.value).endswith("}; install them, or train it anew.")
