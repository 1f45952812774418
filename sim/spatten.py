# SPDX-License-Identifier: Apache-2.0
"""Batches of layers through SpAtten's unit in RTL simulation: its plans against the golden ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import require
from config.execute import PROBABILITY_BITS
from config.formats import OPERAND_BITS
from config.spatten import SpattenConfig
from config.speculate import SpattenSettings
from golden.execute.layer import Layer as IntegerLayer
from golden.execute.layer import execute
from golden.speculate.plan import Plan
from golden.speculate.records import records
from golden.speculate.spatten import Spatten
from hdl.emit import verilog
from hdl.speculate.socket import record_layout
from hdl.speculate.spatten.layouts import context_layout, settings_layout, total_layout
from hdl.speculate.spatten.unit import SpattenUnit
from sim import runner
from sim.dot import FULL_SPEED, Flow, Rhythm
from sim.packing import pack
from sim.speculation import record_bits

Int64 = NDArray[np.int64]
Payloads = dict[str, list[int]]


@dataclass(frozen=True)
class Seen:
    """What a layer makes of its tokens. codes: int64 [H, T, T]; total: int64 [H, T, 1]; context: int64 [T, H·dh]."""

    codes: Int64
    total: Int64
    context: Int64


@dataclass(frozen=True)
class Batch:
    """Layers of one sequence, each with the golden plan and what it makes of its tokens under that plan. attend: bool
    [T]. shuffle: rows come in any order, by this seed, and those that count for nothing do not; none: all in order."""

    settings: SpattenSettings
    attend: NDArray[np.bool_]
    heads: int
    layers: tuple[tuple[Plan, Seen], ...]
    shuffle: int | None = None


@dataclass(frozen=True)
class Job:
    """Payloads for the unit's streams by name, for all layers one behind the other; what is due of each layer."""

    payloads: Payloads
    alive: list[list[int]]
    records: list[list[int]]
    idle: float
    stall: float
    seed: int
    limit: int
    rests: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerCycles:
    """cut: from the settings taken to the first chunk of tokens offered; plan: from there to the last record; sums:
    from the first codes taken to the last."""

    cut: int
    plan: int
    sums: int


def batch(
    settings: SpattenSettings,
    attend: NDArray[np.bool_],
    heads: int,
    observe: Callable[[Plan, int], Seen],
    shuffle: int | None = None,
) -> Batch:
    """The golden cascade over all layers of the settings; `observe` tells what layer n makes of its tokens."""
    state, tokens, layers = Spatten(settings, attend), len(attend), []
    for number in range(len(settings.tokens)):
        plan = state.plan(np.zeros((tokens, 1)), *[np.zeros((heads, tokens, 1))] * 2)
        seen = observe(plan, number)
        for name in ("codes", "total", "context"):
            state.watch(name, getattr(seen, name))
        layers.append((plan, seen))
    return Batch(settings, attend, heads, tuple(layers), shuffle)


def of_model(layers: Sequence[IntegerLayer], x: Int64) -> Callable[[Plan, int], Seen]:
    """What the layers of a model make, one after the other, of x [T, D]."""
    inputs = [x]

    def observe(plan: Plan, number: int) -> Seen:
        seen: dict[str, Int64] = {}
        inputs.append(execute(inputs[number], layers[number], plan, watch=seen.__setitem__))
        return Seen(seen["codes"], seen["total"], seen["context"])

    return observe


@cache
def build(config: SpattenConfig) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(SpattenUnit(config), config.name), config.name)


def run(config: SpattenConfig, batches: Sequence[tuple[Batch, Flow]] | Batch) -> list[list[LayerCycles]]:
    """Batches one after the other, without a reset between them, each under its own flow control.

    Raises `Refusal` for a batch that the unit is not built for, `SimulationError` if a plan is wrong.
    """
    if isinstance(batches, Batch):
        batches = [(batches, FULL_SPEED)]
    jobs = [_job(config, given, flow, number) for number, (given, flow) in enumerate(batches)]
    found = runner.run_jobs(build(config), config.name, "sim.spatten_bench", (config, jobs))
    return [[LayerCycles(*each) for each in layers] for layers in found]


