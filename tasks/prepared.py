# SPDX-License-Identifier: Apache-2.0
"""The tasks' models in integers, calibrated on the calibration part of their data, with the scales of predictors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from config.array import NumberSystem, number_system
from config.formats import OPERAND_BITS
from config.settings import SCORE_BITS, keys, votes
from config.speculate import HeadSettings, Settings, SplsSettings
from golden.arith.quantise import quantise
from golden.arrays import Array
from golden.execute.layer import Layer
from golden.models import checkpoint, integer, minilm, transformer
from golden.models import language as language_model
from golden.models import vision as vision_model
from golden.models.integer import Batch, IntegerModel
from golden.speculate import planner, spls
from golden.speculate.plan import Plan, Planner
from tasks import language, vision
from tasks.corpora import CORPORA, pairs
from tasks.vision import DATA_SETS

TEXTS, WINDOWS, IMAGES = 3, 3, 16
"""Taken of each corpus or data set for calibration."""
PERCENTILES = {"retrieval": integer.PERCENTILE, "language": 100.0, "vision": 100.0}


Setting = dict[str, Any]
"""Of numbers and words, so that it can be written into a file. A list holds a number for each layer; `BUILD` is how the
unit is built."""
BUILD = "build"
SHORTEST = 48
"""Shorter sequences are run densely, whatever the method: on a handful of tokens a prediction costs more than it saves
(`foreshift cycles` says from which length on it pays), and rows with one or two keys are hardly told apart."""
SHIPPED = "shipped"
"""The weights as they come; or the name of what a model was fine-tuned for: "spls"."""
MODELS = {"retrieval": "minilm", "language": language_model.NAME, "vision": vision_model.NAME}


Scaled = tuple[planner.Weights, tuple[HeadSettings, ...]]
"""A layer's coded weights, and the scales of its heads."""


