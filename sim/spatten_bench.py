# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.speculate.spatten.unit.SpattenUnit`: runs the batches in the folder FORESHIFT_JOB."""

import os
import pickle
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import cocotb

from hdl.speculate.socket import record_layout
from hdl.speculate.spatten.layouts import total_layout
from sim.dot_bench import edge
from sim.runner import JOB
from sim.speculation import record_of
from sim.speculation_bench import QUIET_CYCLES, Beat
from sim.streams import Sink, Source, Stepping

INPUTS, OUTPUTS = ("settings", "attend", "totals", "codes", "context"), ("alive", "o")


@cocotb.test  # type: ignore[untyped-decorator]
async def spatten_batches(dut: Any) -> None:
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


async def run(dut: Any, config: Any, job: Any) -> list[tuple[int, int, int]]:
    """One batch; returns, of each layer, cycles of its cut, of its plan, and of its sums."""
    chance = Random(job.seed)
    beats = {name: Beat(pattern) for name, pattern in job.rests.items()}

    def chances(name: str, share: float) -> tuple[float, Any]:
        return (0.5, beats[name]) if name in beats else (share, chance)

    sources: dict[str, Source] = {}
    sinks: dict[str, Sink] = {}
    for name in INPUTS:
        idle, rng = chances(name, job.idle)
        sources[name] = Source(dut, name, job.payloads[name], idle=idle, rng=rng)
    for name in OUTPUTS:
        stall, rng = chances(name, job.stall)
        sinks[name] = Sink(dut, name, stall=stall, rng=rng)
    streams: list[Stepping] = [*sources.values(), *sinks.values()]
    due = {"alive": job.alive, "o": job.records}
    # What had gone through each stream after each cycle.
    progress: dict[str, list[int]] = {name: [] for name in ("settings", "codes", *OUTPUTS)}
    wanted = {name: sum(map(len, layers)) for name, layers in due.items()}
    cycles = 0
    while any(len(sinks[name].seen) < wanted[name] for name in OUTPUTS) or not all(s.done for s in sources.values()):
        await edge(dut, streams)
        for beat in beats.values():
            beat.cycle += 1
        for name, counts in progress.items():
            counts.append(len((sinks[name] if name in sinks else sources[name]).seen))
        cycles += 1
        assert cycles < job.limit, (
            f"{len(sinks['o'].seen)} of {wanted['o']} records after {cycles} cycles: it stands still; taken are "
            f"{ ({name: len(source.seen) for name, source in sources.items()}) }"
        )
    for _ in range(QUIET_CYCLES):
        await edge(dut, streams)
    _check(config, job, sinks)
    return _cycles(config, job, progress)


def _check(config: Any, job: Any, sinks: dict[str, Sink]) -> None:
    layout = record_layout(config.plan)
    chunks = [(layer, number, chunk) for layer, due in enumerate(job.alive) for number, chunk in enumerate(due)]
    for (layer, number, wanted), found in zip(chunks, sinks["alive"].seen, strict=True):
        assert found == wanted, f"chunk {number} of alive tokens of layer {layer} is {found:#x}, not {wanted:#x}"
    records = [(layer, number, record) for layer, due in enumerate(job.records) for number, record in enumerate(due)]
    for (layer, number, wanted), found in zip(records, sinks["o"].seen, strict=True):
        assert found == wanted, (
            f"record {number} of layer {layer} is {record_of(layout, found)}, not {record_of(layout, wanted)}"
        )


def _cycles(config: Any, job: Any, progress: dict[str, list[int]]) -> list[tuple[int, int, int]]:
    """Cycles between transfers, of each layer."""

    def when(name: str, count: int) -> int:
        """The cycle in which so many transfers have been."""
        return next(cycle for cycle, seen in enumerate(progress[name]) if seen >= count)

    ends = list(accumulate(map(len, job.records)))
    firsts = [0, *accumulate(map(len, job.alive))][:-1]
    top, totals = total_layout(config).size - 1, job.payloads["totals"]
    chunks = len(job.payloads["codes"]) // len(totals)
    rows = [0, *(chunks * (number + 1) for number, total in enumerate(totals) if total >> top)]
    found = []
    for layer, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        taken, offered, last = when("settings", layer + 1), when("alive", first + 1), when("o", end)
        sums = when("codes", rows[layer + 1]) - when("codes", rows[layer] + 1) + 1
        found.append((offered - taken, last - offered + 1, sums))
    return found