def payloads(config: SpattenConfig, given: Batch) -> Payloads:
    """Of a batch up to what the unit is built for. Raises `Refusal` for any other."""
    config.check(given.settings)
    tokens = len(given.attend)
    width = given.layers[0][1].context.shape[-1] // given.heads
    require(
        1 <= tokens <= config.tokens and 1 <= given.heads <= config.heads and 1 <= width <= config.head_width,
        f"The layers must have at most {config.tokens} tokens, and at most {config.heads} heads of at most "
        f"{config.head_width}, not {tokens}, and {given.heads} of {width}; build a unit for them.",
    )
    found: Payloads = {"settings": [], "attend": chunks(config, given.attend), "totals": [], "codes": [], "context": []}
    for number, (_, seen) in enumerate(given.layers):
        settings: dict[str, Any] = {
            "first": int(number == 0),
            "tokens": tokens,
            "heads": given.heads,
            "drop_tokens": given.settings.tokens[number],
            "drop_heads": given.settings.heads[number],
        }
        found["settings"].append(int(settings_layout(config).const(settings).as_bits()))
        rng = None if given.shuffle is None else np.random.default_rng([given.shuffle, number])
        for name, values in (_rows(config, given, seen, rng) | _context(config, given, seen, rng)).items():
            found[name] += values
    return found


def chunks(config: SpattenConfig, flags: NDArray[np.bool_]) -> list[int]:
    """A flag for each token, in chunks of `rows`."""
    padded = np.pad(np.asarray(flags, dtype=np.int64), (0, -len(flags) % config.rows))
    return pack(padded.reshape(-1, config.rows), 1)


def _order(useful: NDArray[np.bool_], rng: np.random.Generator | None) -> NDArray[np.int64]:
    """All in order, or those that are of use in any, and one at least."""
    if rng is None:
        return np.arange(len(useful))
    return rng.permutation(np.flatnonzero(useful) if useful.any() else np.arange(1))


def _rows(config: SpattenConfig, given: Batch, seen: Seen, rng: np.random.Generator | None) -> Payloads:
    heads, tokens, _ = seen.codes.shape
    codes, totals = seen.codes.reshape(-1, tokens), seen.total.reshape(-1)
    attend = np.tile(given.attend, heads)
    order = _order(attend & (totals != 0), rng)
    padded = np.pad(codes[order], ((0, 0), (0, -tokens % config.rows)))
    layout = total_layout(config)
    rows = [
        {"total": int(totals[n]), "attend": int(attend[n]), "last": int(place == len(order) - 1)}
        for place, n in enumerate(order)
    ]
    return {
        "totals": [int(layout.const(row).as_bits()) for row in rows],
        "codes": pack(padded.reshape(-1, config.rows), PROBABILITY_BITS),
    }


def _context(config: SpattenConfig, given: Batch, seen: Seen, rng: np.random.Generator | None) -> Payloads:
    """Beats of all slices of all heads of a row, row by row."""
    tokens, width = len(given.attend), seen.context.shape[-1] // given.heads
    slices = -(-width // config.lanes)
    values = np.pad(
        seen.context.reshape(tokens, given.heads, width), ((0, 0), (0, 0), (0, slices * config.lanes - width))
    ).reshape(-1, config.lanes)
    number = np.arange(len(values))
    heads, attend = number // slices % given.heads, given.attend[number // slices // given.heads]
    order = _order(attend & values.any(-1), rng)
    layout, beats = context_layout(config), []
    for place, (n, beat) in enumerate(zip(order, pack(values[order], OPERAND_BITS), strict=True)):
        fields = {"head": int(heads[n]), "attend": int(attend[n]), "last": int(place == len(order) - 1)}
        beats.append(beat | int(layout.const(fields).as_bits()))
    return {"context": beats}


def _job(config: SpattenConfig, given: Batch, flow: Flow, seed: int) -> Job:
    layout, sent = record_layout(config.plan), payloads(config, given)
    # No record tells of tokens that are not computed: that is said in front of them all.
    plans = [replace(plan, alive=None) for plan, _ in given.layers]
    due = [[record_bits(layout, record) for record in records(plan, config.rows, 1, False)] for plan in plans]
    alive = [chunks(config, np.asarray(plan.alive)) for plan, _ in given.layers]
    beats = sum(map(len, (*sent.values(), *due, *alive)))
    limit = int(20 * (beats + 1000 * len(due)) / ((1 - flow.idle) * (1 - flow.stall)))
    rests = dict(flow.rests) if isinstance(flow, Rhythm) else {}
    return Job(sent, alive, due, flow.idle, flow.stall, seed, limit, rests)
