# SPDX-License-Identifier: Apache-2.0
"""The back end of SPLS and FACT in Amaranth's simulator: sums in, plans out, and when each column was taken and each
row left."""

from dataclasses import dataclass, field

import numpy as np
from amaranth.lib import data
from amaranth.sim import Simulator

from config.speculate import SpeculationConfig
from golden.speculate import spls as golden
from hdl.speculate.socket import column_layout, row_layout


@dataclass(frozen=True)
class Layer:
    """Sums int [H, T, T] and which pairs are allowed, bool [T, T], with the settings that decide about them."""

    sums: np.ndarray
    pairs: np.ndarray
    k: int
    k_similarity: int
    s: int = 64
    shift: int = 0
    causal: bool = False

    @property
    def tokens(self) -> int:
        return self.sums.shape[1]


@dataclass
class Seen:
    """Beats of `rows` as tuples (row, reference, chunk, keys, last), and cycles: in which a column was offered and not
    taken, in which each block's last column was, and in which each beat left."""

    beats: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    ends: list = field(default_factory=list)
    left: list = field(default_factory=list)


def layer_of(sums, *, k, k_similarity=None, attend=None, causal=False, **settings) -> Layer:
    tokens = sums.shape[1]
    pairs = np.ones((tokens, tokens), dtype=bool) if attend is None else np.tile(attend, (tokens, 1))
    pairs = np.tril(pairs) if causal else pairs
    return Layer(sums, pairs, k, k if k_similarity is None else k_similarity, causal=causal, **settings)


def columns_of(config: SpeculationConfig, layer: Layer) -> list[int]:
    """The transfers that the predictor makes of a layer, rows that do not exist with sums that must not matter."""
    rows, tokens, layout = config.rows, layer.tokens, column_layout(config)
    columns = []
    for sums in layer.sums:
        for block in range(-(-tokens // rows)):
            first = block * rows
            count = min(tokens, first + rows) if layer.causal else tokens
            for key in range(count):
                exists = [first + r < tokens for r in range(rows)]
                fields = {
                    "sum": [int(sums[first + r, key]) if exists[r] else -1 for r in range(rows)],
                    "valid": sum(int(exists[r] and layer.pairs[first + r, key]) << r for r in range(rows)),
                    "key": key,
                    "block": block,
                    "last": key == count - 1,
                    "shift": layer.shift,
                }
                columns.append(layout.const(fields).as_bits())
    return columns


def expected(config: SpeculationConfig, layer: Layer) -> list[tuple]:
    """The beats that the golden functions ask for."""
    beats = []
    for sums in layer.sums:
        scores = golden.shifted(sums, layer.shift, config.score_bits)
        kept = golden.top(scores, layer.pairs, layer.k)
        compared = np.where(golden.top(scores, layer.pairs, layer.k_similarity), scores, 0)
        references = golden.similar(compared, layer.s, config.similarity_window)
        for row, reference in enumerate(references.tolist()):
            if reference != row:
                beats.append((row, reference, 0, 0, 1))
                continue
            last = row // config.rows if layer.causal else (layer.tokens - 1) // config.rows
            for chunk in range(last + 1):
                part = kept[row, chunk * config.rows : (chunk + 1) * config.rows].tolist()
                beats.append((row, row, chunk, sum(int(bit) << i for i, bit in enumerate(part)), int(chunk == last)))
    return beats


def simulate(dut, config: SpeculationConfig, layers: list[Layer], *, idle=0.0, stall=0.0, rest=0, hold=0) -> list[Seen]:
    """Runs the layers one behind the other; the settings change when the last beat of a layer has left. idle, stall:
    how probable a pause is; rest: cycles without a column behind each head; hold: cycles before the first beat of a
    layer is taken."""
    rng = np.random.default_rng(0)
    results = []

    async def bench(ctx):
        for layer in layers:
            settings = {"tokens": layer.tokens, "causal": layer.causal, "k": layer.k}
            if config.method == "spls":
                settings |= {"k_similarity": layer.k_similarity, "s": layer.s, "f": 1}
            ctx.set(dut.settings, settings)
            results.append(await _run(ctx, dut, config, layer, (idle, stall, rest, hold, rng)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


async def _run(ctx, dut, config: SpeculationConfig, layer: Layer, flow) -> Seen:
    idle, stall, rest, hold, rng = flow
    items, seen, beats = columns_of(config, layer), Seen(), len(expected(config, layer))
    last = data.View(column_layout(config), dut.columns.payload.as_value()).last
    taken, standing, cycle, limit = (
        0,
        None,
        0,
        400 + hold + rest * len(layer.sums) + 8 * (len(items) + beats + layer.tokens * 16 * len(layer.sums)),
    )
    offered, pause, head = False, 0, len(items) // len(layer.sums)
    # Beats that never come are seen in the comparison.
    while cycle < limit and (len(seen.beats) < beats or taken < len(items)):
        pause = max(0, pause - 1)
        if not offered and not pause and taken < len(items) and rng.random() >= idle:
            ctx.set(dut.columns.payload.as_value(), items[taken])
            offered = True
        ctx.set(dut.columns.valid, offered)
        ctx.set(dut.rows.ready, ready := cycle >= hold and rng.random() >= stall)
        fires = False
        if offered:
            fires = ctx.get(dut.columns.ready)
            if not fires:
                seen.refused.append(cycle)
            elif ctx.get(last):
                seen.ends.append(cycle)
        standing = _take(ctx, dut, config, seen, (standing, ready, cycle))
        await ctx.tick()
        cycle += 1
        if fires:
            taken, offered = taken + 1, False
            pause = 0 if taken % head else rest + 1
    ctx.set(dut.columns.valid, 0)
    ctx.set(dut.rows.ready, 1)
    for _ in range(20):
        assert not ctx.get(dut.rows.valid), "a beat too many"
        await ctx.tick()
    return seen


def _take(ctx, dut, config, seen: Seen, now) -> int | None:
    """An offer that waits must stand unchanged."""
    standing, ready, cycle = now
    if not ctx.get(dut.rows.valid):
        assert standing is None, "an offer was withdrawn"
        return None
    pattern = ctx.get(dut.rows.payload.as_value())
    assert standing in (None, pattern), "an offer changed"
    if not ready:
        return pattern
    beat = row_layout(config).from_bits(pattern)
    seen.beats.append((beat.row, beat.reference, beat.chunk, beat["keys"], beat.last))
    seen.left.append(cycle)
    return None
