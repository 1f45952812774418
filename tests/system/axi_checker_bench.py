# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `sim/rtl/axi_checker.sv`: plays traces to it, and notes what it says of each."""

import os
import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from sim.axi import PAYLOADS
from sim.runner import JOB
from tests.system.axi_traces import Trace, cycle

NAMES = [letters + name for letters, names in PAYLOADS.items() for name in ("valid", "ready", *names)]


@cocotb.test
async def traces(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    jobs: list[Trace] = pickle.loads((folder / "jobs.pickle").read_bytes())
    (folder / "results.pickle").write_bytes(pickle.dumps([await play(dut, trace) for trace in jobs]))


async def play(dut: Any, trace: Trace) -> tuple[int, ...]:
    dut.lite.value, dut.data_first.value, dut.patience.value = trace.lite, trace.data_first, trace.patience or 0
    dut.ends.value = 0
    for wires in (cycle() | {"reset": 1}, cycle() | {"reset": 1}, *trace.cycles):
        dut.rst.value = wires["reset"]
        for name in NAMES:
            getattr(dut, name).value = wires.get(name, 0) or 0
        # Nothing is left at the end of what is sound; what breaks before its end is not looked at there.
        dut.ends.value = int(wires is trace.cycles[-1] and trace.settled and trace.rule in ("", "owed"))
        dut.clk.value = 0
        await Timer(1, "ns")
        dut.clk.value = 1
        await Timer(1, "ns")
    return tuple(int(getattr(dut, name).value) for name in ("broken", "rule", "channel", "cycle"))
