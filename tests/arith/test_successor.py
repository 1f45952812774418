# SPDX-License-Identifier: Apache-2.0
"""The next number: of every small one, whatever stood before it, as soon as it is promised."""

import random

import pytest

from hdl.arith.successor import Successor
from tests.arith import simulate


@pytest.mark.parametrize(("bits", "longest"), [(7, 3), (6, 3), (5, 8), (1, 1)])
def test_every_number(bits: int, longest: int) -> None:
    dut, rng = Successor(bits, longest), random.Random(1)
    numbers = [*range(1 << bits), *(rng.getrandbits(bits) for _ in range(300))]

    async def bench(context) -> None:
        for number in numbers:
            context.set(dut.value, number)
            await context.tick().repeat(dut.latency)
            assert context.get(dut.o) == (number + 1) % (1 << bits)

    simulate.run(dut, bench)


@pytest.mark.parametrize("number", [0, (1 << 57) - 1, (1 << 33) - 1, (1 << 11) - 1, 0x123456789ABCDE])
def test_wide_numbers(number: int) -> None:
    dut = Successor(57)
    assert dut.latency == 6

    async def bench(context) -> None:
        for before in (0, (1 << 57) - 1):
            context.set(dut.value, before)
            await context.tick().repeat(dut.latency)
            context.set(dut.value, number)
            await context.tick().repeat(dut.latency)
            assert context.get(dut.o) == (number + 1) % (1 << 57)

    simulate.run(dut, bench)


def test_says_when_it_moves() -> None:
    """Nothing but the slices behind a change works, and what is there stays there."""
    dut, rng = Successor(12, 4), random.Random(2)

    async def bench(context) -> None:
        number = 0
        for _ in range(200):
            context.set(dut.moves, 0)
            await context.tick().repeat(dut.latency + rng.randrange(3))
            assert context.get(dut.o) == (number + 1) % (1 << 12)
            context.set(dut.moves, 1)
            await context.tick()
            number = rng.choice([rng.getrandbits(12), (1 << 12) - 1, 0xFF, 0])
            context.set(dut.value, number)

    simulate.run(dut, bench)


def test_without_a_change_nothing_is_added() -> None:
    dut = Successor(12, 4)

    async def bench(context) -> None:
        context.set(dut.moves, 0)
        await context.tick().repeat(dut.latency + 2)
        context.set(dut.value, 41)
        await context.tick().repeat(dut.latency + 2)
        assert context.get(dut.o) == 1

    simulate.run(dut, bench)
