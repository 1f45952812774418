# SPDX-License-Identifier: Apache-2.0
"""Fine-tunes a task's model to be run by SPLS: `python -m tasks.finetune retrieval`, `language` or `vision`.

    x ─┬─► shipped layers, dense ────────────────► outputs ─┐
       └─► layers in training ─► plans ─► sparse ─► outputs ─┴─► how far apart ─► gradient, plans held constant

What is kept and what is copied is decided by the golden predictor, from the weights of the moment; through it, no
gradient flows (straight-through). The text and images are those of training and calibration; of the text, no more is
known than what the shipped model makes of it and, in the language model, which token comes next.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from config.errors import Refusal
from config.settings import build
from golden.arrays import Array
from golden.models import checkpoint, minilm, transformer
from golden.models import language as language_model
from golden.models.transformer import LayerWeights
from golden.speculate.plan import Plan
from tasks import corpora, language, vision
from tasks.encoder import Progress, silent
from tasks.prepared import BUILD, MODELS, SHORTEST, Prepared, Setting, fine_tuned_name, prepare_sparse, weights_of
from tasks.train import UNFINISHED, Loss, Parameters, Recipe, as_stored, fit

VARIANT = "spls"
REFRESH = 100
"""Steps between two looks at the ranges of all tensors, from which the predictor's scales follow."""
LENGTHS = (128, 128, 128, 64, 64, 24)
"""Of the texts that MiniLM is trained on, one of these for each batch."""
Given = tuple[Array, Array | None]
"""Layer 0's input [B, T, D], and labels if there are any."""
Choose = Callable[[int, Array], Plan]
"""The plan of a layer, by its number, from what Q, K and V are made of."""
Outputs = Sequence[Array]
"""Of each layer, [B, T, D]."""


@dataclass(frozen=True)
class Family:
    """recipe: how long, how fast. setting: of SPLS while it is trained. batches: endless. loss: of the outputs in
    training against the shipped model's, and labels."""

    recipe: Recipe
    setting: Setting
    batches: Callable[[Recipe], Iterator[Given]]
    loss: Callable[[Outputs, Outputs, Array | None], Array]


