# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.execute.gather.Gather`: fills the banks and the queues, lets all items go, notes every row."""

import os
import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from sim.runner import JOB

HALF_PERIOD = Timer(1, "ns")


async def edge(dut: Any) -> None:
    """One cycle: let everything settle, clock."""
    await HALF_PERIOD
    dut.clk.value = 1
    await HALF_PERIOD
    dut.clk.value = 0


@cocotb.test  # type: ignore[untyped-decorator]
async def jobs(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    results = [await run(dut, job) for job in pickle.loads((folder / "jobs.pickle").read_bytes())]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


async def run(dut: Any, job: Any) -> Any:
    """The cycle in which items might first go to lines, and for each cycle with rows, it, the line and the payload."""
    dut.clk.value = 0
    dut.rst.value = 1
    dut.enable.value = 0
    dut.i__valid.value = 0
    dut.write__valid.value = 0
    dut.opens.value = (1 << job.lines) - 1
    outputs = [(getattr(dut, f"o__{n}__valid"), getattr(dut, f"o__{n}__payload")) for n in range(job.lines)]
    for n in range(job.lines):
        getattr(dut, f"o__{n}__ready").value = 1
    await edge(dut)
    dut.rst.value = 0
    now = 0
    for word in job.rows:
        dut.write__payload.value = word
        dut.write__valid.value = 1
        await edge(dut)
        now += 1
    dut.write__valid.value = 0
    for word in job.items:
        dut.i__payload.value = word
        dut.i__valid.value = 1
        await HALF_PERIOD
        assert dut.i__ready.value, "the queue must take all items of the job"
        await edge(dut)
        now += 1
    dut.i__valid.value = 0
    # Until the last of them is at the head of its queue.
    for _ in range(3):
        await edge(dut)
        now += 1
    started = now
    seen: list[tuple[int, int, int]] = []
    dut.enable.value = 1
    while len(seen) < job.due:
        assert now < started + job.limit, f"{len(seen)} of {job.due} rows: it stands still"
        await HALF_PERIOD
        seen += [(now, n, int(payload.value)) for n, (valid, payload) in enumerate(outputs) if valid.value]
        dut.clk.value = 1
        await HALF_PERIOD
        dut.clk.value = 0
        now += 1
    return started, seen
