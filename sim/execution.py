# SPDX-License-Identifier: Apache-2.0
"""Softmax, LayerNorm, GELU and residual sums in RTL simulation: what their ports are given, and what is due.

golden tensors ─► Traffic ─► Verilator, sim/execution_bench.py ─► equal, or the first difference
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.execute import GAIN_BITS, OFFSET_BITS, PROBABILITY_BITS, STREAM_BITS
from config.formats import OPERAND_BITS
from config.requantise import MUL_BITS, SHIFT_BITS
from config.units import LayerNormConfig, SoftmaxConfig, UnitConfig
from golden.execute.layer_norm import Norm
from golden.execute.softmax import row_scale
from hdl.emit import verilog
from hdl.execute.units import unit_of
from sim import runner
from sim.dot import Flow
from sim.packing import pack

Int64 = NDArray[np.int64]
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Traffic:
    """Payloads of a unit's streams, by name.

    given: to its inputs. due: from its outputs. care: of outputs of which not every bit counts, those that do, for
    each payload. lane_bits: of a lane in an output, to say where it is wrong. setup: values of ports that are no
    streams, cycle by cycle before anything else; those of the last cycle stand. beside: a stream's name, and the value
    of such a port with each of its payloads. still: ports that are 0 at the end.
    """

    given: dict[str, list[int]]
    due: dict[str, list[int]]
    lane_bits: dict[str, int]
    care: dict[str, list[int]] = field(default_factory=dict)
    setup: list[dict[str, int]] = field(default_factory=list)
    beside: dict[str, tuple[str, list[int]]] = field(default_factory=dict)
    still: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitJob:
    """Traffic under a flow control, and within how many cycles all of it must have passed."""

    traffic: Traffic
    idle: float
    stall: float
    seed: int
    limit: int


@dataclass(frozen=True)
class SoftmaxRow:
    """A row of softmax: scores int64 [S], which are kept, bool [S]; exponent and context, each mul and shift; the
    golden codes int64 [S] and their total."""

    scores: Int64
    kept: Bits
    exponent: tuple[int, int]
    context: tuple[int, int]
    codes: Int64
    total: int


def softmax(config: SoftmaxConfig, rows: Sequence[SoftmaxRow], seed: int = 0) -> Traffic:
    """Rows of any lengths; the rest of a last beat is not kept, and has any scores."""
    rng = np.random.default_rng(seed)
    lanes, half = config.lanes, 1 << (config.score_bits - 1)
    beats, codes, settings, scales = [], [], [], []
    for row in rows:
        padding = (0, -len(row.scores) % lanes)
        noise = rng.integers(-half, half, len(row.scores) + padding[1])
        scores = np.where(np.arange(len(noise)) < len(row.scores), np.pad(row.scores, padding), noise)
        last = np.arange(len(noise) // lanes) == len(noise) // lanes - 1
        kept = pack(np.pad(row.kept, padding).reshape(-1, lanes).astype(np.int64), 1)
        beats += _beside(
            (pack(scores.reshape(-1, lanes), config.score_bits), lanes * config.score_bits), (kept, lanes), (last, 1)
        )
        given = pack(np.pad(row.codes, padding).reshape(-1, lanes), PROBABILITY_BITS)
        codes += _beside((given, lanes * PROBABILITY_BITS), (last, 1))
        # Taken with the last beat; with the others there may be anything.
        parts = (*row.exponent, *row.context)
        widths = (MUL_BITS, SHIFT_BITS) * 2
        settings += [int(any_) for any_ in rng.integers(1 << sum(widths), size=len(last) - 1)]
        settings += _beside(*(([part], width) for part, width in zip(parts, widths, strict=True)))
        mul, shift = row_scale(*(np.array([value]) for value in (row.total, *row.context)))
        scales.append(int(mul[0] | shift[0] << MUL_BITS))
    return Traffic(
        given={"i": beats},
        due={"o": codes, "scale": scales},
        lane_bits={"o": PROBABILITY_BITS, "scale": MUL_BITS},
        beside={"row": ("i", settings)},
        still=("error",),
    )


def layer_norm(config: LayerNormConfig, r: Int64, norm: Norm, y: Int64, seed: int = 0) -> Traffic:
    """Rows of sums r [T, D] and what becomes of them, y [T, D]; beyond the end of a row there is anything, twice."""
    count, width = r.shape
    fields = {"width": width, "eps": norm.eps, "shift": norm.shift}
    channel = np.asarray((norm.gain & (1 << GAIN_BITS) - 1) | norm.offset << GAIN_BITS)
    within = np.ones_like(y)
    return Traffic(
        given={
            "i": _beats(r, config.lanes, STREAM_BITS, seed),
            "channel": _beats(channel[None], config.lanes, GAIN_BITS + OFFSET_BITS, seed) * count,
        },
        due={"o": _beats(y, config.lanes, OPERAND_BITS)},
        lane_bits={"o": OPERAND_BITS},
        care={"o": _beats(-within, config.lanes, OPERAND_BITS)},
        setup=[fields, fields],
    )


def gelu(lanes: int, tables: Int64, x: Int64, choice: Int64, y: Int64) -> Traffic:
    """Operands x [T, D] of channels that have chosen one of the tables [2, 256] each, and results y [T, D]; tables are
    written first, and not in order."""
    rng = np.random.default_rng(len(x))
    setup = [{"write": 0, "entry": 0}]
    for number, code in rng.permutation([(number, code) for number in range(len(tables)) for code in range(256)]):
        entry = int(tables[number, code]) & 255
        setup.append(
            {"write": 1, "entry": int((code - 128) & 255 | number << OPERAND_BITS | entry << OPERAND_BITS + 1)}
        )
    flat = np.pad(x.ravel(), (0, -x.size % lanes))
    chosen = np.pad(np.broadcast_to(choice, x.shape).ravel(), (0, -x.size % lanes))
    due = np.pad(y.ravel(), (0, -x.size % lanes), constant_values=0).reshape(-1, lanes)
    counts = np.pad(np.ones(x.size, np.int64), (0, -x.size % lanes)).reshape(-1, lanes)
    operands = pack(flat.reshape(-1, lanes), OPERAND_BITS), lanes * OPERAND_BITS
    return Traffic(
        given={"i": _beside(operands, (pack(chosen.reshape(-1, lanes), 1), lanes))},
        due={"o": pack(due, OPERAND_BITS)},
        lane_bits={"o": OPERAND_BITS},
        care={"o": pack(-counts, OPERAND_BITS)},
        setup=[*setup, {"write": 0, "entry": 0}],
    )


def residual(lanes: int, x: Int64, mul: Int64, shift: Int64, result: Int64, y: Int64) -> Traffic:
    """Values x [T, D], multipliers that broadcast to them, results to add [T, D], and sums y [T, D]."""
    scale = np.broadcast_to(mul | shift << MUL_BITS, x.shape)
    return Traffic(
        given={
            "i": _beats(x, lanes, STREAM_BITS),
            "scale": _beats(scale, lanes, MUL_BITS + SHIFT_BITS),
            "result": _beats(result, lanes, STREAM_BITS),
        },
        due={"o": _beats(y, lanes, STREAM_BITS)},
        lane_bits={"o": STREAM_BITS},
        care={"o": _beats(-np.ones_like(y), lanes, STREAM_BITS)},
    )


def _beats(values: Int64, lanes: int, bits: int, seed: int | None = None) -> list[int]:
    """Rows [T, D] as beats; beyond the end of a row zeros or, with a seed, anything."""
    padding = -values.shape[1] % lanes
    half = 0 if seed is None else 1 << (bits - 1)
    tail = np.random.default_rng(seed).integers(-half, max(half, 1), (len(values), padding))
    return pack(np.concatenate([values, tail], axis=1).reshape(-1, lanes), bits)


def _beside(*columns: tuple[Sequence[Any] | NDArray[Any], int]) -> list[int]:
    """Payloads of fields that lie beside each other, the first lowest: of each, all values and the width."""
    payloads = [0] * len(columns[0][0])
    at = 0
    for values, width in columns:
        payloads = [payload | int(value) << at for payload, value in zip(payloads, values, strict=True)]
        at += width
    return payloads


@cache
def build(config: UnitConfig) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(unit_of(config), config.name), config.name)


def run(config: UnitConfig, traffic: Sequence[tuple[Traffic, Flow]], folder: Path | None = None) -> list[int]:
    """One after the other without a reset between them, each under its own flow control. Returns the cycles that each
    took, from the first offer to the last answer. folder: of another model than the unit's own.

    Raises `SimulationError` at the first payload that is not the one that is due.
    """
    jobs = []
    for seed, (each, flow) in enumerate(traffic):
        beats = max(map(len, (*each.given.values(), *each.due.values())))
        rows = min(map(len, each.due.values()))
        limit = int((4 * beats + 40 * rows + 1000) / ((1 - flow.idle) ** len(each.given) * (1 - flow.stall)))
        jobs.append(UnitJob(each, flow.idle, flow.stall, seed, limit))
    found: list[int] = runner.run_jobs(folder or build(config), config.name, "sim.execution_bench", jobs)
    return found
