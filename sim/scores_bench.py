# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.execute.scores.Scores`: fills the stores and queues, lets all items go, notes every score."""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import cocotb

from sim.gather_bench import HALF_PERIOD, edge
from sim.runner import JOB


@cocotb.test  # type: ignore[untyped-decorator]
async def jobs(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    results = [await run(dut, job) for job in pickle.loads((folder / "jobs.pickle").read_bytes())]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


async def run(dut: Any, job: Any) -> Any:
    """The cycle in which items might first go to lines, and for each score its cycle, line and payload."""
    rng = random.Random(job.due)
    dut.clk.value = 0
    dut.rst.value = 1
    for name in ("enable", "i__valid", "write__valid", "queries__valid"):
        getattr(dut, name).value = 0
    dut.opens.value = (1 << job.lines) - 1
    outputs = [(getattr(dut, f"o__{n}__valid"), getattr(dut, f"o__{n}__payload")) for n in range(job.lines)]
    await edge(dut)
    dut.rst.value = 0
    now = 0
    for name, words in (("write", job.keys), ("queries", job.queries), ("i", job.items)):
        port, valid = getattr(dut, f"{name}__payload"), getattr(dut, f"{name}__valid")
        valid.value = 1
        for word in words:
            port.value = word
            await HALF_PERIOD
            assert getattr(dut, f"{name}__ready").value, f"{name} must take all that the job has"
            await edge(dut)
            now += 1
        valid.value = 0
    # Until the last item is at the head of its queue.
    for _ in range(3):
        await edge(dut)
        now += 1
    started = now
    seen: list[tuple[int, int, int]] = []
    dut.enable.value = 1
    while len(seen) < job.due:
        assert now < started + job.limit, f"{len(seen)} of {job.due} scores: it stands still"
        if job.opened < 1:
            dut.opens.value = sum((rng.random() < job.opened) << n for n in range(job.lines))
        await HALF_PERIOD
        seen += [(now, n, int(payload.value)) for n, (valid, payload) in enumerate(outputs) if valid.value]
        dut.clk.value = 1
        await HALF_PERIOD
        dut.clk.value = 0
        now += 1
    return started, seen
