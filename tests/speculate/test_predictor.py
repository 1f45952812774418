# SPDX-License-Identifier: Apache-2.0
"""The predictor: columns of scores against the golden model, in Amaranth's simulator."""

from collections import deque
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from amaranth.sim import Simulator

from config.speculate import SpeculationConfig
from golden.speculate import lapa, operands
from golden.speculate.array import dot
from hdl.speculate.predictor import Predictor
from sim.layer import payloads
from tests.speculate import layers

SHAPES = {
    "plain": {"rows": 4, "lanes": 4, "load": 2, "tokens": 8, "width": 10, "heads": 2, "head_width": 4},
    "groups": {"rows": 2, "lanes": 8, "load": 1, "tokens": 6, "width": 8, "heads": 2, "head_width": 5},
    "slices": {"rows": 4, "lanes": 3, "load": 4, "tokens": 8, "width": 5, "heads": 3, "head_width": 7},
}
# What has the most in it for every change, the others when there is time.
CASES = [
    ("slices", 0.4),
    *(
        pytest.param(shape, idle, marks=pytest.mark.long)
        for shape, idle in product(SHAPES, (0, 0.4))
        if shape != "slices"
    ),
    pytest.param("slices", 0, marks=pytest.mark.long),
]


class Bench:
    """Plays all that is outside of a predictor; `columns` as they came, fields by name."""

    def __init__(self, predictor, jobs, idle, visit=()):
        self.predictor, self.jobs, self.idle = predictor, jobs, idle
        self.visit = visit
        self.columns, self.addresses, self.busy, self.cycles = [], [], 0, 0

    async def run(self, ctx):
        for number, job in enumerate(self.jobs):
            await self._layer(ctx, job, self.visit[number] if self.visit else [])

    async def _layer(self, ctx, job, visit):
        p, rng = self.predictor, np.random.default_rng(3)
        ctx.set(p.settings.as_value(), job.settings[0])
        ctx.set(p.start, 1)
        await ctx.tick()
        ctx.set(p.start, 0)
        feeds = [(p.x, deque(job.x)), (p.scale, deque(job.scale)), (p.visit, deque(visit))]
        weights, asked = deque(job.w), 0
        quiet = 0
        while quiet < 80:
            assert self.cycles < 20_000, "it stands still"
            quiet = 0 if ctx.get(p.active) else quiet + 1
            for stream, items in [*feeds, (p.w, weights)]:
                may = items and (stream is not p.w or len(job.w) - len(weights) < asked)
                if may and not ctx.get(stream.valid) and rng.random() >= self.idle:
                    ctx.set(
                        stream.payload.as_value() if hasattr(stream.payload, "as_value") else stream.payload, items[0]
                    )
                    ctx.set(stream.valid, 1)
            ctx.set(p.o.ready, rng.random() >= self.idle)
            ctx.set(p.address.ready, rng.random() >= self.idle)
            if ctx.get(p.address.valid & p.address.ready):
                self.addresses.append(ctx.get(p.address.payload.as_value()))
                asked += 1
            if ctx.get(p.o.valid & p.o.ready):
                column = p.o.payload
                fields = {name: ctx.get(getattr(column, name)) for name, _ in column.shape() if name != "sum"}
                self.columns.append({"sum": [ctx.get(total) for total in column.sum], **fields})
            self.busy += ctx.get(p.busy)
            taken = [items for stream, items in [*feeds, (p.w, weights)] if ctx.get(stream.valid & stream.ready)]
            streams = [stream for stream, items in [*feeds, (p.w, weights)] if ctx.get(stream.valid & stream.ready)]
            await ctx.tick()
            self.cycles += 1
            for stream, items in zip(streams, taken, strict=True):
                items.popleft()
                ctx.set(stream.valid, 0)
        assert not weights
        assert not any(items for _, items in feeds)


def simulate(config, given, idle, visit=()):
    jobs = [payloads(config, layer) for layer in given]
    predictor = Predictor(config)
    bench = Bench(predictor, jobs, idle, visit)
    simulator = Simulator(predictor)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench.run)
    simulator.run()
    assert bench.addresses == [address for job in jobs for address in job.addresses]
    return bench


