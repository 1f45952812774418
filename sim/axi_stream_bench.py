# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a unit with AXI4-Stream ports: sources and sinks of cocotbext-axi as they are."""

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from sim.axi_stream import Frame, Job
from sim.runner import JOB

PERIOD = 2
"""Of the clock, in ns."""
LIMIT = 20_000
"""Cycles within which a frame must come."""
QUIET_CYCLES = 100
"""Behind the last frame, in which nothing more may come."""
RESET_CYCLES = 4


@cocotb.test  # type: ignore[untyped-decorator]
async def streams(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    jobs: list[Job] = pickle.loads((folder / "jobs.pickle").read_bytes())
    Clock(dut.aclk, PERIOD, unit="ns").start()
    dut.aresetn.value = 0
    for name, value in jobs[0].ports.items():
        getattr(dut, name).value = value
    bench = Bench(dut, jobs[0])
    await bench.reset()
    for job in jobs:
        await bench.run(job)
    (folder / "results.pickle").write_bytes(pickle.dumps(None))


class Bench:
    """A source at each stream in that is given something, a sink at each stream out of which something is due."""

    def __init__(self, dut: Any, job: Job):
        self._dut = dut
        self._sources = {name: self._end(AxiStreamSource, f"s_axis_{name}") for name in job.given}
        self._sinks = {name: self._end(AxiStreamSink, f"m_axis_{name}") for name in job.due}

    def _end(self, kind: Any, prefix: str) -> Any:
        dut = self._dut
        end = kind(AxiStreamBus.from_prefix(dut, prefix), dut.aclk, dut.aresetn, reset_active_level=False)
        end.log.setLevel(logging.ERROR)
        return end

    async def reset(self) -> None:
        """Nothing is offered from the first edge on."""
        self._dut.aresetn.value = 0
        for end in (*self._sources.values(), *self._sinks.values()):
            end.clear()
        await RisingEdge(self._dut.aclk)
        for _ in range(RESET_CYCLES):
            await RisingEdge(self._dut.aclk)
            for name in self._sinks:
                assert not getattr(self._dut, f"m_axis_{name}_tvalid").value, f"{name}: an offer during reset"
        self._dut.aresetn.value = 1

    async def run(self, job: Job) -> None:
        rng = Random(job.seed)
        for end in (*self._sources.values(), *self._sinks.values()):
            end.set_pause_generator(_pauses(Random(rng.random()), job.pauses))
        for name, value in job.ports.items():
            getattr(self._dut, name).value = value
        if job.interrupted:
            task = cocotb.start_soon(self._pass(job))
            await ClockCycles(self._dut.aclk, job.interrupted)
            assert not task.done(), "there must be something to interrupt"
            task.cancel()
            await self.reset()
        await self._pass(job)
        await ClockCycles(self._dut.aclk, QUIET_CYCLES)
        for name, source in self._sources.items():
            assert source.idle(), f"the unit must take all of {name}"
        for name, sink in self._sinks.items():
            assert sink.empty(), f"{name}: more than was due"
            assert sink.idle(), f"{name}: a frame has begun that was not due"

    async def _pass(self, job: Job) -> None:
        """Everything that is given, until everything has come."""
        for name, given in job.given.items():
            if name not in job.answers:
                for frame in given:
                    self._sources[name].send_nowait(_sent(frame))
        asked = {of: (self._sources[name], iter(job.given[name])) for name, of in job.answers.items()}
        tasks = [cocotb.start_soon(self._take(name, due, asked.get(name))) for name, due in job.due.items()]
        try:
            for task in tasks:
                await task
        finally:
            for task in tasks:
                task.cancel()

    async def _take(self, name: str, due: list[bytes], asked: Any) -> None:
        for number, wanted in enumerate(due):
            frame = await with_timeout(self._sinks[name].recv(), LIMIT * PERIOD, "ns")
            found = bytes(frame.tdata)
            assert found == wanted, f"{name}: frame {number} is {found.hex()}, not {wanted.hex()}"
            if asked:
                source, answers = asked
                source.send_nowait(_sent(next(answers)))


def _sent(frame: Frame) -> Any:
    return AxiStreamFrame(frame.tdata, tuser=frame.tuser)


def _pauses(rng: Random, share: float) -> Iterator[bool]:
    while True:
        yield rng.random() < share
