# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.speculate.unit.DotUnit`: runs the jobs in the folder FORESHIFT_JOB, checks every total."""

import os
import pickle
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from sim.dot_model import expected
from sim.packing import unpack
from sim.runner import JOB
from sim.streams import Sink, Source, Stepping

HALF_PERIOD = Timer(1, "ns")
QUIET_CYCLES = 40
"""Cycles after the last result in which nothing more may come: more than any array is deep."""


async def edge(dut: Any, streams: Iterable[Stepping]) -> None:
    """One cycle: drive, let everything settle, sample, clock."""
    for stream in streams:
        stream.drive()
    await HALF_PERIOD
    for stream in streams:
        stream.sample()
    dut.clk.value = 1
    await HALF_PERIOD
    dut.clk.value = 0
    for stream in streams:
        if isinstance(stream, Source):
            stream.after_edge()


@cocotb.test  # type: ignore[untyped-decorator]
async def jobs(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    results = [await run(dut, work) for work in pickle.loads((folder / "jobs.pickle").read_bytes())]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


async def run(dut: Any, work: Any) -> tuple[Any, int, float]:
    """Run one job from reset; returns the totals, and the cycles and seconds they took."""
    config, rng = work.config, Random(work.seed)
    w = Source(dut, "w", work.w, idle=work.idle, rng=rng)
    x = Source(dut, "x", work.x, idle=work.idle, rng=rng)
    o = Sink(dut, "o", stall=work.stall, rng=rng)
    dut.clk.value = 0
    dut.rst.value = 1
    await edge(dut, [])
    dut.rst.value = 0
    started, cycles = time.perf_counter(), 0
    while len(o.seen) < work.results:
        await edge(dut, (w, x, o))
        cycles += 1
        assert cycles < work.limit, f"{len(o.seen)} of {work.results} results after {cycles} cycles: it stands still"
    seconds = time.perf_counter() - started
    for _ in range(QUIET_CYCLES):
        await edge(dut, (w, x, o))
    totals, lasts = expected(config, w.seen, x.seen)
    bits = config.acc_bits
    found = unpack(o.seen, bits, config.rows)
    assert w.done, "the unit must take all weights that are offered"
    assert x.done, "the unit must take all beats that are offered"
    assert len(found) == len(totals), f"{len(totals)} results were due, {len(found)} came"
    wrong = np.argwhere(found != totals)
    assert not len(wrong), (
        f"{len(wrong)} of {totals.size} totals are wrong; result {wrong[0][0]}, row {wrong[0][1]}: "
        f"{found[tuple(wrong[0])]}, not {totals[tuple(wrong[0])]}"
    )
    assert [payload >> (bits * config.rows) for payload in o.seen] == lasts, "`last` must be that of the beat"
    return found, cycles, seconds
