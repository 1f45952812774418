# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the units beside the PE arrays: runs the traffic in the folder FORESHIFT_JOB, checks every answer."""

import os
import pickle
from pathlib import Path
from random import Random
from typing import Any

import cocotb

from sim.dot_bench import edge
from sim.runner import JOB
from sim.streams import Sink, Source

QUIET_CYCLES = 100
"""Cycles after the last answer in which nothing more may come: more than any unit is deep."""


@cocotb.test  # type: ignore[untyped-decorator]
async def units(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    jobs = pickle.loads((folder / "jobs.pickle").read_bytes())
    dut.clk.value = 0
    dut.rst.value = 1
    for name in jobs[0].traffic.given:
        getattr(dut, f"{name}__valid").value = 0
    await edge(dut, [])
    dut.rst.value = 0
    results = [await run(dut, job) for job in jobs]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


async def run(dut: Any, job: Any) -> int:
    """One job; returns its cycles."""
    traffic, chance = job.traffic, Random(job.seed)
    sources = {name: Source(dut, name, items, idle=job.idle, rng=chance) for name, items in traffic.given.items()}
    sinks = {name: Sink(dut, name, stall=job.stall, rng=chance) for name in traffic.due}
    streams = (*sources.values(), *sinks.values())
    for ports in traffic.setup:
        for name, value in ports.items():
            getattr(dut, name).value = value
        await edge(dut, [])
    cycles = 0
    while any(len(sink.seen) < len(traffic.due[name]) for name, sink in sinks.items()):
        await step(dut, traffic, sources, streams)
        cycles += 1
        assert cycles < job.limit, f"{_passed(traffic, sources, sinks)} after {cycles} cycles: it stands still"
    for _ in range(QUIET_CYCLES):
        await step(dut, traffic, sources, streams)
    for name, sink in sinks.items():
        check(name, sink.seen, traffic)
    for name, source in sources.items():
        assert source.done, f"the unit must take all of {name}"
    for name in traffic.still:
        assert not int(getattr(dut, name).value), f"{name} must be 0"
    return cycles


def _passed(traffic: Any, sources: dict[str, Source], sinks: dict[str, Sink]) -> str:
    """How many payloads of each stream have passed, of how many."""
    whole = traffic.given | traffic.due
    return ", ".join(f"{name} {len(each.seen)} of {len(whole[name])}" for name, each in (sources | sinks).items())


async def step(dut: Any, traffic: Any, sources: dict[str, Source], streams: Any) -> None:
    """A cycle, with what stands beside the payloads."""
    for port, (name, values) in traffic.beside.items():
        at = len(sources[name].seen)
        if at < len(values):
            getattr(dut, port).value = values[at]
    await edge(dut, streams)


def check(name: str, seen: list[int], traffic: Any) -> None:
    """What came is what was due, where it counts."""
    due = traffic.due[name]
    assert len(seen) == len(due), f"{name}: {len(due)} answers were due, {len(seen)} came"
    care = traffic.care.get(name, [-1] * len(due))
    for number, (found, wanted, counts) in enumerate(zip(seen, due, care, strict=True)):
        wrong = (found ^ wanted) & counts
        if wrong:
            bits = traffic.lane_bits[name]
            lane = ((wrong & -wrong).bit_length() - 1) // bits
            parts = [value >> lane * bits & (1 << bits) - 1 for value in (found, wanted)]
            raise AssertionError(f"{name}: answer {number}, lane {lane} is {parts[0]}, not {parts[1]}")
