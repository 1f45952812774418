# SPDX-License-Identifier: Apache-2.0
"""Real models as layers for an accelerator: all of MiniLM's on a sentence, all of the language model's on a text.

text ─► token ids ─► embedding ─► codes ─► layers under the chosen settings ─► y ─► what the model says
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import require
from config.settings import chosen, keys, pruned, votes
from config.speculate import UNITY, FactSettings, LapaSettings, SangerSettings, Settings, SpattenSettings, SplsSettings
from config.system import SystemConfig
from golden.models import integer, language, minilm
from golden.models.transformer import layer as float_layer
from sim.stack import Step, steps

Int64 = NDArray[np.int64]
Floats = NDArray[np.float64]
MODELS = ("minilm", "language")


@dataclass(frozen=True)
class Workload:
    """steps: the model's layers on its input. exact: what the float model makes of that, float64 [T, D]. real: what
    codes of the last layer's output stand for."""

    steps: list[Step]
    exact: Floats
    real: Callable[[Int64], Floats]

    def likeness(self, y: Int64) -> float:
        """Cosine of the mean of all tokens, which is MiniLM's embedding, to that of the float model."""
        found, exact = (each.mean(axis=0) for each in (self.real(y), self.exact))
        return float(found @ exact / (np.linalg.norm(found) * np.linalg.norm(exact)))


def workload(
    config: SystemConfig, model: str, text: str, *, tokens: int | None = None, layers: int | None = None
) -> Workload:
    """A model on as much of the text as the accelerator takes, or on `tokens` of it; all its layers or the first few.

    Raises `Refusal` for an unknown model, a text without tokens, and a model too large for the accelerator.
    """
    require(model in MODELS, f"The model must be one of {', '.join(MODELS)}, not {model!r}; choose one of them.")
    limit = config.tokens if tokens is None else tokens
    require(1 <= limit <= config.tokens, f"tokens must be 1 to {config.tokens}, not {limit}; the hardware has no more.")
    if model == "minilm":
        ids, shape = minilm.truncated([text], limit=limit)[0], minilm.ARCHITECTURE
        weights, x = [minilm.layer_weights(n) for n in range(minilm.LAYERS)], minilm.embed_batch(ids[None])
    else:
        trained, _ = language.load()
        ids, shape = language.encode(text)[:limit], language.ARCHITECTURE
        require(len(ids) > 0, "The text must have at least one token, and has none; give it a word.")
        weights, x = list(trained.layers), trained.embed(ids[None])
    weights = weights[:layers]
    whole = integer.build(weights, shape, [integer.Batch(x, np.ones((1, len(ids)), np.bool_))])
    exact = np.asarray(x, np.float64)
    for each in weights:
        exact = np.asarray(float_layer(exact, each.like(exact), shape))
    settings = settings_of(config, model, len(ids), len(weights), shape.heads, shape.causal)
    found = steps(config, whole, whole.codes(x)[0], settings)
    return Workload(found, exact[0], lambda y: np.asarray(whole.real(y)))


def settings_of(
    config: SystemConfig, model: str, tokens: int, layers: int, heads: int, causal: bool
) -> Sequence[Settings]:
    """Those that were chosen for the model and the accelerator's method, of each layer; without scales."""
    method = config.speculation.method
    found = chosen(method, model) or {}
    if config.speculation.prunes:
        share = pruned(found["tokens"], layers)
        values = int(found["values"] * UNITY)
        return [SpattenSettings(causal=causal, tokens=share, heads=(0,) * layers, values=values)] * layers

    def one(number: int) -> Settings:
        setting: dict[str, Any] = {
            name: each[number] if isinstance(each, list) else each for name, each in found.items()
        }
        if method == "dense":
            return Settings(causal=causal)
        if method == "lapa":
            rounds = range(1, 1 + len(config.speculation.slices))
            return LapaSettings(causal=causal, eta=tuple(int(setting[f"eta{n}"]) for n in rounds))
        if method == "sanger":
            return SangerSettings(causal=causal, threshold=int(setting["threshold"]))
        k = keys(setting["k"], tokens)
        if method == "fact":
            return FactSettings(causal=causal, k=k)
        k_similarity = min(k, keys(setting["k_similarity"], tokens))
        least = votes(setting["f"], heads)
        return SplsSettings(causal=causal, k=k, k_similarity=k_similarity, s=int(setting["s"]), f=least)

    return [one(number) for number in range(layers)]
