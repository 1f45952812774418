# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.system.row_pass.RowPass`: runs the work in the folder FORESHIFT_JOB, checks all that leaves."""

import os
import pickle
from pathlib import Path
from random import Random
from typing import Any

import cocotb

from sim.dot_bench import edge
from sim.runner import JOB
from sim.streams import Sink, Source

QUIET_CYCLES = 200
"""Cycles after the last pass in which nothing more may come: more than the unit is deep."""
INPUTS = ("parameter", "job", "result", "x")


@cocotb.test  # type: ignore[untyped-decorator]
async def passes(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    works = pickle.loads((folder / "jobs.pickle").read_bytes())
    dut.clk.value = 0
    dut.rst.value = 1
    for name in INPUTS:
        getattr(dut, f"{name}__valid").value = 0
    await edge(dut, [])
    dut.rst.value = 0
    results = [await Layer(dut, work).run() for work in works]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


class Layer:
    """Passes of a layer. It stands among the streams, for all ports that are none."""

    def __init__(self, dut: Any, work: Any) -> None:
        self._dut, self._work, self._chance = dut, work, Random(work.seed)
        flow = {"idle": work.idle, "rng": self._chance}
        self._jobs: list[int] = []
        self._results: list[int] = []
        x = [word for step in work.steps for word in step.x]
        given = {"parameter": work.parameters, "job": self._jobs, "result": self._results, "x": x}
        self._sources = {name: Source(dut, name, items, **flow) for name, items in given.items()}
        self._sinks = {name: Sink(dut, name, stall=work.stall, rng=self._chance) for name in ("input", "y")}
        self._due = {name: [word for step in work.steps for word in getattr(step, name)] for name in self._sinks}
        self._over = True
        self._limits: list[tuple[int, int]] = []
        self._copies: list[int] = []
        self._answer: int | None = None
        self._now = 0
        self._taken: list[int] = []
        self._times: dict[str, list[int]] = {name: [] for name in ("x", *self._sinks)}

    async def run(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """The cycles of jobs, of x, of `input`, of y."""
        for name, value in self._work.setup.items():
            getattr(self._dut, name).value = value
        self._dut.limit.value = 0
        await self._until(lambda: self._sources["parameter"].done)
        for number, step in enumerate(self._work.steps):
            if step.adds:
                await self._until(lambda: self._over)
                await self._bring(step)
            self._jobs.append(step.job)
            self._over = False
            if number == len(self._work.steps) - 1 or self._work.steps[number + 1].adds:
                await self._until(lambda: self._over)
        for _ in range(QUIET_CYCLES):
            await self._cycle()
        for name, sink in self._sinks.items():
            self._check(name, sink.seen)
        for name, source in self._sources.items():
            assert source.done, f"the unit must take all of {name}"
        return self._taken, self._times["x"], self._times["input"], self._times["y"]

    async def _bring(self, step: Any) -> None:
        """Results: before those of the pass, others, which must not be read."""
        result = self._sources["result"]
        self._dut.limit.value = 0
        self._results.extend(step.noise)
        await self._until(lambda: result.done)
        self._copies = step.copies
        for words, limit in step.results:
            self._results.extend(words)
            self._limits.append((len(self._results), limit))
        if self._work.prompt:
            await self._until(lambda: not self._limits)

    async def _until(self, done: Any) -> None:
        while not done():
            await self._cycle()
            counts = {name: len(each.seen) for name, each in (self._sources | self._sinks).items()}
            assert self._now < self._work.limit, f"{counts} passed in {self._now} cycles: it stands still"

    async def _cycle(self) -> None:
        await edge(self._dut, [self, *self._sources.values(), *self._sinks.values()])
        for name, cycles in self._times.items():
            seen = len((self._sources | self._sinks)[name].seen)
            cycles.extend([self._now] * (seen - len(cycles)))
        taken = len(self._sources["job"].seen)
        self._taken.extend([self._now] * (taken - len(self._taken)))
        self._now += 1

    def drive(self) -> None:
        """The limit rises when results were taken, or some cycles later; copies are answered, and only then."""
        dut, chance = self._dut, self._chance
        while self._limits and self._limits[0][0] <= len(self._sources["result"].seen):
            if self._work.idle and chance.random() < self._work.idle:
                break
            dut.limit.value = self._limits.pop(0)[1]
        dut.copy.value = chance.getrandbits(len(dut.copy)) if self._answer is None else self._answer

    def sample(self) -> None:
        """Before the streams: what has passed until now."""
        dut, tokens, jobs = self._dut, self._work.tokens, self._sources["job"]
        self._answer = None
        if dut.copy_read.value:
            self._answer = self._copies[int(dut.copy_at.value)]
        busy, taken = bool(int(dut.busy.value)), len(jobs.seen)
        if taken:
            finished = int(dut.finished.value)
            steps = self._work.steps[: taken - 1]
            delivered = len(self._sinks["input"].seen) - sum(len(step.input) for step in steps)
            if self._work.steps[taken - 1].input:
                assert finished == delivered // self._work.beats, f"{finished} rows are told, {delivered} beats came"
            assert busy or finished == tokens, f"{finished} of {tokens} rows are told at the end"
        self._over = not busy and jobs.done
        if self._over:
            left, due = len(self._sinks["y"].seen), sum(len(step.y) for step in self._work.steps[:taken])
            assert left == due, f"{left} of {due} beats of y have left at the end"

    def _check(self, name: str, seen: list[int]) -> None:
        """What came is what was due."""
        due = self._due[name]
        assert len(seen) == len(due), f"{name}: {len(due)} beats were due, {len(seen)} came"
        for number, (found, wanted) in enumerate(zip(seen, due, strict=True)):
            assert found == wanted, f"{name}: beat {number} is {found:x}, not {wanted:x}"
