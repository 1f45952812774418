# SPDX-License-Identifier: Apache-2.0
"""Parts of SpAtten's unit by themselves, and its configuration."""

from dataclasses import replace

import numpy as np
import pytest

from config.errors import Refusal
from config.spatten import LARGEST_SHARE, SpattenConfig
from config.speculate import SpattenSettings
from golden.arith.top import top
from golden.execute.softmax import Softmax
from golden.speculate.plan import share_left
from hdl.speculate.spatten.cut import Cut
from hdl.speculate.spatten.places import Places
from hdl.speculate.spatten.token_sums import TokenSums
from tests.arith import simulate
from tests.speculate.spatten.layers import POWER, TINY


def test_places_are_the_golden_ones():
    """Of every count that a unit may be given, and every share."""
    dut, found = Places(TINY.tokens), []
    given = [(count, drop) for count in range(TINY.tokens + 1) for drop in (*range(0, 256, 7), 1, 128, 254, 255)]

    async def bench(context):
        for count, drop in given:
            context.set(dut.count, count)
            context.set(dut.drop, drop)
            context.set(dut.start, 1)
            await context.tick()
            context.set(dut.start, 0)
            for _ in range(dut.latency - 1):
                assert not context.get(dut.done)
                await context.tick()
            assert context.get(dut.done)
            found.append(context.get(dut.o))

    simulate.run(dut, bench)
    counts, drops = np.array(given).T
    due = [int(np.clip(share_left(count, drop), 1, None)) for count, drop in zip(counts, drops, strict=True)]
    assert found == due


def cut_of(config, rows):
    """What a `Cut` keeps of each row of sums, [chunks, rows], with the flags of those allowed and the places; each must
    take the cycles that it is said to take."""
    dut, found = Cut(config), []

    async def bench(context):
        for sums, allowed, places in rows:
            kept = np.zeros_like(allowed)
            context.set(dut.last_chunk, len(sums) - 1)
            context.set(dut.places, places)
            context.set(dut.start, 1)
            asked, cycles = None, 0
            while True:
                if asked is not None:
                    context.set(dut.words, sums[asked].tolist())
                    context.set(dut.allowed, int(allowed[asked] @ (1 << np.arange(config.rows))))
                asked = context.get(dut.at) if context.get(dut.read) else None
                if context.get(dut.put):
                    kept[context.get(dut.put_at)] = [context.get(dut.kept) >> i & 1 for i in range(config.rows)]
                done = context.get(dut.done)
                await context.tick()
                context.set(dut.start, 0)
                if done:
                    break
                cycles += 1
            assert cycles == (config.digits + 1) * (len(sums) + 4)
            found.append(kept)

    simulate.run(dut, bench)
    return found


def test_cut_is_the_golden_top():
    """Random sums, few different ones, sums that differ in one digit alone, ends of the range; any places."""
    rng, rows, most = np.random.default_rng(1), [], (1 << 4 * TINY.digits) - 1
    for number in range(60):
        shape = (int(rng.integers(1, TINY.blocks + 1)), TINY.rows)
        sums = [
            rng.integers(0, most + 1, shape),
            rng.choice(rng.integers(0, most + 1, 3), shape),
            rng.integers(0, 16, shape) << 4 * int(rng.integers(TINY.digits)),
            rng.choice([0, most], shape),
        ][number % 4]
        allowed = rng.random(shape) < rng.choice([0, 0.5, 2], p=[0.1, 0.5, 0.4])
        rows.append((sums, allowed, int(rng.integers(1, sums.size + 1))))
    for (sums, allowed, places), kept in zip(rows, cut_of(TINY, rows), strict=True):
        due = top(sums.reshape(1, -1), allowed.reshape(1, -1), places).reshape(sums.shape)
        assert np.array_equal(kept, due), (sums, allowed, places)