@dataclass(frozen=True)
class Prepared:
    """A model in torch integers, and the int8 inputs [B, T, D] of each layer's Q, K and V while it was calibrated."""

    model: IntegerModel
    layers: list[Layer]
    inputs: list[Array]
    _scaled: dict[tuple[NumberSystem, int], list[Scaled]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def width(self) -> int:
        """D."""
        return int(self.layers[0].q.w.shape[1])

    @property
    def hidden(self) -> int:
        """Width of the FFN."""
        return int(self.layers[0].up.w.shape[0])

    def predictors(self, system: NumberSystem, score_bits: int) -> list[Scaled]:
        """Of each layer, for a predictor in a number system."""
        if (system, score_bits) not in self._scaled:
            self._scaled[system, score_bits] = [
                self._scales(number, system, score_bits) for number in range(len(self.layers))
            ]
        return self._scaled[system, score_bits]

    def _scales(self, number: int, system: NumberSystem, score_bits: int) -> Scaled:
        x = self.inputs[number]
        scale = self.model.layers[number].qkv_scale
        coded = planner.coded(self.model.weights[number], self.model.shape.heads, scale).like(x)
        return coded, planner.head_scales(x, coded, system, score_bits)

    def predictor(
        self, predict: planner.Predict, system: NumberSystem, number: int, settings: type[Settings], **chosen: Any
    ) -> planner.Predictor:
        """Of one layer, with the settings that are chosen. `options`: what `predict` takes besides."""
        options = chosen.pop("options", {})
        weights, scales = self.predictors(system, options.get("score_bits", SCORE_BITS))[number]
        given = settings(causal=self.model.shape.causal, scales=scales, **chosen)
        return planner.Predictor(predict, weights, given, options)

    def spls(self, number: int, setting: Setting, tokens: int) -> planner.Predictor:
        """SPLS of one layer, for sequences of so many tokens."""
        here, unit, heads = of_layer(setting, number), built(setting, spls.SYSTEM), self.model.shape.heads
        k = keys(here["k"], tokens)
        return self.predictor(
            spls.predict,
            unit["system"],
            number,
            SplsSettings,
            k=k,
            k_similarity=min(k, keys(here["k_similarity"], tokens)),
            s=int(here["s"]),
            f=votes(here["f"], heads),
            options=unit,
        )

    def choose(self, setting: Setting) -> Callable[[int, Array], Plan]:
        """SPLS in the model in floating point: the plan of a layer from what Q, K and V are made of."""

        def plan(number: int, x: Array) -> Plan:
            codes = quantise(x.detach(), self.model.layers[number].qkv_scale, OPERAND_BITS)
            return self.spls(number, setting, x.shape[-2]).planner()(codes, codes, codes)

        return plan


def built(setting: Setting, usual: NumberSystem) -> dict[str, Any]:
    """How the setting says that a unit is built, as `predict` takes it; `system` and `rounding` name the number system,
    which is the usual one if they do not. What is left out is as `predict` has it."""
    unit = dict(setting.get(BUILD, {}))
    name, rounding = unit.pop("system", usual.name), unit.pop("rounding", "nearest")
    return unit | {"system": number_system(name, rounding=rounding)}


def of_layer(setting: Setting, number: int) -> Setting:
    """The part of a setting that holds for one layer."""
    return {name: value[number] if isinstance(value, list) else value for name, value in setting.items()}


@cache
def prepared(task: str, variant: str = SHIPPED) -> Prepared:
    """The model of a task: retrieval, language or vision. Raises Refusal for fine-tuned weights that are missing."""
    weights, shape = weights_of(task, variant)
    if variant == SHIPPED:
        return prepare(task, weights, shape)
    return prepare_sparse(task, weights, shape, fine_tuned(task, variant)[1]["setting"])


def prepare_sparse(
    task: str,
    weights: Sequence[transformer.LayerWeights],
    shape: transformer.Architecture,
    setting: Setting,
    device: str = "cpu",
) -> Prepared:
    """Weights that were trained to be run by SPLS, and whose tensors have the ranges that they have then. The scales of
    the predictor that finds them are those of a dense run."""
    dense = prepare(task, weights, shape, device=device)
    return prepare(task, weights, shape, dense.choose(setting), device)


def prepare(
    task: str,
    weights: Sequence[transformer.LayerWeights],
    shape: transformer.Architecture,
    choose: Callable[[int, Array], Plan] | None = None,
    device: str = "cpu",
) -> Prepared:
    """Those weights in integers, with the scales of the task's data, when the plans are those of `choose`. device: of
    torch, where everything is then kept."""
    given = Batch(batch(task).x.to(device), batch(task).attend.to(device))
    with torch.no_grad():
        model = integer.build(weights, shape, [given], PERCENTILES[task], choose)
        layers = model.like(given.x)
        return Prepared(model, layers, _inputs(model, layers, given, choose))


def fine_tuned_name(task: str, variant: str) -> str:
    """Of the checkpoint."""
    return f"{MODELS[task]}-{variant}"


def fine_tuned(task: str, variant: str) -> tuple[dict[str, bytes], checkpoint.Record]:
    """The checkpoint's contents and record. Raises Refusal if it is missing or damaged."""
    return checkpoint.read(fine_tuned_name(task, variant), command=f"python -m tasks.finetune {task}")


def weights_of(task: str, variant: str = SHIPPED) -> tuple[list[transformer.LayerWeights], transformer.Architecture]:
    """The layers of a task's model, float32 NumPy. Raises Refusal for fine-tuned weights that are missing."""
    found, shape = _shipped(task)
    if variant == SHIPPED:
        return found, shape
    contents, _ = fine_tuned(task, variant)
    return list(checkpoint.layers(checkpoint.unpack(contents["safetensors"]))), shape


def _shipped(task: str) -> tuple[list[transformer.LayerWeights], transformer.Architecture]:
    if task == "retrieval":
        return [minilm.layer_weights(layer) for layer in range(minilm.LAYERS)], minilm.ARCHITECTURE
    if task == "language":
        return list(language_model.load()[0].layers), language_model.ARCHITECTURE
    return list(vision_model.load()[0].layers), vision_model.ARCHITECTURE


@cache
def batch(task: str) -> Batch:
    """Whole sequences of equal length that a model's scales are found on."""
    if task == "retrieval":
        texts = [pair.rest for corpus in CORPORA for pair in pairs(corpus, "calibration")]
        ids = [each for each in minilm.truncated(texts) if len(each) == minilm.TOKEN_LIMIT]
        count = TEXTS * len(CORPORA)
        chosen = np.stack([ids[i * len(ids) // count] for i in range(count)])
        x = torch.as_tensor(minilm.embed_batch(chosen))
    elif task == "language":
        windows = [language.corpus_windows(corpus, "train", WINDOWS) for corpus in CORPORA]
        x = language.model().embed(torch.as_tensor(np.concatenate(windows)[:, :-1]))
    else:
        images = [vision.images(data_set, "train")[0][:IMAGES] for data_set in DATA_SETS]
        x = vision.model().embed(torch.as_tensor(np.concatenate(images)))
    return Batch(x, torch.ones(x.shape[:2], dtype=torch.bool))


def _inputs(
    model: IntegerModel, layers: list[Layer], given: Batch, choose: Callable[[int, Array], Plan] | None
) -> list[Array]:
    """What Q, K and V of each layer are made of."""
    seen: list[Array] = []

    def plans(number: int, attend: Array) -> Planner:
        def plan(x: Array, q: Array, k: Array) -> Plan:
            seen.append(x)
            if choose is None:
                return integer.dense(attend, model.shape)
            scale = torch.as_tensor(model.layers[number].qkv_scale, device=x.device)
            return choose(number, x * scale)

        return plan

    integer.run(model, layers, model.codes(given.x), given.attend, plans)
    return seen
