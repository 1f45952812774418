# SPDX-License-Identifier: Apache-2.0
"""Layers through Sanger's unit in RTL simulation: its records against the golden plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import require
from config.formats import OPERAND_BITS
from config.sanger import SangerConfig
from config.speculate import SangerSettings
from golden.execute.scales import Scale
from golden.speculate import sanger
from golden.speculate.operands import allowed
from golden.speculate.plan import Plan
from golden.speculate.records import records
from hdl.emit import verilog
from hdl.execute.layouts import MULTIPLIER
from hdl.speculate.sanger.layouts import settings_layout
from hdl.speculate.sanger.unit import SangerUnit
from hdl.speculate.socket import record_layout
from sim import runner
from sim.dot import FULL_SPEED, Flow, Rhythm
from sim.packing import pack
from sim.speculation import LayerResult, record_bits

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """q, k: int8 [H, T, dh]; attend: bool [T]; exponent: mul and shift of each head, int64 [H]."""

    q: Int64
    k: Int64
    attend: NDArray[np.bool_]
    exponent: Scale
    settings: SangerSettings


@dataclass(frozen=True)
class Job:
    """Payloads for the unit's streams by name, and the records that are due."""

    payloads: dict[str, list[int]]
    records: list[int]
    idle: float
    stall: float
    seed: int
    limit: int
    rests: dict[str, tuple[int, ...]] = field(default_factory=dict)


def golden_plan(layer: Layer) -> Plan:
    """What a unit has to decide of a layer."""
    pairs = allowed(layer.q[0], layer.settings, layer.attend)
    return sanger.predict(layer.q, layer.k, pairs, layer.settings, layer.exponent.map(lambda each: each[:, None, None]))


@cache
def build(config: SangerConfig) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(SangerUnit(config), config.name), config.name)


def run(config: SangerConfig, layers: Sequence[tuple[Layer, Flow]] | Layer) -> list[LayerResult]:
    """Layers one after the other, without a reset between them, each under its own flow control. Cycles are counted
    from the first beat of K taken to the last record.

    Raises `Refusal` for a layer that the unit is not built for, `SimulationError` if a record is wrong.
    """
    if isinstance(layers, Layer):
        layers = [(layers, FULL_SPEED)]
    plans = [golden_plan(layer) for layer, _ in layers]
    jobs = [
        _job(config, layer, flow, plan, n) for n, ((layer, flow), plan) in enumerate(zip(layers, plans, strict=True))
    ]
    found = runner.run_jobs(build(config), config.name, "sim.sanger_bench", (config, jobs))
    return [LayerResult(plan, *result) for plan, result in zip(plans, found, strict=True)]


def payloads(config: SangerConfig, layer: Layer) -> dict[str, list[int]]:
    """Of a layer up to what the unit is built for. Raises `Refusal` for any other."""
    heads, tokens, width = layer.q.shape
    require(
        1 <= tokens <= config.tokens and 1 <= heads <= config.heads and 1 <= width <= config.head_width,
        f"The layer must have at most {config.tokens} tokens, and at most {config.heads} heads of at most "
        f"{config.head_width}, not {tokens}, and {heads} of {width}; build a unit for it.",
    )
    settings: dict[str, Any] = {
        "tokens": tokens,
        "heads": heads,
        "causal": int(layer.settings.causal),
        "threshold": layer.settings.threshold,
    }
    attend = np.repeat(np.tile(layer.attend, heads), config.head_slices)
    value_bits = OPERAND_BITS * config.lanes
    return {
        "settings": [int(settings_layout(config).const(settings).as_bits())],
        "q": _beats(config, layer.q),
        "k": [beat | int(attends) << value_bits for beat, attends in zip(_beats(config, layer.k), attend, strict=True)],
        "exponent": [
            int(MULTIPLIER.const({"mul": int(mul), "shift": int(shift)}).as_bits())
            for mul, shift in zip(layer.exponent.mul, layer.exponent.shift, strict=True)
        ],
    }


def _beats(config: SangerConfig, rows: Int64) -> list[int]:
    """Rows of all heads in turn, slice by slice."""
    padding = config.head_slices * config.lanes - rows.shape[-1]
    return pack(np.pad(rows, ((0, 0), (0, 0), (0, padding))).reshape(-1, config.lanes), OPERAND_BITS)


def _job(config: SangerConfig, layer: Layer, flow: Flow, plan: Plan, seed: int) -> Job:
    layout = record_layout(config.plan)
    due = records(plan, config.rows, 1, layer.settings.causal)
    given = payloads(config, layer)
    scores = config.heads * config.blocks * (config.tokens + config.rows) * config.head_slices
    beats = len(given["q"]) + len(given["k"]) + len(due) + scores
    limit = int(20 * (beats + 1000) / ((1 - flow.idle) * (1 - flow.stall)))
    rests = dict(flow.rests) if isinstance(flow, Rhythm) else {}
    return Job(given, [record_bits(layout, record) for record in due], flow.idle, flow.stall, seed, limit, rests)
