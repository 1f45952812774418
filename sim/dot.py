# SPDX-License-Identifier: Apache-2.0
"""Dot products in RTL simulation: a matrix product cut into tiles, run through a `DotUnit` in Verilator."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config import presets
from config.array import ArrayConfig
from config.errors import require
from golden.speculate.array import encode
from hdl.emit import verilog
from hdl.speculate.unit import DotUnit
from sim import runner
from sim.packing import pack

Int64 = NDArray[np.int64]

CLEAR, EMIT, LAST = 1, 2, 4


@dataclass(frozen=True)
class Flow:
    """Flow control of a run: share of cycles in which the sources idle and in which the sink does not take."""

    idle: float = 0.0
    stall: float = 0.0


@dataclass(frozen=True)
class Rhythm(Flow):
    """Flow control without chance: `rests` gives for streams by name, cycle by cycle and over and over, whether they
    rest (1: no new offer, nothing taken); those that it does not name never do. Idle and stall bound the time."""

    rests: tuple[tuple[str, tuple[int, ...]], ...] = ()


FULL_SPEED = Flow()
FLOWS = {
    "steady": FULL_SPEED,
    "idle": Flow(idle=0.4),
    "stall": Flow(stall=0.4),
    "idle and stall": Flow(idle=0.3, stall=0.3),
}


@dataclass(frozen=True)
class Job:
    """Payloads for the streams of a unit, how many results are due, and within how many cycles."""

    config: ArrayConfig
    w: list[int]
    x: list[int]
    results: int
    limit: int
    idle: float
    stall: float
    seed: int


@dataclass(frozen=True)
class SimResult:
    """y: exact int64 [T, N]. cycles: from the first offer to the last result. seconds: of wall clock for these.

    busy_share: cycles in which a beat entered, over all cycles.
    """

    y: Int64
    cycles: int
    seconds: float
    busy_share: float

    @property
    def cycles_per_second(self) -> float:
        return self.cycles / self.seconds


@cache
def build(config: ArrayConfig) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(DotUnit(config), config.name), config.name)


def run(
    system: str | ArrayConfig,
    x: NDArray[np.integer],
    w: NDArray[np.integer],
    *,
    preset: str = "minilm",
) -> SimResult:
    """x [T, D] times w [N, D] transposed, on the unit of a number system at a preset, or on the one given.

    Operands are integers of the operand's width; w is coded here, as it is offline. The bench checks every total
    against the golden model. T is at most the array's depth and D at most its terms. Raises `Refusal` otherwise,
    `SimulationError` if the hardware is wrong.
    """
    config = system if isinstance(system, ArrayConfig) else presets.arrays(preset)[system]
    operands = np.asarray(x, np.int64), np.asarray(w, np.int64)
    require(
        x.shape[0] <= config.depth and x.shape[1] <= config.terms,
        f"x must be at most {config.depth} rows of {config.terms} terms for this array, not {x.shape[0]} of "
        f"{x.shape[1]}; cut it, or use a larger preset.",
    )
    return run_each(config, [(*operands, FULL_SPEED)])[0]


def run_each(config: ArrayConfig, products: Sequence[tuple[Int64, Int64, Flow]]) -> list[SimResult]:
    """As `run`, for several x, w and ways of flow control, one after the other in one simulation."""
    jobs = [_job(config, *product, seed) for seed, product in enumerate(products)]
    found = runner.run_jobs(build(config), config.name, "sim.dot_bench", jobs)
    results = []
    for job, (x, w, _), (totals, cycles, seconds) in zip(jobs, products, found, strict=True):
        y = totals.reshape(-1, len(x), config.rows).transpose(1, 0, 2).reshape(len(x), -1)[:, : len(w)]
        results.append(SimResult(y, cycles, seconds, len(job.x) / cycles))
    return results


def _job(config: ArrayConfig, x: Int64, w: Int64, flow: Flow, seed: int) -> Job:
    """Tiles in the order: for each group of rows of w, all chunks of the depth; for each chunk, all of x."""
    rows, lanes, system = config.rows, config.lanes, config.system
    tiles, chunks = -(-len(w) // rows), -(-x.shape[1] // lanes)
    padding = chunks * lanes - x.shape[1]
    x = np.pad(x, ((0, 0), (0, padding)))
    w = np.pad(w, ((0, tiles * rows - len(w)), (0, padding)))
    codes = np.asarray(encode(w, system.w))
    ws, xs = [], []
    for tile in range(tiles):
        for chunk in range(chunks):
            columns = slice(chunk * lanes, (chunk + 1) * lanes)
            weights = codes[tile * rows : (tile + 1) * rows, columns]
            ws += pack(weights.reshape(rows // config.load, -1), system.w.code_bits)
            mark = CLEAR * (chunk == 0) | EMIT * (chunk == chunks - 1)
            marks = [mark] * (len(x) - 1) + [mark | LAST]
            beats = pack(x[:, columns], system.bits)
            xs += [beat | mark << (lanes * system.bits) for beat, mark in zip(beats, marks, strict=True)]
    steady = len(ws) + len(xs) + tiles * chunks + 100
    limit = int(20 * steady / ((1 - flow.idle) * (1 - flow.stall)))
    return Job(config, ws, xs, tiles * len(x), limit, flow.idle, flow.stall, seed)
