# SPDX-License-Identifier: Apache-2.0
"""The skewed buffer: columns in, chunks of rows out."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.speculate.transpose import SkewedBuffer


@pytest.mark.parametrize(("rows", "depth"), [(2, 2), (4, 12), (8, 16)])
def test_rows_of_what_was_written_as_columns(rows: int, depth: int) -> None:
    """Reads at random while columns are written over the ones before; a read that pauses keeps its words."""
    dut = SkewedBuffer(rows=rows, bits=6, depth=depth)
    rng = np.random.default_rng(rows)
    stored = np.zeros((depth, rows), dtype=np.int64)

    async def bench(ctx):
        shown = None
        for cycle in range(6 * depth):
            position, column = cycle % depth, rng.integers(0, 64, rows)
            ctx.set(dut.write, 1)
            ctx.set(dut.position, position)
            ctx.set(dut.column, column.tolist())
            row, chunk, reads = int(rng.integers(rows)), int(rng.integers(depth // rows)), bool(rng.integers(2))
            ctx.set(dut.read, reads)
            ctx.set(dut.row, row)
            ctx.set(dut.chunk, chunk)
            if reads and cycle >= depth:
                shown = stored[chunk * rows : (chunk + 1) * rows, row].copy()
            await ctx.tick()
            stored[position] = column
            if shown is not None:
                assert [ctx.get(word) for word in dut.words] == shown.tolist()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
