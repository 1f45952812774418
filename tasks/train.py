# SPDX-License-Identifier: Apache-2.0
"""Trains the project's two models: `python -m tasks.train language` (half an hour) or `vision` (a few minutes).

On one CPU core, from a fixed seed, so that two runs on one machine give the same weights. The forward pass is the one
of `golden.models.transformer`. The scores in the record are those of the weights as they are stored, in float16.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm

from config.errors import Refusal, require
from golden.arrays import Array
from golden.models import checkpoint, language, vision
from tasks import corpora
from tasks import language as text
from tasks import vision as sight
from tasks.encoder import Progress, float_encoder, silent

CHECKED = 100
"""So many images of each data set are in the record with the classes they were given."""
UNFINISHED = Path("build/train")
"""The state of a training that is under way, for the next to go on from."""
EACH = 100
"""The record has the mean loss of each so many steps."""
Parameters = dict[str, Array]
Loss = Callable[[Parameters], Array]


@dataclass(frozen=True)
class Recipe:
    """seed: of everything random. rate: the learning rate at its peak, after `warm` steps; it then falls to zero.
    decay: AdamW's weight decay of matrices. batch: windows or images in a step."""

    steps: int
    batch: int
    rate: float
    warm: int = 100
    decay: float = 0.1
    seed: int = 1


LANGUAGE = Recipe(steps=2500, batch=8, rate=2e-3)
VISION = Recipe(steps=3000, batch=64, rate=2e-3)