def expected(config, layer):
    """Q̂, K̂ and allowed pairs of each head."""
    given = {"bq": layer.bq, "bk": layer.bk, "attend": layer.attend}
    found = operands.predicted(layer.x, layer.wq, layer.wk, layer.settings, config.array.system, **given)
    for head in range(len(layer.wq)):
        yield found.q[head], found.k[head], found.pairs[0]


def check(config, column, q, k, pairs, block, key):
    """A column against Q̂ and the K̂, or the part of it, that it is to be made of."""
    rows = np.arange(block * config.rows, (block + 1) * config.rows)
    valid = [bool(row < len(q) and pairs[row, key]) for row in rows]
    assert (column["block"], column["key"]) == (block, key)
    assert [bool(column["valid"] >> i & 1) for i in range(config.rows)] == valid
    system = config.array.system
    sums = dot(q, k, system) if config.method == "spls" else dot(k, q, system).T
    for row, found, counts in zip(rows, column["sum"], valid, strict=True):
        assert not counts or found == sums[row, key]


def keys_of(config, layer, block):
    last = (block + 1) * config.rows if layer.settings.causal else len(layer.x)
    return list(range(min(last, len(layer.x))))


@pytest.mark.parametrize(("shape", "idle"), CASES)
@pytest.mark.parametrize("method", ["spls", "fact"])
def test_columns_of_top_k(method, shape, idle):
    config = SpeculationConfig(method, window=1, **SHAPES[shape])
    attend = np.arange(5) != 1
    given = [
        layers.layer(config, 1, config.tokens),
        layers.layer(config, 2, 5, causal=True, attend=attend),
        layers.layer(replace(config, heads=1, width=config.lanes), 3, 1),
        layers.layer(replace(config, heads=2, head_width=3, width=config.lanes - 1), 7, 5),
    ]
    columns = deque(simulate(config, given, idle).columns)
    for layer in given:
        for head, (q, k, pairs) in enumerate(expected(config, layer)):
            for block in range(-(-len(layer.x) // config.rows)):
                keys = keys_of(config, layer, block)
                for key in keys:
                    column = columns.popleft()
                    check(config, column, q, k, pairs, block, key)
                    assert column["last"] == (key == keys[-1])
                    assert column["shift"] == layer.settings.scale(head).score_shift
    assert not columns


def lapa_order(config, layer, lists):
    """(block, round, keys) in the order of the tiles; `lists`: what later rounds visit."""
    blocks = -(-len(layer.x) // config.rows)
    eta = layer.settings.eta
    rounds = max([1, *(i + 1 for i in range(1, config.rounds) if eta[i] != 256)])
    for pair in range(0, blocks, 2):
        for number in range(rounds):
            for block in range(pair, min(pair + 2, blocks)):
                yield block, number, keys_of(config, layer, block) if number == 0 else lists(block, number), rounds


@pytest.mark.parametrize(("shape", "idle"), CASES)
def test_lapa_columns(shape, idle):
    config = SpeculationConfig("lapa", slices=(4, 2, 2), **SHAPES[shape])
    given = [
        layers.layer(config, 4, config.tokens, eta=(128, 128, 128)),
        layers.layer(replace(config, heads=1, width=config.lanes), 5, 5, causal=True, eta=(10, 256, 256)),
        layers.layer(replace(config, heads=2, head_width=3), 6, 3, eta=(10, 128, 256)),
    ]

    def lists(block, number):
        return [0] if number == 2 else [0, 1 + block % 2]

    visits = [
        [
            key | (key == keys[-1]) << (config.tokens - 1).bit_length()
            for _ in layer.wq
            for _, number, keys, _ in lapa_order(config, layer, lists)
            if number
            for _ in range(config.head_slices)
            for key in keys
        ]
        for layer in given
    ]
    columns = deque(simulate(config, given, idle, visits).columns)
    for layer in given:
        for q, k, pairs in expected(config, layer):
            parts = lapa.sliced(k, config.slices)
            for block, number, keys, rounds in lapa_order(config, layer, lists):
                for key in keys:
                    column = columns.popleft()
                    check(config, column, q, parts[number], pairs, block, key)
                    assert column["last"] == (key == keys[-1])
                    assert (column["round"], column["slot"]) == (number, block % 2)
                    assert (column["first"], column["final"]) == (number == 0, number == rounds - 1)
    assert not columns
