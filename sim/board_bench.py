# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a board (`sim.board`): lets it go, and waits until its host is done."""

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
FULL = 256


@cocotb.test  # type: ignore[untyped-decorator]
async def board(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    weather, limit = pickle.loads((folder / "jobs.pickle").read_bytes())
    dut.stall.value, dut.latency.value = round(FULL * weather.stall), weather.latency
    dut.bad_read.value, dut.bad_write.value = weather.bad_read, weather.bad_write
    dut.rst.value, dut.go.value = 1, 0
    Clock(dut.clk, PERIOD, unit="ns").start()
    await Timer(5 * PERIOD, "ns")
    dut.rst.value, dut.go.value = 0, 1
    started = time.monotonic()
    await First(RisingEdge(dut.done), RisingEdge(dut.failed), Timer(limit * PERIOD, "ns"))
    await Timer(PERIOD, "ns")
    cycles = int(dut.now.value)
    assert not dut.failed.value, f"a rule of the bus is broken in cycle {cycles}; see the lines above"
    assert dut.done.value, f"the host is not done after {limit} cycles"
    (folder / "results.pickle").write_bytes(pickle.dumps((cycles, cycles / (time.monotonic() - started))))
