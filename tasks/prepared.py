# SPDX-License-Identifier: Apache-2.0
"""The tasks' models in integers, calibrated on the calibration part of their data, with the scales of predictors."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from config.array import number_system
from config.speculate import HeadSettings, Settings
from golden.arrays import Array
from golden.execute.layer import Layer
from golden.models import integer, minilm, transformer
from golden.models import language as language_model
from golden.models import vision as vision_model
from golden.models.integer import Batch, IntegerModel
from golden.speculate import planner
from golden.speculate.plan import Planner
from tasks import language, vision
from tasks.corpora import CORPORA, pairs
from tasks.vision import DATA_SETS

TEXTS, WINDOWS, IMAGES = 3, 3, 16
"""Taken of each corpus or data set for calibration."""
PERCENTILES = {"retrieval": integer.PERCENTILE, "language": 100.0, "vision": 100.0}


@dataclass(frozen=True)
class Prepared:
    """A model in torch integers, and the int8 inputs [B, T, D] of each layer's Q, K and V while it was calibrated."""

    model: IntegerModel
    layers: list[Layer]
    inputs: list[Array]

    @property
    def width(self) -> int:
        """D."""
        return int(self.layers[0].q.w.shape[1])

    @property
    def hidden(self) -> int:
        """Width of the FFN."""
        return int(self.layers[0].up.w.shape[0])

    @cache  # noqa: B019  there are three models, which live as long as the process
    def predictors(self, system: str, score_bits: int = 8) -> list[tuple[planner.Weights, tuple[HeadSettings, ...]]]:
        """Coded weights and scales of each layer for a predictor in a number system."""
        found = []
        for weights, converted, x in zip(self.model.weights, self.model.layers, self.inputs, strict=True):
            coded = planner.coded(weights, self.model.shape.heads, converted.qkv_scale).like(x)
            found.append((coded, planner.head_scales(x, coded, number_system(system), score_bits)))
        return found

    def predictor(
        self, predict: planner.Predict, system: str, number: int, settings: type[Settings], **chosen: Any
    ) -> planner.Predictor:
        """Of one layer, with the settings that are chosen. `options`: what `predict` takes besides."""
        options = chosen.pop("options", {})
        weights, scales = self.predictors(system)[number]
        given = settings(causal=self.model.shape.causal, scales=scales, **chosen)
        return planner.Predictor(predict, weights, given, options)

    def __hash__(self) -> int:
        return id(self)


@cache
def prepared(task: str) -> Prepared:
    """The model of a task: retrieval, language or vision."""
    weights, shape = _weights(task)
    batches = list(_batches(task))
    with torch.no_grad():
        model = integer.build(weights, shape, batches, PERCENTILES[task])
        layers = model.like(batches[0].x)
        return Prepared(model, layers, _inputs(model, layers, batches[0]))


def _weights(task: str) -> tuple[list[transformer.LayerWeights], transformer.Architecture]:
    if task == "retrieval":
        return [minilm.layer_weights(layer) for layer in range(minilm.LAYERS)], minilm.ARCHITECTURE
    if task == "language":
        return list(language_model.load()[0].layers), language_model.ARCHITECTURE
    return list(vision_model.load()[0].layers), vision_model.ARCHITECTURE


def _batches(task: str) -> Iterator[Batch]:
    """One batch of whole sequences of equal length."""
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
    yield Batch(x, torch.ones(x.shape[:2], dtype=torch.bool))


def _inputs(model: IntegerModel, layers: list[Layer], batch: Batch) -> list[Array]:
    """What Q, K and V of each layer are made of, in a dense run."""
    seen: list[Array] = []

    def plans(number: int, attend: Array) -> Planner:
        def plan(x: Array, q: Array, k: Array) -> Any:
            seen.append(x)
            return integer.dense(attend, model.shape)

        return plan

    integer.run(model, layers, model.codes(batch.x), batch.attend, plans)
    return seen
