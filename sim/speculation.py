# SPDX-License-Identifier: Apache-2.0
"""Layers in RTL simulation: a speculation unit in Verilator, its records against the golden plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from config.speculate import FactSettings, LapaSettings, SpeculationConfig, SplsSettings
from golden.speculate import dense, fact, lapa, spls
from golden.speculate.plan import Plan
from golden.speculate.records import Record, records
from hdl.emit import verilog
from hdl.speculate.socket import record_layout
from hdl.speculate.speculation import SpeculationUnit
from sim import runner
from sim.dot import FULL_SPEED, Flow, Rhythm
from sim.layer import Layer, Payloads, payloads


@dataclass(frozen=True)
class LayerJob:
    """Payloads for the streams of a unit, and the records that are due."""

    payloads: Payloads
    records: list[int]
    idle: float
    stall: float
    seed: int
    limit: int
    rests: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerResult:
    """A layer that came out as the golden model has it.

    cycles: from the first beat of X taken to the last record; busy: those in which the array took a beat; seconds: of
    wall clock for them.
    """

    plan: Plan
    cycles: int
    busy: int
    seconds: float

    @property
    def busy_share(self) -> float:
        return self.busy / self.cycles


def golden_plan(config: SpeculationConfig, layer: Layer) -> Plan:
    """What a unit has to decide of a layer."""
    operands: dict[str, Any] = {name: getattr(layer, name) for name in ("x", "wq", "wk", "bq", "bk", "attend")}
    settings = layer.settings
    if isinstance(settings, SplsSettings):
        return spls.predict(**operands, settings=settings, window=config.window, score_bits=config.score_bits)
    if isinstance(settings, LapaSettings):
        return lapa.predict(**operands, settings=settings, slices=config.slices)
    if isinstance(settings, FactSettings):
        return fact.predict(**operands, settings=settings, score_bits=config.score_bits)
    return dense.predict(**operands, settings=settings)


@cache
def build(config: SpeculationConfig) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(SpeculationUnit(config), config.name), config.name)


def run(config: SpeculationConfig, layers: Sequence[tuple[Layer, Flow]] | Layer) -> list[LayerResult]:
    """Layers one after the other, without a reset between them, each under its own flow control.

    Raises `Refusal` for a layer that the unit is not built for, `SimulationError` if a record is wrong.
    """
    if isinstance(layers, Layer):
        layers = [(layers, FULL_SPEED)]
    plans = [golden_plan(config, layer) for layer, _ in layers]
    jobs = [
        _job(config, layer, flow, plan, n) for n, ((layer, flow), plan) in enumerate(zip(layers, plans, strict=True))
    ]
    found = runner.run_jobs(build(config), config.name, "sim.speculation_bench", (config, jobs))
    return [LayerResult(plan, *result) for plan, result in zip(plans, found, strict=True)]


def _job(config: SpeculationConfig, layer: Layer, flow: Flow, plan: Plan, seed: int) -> LayerJob:
    layout = record_layout(config)
    due = records(plan, config.rows, config.similarity_window, layer.settings.causal)
    given = payloads(config, layer)
    beats = len(given.x) * 2 * config.heads * config.groups + len(given.w) + len(due)
    scores = config.heads * config.blocks * config.tokens * config.head_slices * config.rounds
    limit = int(20 * (beats + scores + 1000) / ((1 - flow.idle) * (1 - flow.stall)))
    rests = dict(flow.rests) if isinstance(flow, Rhythm) else {}
    return LayerJob(given, [record_bits(layout, record) for record in due], flow.idle, flow.stall, seed, limit, rests)


def record_bits(layout, record: Record) -> int:  # type: ignore[no-untyped-def]
    """A record as the payload of the unit's output."""
    bits = 0
    for name, place in layout:
        bits |= int(getattr(record, name)) << place.offset
    return bits


def record_of(layout, bits: int) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """The fields of a payload of the unit's output."""
    return {name: bits >> place.offset & (1 << place.width) - 1 for name, place in layout}
