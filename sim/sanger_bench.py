# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.speculate.sanger.unit.SangerUnit`: runs the layers in the folder FORESHIFT_JOB."""

import os
import pickle
import time
from pathlib import Path
from random import Random
from typing import Any

import cocotb

from hdl.speculate.socket import record_layout
from sim.dot_bench import edge
from sim.runner import JOB
from sim.speculation import record_of
from sim.speculation_bench import QUIET_CYCLES, Beat
from sim.streams import Sink, Source, Stepping

INPUTS = ("settings", "k", "q", "exponent")


@cocotb.test  # type: ignore[untyped-decorator]
async def sanger_layers(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    config, jobs = pickle.loads((folder / "jobs.pickle").read_bytes())
    dut.clk.value = 0
    dut.rst.value = 1
    for name in INPUTS:
        getattr(dut, f"{name}__valid").value = 0
    await edge(dut, [])
    dut.rst.value = 0
    results = [await run(dut, config, job) for job in jobs]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


async def run(dut: Any, config: Any, job: Any) -> tuple[int, int, float]:
    """One layer; returns cycles, busy cycles and seconds."""
    chance = Random(job.seed)
    beats = {name: Beat(pattern) for name, pattern in job.rests.items()}
    sources = {
        name: Source(
            dut, name, job.payloads[name], idle=0.5 if name in beats else job.idle, rng=beats.get(name, chance)
        )
        for name in INPUTS
    }
    o = Sink(dut, "o", stall=0.5 if "o" in beats else job.stall, rng=beats.get("o", chance))
    streams: list[Stepping] = [*sources.values(), o]
    cycles = busy = 0
    started = time.perf_counter()
    while len(o.seen) < len(job.records):
        await edge(dut, streams)
        for beat in beats.values():
            beat.cycle += 1
        if sources["k"].seen:
            cycles += 1
            busy += int(dut.busy.value)
        assert cycles < job.limit, f"{len(o.seen)} of {len(job.records)} records after {cycles} cycles: it stands still"
    seconds = time.perf_counter() - started
    for _ in range(QUIET_CYCLES):
        await edge(dut, streams)
    layout = record_layout(config.plan)
    assert len(o.seen) == len(job.records), f"{len(job.records)} records were due, {len(o.seen)} came"
    for number, (found, due) in enumerate(zip(o.seen, job.records, strict=True)):
        assert found == due, f"record {number} is {record_of(layout, found)}, not {record_of(layout, due)}"
    for name, source in sources.items():
        assert source.done, f"the unit must take all of {name}"
    return cycles, busy, seconds
