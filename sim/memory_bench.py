# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a top between memory and host (`sim.memory`): sets them up, sleeps, and looks at how it ended."""

import os
import pickle
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import First, RisingEdge, Timer

from sim.memory import CONTROL, MEMORY, breach
from sim.runner import JOB

PERIOD = 2
"""Of the clock, in ns."""
LATE = "4"
"""The answer of a step of the host that reached its limit."""


@cocotb.test  # type: ignore[untyped-decorator]
async def host(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    settings, settled, limit = pickle.loads((folder / "jobs.pickle").read_bytes())
    for name, value in settings.items():
        getattr(dut, name).value = value
    dut.dump.value = dut.ends.value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, unit="ns", impl="gpi").start()
    await Timer(5 * PERIOD, "ns")
    dut.rst.value = 0
    started = time.monotonic()
    await First(RisingEdge(dut.stops), Timer(limit * PERIOD, "ns"))
    cycles = int(dut.now.value)
    rate = cycles / (time.monotonic() - started)
    over = bool(dut.over.value)
    dut.ends.value, dut.dump.value = int(over and settled), 1
    await Timer(3 * PERIOD, "ns")
    check(dut, over, limit)
    late = [line for line in (folder / "host.out").read_text().splitlines() if line.split()[2] == LATE]
    assert not late, f"a step of the host has reached its limit: {late[0]}"
    counts = (int(dut.words_read.value), int(dut.words_written.value), cycles)
    (folder / "results.pickle").write_bytes(pickle.dumps((counts, rate)))


def check(dut: Any, over: bool, limit: int) -> None:
    for prefix in (MEMORY, CONTROL):
        rule, channel, cycle = (int(getattr(dut, f"{prefix}_{name}").value) for name in ("rule", "channel", "cycle"))
        assert not getattr(dut, f"{prefix}_broken").value, f"{prefix}, cycle {cycle}, {breach(rule, channel)}"
    assert not dut.unserved.value, "the memory serves whole words at rising addresses only"
    assert over, f"the host was not done within {limit} cycles"