def texts(recipe: Recipe) -> Iterator[Given]:
    """Crops of docstrings as MiniLM's input, all of a batch of one length; most begin where their text does."""
    chance = np.random.default_rng(recipe.seed)
    coded = [ids[1:-1] for ids in minilm.truncated(corpora.unlabelled(), limit=4 * minilm.TOKEN_LIMIT)]
    first, last = minilm.truncated([""])[0]
    while True:
        length = int(chance.choice(LENGTHS))
        inner = length - 2
        long = [ids for ids in coded if len(ids) >= inner]
        count = recipe.batch * max(1, min(2, minilm.TOKEN_LIMIT // length))
        crops = []
        for ids in (long[place] for place in chance.integers(len(long), size=count)):
            start = 0 if chance.random() < 0.7 else chance.integers(len(ids) - inner + 1)
            crops.append(np.concatenate([[first], ids[start : start + inner], [last]]))
        yield torch.as_tensor(minilm.embed_batch(np.stack(crops))), None


def windows(recipe: Recipe) -> Iterator[Given]:
    """Windows of the language model's training text, cut anywhere, and the tokens that follow."""
    chance = np.random.default_rng(recipe.seed)
    ids = language.stream(corpora.CORPORA, "train", language_model.tokenizer())
    while True:
        starts = chance.integers(len(ids) - language.WINDOW, size=recipe.batch)
        found = torch.as_tensor(np.stack([ids[start : start + language.WINDOW + 1] for start in starts]))
        yield language.model().embed(found[:, :-1]), found[:, 1:]


def images(recipe: Recipe) -> Iterator[Given]:
    """Training images, changed anew each time, and their classes."""
    chance = np.random.default_rng(recipe.seed)
    count = len(vision.images("digits", "train")[1])
    while True:
        found, labels = vision.augmented(chance.integers(count, size=recipe.batch), chance)
        yield vision.model().embed(torch.as_tensor(found)), torch.as_tensor(labels)


def apart(outputs: Outputs, exact: Outputs) -> Array:
    """Mean squared distance of the layers' outputs, each relative to how much the exact one varies."""
    pairs = zip(outputs, exact, strict=True)
    return torch.stack([(one - other).square().mean() / other.var() for one, other in pairs]).mean()


def embedding_loss(outputs: Outputs, exact: Outputs, labels: Array | None) -> Array:
    """Of sentence embeddings: their angle to the exact ones, and which of the batch each of them is near to."""
    one, other = (torch.nn.functional.normalize(each[-1].mean(1), dim=-1) for each in (outputs, exact))
    near = _divergence(one @ one.T * 20, other @ other.T * 20)
    return 8 * (1 - (one * other).sum(-1).mean()) + near + 0.3 * apart(outputs, exact)


def _answer_loss(logits: Callable[[Array], Array], weight: float) -> Callable[[Outputs, Outputs, Array | None], Array]:
    """Of probabilities: how likely they make the labels, and with some weight their divergence from the exact ones."""

    def loss(outputs: Outputs, exact: Outputs, labels: Array | None) -> Array:
        assert labels is not None
        found, wanted = (logits(each[-1]).flatten(0, -2) for each in (outputs, exact))
        told = torch.nn.functional.cross_entropy(found, labels.flatten())
        return told + weight * (_divergence(found, wanted) + 0.1 * apart(outputs, exact))

    return loss


def _divergence(found: Array, exact: Array) -> Array:
    """Of the probabilities that logits [N, C] stand for."""
    logs = (torch.log_softmax(each, dim=-1) for each in (found, exact))
    result: Array = torch.nn.functional.kl_div(*logs, log_target=True, reduction="batchmean")
    return result


def _setting(s: Sequence[int], f: Sequence[float]) -> Setting:
    """Of each layer; the rest is the same in all."""
    return {"s": list(s), "f": list(f), "k": 0.35, "k_similarity": 0.12, BUILD: build("spls")}


ONE, NONE = 0.01, 2.0
"""One head's word is enough for an FFN to be copied; or no number of them."""
FAMILIES = {
    "retrieval": Family(
        Recipe(steps=450, batch=16, rate=5e-4, warm=30, decay=0.0),
        _setting([96] * 6, [ONE] * 6),
        texts,
        embedding_loss,
    ),
    "language": Family(
        Recipe(steps=1500, batch=16, rate=2e-3, warm=50, decay=0.0),
        _setting([96, 128, 128, 128], [NONE, ONE, ONE, ONE]),
        windows,
        _answer_loss(lambda y: language.model().logits(y), 0.3),
    ),
    "vision": Family(
        Recipe(steps=600, batch=64, rate=1e-3, warm=30, decay=0.0),
        _setting([128, 192, 256, 256], [ONE] * 4),
        images,
        _answer_loss(lambda y: vision.model().logits(y), 2.0),
    ),
}


def losses(task: str, recipe: Recipe) -> Callable[[], Loss]:
    """The next batch's loss, of parameters that are a model's layers."""
    family, given = FAMILIES[task], FAMILIES[task].batches(recipe)
    weights, shape = weights_of(task)
    shipped = [each.map(lambda tensor: torch.as_tensor(tensor, dtype=torch.float32)) for each in weights]
    found: Prepared | None = None
    drawn = 0

    def loss(parameters: Parameters, x: Array, labels: Array | None, fresh: bool) -> Array:
        nonlocal found
        layers = checkpoint.layers(parameters)
        if fresh or found is None:
            found = prepare_sparse(task, [each.map(torch.detach) for each in layers], shape, family.setting)
        with torch.no_grad():
            exact = _outputs(x, shipped, shape, None)
        choose = found.choose(family.setting) if x.shape[1] >= SHORTEST else None
        return family.loss(_outputs(x, layers, shape, choose), exact, labels)

    def following() -> Loss:
        nonlocal drawn
        x, labels = next(given)
        fresh, drawn = drawn % REFRESH == 0, drawn + 1
        return lambda parameters: loss(parameters, x, labels, fresh)

    return following


def _outputs(
    x: Array,
    layers: Sequence[LayerWeights],
    shape: transformer.Architecture,
    choose: Callable[[int, Array], Plan] | None,
) -> Outputs:
    """Of every layer, with the plans of `choose`, or none."""
    found = []
    for number, weights in enumerate(layers):
        plan = None if choose is None else partial(choose, number)
        x = transformer.layer(x, weights, shape, choose=plan)
        found.append(x)
    return found


def finetune(task: str, recipe: Recipe, folder: Path, progress: Progress = silent, kept: Path | None = None) -> None:
    """Train, and write the checkpoint that `tasks.prepared` reads."""
    parameters = {
        f"layer.{number}.{name}": torch.as_tensor(tensor, dtype=torch.float32).clone().requires_grad_()
        for number, layer in enumerate(weights_of(task)[0])
        for name, tensor in vars(layer).items()
    }
    course = fit(parameters, losses(task, recipe), recipe, progress, kept)
    packed, _ = as_stored(parameters)
    record = {
        "command": f"python -m tasks.finetune {task}",
        "recipe": asdict(recipe),
        "setting": FAMILIES[task].setting,
        "versions": corpora.versions(),
        "losses": " ".join(f"{np.mean(course[at : at + REFRESH]):.3f}" for at in range(0, len(course), REFRESH)),
    }
    checkpoint.write(fine_tuned_name(task, VARIANT), {"safetensors": packed}, record, folder)


def main(arguments: list[str] | None = None) -> int:
    """Fine-tune the model that is named, with a progress bar, and store it."""
    parser = argparse.ArgumentParser(prog="python -m tasks.finetune", description="Fine-tune a model for SPLS.")
    parser.add_argument("task", choices=tuple(MODELS))
    parser.add_argument("--steps", type=int, help="fewer or more steps than the shipped weights were trained for")
    parser.add_argument("--folder", type=Path, default=checkpoint.FOLDER, help="where the checkpoint goes")
    given = parser.parse_args(arguments)
    recipe = FAMILIES[given.task].recipe
    recipe = Recipe(**asdict(recipe) | {"steps": given.steps or recipe.steps})
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        kept = UNFINISHED / f"{fine_tuned_name(given.task, VARIANT)}.pt"
        with tqdm(total=recipe.steps, unit="step", mininterval=2) as bar:
            finetune(given.task, recipe, given.folder, bar.update, kept)
        kept.unlink(missing_ok=True)
    except Refusal as refusal:
        print(f"foreshift: {refusal}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
