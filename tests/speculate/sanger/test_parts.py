# SPDX-License-Identifier: Apache-2.0
"""Parts of Sanger's unit by themselves, and its configuration."""

from dataclasses import replace

import numpy as np
import pytest

from config.errors import Refusal
from config.requantise import MAX_SHIFT, MUL_BITS
from config.sanger import SangerConfig
from golden.execute.softmax import powers_of
from golden.speculate.sanger import likely
from hdl.speculate.sanger.bound import Bound
from hdl.speculate.sanger.exponents import Exponents
from hdl.speculate.sanger.selection import Verdict
from tests.arith import simulate
from tests.speculate.sanger.layers import TINY

MULS = sorted({0, 1, 2, 3, 40_000, *(1 << n for n in range(MUL_BITS)), *((1 << n) - 1 for n in range(1, MUL_BITS + 1))})


def test_exponents_give_the_powers_of_the_exact_scores():
    """Every shift, and each end of mul: of scores that are 256 times as far apart."""
    dut, found = Exponents(), []
    given = [(mul, shift) for shift in range(1, MAX_SHIFT + 1) for mul in MULS]

    async def bench(context):
        for mul, shift in given:
            context.set(dut.i.payload, {"mul": mul, "shift": shift})
            context.set(dut.i.valid, 1)
            assert context.get(dut.i.ready)
            await context.tick()
            context.set(dut.i.valid, 0)
            assert context.get(dut.known)
            assert not context.get(dut.i.ready)
            context.set(dut.turn, 1)
            await context.tick()
            context.set(dut.turn, 0)
            context.set(dut.load, 1)
            assert not context.get(dut.known)
            await context.tick()
            context.set(dut.load, 0)
            found.append((context.get(dut.o.mul), context.get(dut.o.shift)))

    simulate.run(dut, bench)
    scores = -np.array([0, 1, 2, 3, 5, 88, 1407, 1408, 2815, 4096])
    kept = np.ones(len(scores), bool)
    for (mul, shift), (mul4, shift4) in zip(given, found, strict=True):
        assert 1 <= shift4 <= MAX_SHIFT - 8
        exact = powers_of(scores << 8, kept, np.array(mul), np.array(shift))
        assert powers_of(scores, kept, np.array(mul4), np.array(shift4)).tolist() == exact.tolist(), (mul, shift)


def bounds(config, rows, threshold):
    """What a `Bound` finds for rows of chunks of powers, one behind the other, and how late it is."""
    dut, found = Bound(config), []
    chunks = [(chunk, n == len(row) - 1) for row in rows for n, chunk in enumerate(row)]

    async def bench(context):
        context.set(dut.threshold, threshold)
        for cycle in range(len(chunks) + dut.latency + 1):
            enters = cycle < len(chunks)
            context.set(dut.enter, enters)
            if enters:
                context.set(dut.powers, chunks[cycle][0])
                context.set(dut.last, chunks[cycle][1])
            if context.get(dut.done):
                found.append((cycle - dut.latency, context.get(dut.bound)))
            await context.tick()

    simulate.run(dut, bench)
    ends = np.cumsum([len(row) for row in rows]) - 1
    assert [cycle for cycle, _ in found] == ends.tolist()
    return [bound for _, bound in found]


@pytest.mark.parametrize("threshold", [0, 1, 131, 16384, 65535])
def test_bounds_and_verdicts_are_the_golden_ones(threshold):
    rng = np.random.default_rng(threshold)
    rows = []
    for number in range(40):
        row = rng.integers(0, (1 << 21) + 1, (int(rng.integers(1, TINY.blocks + 1)), TINY.rows))
        row = row >> rng.integers(0, 22, row.shape) if number % 2 else row
        row[rng.random(row.shape) < 0.2] = 0
        row.flat[rng.integers(row.size)] = 1 << 21
        rows.append(row)
    # The smallest and the largest totals that there are.
    rows += [np.zeros((1, TINY.rows), int), np.full((TINY.blocks, TINY.rows), 1 << 21)]
    found = bounds(TINY, [row.tolist() for row in rows], threshold)
    due = [min(threshold * int(row.sum()) >> 16, (1 << 21) - 1) for row in rows]
    assert found == due
    powers = np.concatenate(rows)
    each = np.repeat(found, [len(row) for row in rows])
    kept = simulate.evaluate(Verdict(TINY), "kept", powers=packed(powers), bound=each)
    expected = np.concatenate([likely(row.reshape(-1), threshold).reshape(row.shape) for row in rows])
    assert kept.tolist() == (expected @ (1 << np.arange(TINY.rows))).tolist()


def packed(powers):
    """Chunks as patterns."""
    return [sum(int(power) << (22 * i) for i, power in enumerate(chunk)) for chunk in powers]


ILLEGAL = {
    "rows": [0, 1, 3, 256],
    "load": [0, 3, 16],
    "lanes": [0, -1, 257],
    "tokens": [0, 1, 18, 8200],
    "heads": [0, 129],
    "head_width": [0, 257, 2.0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ILLEGAL for value in ILLEGAL[name]])
def test_illegal_units_are_refused(name, value):
    with pytest.raises(Refusal, match=r"(?s)^\w.* must .*not .*; .*\.$") as refused:
        replace(TINY, **{name: value})
    assert name in str(refused.value)


def test_widths():
    config = SangerConfig()
    assert (config.blocks, config.head_slices, config.name) == (8, 1, "sanger_16x32")
    # 32 · (-8)² is in it.
    assert config.sum_bits == 13
    assert config.array.depth == 2
    assert replace(config, lanes=16).array.depth == 128
