# SPDX-License-Identifier: Apache-2.0
"""The dot-product unit in the second simulator, Amaranth's own: what Verilator sees of the Verilog, from its source."""

from collections import deque

import numpy as np
import pytest
from amaranth.sim import Simulator

from config.array import ArrayConfig, number_system
from golden.speculate import array as golden
from hdl.speculate.unit import DotUnit
from sim import dot
from sim.packing import unpack


def simulate(unit, job):
    """Payloads of stream o. An offer stands until it is taken; otherwise each source idles, and the sink stalls, at
    random."""
    rng = np.random.default_rng(0)
    sources = [(unit.w, deque(job.w)), (unit.x, deque(job.x))]
    seen = []

    async def bench(ctx):
        for _ in range(job.limit // 8):
            for stream, items in sources:
                if items and not ctx.get(stream.valid) and rng.random() >= job.idle:
                    ctx.set(stream.payload.as_value(), items[0])
                    ctx.set(stream.valid, 1)
            ctx.set(unit.o.ready, rng.random() >= job.stall)
            taken = [items for stream, items in sources if ctx.get(stream.valid & stream.ready)]
            if ctx.get(unit.o.valid & unit.o.ready):
                seen.append(ctx.get(unit.o.payload.as_value()))
            await ctx.tick()
            for stream, items in sources:
                if any(items is done for done in taken):
                    items.popleft()
                    ctx.set(stream.valid, 0)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert [len(items) for _, items in sources] == [0, 0]
    return seen


@pytest.mark.parametrize("system", ["hlog", "aloc", "int8"])
def test_equals_golden(system):
    config = ArrayConfig(number_system(system), rows=2, lanes=3, depth=4, terms=7)
    rng = np.random.default_rng(11)
    x, w = rng.integers(-128, 128, (4, 7)), rng.integers(-128, 128, (3, 7))
    job = dot._job(config, x, w, dot.Flow(idle=1 / 3, stall=1 / 3), 0)
    totals = unpack(simulate(DotUnit(config), job), config.acc_bits, config.rows)
    y = totals.reshape(-1, len(x), config.rows).transpose(1, 0, 2).reshape(len(x), -1)[:, : len(w)]
    np.testing.assert_array_equal(y, golden.dot(x, w, config.system))
