# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.execute.attention.Attention`: fills the stores and the queues, lets all items go, notes every
context."""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import cocotb

from sim.gather_bench import HALF_PERIOD, edge
from sim.runner import JOB

UNTIMED = ("settings",)
DENSE = ("rows", "x", "tile", "w")


@cocotb.test  # type: ignore[untyped-decorator]
async def jobs(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    results = [await run(dut, job) for job in pickle.loads((folder / "jobs.pickle").read_bytes())]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


async def run(dut: Any, job: Any) -> Any:
    """The cycle in which items might first go to lines, the one behind the last context, and each line's payloads."""
    rng = random.Random(job.due)
    dut.clk.value = 0
    dut.rst.value = 1
    dut.enable.value = 0
    dut.multiply.value = 1
    for name in (*job.words, *DENSE):
        getattr(dut, f"{name}__valid").value = 0
    outputs = [(getattr(dut, f"context{n}__valid"), getattr(dut, f"context{n}__payload")) for n in range(job.lines)]
    ready = [getattr(dut, f"context{n}__ready") for n in range(job.lines)]
    for each in ready:
        each.value = 1
    await edge(dut)
    dut.rst.value = 0
    now = 0
    for name, words in job.words.items():
        port, valid = getattr(dut, f"{name}__payload"), getattr(dut, f"{name}__valid")
        valid.value = 1
        for word in words:
            port.value = word
            await HALF_PERIOD
            assert name in UNTIMED or getattr(dut, f"{name}__ready").value, f"{name} must take all that the job has"
            await edge(dut)
            now += 1
        valid.value = 0
    # Until the last item is at the head of its queue.
    for _ in range(3):
        await edge(dut)
        now += 1
    started, left = now, job.due * job.groups
    seen: list[list[int]] = [[] for _ in outputs]
    dut.enable.value = 1
    while left:
        assert now < started + job.limit, f"{left} of {job.due * job.groups} beats are missing: it stands still"
        takes = [job.taken == 1 or rng.random() < job.taken for _ in ready]
        if job.taken < 1:
            for port, take in zip(ready, takes, strict=True):
                port.value = take
        await HALF_PERIOD
        for line, (valid, payload) in enumerate(outputs):
            if valid.value and takes[line]:
                seen[line].append(int(payload.value))
                left -= 1
        dut.clk.value = 1
        await HALF_PERIOD
        dut.clk.value = 0
        now += 1
    return started, now, seen
