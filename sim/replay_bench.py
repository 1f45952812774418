# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a unit between files (`sim.replay`): lets its sources begin, step by step, waits for its sinks."""

import os
import pickle
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import First, RisingEdge, Timer

from sim.runner import JOB

PERIOD = 2
"""Of the clock, in ns."""


@cocotb.test  # type: ignore[untyped-decorator]
async def replay(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    job = pickle.loads((folder / "jobs.pickle").read_bytes())
    streams = job["streams"]
    for name in streams.inputs:
        getattr(dut, name).value = 0
    for source in streams.sources:
        getattr(dut, f"go_{source}").value = 0
    for sink in streams.sinks:
        getattr(dut, f"due_{sink}").value = job["due"][sink]
    dut.idle.value, dut.stall.value, dut.rst.value = job["idle"], job["stall"], 1
    Clock(dut.clk, PERIOD, unit="ns").start()
    await Timer(5 * PERIOD, "ns")
    dut.rst.value = 0
    started = time.monotonic()
    end = Timer(job["limit"] * PERIOD, "ns")
    for sources, inputs in job["steps"]:
        for name, value in inputs.items():
            getattr(dut, name).value = value
        for source in sources:
            getattr(dut, f"go_{source}").value = 1
        for source in sources:
            over = getattr(dut, f"over_{source}")
            if not over.value:
                await First(RisingEdge(over), end)
                assert over.value, f"{source} was not taken within {job['limit']} cycles"
    if not dut.full.value:
        await First(RisingEdge(dut.full), end)
    cycles = int(dut.now.value)
    assert dut.full.value, f"not everything that is due came within {job['limit']} cycles"
    rate = cycles / (time.monotonic() - started)
    first = {source: int(getattr(dut, f"first_{source}").value) for source in streams.sources}
    (folder / "results.pickle").write_bytes(pickle.dumps((first, cycles, rate)))