def start(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Parameters:
    """Random matrices, gains of one, biases and offsets of zero; what ends a branch starts small."""
    chance = torch.Generator().manual_seed(seed)
    count = sum(name.endswith(".wo") for name in shapes)
    result = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            tensor = torch.full(shape, float("gain" in name))
        else:
            spread = 0.02 if name in ("tokens", "positions") else 0.5 / shape[1] ** 0.5
            spread /= (2 * count) ** 0.5 if name.endswith((".wo", ".w_down")) else 1
            tensor = torch.randn(shape, generator=chance) * spread
        result[name] = tensor.requires_grad_()
    return result


def fit(
    parameters: Parameters,
    losses: Callable[[], Loss],
    recipe: Recipe,
    progress: Progress = silent,
    kept: Path | None = None,
) -> list[float]:
    """Change the parameters in place by AdamW; the loss of each step. `losses` gives the next batch's loss.

    With `kept`, that file holds the state every hundred steps; a run that finds one of its own recipe goes on from
    there, and ends as if it had never been interrupted.
    """
    groups = [
        {"params": [each for each in parameters.values() if each.ndim > 1], "weight_decay": recipe.decay},
        {"params": [each for each in parameters.values() if each.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.95))
    result = _resume(kept, recipe, parameters, optimiser)
    for _ in result:
        losses()  # drawn as before, so that chance goes on where it was
    progress(len(result))
    for step in range(len(result), recipe.steps):
        rate = recipe.rate * min((step + 1) / recipe.warm, (recipe.steps - step) / recipe.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = losses()(parameters)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
        optimiser.step()
        result.append(float(loss.detach()))
        progress(1)
        if step % EACH == EACH - 1:
            tqdm.write(f"step {step + 1}: loss {np.mean(result[-EACH:]):.3f}", file=sys.stderr)
            _keep(kept, recipe, parameters, optimiser, result)
    return result


def _keep(
    kept: Path | None, recipe: Recipe, parameters: Parameters, optimiser: torch.optim.Optimizer, losses: list[float]
) -> None:
    if kept is None:
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    of = {"recipe": asdict(recipe), "versions": corpora.versions()}
    torch.save({"of": of, "parameters": parameters, "optimiser": optimiser.state_dict(), "losses": losses}, part)
    part.replace(kept)


def _resume(kept: Path | None, recipe: Recipe, parameters: Parameters, optimiser: torch.optim.Optimizer) -> list[float]:
    """The losses of the steps that are done; none where there is no state, or it is of another training."""
    if kept is None or not kept.is_file():
        return []
    state = torch.load(kept, weights_only=True)
    if state["of"] != {"recipe": asdict(recipe), "versions": corpora.versions()}:
        return []
    with torch.no_grad():
        for name, each in parameters.items():
            each.copy_(state["parameters"][name])
    optimiser.load_state_dict(state["optimiser"])
    return list(state["losses"])


def language_losses(ids: text.Windows, recipe: Recipe) -> Callable[[], Loss]:
    """Batches of windows of the training ids [T], each pass through them in another order and cut elsewhere."""
    chance = np.random.default_rng(recipe.seed)
    waiting: list[text.Windows] = []

    def following() -> Loss:
        if not waiting:
            found = text.windows(ids, int(chance.integers(text.WINDOW)))
            found = found[chance.permutation(len(found))]
            waiting.extend(np.array_split(found, max(1, len(found) // recipe.batch)))
        batch = torch.as_tensor(waiting.pop())
        return lambda parameters: torch.nn.functional.cross_entropy(
            language.assemble(parameters)(batch[:, :-1]).mT, batch[:, 1:]
        )

    return following


def vision_losses(recipe: Recipe) -> Callable[[], Loss]:
    """Batches of training images, changed anew each time."""
    chance = np.random.default_rng(recipe.seed)
    count = len(sight.images("digits", "train")[1])

    def following() -> Loss:
        found, labels = map(torch.as_tensor, sight.augmented(chance.integers(count, size=recipe.batch), chance))
        return lambda parameters: torch.nn.functional.cross_entropy(
            vision.assemble(parameters)(found), labels, label_smoothing=0.05
        )

    return following


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE of the model's vocabulary size: any text can be coded, and read back as it was."""
    coder = Tokenizer(models.BPE())
    coder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=language.VOCABULARY,
        special_tokens=[text.END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    coder.train_from_iterator(texts, trainer)
    return coder


def train_language(recipe: Recipe, folder: Path, progress: Progress = silent, kept: Path | None = None) -> None:
    """Tokenizer, weights, and the perplexity of each corpus beside what counting tokens and pairs of them gives."""
    coder = train_tokenizer([each for corpus in corpora.CORPORA for each in text.texts(corpus, "train")])
    ids = text.stream(corpora.CORPORA, "train", coder)
    parameters = start(language.SHAPES, recipe.seed)
    course = fit(parameters, language_losses(ids, recipe), recipe, progress, kept)
    packed, stored = as_stored(parameters)
    contents = {"safetensors": packed, "tokenizer.json": coder.to_str().encode()}
    record = _record("language", recipe, course) | {"training_tokens": len(ids)}
    checkpoint.write(language.NAME, contents, record | _language_scores(stored, coder, ids), folder)


def train_vision(recipe: Recipe, folder: Path, progress: Progress = silent, kept: Path | None = None) -> None:
    """Weights, and the accuracy of each data set."""
    parameters = start(vision.SHAPES, recipe.seed)
    course = fit(parameters, vision_losses(recipe), recipe, progress, kept)
    packed, stored = as_stored(parameters)
    record = _record("vision", recipe, course)
    checkpoint.write(vision.NAME, {"safetensors": packed}, record | _vision_scores(stored), folder)


def score(name: str, folder: Path) -> None:
    """Write the scores in the record of a stored model anew, and leave its weights and the rest of the record.

    Raises Refusal where the packages whose texts it was trained on are others now: those would no longer be held out.
    """
    contents, record = checkpoint.read(name, folder)
    require(
        record["versions"] == corpora.versions(),
        f"The packages must be those that {name} was trained with, {record['versions']}, not {corpora.versions()}; "
        "install them, or train it anew.",
    )
    stored = _unpacked(contents["safetensors"])
    if name == vision.NAME:
        scores = _vision_scores(stored)
    else:
        coder = language.tokenizer(folder)
        scores = _language_scores(stored, coder, text.stream(corpora.CORPORA, "train", coder))
    checkpoint.write(name, contents, record | scores, folder)


def _language_scores(stored: Parameters, coder: Tokenizer, ids: NDArray[np.int64]) -> checkpoint.Record:
    """Of each corpus, the model beside counts of the training ids [T]; and what it makes of one window, to check by."""
    model = language.assemble(stored)
    encoder = float_encoder(model.layers, language.ARCHITECTURE)
    counts = text.Counts(ids, language.VOCABULARY)
    scores = {}
    for corpus in corpora.CORPORA:
        found = text.windows(text.stream([corpus], "test", coder))
        reached = text.perplexity(found, encoder, trained=model)
        single, pairs = counts.perplexities(found)
        scores[corpus] = {"windows": len(found)} | {
            name: round(value, 4) for name, value in (("perplexity", reached), ("tokens", single), ("pairs", pairs))
        }
        print(f"{corpus}: perplexity {reached:.2f}; by single tokens {single:.1f}, by pairs {pairs:.1f}")
    sample = found[:1]
    check = {"ids": _line(sample[0]), "perplexity": round(text.perplexity(sample, encoder, trained=model), 4)}
    return {"scores": scores, "check": check}


def _vision_scores(stored: Parameters) -> checkpoint.Record:
    """Of each data set, and the classes that the model gives to the first images of each, to check by."""
    model = vision.assemble(stored)
    encoder = float_encoder(model.layers, vision.ARCHITECTURE)
    scores, checks = {}, {}
    for data_set in sight.DATA_SETS:
        found, labels = sight.images(data_set)
        told = sight.classes(found, encoder, trained=model)
        right = told == labels
        checks[data_set] = _line(told[:CHECKED])
        scores[data_set] = {"images": len(labels), "accuracy": round(float(right.mean()), 4)}
        print(f"{data_set}: accuracy {right.mean():.4f} over {len(labels)} images")
    return {"scores": scores, "check": checks}


def as_stored(parameters: Parameters) -> tuple[bytes, Parameters]:
    """The weights as a file, and as they are read back from it."""
    packed = checkpoint.pack({name: each.detach().numpy() for name, each in parameters.items()})
    return packed, _unpacked(packed)


def _unpacked(packed: bytes) -> Parameters:
    return {name: torch.as_tensor(each) for name, each in checkpoint.unpack(packed).items()}


def _line(numbers: NDArray[np.int64]) -> str:
    return " ".join(map(str, numbers.tolist()))


def _record(name: str, recipe: Recipe, course: list[float]) -> checkpoint.Record:
    return {
        "command": f"python -m tasks.train {name}",
        "recipe": asdict(recipe),
        "versions": corpora.versions(),
        "losses": " ".join(f"{np.mean(course[at : at + EACH]):.3f}" for at in range(0, len(course), EACH)),
    }


def main(arguments: list[str] | None = None) -> int:
    """Train the model that is named, with a progress bar, and store it; or only score what is stored."""
    parser = argparse.ArgumentParser(prog="python -m tasks.train", description="Train one of the project's models.")
    parser.add_argument("model", choices=("language", "vision"))
    parser.add_argument("--steps", type=int, help="fewer or more steps than the shipped model was trained for")
    parser.add_argument("--folder", type=Path, default=checkpoint.FOLDER, help="where the checkpoint goes")
    parser.add_argument("--score", action="store_true", help="train nothing: write the stored model's scores anew")
    given = parser.parse_args(arguments)
    recipe, train = (LANGUAGE, train_language) if given.model == "language" else (VISION, train_vision)
    recipe = Recipe(**asdict(recipe) | {"steps": given.steps or recipe.steps})
    kept = UNFINISHED / f"{given.model}.pt"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        if given.score:
            score(given.model, given.folder)
            return 0
        with tqdm(total=recipe.steps, unit="step", mininterval=2) as bar:
            train(recipe, given.folder, bar.update, kept)
        kept.unlink(missing_ok=True)
    except Refusal as refusal:
        print(f"foreshift: {refusal}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