def sums_of(config, layers):
    """The sums of each chunk behind all layers: of each, codes [R, T], totals [R] and which rows count."""
    dut = TokenSums(config)
    found = []

    async def bench(context):
        chunks = layers[0][0].shape[-1] // config.rows
        context.set(dut.last_chunk, chunks - 1)
        for chunk in range(chunks):
            context.set(dut.read_at, chunk)
            context.set(dut.clear, 1)
            await context.tick()
        context.set(dut.clear, 0)
        for codes, totals, attend in layers:
            assert context.get(dut.fed)
            context.set(dut.start, 1)
            await context.tick()
            context.set(dut.start, 0)
            beats = codes.reshape(-1, config.rows).tolist()
            rows = [
                {"total": int(total), "attend": int(counts), "last": n == len(codes) - 1}
                for n, (total, counts) in enumerate(zip(totals, attend, strict=True))
            ]
            while rows or beats or not context.get(dut.fed):
                context.set(dut.totals.valid, bool(rows))
                context.set(dut.codes.valid, bool(beats))
                if rows:
                    context.set(dut.totals.payload, rows[0])
                if beats:
                    context.set(dut.codes.payload, beats[0])
                takes = context.get(dut.totals.ready) and bool(rows), context.get(dut.codes.ready) and bool(beats)
                await context.tick()
                if takes[0]:
                    rows.pop(0)
                if takes[1]:
                    beats.pop(0)
        context.set(dut.read, 1)
        for chunk in range(chunks):
            context.set(dut.read_at, chunk)
            await context.tick()
            found.extend(context.get(word) for word in dut.words)

    simulate.run(dut, bench)
    return found


@pytest.mark.parametrize("chunks", [1, 2, 4])
def test_token_sums_are_the_golden_shares(chunks):
    """Totals at both ends and at each power of two, every code; rows that count and rows that do not."""
    rng, layers, due = np.random.default_rng(chunks), [], np.zeros(chunks * TINY.rows, int)
    for _ in range(2):
        ends = [POWER << n for n in range(5)] + [(POWER << n) - 1 for n in range(1, 5)] + [0]
        totals = np.array(ends + rng.integers(POWER, 16 * POWER + 1, 20).tolist())
        codes = np.where(totals[:, None] == 0, 0, rng.integers(0, 256, (len(totals), len(due))))
        codes[0] = 255
        attend = rng.random(len(totals)) < 0.8
        attend[:5] = True
        layers.append((codes, totals, attend))
        due += (Softmax(codes, totals[:, None]).shares * attend[:, None]).sum(0)
    assert sums_of(TINY, layers) == due.tolist()


ILLEGAL = {
    "rows": [0, 1, 3, 256],
    "lanes": [0, -1, 257],
    "tokens": [0, 1, 18, 8200],
    "heads": [0, 129],
    "head_width": [0, 257, 2.0],
    "layers": [0, 129, "4"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ILLEGAL for value in ILLEGAL[name]])
def test_illegal_units_are_refused(name, value):
    with pytest.raises(Refusal, match=r"(?s)^\w.* must .*not .*; .*\.$") as refused:
        replace(TINY, **{name: value})
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"causal": True}, r"^causal must be False, not True, as .*; prune a causal model by the golden model\.$"),
        ({"values": 3}, r"^values must be 0, not 3, as .*; leave values out by the golden model\.$"),
        ({"tokens": (0,) * 5, "heads": (0,) * 5}, r"^tokens must hold shares for at most 4 layers, not 5; build .*\.$"),
    ],
)
def test_batches_that_no_unit_prunes_are_refused(wrong, said):
    with pytest.raises(Refusal, match=said):
        TINY.check(SpattenSettings(**wrong))


def test_widths():
    config = SpattenConfig()
    assert LARGEST_SHARE == 65280
    assert (config.blocks, config.head_chunks, config.head_slices, config.name) == (8, 1, 1, "spatten_16x32")
    # 65280 · 128 · 12 · 6 and 128 · 32 · 128 · 6 are in them.
    assert (config.token_sum_bits, config.head_sum_bits, config.digits) == (30, 22, 8)
