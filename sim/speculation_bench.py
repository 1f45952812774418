# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.speculate.speculation.SpeculationUnit`: runs the layers in the folder FORESHIFT_JOB."""

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
from sim.streams import Sink, Source

QUIET_CYCLES = 100
"""Cycles after the last record in which nothing more may come."""


@cocotb.test  # type: ignore[untyped-decorator]
async def layers(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    config, jobs = pickle.loads((folder / "jobs.pickle").read_bytes())
    dut.clk.value = 0
    dut.rst.value = 1
    for name in ("settings", "x", "w", "scale"):
        getattr(dut, f"{name}__valid").value = 0
    await edge(dut, [])
    dut.rst.value = 0
    results = [await run(dut, config, job) for job in jobs]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


class Beat:
    """In place of chance: in each cycle, whether a stream rests, by its pattern; draws below one half if it does."""

    def __init__(self, pattern: tuple[int, ...]) -> None:
        self._pattern = pattern
        self.cycle = 0

    def random(self) -> float:
        return 0.0 if self._pattern[self.cycle % len(self._pattern)] else 1.0


async def run(dut: Any, config: Any, job: Any) -> tuple[int, int, float]:
    """One layer; returns cycles, busy cycles and seconds."""
    chance, given = Random(job.seed), job.payloads
    beats = {name: Beat(pattern) for name, pattern in job.rests.items()}
    answers: list[int] = []
    uses_weights = config.method != "dense"
    settings, x, scale, w = (
        Source(dut, name, items, idle=0.5 if name in beats else job.idle, rng=beats.get(name, chance))
        for name, items in (
            ("settings", given.settings),
            ("x", given.x),
            ("scale", given.scale if uses_weights else []),
            # Answers are given to what was asked for.
            ("w", answers),
        )
    )
    o, address = (
        Sink(dut, name, stall=0.5 if name in beats else job.stall, rng=beats.get(name, chance))
        for name in ("o", "address")
    )
    streams = (settings, x, scale, w, o, address)
    cycles = busy = 0
    started = time.perf_counter()
    while len(o.seen) < len(job.records):
        await edge(dut, streams)
        for beat in beats.values():
            beat.cycle += 1
        if x.seen:
            cycles += 1
            busy += int(dut.busy.value)
        asked = len(address.seen)
        if asked > len(answers):
            wanted = given.addresses[asked - 1]
            assert address.seen[-1] == wanted, f"address {asked - 1} is {address.seen[-1]:#x}, not {wanted:#x}"
            answers.append(given.w[asked - 1])
        assert cycles < job.limit, f"{len(o.seen)} of {len(job.records)} records after {cycles} cycles: it stands still"
    seconds = time.perf_counter() - started
    for _ in range(QUIET_CYCLES):
        await edge(dut, streams)
    layout = record_layout(config)
    assert len(o.seen) == len(job.records), f"{len(job.records)} records were due, {len(o.seen)} came"
    for number, (found, due) in enumerate(zip(o.seen, job.records, strict=True)):
        assert found == due, f"record {number} is {record_of(layout, found)}, not {record_of(layout, due)}"
    assert x.done, "the unit must take all of X"
    assert scale.done, "the unit must take every scale"
    assert len(address.seen) == len(given.addresses) * uses_weights, "the unit must ask for every weight"
    assert w.done, "the unit must take every weight it asked for"
    return cycles, busy, seconds
