# SPDX-License-Identifier: Apache-2.0
"""Multiplier with summands: exhaustive where it is small, ends and random ones where it is not; stages hold."""

import itertools
import random

import pytest
from amaranth.hdl import Cat, Value

from hdl.arith.multiply import MultiplyAdd
from tests.arith import simulate


def products(dut: MultiplyAdd, rows: list[tuple[int, ...]], *, pause: bool = False) -> list[int]:
    """o for each row of a, b and the addends; with `pause`, all stages stand still at random."""
    rng = random.Random(len(rows))
    ports = [getattr(dut, name) for name in ("a", "b", *(f"addend{i}" for i in range(len(rows[0]) - 2)))]
    numbers = simulate.patterns(zip(*rows, strict=True), [len(Value.cast(port)) for port in ports])
    seen: list[int] = []

    async def bench(context):
        sent = 0
        while len(seen) < len(rows):
            moves = not pause or rng.random() < 0.5
            shown = numbers[sent] if moves and sent < len(rows) else rng.getrandbits(len(Cat(ports)))
            context.set(Cat(ports), shown)
            context.set(dut.enable, -1 if moves else 0)
            if moves and sent >= dut.latency:
                seen.append(context.get(dut.o))
            sent += moves
            await context.tick()

    simulate.run(dut, bench)
    return seen


def wrapped(value: int, bits: int) -> int:
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


@pytest.mark.parametrize("signed_b", [False, True])
def test_every_small_product(signed_b: bool) -> None:
    dut = MultiplyAdd(a_bits=3, b_bits=3, bits=7, signed_b=signed_b, addends=(3,), constant=5)
    b = range(-4, 4) if signed_b else range(8)
    rows = list(itertools.product(range(-4, 4), b, range(-4, 4)))
    assert products(dut, rows) == [wrapped(x * y + z + 5, 7) for x, y, z in rows]


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize(
    ("a_bits", "b_bits", "bits", "signed_b", "addends", "constant"),
    [
        (16, 10, 27, False, (26,), 1),
        (26, 26, 52, True, (), 0),
        (41, 10, 51, False, (51, 33), 1),
        (18, 17, 35, False, (), 1 << 16),
        (16, 1, 17, False, (), -3),
    ],
)
def test_wide_products(a_bits, b_bits, bits, signed_b, addends, constant, pause) -> None:
    rng = random.Random(a_bits)
    dut = MultiplyAdd(a_bits=a_bits, b_bits=b_bits, bits=bits, signed_b=signed_b, addends=addends, constant=constant)
    ranges = [(-(1 << (width - 1)), (1 << (width - 1)) - 1) for width in (a_bits, b_bits, *addends)]
    if not signed_b:
        ranges[1] = (0, (1 << b_bits) - 1)
    rows = [*itertools.product(*ranges), *(tuple(rng.randint(*ends) for ends in ranges) for _ in range(100))]
    expected = [wrapped(row[0] * row[1] + sum(row[2:]) + constant, bits) for row in rows]
    assert products(dut, rows, pause=pause) == expected
