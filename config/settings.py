# SPDX-License-Identifier: Apache-2.0
"""The settings that were found for each method and model, which `settings.json` holds: how the units of the presets are
built, and what a layer of a model is given. Both the hardware and what is measured on models read them from here."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from config.errors import Refusal, require
from config.speculate import UNITY

PATH = Path(__file__).with_name("settings.json")
SCORE_BITS = 8
"""Of a predicted score, where a method's unit does not say it."""
MODELS = ("minilm", "language", "vision")
"""Their names in `golden.models`."""


@cache
def _contents(path: Path = PATH) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise Refusal(f"{path.name} must hold the settings that were found, and cannot be read; restore it.") from error


def build(method: str) -> dict[str, Any]:
    """How the method's unit is built: fields of `config.speculate.SpeculationConfig`. Empty for those without one."""
    return dict(_contents()[method].get("build", {}))


def chosen(method: str, model: str) -> dict[str, Any] | None:
    """The setting of a model, of `MODELS`: a number for all its layers, or a list of one for each; none if none was
    good enough. Raises `Refusal` for a model that is none of them."""
    require(model in MODELS, f"The model must be one of {', '.join(MODELS)}, not {model!r}; choose one of them.")
    found = _contents()[method].get(model)
    return None if found is None else dict(found)


def keys(share: float, tokens: int) -> int:
    """A share of a sequence's keys as a number."""
    return max(1, round(share * tokens))


def pruned(share: float, layers: int) -> tuple[int, ...]:
    """Of the tokens, how many 256ths are dropped as each layer starts: none in the first two, then more and more, up to
    a share in the last."""
    return tuple(int(share * UNITY * max(0, number - 1) / max(1, layers - 2)) for number in range(layers))


def votes(share: float, heads: int) -> int:
    """A share of the heads as the number that must agree; more heads than there are never do."""
    return min(max(1, round(share * heads)), heads + 1)


def text(found: dict[str, dict[str, Any]]) -> str:
    """The contents of such a file: a line for each model."""
    methods = []
    for method, entries in found.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
        methods.append(f" {json.dumps(method)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(methods) + "\n}\n"
