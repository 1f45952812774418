# SPDX-License-Identifier: Apache-2.0
"""Passes over the residual stream in RTL simulation: what their ports are given, and what is due.

layer, rows, results ─► golden.system.row_pass ─► Work ─► Verilator, sim/row_pass_bench.py ─► equal, or not
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.execute import EPS_BITS, GAIN_BITS, OFFSET_BITS, STREAM_BITS
from config.formats import OPERAND_BITS
from config.requantise import MUL_BITS, SHIFT_BITS
from config.system import ENTRY_BYTES, SystemConfig
from golden.execute.layer import Layer
from golden.execute.layer_norm import Norm
from golden.execute.scales import Scale
from golden.system.row_pass import Pass, Sources, row_pass
from hdl.emit import verilog
from hdl.system.layouts import Parameter, copy_layout, parameter_layout, part_layout, pass_layout, result_layout
from hdl.system.row_pass import RowPass
from sim import runner
from sim.dot import Flow
from sim.gather import packed
from sim.packing import pack

Int64 = NDArray[np.int64]

NAME = "row_pass"


@dataclass(frozen=True)
class Step:
    """A pass in payloads: `job`; `x`, given; `input` and `y`, due. Of one that `adds`: `copies`, what is answered for
    each token; `noise`, words of results that come before it; words of results, with what `limit` is behind them."""

    job: int
    x: list[int]
    input: list[int]
    y: list[int]
    adds: bool
    copies: list[int] = field(default_factory=list)
    noise: list[int] = field(default_factory=list)
    results: list[tuple[list[int], int]] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """Passes one behind the other, under a flow control. setup: values of ports that are no streams. parameters: that
    come before them. beats: of a row. prompt: results come before the job, and the limit with them. limit: cycles."""

    setup: dict[str, int]
    parameters: list[int]
    steps: list[Step]
    tokens: int
    beats: int
    seed: int
    idle: float = 0.0
    stall: float = 0.0
    prompt: bool = False
    limit: int = 100_000


@dataclass(frozen=True)
class Times:
    """Cycles in which each pass was taken, and each beat of x, of `input` and of y left its side."""

    jobs: list[int]
    x: list[int]
    input: list[int]
    y: list[int]


@dataclass
class Bench:
    """Makes the work of a layer, pass by pass. rows: int64 [T, D], what the stream holds, or x that comes with the next
    pass that loads. alive: bool [T], tokens that are not dropped, where some may be."""

    config: SystemConfig
    layer: Layer
    rows: Int64
    seed: int
    alive: NDArray[np.bool_] | None = None
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def step(self, job: Pass, results: Int64 | None = None, sources: Sources | None = None) -> None:
        """Another pass; results: [T, D] as `sources` reads them, in which rows that nobody takes are replaced."""
        config, beat = self.config, self.config.values
        found = row_pass(job, self.layer, self.rows, results, sources, self.alive)
        given: dict[str, Any] = {}
        if job.add:
            assert results is not None
            tokens = len(results)
            own = Sources(np.arange(tokens), np.arange(tokens), np.zeros(tokens, np.bool_))
            answers = sources or own
            given = {
                "copies": [
                    packed(copy_layout(config), leader=leader, agreed=agreed, first=first)
                    for leader, agreed, first in zip(answers.leader, answers.agreed, answers.first, strict=True)
                ],
                "noise": self._words(self._noise(results), np.arange(tokens)),
                "results": self._results(results, np.unique(answers.rows(job.copies))),
            }
        self.steps.append(
            Step(
                job=packed(pass_layout(config), **self._job(job)),
                x=_beats(self.rows, beat, STREAM_BITS) if job.load else [],
                input=[] if found.input is None else self._parts(found.input),
                y=[] if found.y is None else _beats(found.y, beat, STREAM_BITS),
                adds=job.add,
                **given,
            )
        )
        self.rows = found.stream

    def _job(self, job: Pass) -> dict[str, Any]:
        fields = vars(job) | {"copies": job.copies.value}
        return fields if self.alive is not None else {name: fields[name] for name in fields if name != "skip"}

    def work(self, flow: Flow, *, prompt: bool = False) -> Work:
        tokens, width = self.rows.shape
        norms = self.layer.norm1, self.layer.norm2
        setup = {
            "tokens": tokens,
            "width": width,
            "eps": sum(norm.eps << EPS_BITS * n for n, norm in enumerate(norms)),
            "norm_shift": sum(norm.shift << SHIFT_BITS * n for n, norm in enumerate(norms)),
        }
        if self.alive is not None:
            setup["alive"] = sum(1 << int(token) for token in np.flatnonzero(self.alive))
        beats = width // self.config.values
        parameters = self._parameters()
        return Work(setup, parameters, self.steps, tokens, beats, self.seed, flow.idle, flow.stall, prompt)

    def _noise(self, like: Int64) -> Int64:
        return self._rng.integers(-(1 << STREAM_BITS - 1), 1 << STREAM_BITS - 1, like.shape)

    def _words(self, results: Int64, rows: Sequence[int] | Int64) -> list[int]:
        """Those of some rows, in any order."""
        layout, lanes = result_layout(self.config), self.config.lanes
        words = [
            packed(
                layout, sink=self._rng.integers(4), token=row, index=index, value=self._rng.integers(2), values=values
            )
            for row in rows
            for index, values in enumerate(_beats(results[row : row + 1], lanes, STREAM_BITS))
        ]
        return [words[n] for n in self._rng.permutation(len(words))]

    def _results(self, results: Int64, rows: Int64) -> list[tuple[list[int], int]]:
        """A few rows at a time, lower ones first; then those up to the next one are there."""
        groups, at = [], 0
        while at < len(rows):
            count = int(self._rng.integers(1, 5))
            end = int(rows[at + count]) if at + count < len(rows) else len(results)
            groups.append((self._words(results, rows[at : at + count]), end))
            at += count
        return groups

    def _parts(self, rows: Int64) -> list[int]:
        layout = part_layout(self.config)
        return [
            packed(layout, token=token, beat=beat, values=values)
            for token, row in enumerate(rows)
            for beat, values in enumerate(_beats(row[None], self.config.values, OPERAND_BITS))
        ]

    def _parameters(self) -> list[int]:
        """Entries in any order, with anything in bits that they do not use, and of kinds that are none of a pass."""
        width, layer, rng = self.rows.shape[1], self.layer, self._rng
        of_kind = {
            Parameter.STREAM1: _scale(layer.stream1, width),
            Parameter.STREAM2: _scale(layer.stream2, width),
            Parameter.NORM1: _norm(layer.norm1),
            Parameter.NORM2: _norm(layer.norm2),
            Parameter.HEAD: ([0] * width, 0),
            Parameter.GELU: ([0] * width, 0),
            **({} if self.alive is None else {Parameter.SKIP: _scale(layer.skip, width)}),
        }
        words = [
            packed(parameter_layout(self.config), kind=kind.value, index=index, entry=entry | noise << used)
            for kind, (entries, used) in of_kind.items()
            for index, entry in enumerate(entries)
            for noise in rng.integers(0, 1 << min(OPERAND_BITS * ENTRY_BYTES - used, 62), 1)
        ]
        return [words[n] for n in rng.permutation(len(words))]


def _scale(scale: Scale, width: int) -> tuple[list[int], int]:
    """Entries, and how many bits they use."""
    return [int(entry) for entry in np.broadcast_to(scale.mul | scale.shift << MUL_BITS, width)], MUL_BITS + SHIFT_BITS


def _norm(norm: Norm) -> tuple[list[int], int]:
    gain, offset = norm.gain & (1 << GAIN_BITS) - 1, norm.offset & (1 << OFFSET_BITS) - 1
    return [int(entry) for entry in gain | offset << GAIN_BITS], GAIN_BITS + OFFSET_BITS


def _beats(rows: Int64, values: int, bits: int) -> list[int]:
    return pack(rows.reshape(-1, values), bits)


@cache
def build(config: SystemConfig) -> Path:
    """Folder of the unit's model, built if need be."""
    return runner.build(verilog(RowPass(config), NAME), NAME)


def run(folder: Path, works: Sequence[Work]) -> list[Times]:
    """One after the other without a reset between them. Raises `SimulationError` where something that leaves is not
    what is due, or the unit stands still."""
    return [Times(*times) for times in runner.run_jobs(folder, NAME, "sim.row_pass_bench", works)]
