# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of an accelerator: a memory of cocotbext-axi behind its port, a host at its registers."""

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

from sim.accelerator import COUNTER_NAMES, MEMORY_BYTES, OFFSETS, Ended, Job
from sim.runner import JOB

PERIOD = 2
"""Of the clock, in ns."""
POLL = 50


def _pauses(rng: Random, share: float) -> Iterator[bool]:
    while True:
        yield rng.random() < share


class Host:
    """The registers."""

    def __init__(self, dut: Any):
        self._master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_ctrl"), dut.aclk, dut.aresetn, False)
        for channel in (self._master.write_if, self._master.read_if):
            channel.log.setLevel(logging.ERROR)

    async def write_at(self, offset: int, value: int) -> None:
        await self._master.write_dword(offset, value)

    async def read_at(self, offset: int) -> int:
        return int(await self._master.read_dword(offset))

    async def write(self, name: str, value: int) -> None:
        await self.write_at(OFFSETS[name], value)

    async def read(self, name: str) -> int:
        return await self.read_at(OFFSETS[name])

    async def counters(self) -> dict[str, int]:
        return {n: await self.read(f"{n}_LOW") | await self.read(f"{n}_HIGH") << 32 for n in COUNTER_NAMES}


async def start(dut: Any, content: Any = None) -> tuple[Host, AxiRam]:
    """Clock, reset, host and memory; content: what the memory's bytes are kept in, or nothing."""
    Clock(dut.aclk, PERIOD, unit="ns").start()
    dut.aresetn.value = 0
    host = Host(dut)
    bus = AxiBus.from_prefix(dut, "m_axi")
    ram = AxiRam(bus, dut.aclk, dut.aresetn, False, size=MEMORY_BYTES, mem=content)
    for part in (ram.write_if, ram.read_if):
        part.log.setLevel(logging.ERROR)
    await reset(dut)
    return host, ram


@cocotb.test  # type: ignore[untyped-decorator]
async def lists(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    jobs: list[Job] = pickle.loads((folder / "jobs.pickle").read_bytes())
    host, ram = await start(dut)
    results = [await _run(dut, host, ram, job) for job in jobs]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


async def reset(dut: Any) -> None:
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 4)
    dut.aresetn.value = 1


async def _run(dut: Any, host: Host, ram: AxiRam, job: Job) -> Ended | None:
    rng = Random(job.seed)
    if job.stall:
        for channel in (ram.write_if.aw_channel, ram.write_if.w_channel, ram.write_if.b_channel):
            channel.set_pause_generator(_pauses(rng, job.stall))
        for channel in (ram.read_if.ar_channel, ram.read_if.r_channel):
            channel.set_pause_generator(_pauses(rng, job.stall))
    ram.write(0, job.memory)
    for name, value in job.start:
        await host.write(name, value)
    if job.after is not None:
        await ClockCycles(dut.aclk, job.after)
        await reset(dut)
        return None
    for _ in range(0, job.limit, POLL):
        await ClockCycles(dut.aclk, POLL)
        if dut.interrupt.value:
            break
    else:
        raise AssertionError(f"not ended within {job.limit} cycles; counters {await host.counters()}")
    counters = await host.counters()
    code, index = await host.read("ERROR_CODE"), await host.read("ERROR_DESCRIPTOR")
    await host.write("INTERRUPT_STATUS", 3)
    await host.write("STATUS", 6)
    return Ended(bytes(ram.read(0, len(job.memory))), code, index, counters["CYCLES"], counters)
