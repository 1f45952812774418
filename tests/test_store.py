# SPDX-License-Identifier: Apache-2.0
"""Memories, in one piece and in banks, beside a list."""

import random

import pytest
from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.sim import Simulator

from hdl.emit import verilog
from hdl.store import BANK_WORDS, Store, bank_words

CYCLES = 4000


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("depth", [1, 5, BANK_WORDS, BANK_WORDS + 1, 2 * BANK_WORDS + 76, 20 * BANK_WORDS])
def test_is_a_list(depth: int, parts: int) -> None:
    """A word read stays until the next one is; read and written in one cycle, at other places, across banks as well."""
    shape = data.ArrayLayout(unsigned(8), 2)
    dut, rng = Store(depth, shape, parts), random.Random(depth)
    words: dict[int, int] = {}

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        stored, known = 0, False
        for _ in range(CYCLES):
            # Near each other, so that what was written is read, and near the seams of banks.
            seam = rng.randrange(0, depth, BANK_WORDS)
            at, other = (min(max(seam + rng.randrange(-4, 4), 0), depth - 1) for _ in range(2))
            word, mask, reads = rng.getrandbits(16), rng.getrandbits(parts), rng.random() < 0.5
            reads = reads and at != other and other in words
            ctx.set(dut.write, mask)
            ctx.set(dut.write_at, at)
            ctx.set(dut.word.as_value(), word)
            ctx.set(dut.read, reads)
            ctx.set(dut.read_at, other)
            if known:
                assert ctx.get(dut.stored.as_value()) == stored
            await ctx.tick()
            if reads:
                stored, known = words[other], True
            for part in range(parts):
                bits = ((1 << 16 // parts) - 1) << (16 // parts * part)
                if mask >> part & 1 and (at in words or mask == (1 << parts) - 1):
                    words[at] = words.get(at, 0) & ~bits | word & bits
        assert known or depth == 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_banks_are_memories_of_their_own() -> None:
    text = str(verilog(Store(2 * BANK_WORDS + 76, unsigned(8)), "store"))
    depths = sorted(int(line.split("[")[2].split(":")[0]) + 1 for line in text.splitlines() if "] memory" in line)
    assert depths == [76, BANK_WORDS, BANK_WORDS]


def test_a_deep_one_has_deep_banks() -> None:
    assert [bank_words(depth) for depth in (1, 16 * BANK_WORDS, 16 * BANK_WORDS + 1)] == [512, 512, 1024]
    text = str(verilog(Store(4000 * BANK_WORDS, unsigned(2)), "store"))
    assert sum("] memory" in line and "reg" in line for line in text.splitlines()) == 16


def test_a_shallow_one_is_one_memory() -> None:
    text = str(verilog(Store(BANK_WORDS, unsigned(8)), "store"))
    assert sum("] memory" in line and "reg" in line for line in text.splitlines()) == 1
    assert "read_at ==" not in text
