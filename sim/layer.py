# SPDX-License-Identifier: Apache-2.0
"""A layer's operands and settings as what the ports of a speculation unit are given: the socket, from outside."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from amaranth.lib import data
from numpy.typing import NDArray

from config.errors import require
from config.speculate import FactSettings, LapaSettings, Settings, SpeculationConfig, SplsSettings
from golden.speculate.array import encode
from hdl.speculate.socket import Operand, address_layout, scale_layout, settings_layout
from sim.packing import pack

Int64 = NDArray[np.int64]

KINDS: dict[str, type[Settings]] = {
    "spls": SplsSettings,
    "lapa": LapaSettings,
    "dense": Settings,
    "fact": FactSettings,
}
"""The settings of each method."""


@dataclass(frozen=True)
class Layer:
    """x: int8 [T, D]; wq, wk: int8 [H, dh, D]; bq, bk: [H, dh], in units of the sums; attend: bool [T]."""

    x: Int64
    wq: Int64
    wk: Int64
    bq: Int64
    bk: Int64
    attend: NDArray[np.bool_]
    settings: Settings


@dataclass(frozen=True)
class Payloads:
    """Payloads of the socket's streams: settings; x; the addresses that the unit must ask for, and the weights in
    answer to each; scale."""

    settings: list[int]
    x: list[int]
    addresses: list[int]
    w: list[int]
    scale: list[int]


def payloads(config: SpeculationConfig, layer: Layer) -> Payloads:
    """Of a layer up to what the unit is built for; heads that are narrower have zero weights beyond them. Raises
    `Refusal` for any other."""
    tokens, width = layer.x.shape
    heads, head_width, _ = layer.wq.shape
    require(
        1 <= tokens <= config.tokens
        and 1 <= width <= config.width
        and 1 <= heads <= config.heads
        and 1 <= head_width <= config.head_width
        and layer.wk.shape == layer.wq.shape == (heads, head_width, width),
        f"The layer must have at most {config.tokens} tokens of at most {config.width}, and at most {config.heads} "
        f"heads of at most {config.head_width}, not {tokens} of {width}, and {heads} of {head_width}; build a unit "
        "for it.",
    )
    addresses, weights = _weights(config, layer)
    return Payloads([_settings(config, layer)], _x(config, layer), addresses, weights, _scales(config, layer))


def _settings(config: SpeculationConfig, layer: Layer) -> int:
    settings = layer.settings
    fields: dict[str, Any] = {
        "tokens": len(layer.x),
        "heads": len(layer.wq),
        "slices": _slices(config, layer),
        "causal": int(settings.causal),
    }
    if isinstance(settings, SplsSettings | FactSettings):
        fields["k"] = min(settings.k, config.tokens)
    if isinstance(settings, SplsSettings):
        fields |= {
            "k_similarity": min(settings.k_similarity, config.tokens),
            "s": settings.s,
            "f": min(settings.f, config.heads + 1),
        }
    if isinstance(settings, LapaSettings):
        fields["eta"] = list(settings.eta)
    return _bits(settings_layout(config), fields)


def _slices(config: SpeculationConfig, layer: Layer) -> int:
    """Beats that a row of the layer's X takes."""
    return int(-(-layer.x.shape[1] // config.lanes))


def _x(config: SpeculationConfig, layer: Layer) -> list[int]:
    """For each slice of the width, all tokens."""
    lanes, slices = config.lanes, _slices(config, layer)
    x = np.pad(layer.x, ((0, 0), (0, slices * lanes - layer.x.shape[1])))
    beats = []
    for slice_ in range(slices):
        values = pack(x[:, slice_ * lanes : (slice_ + 1) * lanes], 8)
        beats += [value | int(attends) << (8 * lanes) for value, attends in zip(values, layer.attend, strict=True)]
    return beats


def _weights(config: SpeculationConfig, layer: Layer) -> tuple[list[int], list[int]]:
    rows, lanes, load = config.rows, config.lanes, config.load
    coding = config.array.system.w
    heads, head_width, width = layer.wq.shape
    slices = _slices(config, layer)
    padding = ((0, 0), (0, config.groups * rows - head_width), (0, slices * lanes - width))
    codes = {
        operand: np.asarray(encode(np.pad(w, padding), coding))
        for operand, w in ((Operand.K, layer.wk), (Operand.Q, layer.wq))
    }
    addresses, weights = [], []
    order = product(range(heads), Operand, range(config.groups), range(slices), range(rows // load))
    for head, operand, group, slice_, part in order:
        first = group * rows + part * load
        tile = codes[operand][head, first : first + load, slice_ * lanes : (slice_ + 1) * lanes]
        fields = {"head": head, "operand": operand, "group": group, "slice": slice_, "part": part}
        addresses.append(_bits(address_layout(config), fields))
        weights += pack(tile.reshape(1, -1), coding.code_bits)
    return addresses, weights


def _scales(config: SpeculationConfig, layer: Layer) -> list[int]:
    layout, scales = scale_layout(config), []
    heads, head_width = layer.bq.shape
    padding = ((0, 0), (0, config.groups * config.rows - head_width))
    biases = {Operand.K: np.pad(layer.bk, padding), Operand.Q: np.pad(layer.bq, padding)}
    for head, operand, group in product(range(heads), Operand, range(config.groups)):
        scale = layer.settings.scale(head)
        multiplier = scale.q if operand is Operand.Q else scale.k
        fields = {
            "bias": biases[operand][head, group * config.rows : (group + 1) * config.rows].tolist(),
            "mul": multiplier.mul,
            "shift": multiplier.shift,
            "score_shift": scale.score_shift,
        }
        scales.append(_bits(layout, fields))
    return scales


def _bits(layout: data.StructLayout, fields: dict[str, Any]) -> int:
    return int(layout.const(fields).as_bits())
