# SPDX-License-Identifier: Apache-2.0
"""LAPA's selection against the golden rounds, behind a model of the sequencer and the array; and its cycles."""

from itertools import groupby

import numpy as np
import pytest
from amaranth.hdl import Module

from config.speculate import SpeculationConfig
from hdl.speculate.lapa import accumulate, clip, masks
from hdl.speculate.lapa.accumulate import Accumulator, Judge
from hdl.speculate.lapa.selection import LapaSelection
from hdl.speculate.socket import column_layout
from tests.speculate.lapa.sequencer import Bench, Layer

FLOWS = {
    "full speed": {},
    "gaps": {"idle": 0.3, "visit_stall": 0.4, "row_stall": 0.3},
    "rows stall": {"row_stall": 0.9},
    "visits stall, short array": {"latency": 0, "visit_stall": 0.8},
    "long array": {"latency": 30},
}
SHAPES = {
    "two rounds": ({}, 16, (128, 128), False),
    "causal, part of a block": ({}, 11, (100, 60), True),
    "causal, odd number of blocks": ({"tokens": 12}, 12, (90, 30), True),
    "one round": ({"slices": (8,)}, 14, (77,), False),
    "one round, causal": ({"slices": (8,), "tokens": 12}, 12, (128,), True),
    "three rounds": ({"slices": (2, 3, 3)}, 15, (200, 180, 77), True),
    "visited twice, first clips skipped": ({"slices": (2, 3, 3), "lanes": 2}, 12, (256, 180, 256), False),
    "visited thrice, second clip skipped": (
        {"slices": (2, 3, 3), "head_width": 5, "lanes": 2},
        9,
        (99, 256, 256),
        True,
    ),
    "nothing dropped": ({}, 16, (256, 256), False),
    "all but the maximum dropped": ({}, 16, (0, 0), True),
    "one block, two rows": ({"rows": 2, "tokens": 2}, 2, (0, 128), False),
    "one token": ({}, 1, (128, 128), False),
    "tokens no power of two": ({"tokens": 12}, 10, (140, 90), False),
}


def config_of(rows=4, tokens=16, slices=(4, 4), head_width=4, lanes=4) -> SpeculationConfig:
    return SpeculationConfig(
        method="lapa",
        rows=rows,
        lanes=lanes,
        load=1,
        tokens=tokens,
        width=8,
        heads=3,
        head_width=head_width,
        window=1,
        slices=slices,
    )


def random_layer(config: SpeculationConfig, tokens: int, eta: tuple[int, ...], causal: bool, seed: int = 1) -> Layer:
    """Two heads; a fifth of the keys may not be attended to."""
    rng = np.random.default_rng(seed)
    heads = [tuple(rng.integers(-128, 128, (2, tokens, config.head_width))) for _ in range(2)]
    return Layer(config, heads, eta, causal, rng.random(tokens) < 0.8)


def check(layer: Layer, **flow: float) -> Bench:
    bench = Bench(layer, **flow).run(LapaSelection(layer.config))
    assert bench.rows == layer.records()
    return bench


# What stops everything now and then is run for every change, the others when there is time.
FLOW_PARAMS = [
    pytest.param(flow, id=name, marks=[] if name == "gaps" else pytest.mark.long) for name, flow in FLOWS.items()
]


@pytest.mark.parametrize("flow", FLOW_PARAMS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equals_golden(shape: tuple, flow: dict) -> None:
    fields, tokens, eta, causal = shape
    check(random_layer(config_of(**fields), tokens, eta, causal), **flow)


@pytest.mark.parametrize("eta", [0, 127, 256, *(pytest.param(eta, marks=pytest.mark.long) for eta in (1, 128, 255))])
def test_adversarial_rows(eta: int) -> None:
    """Queries of zero make all sums equal, others all of them negative, or one peak, or two equal ones, up or down."""
    config, tokens = config_of(tokens=8, slices=(2, 3, 3)), 8
    q = np.zeros((tokens, 4), dtype=int)
    q[1::4], q[2::4], q[3::4] = 127, -128, (1, 0, 0, -1)
    heads = []
    for peaks in ((), (5,), (3, 6), (0, 7)):
        k = np.full((tokens, 4), -7)
        k[list(peaks)] = 127
        heads.append((q, k))
    heads.append((q, np.full((tokens, 4), -128)))
    check(Layer(config, heads, (eta, 256 - eta, eta), eta % 2 == 0), row_stall=0.2)


def test_no_key_may_be_attended_to() -> None:
    """Every list has a key all the same, and no row keeps one."""
    config = config_of(slices=(2, 3, 3))
    layer = Layer(config, random_layer(config, 13, (128,) * 3, False).heads, (128,) * 3, True, np.zeros(13, dtype=bool))
    assert not any(keys for _, _, _, keys, _ in check(layer).rows)


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 6))])
def test_random_settings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slices = [(4, 4), (2, 3, 3), (8,), (1, 7), (3, 5), (2, 2, 4)][seed]
    config = config_of(rows=int(rng.choice([2, 4, 8])), tokens=24, slices=slices)
    eta = tuple(int(value) for value in rng.integers(0, 257, len(slices)))
    layer = random_layer(config, int(rng.integers(1, 25)), eta, bool(rng.integers(2)), seed)
    check(layer, idle=rng.random() / 2, visit_stall=rng.random() / 2, row_stall=rng.random() / 2, seed=seed)


# Cycles


KEYS = 64
KEPT = {
    "all but one": np.arange(KEYS) > 0,
    "even": np.arange(KEYS) % 2 == 0,
    "first half": np.arange(KEYS) < KEYS // 2,
    "last half": np.arange(KEYS) >= KEYS // 2,
    "any half": np.random.default_rng(3).permutation(KEYS) % 2 == 0,
}
LAG = 2 + 5 + 3
"""Cycles from a block's last column until its clip fetches the first key: the sum is written, the thresholds are
found (for an eta of 128), the walk begins."""


def timed_layer(kept: str, eta: tuple[int, int], **fields) -> Layer:
    """Four blocks, in each of which every row keeps the same keys."""
    k = np.random.default_rng(0).integers(70, 127, (KEYS, 4))
    k[~KEPT[kept]] = -100
    return Layer(config_of(rows=16, tokens=KEYS, **fields), [(np.full((KEYS, 4), 64), k)], eta)


def durations(bench: Bench, config: SpeculationConfig) -> list[tuple[int, int]]:
    """Of each round of a block, which one it is and how many cycles lie between its end and that of the one before."""
    columns = [(column_layout(config).from_bits(payload), now) for now, payload in bench.taken]
    groups = groupby(columns, key=lambda column: (column[0].block, column[0].round))
    ends = [(turn, [now for _, now in group][-1]) for (_, turn), group in groups]
    return [(turn, end - before) for (turn, end), (_, before) in zip(ends[1:], ends, strict=False)]


def span(bench: Bench) -> int:
    return bench.taken[-1][0] - bench.taken[0][0] + 1


@pytest.mark.long
def test_nothing_dropped_runs_at_full_speed() -> None:
    bench = check(timed_layer("all but one", (256, 256)), latency=10)
    assert bench.cycles["held"] == 0
    assert span(bench) == bench.cycles["taken"]


@pytest.mark.long
def test_every_clip_walks_at_full_speed() -> None:
    """Nearly all keys survive, and the clips read while columns come."""
    bench = check(timed_layer("all but one", (255, 255)), latency=10)
    assert bench.cycles["held"] <= 0.01 * bench.cycles["taken"]
    assert span(bench) <= 1.02 * bench.cycles["taken"]


@pytest.mark.parametrize("kept", ["even", *(pytest.param(half, marks=pytest.mark.long) for half in list(KEPT)[2:])])
@pytest.mark.parametrize("beats", [1, 2])
def test_half_the_keys_take_half_the_cycles(beats: int, kept: str) -> None:
    """With two beats per key nothing is held up. With one, a pair's second block comes just before its clip has walked
    all keys, two a cycle, and at worst waits until it has."""
    layer = timed_layer(kept, (128, 128), lanes=4 // beats)
    took = durations(check(layer, latency=10), layer.config)
    assert [turn for turn, _ in took] == [0, 1, 1, 0, 0, 1, 1]
    assert {cycles for turn, cycles in took if turn == 0} == {beats * KEYS}
    half = [cycles for turn, cycles in took if turn == 1]
    assert set(half[::2]) == {beats * KEYS // 2}
    assert max(half[1::2]) <= beats * KEYS // 2 + (LAG - 1 if beats == 1 else 0)


def uneven_layer() -> Layer:
    """Even blocks keep one key, odd ones all others: their columns come when the walk has just begun."""
    layer = timed_layer("all but one", (128, 128))
    signs = np.where(np.arange(KEYS) // layer.config.rows % 2, 64, -64)
    layer = Layer(layer.config, [(np.repeat(signs[:, None], 4, axis=1), layer.heads[0][1])], layer.eta)
    assert [len(layer.visited(0, block)[1]) for block in range(2)] == [1, KEYS - 1]
    return layer


@pytest.mark.long
def test_columns_that_come_early_do_not_wait_for_the_whole_walk() -> None:
    """It goes back to one key a cycle, and leaves them the other memory."""
    layer = uneven_layer()
    took = durations(check(layer, latency=10), layer.config)
    assert max(cycles for turn, cycles in took if turn == 1) <= KEYS + LAG + 10


# Planted faults


class Strict(Judge):
    """Drops keys on the threshold."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.kept.eq(self.survives & (self.a > self.threshold))
        return m


@pytest.mark.parametrize("where", [accumulate, clip])
def test_strict_comparison_is_caught(where, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = random_layer(config_of(), 8, (0, 0), False)
    monkeypatch.setattr(where, "Judge", Strict)
    with pytest.raises(AssertionError):
        check(layer)


def test_unrotated_masks_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = random_layer(config_of(), 16, (100, 100), False)
    monkeypatch.setattr(masks, "rotated", lambda m, word, places, right: word)
    with pytest.raises(AssertionError):
        check(layer)


def test_a_fetch_that_takes_one_memory_of_two_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that read what the walk reads at the same time get its word."""
    layer = uneven_layer()
    monkeypatch.setattr(Accumulator, "_admit", _blind_to_pairs(Accumulator._admit))
    with pytest.raises(AssertionError):
        check(layer, latency=10)


def _blind_to_pairs(admit):
    def blind(self, m):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Accumulator, "_touches", lambda self, parity: self.fetch.key[0] == parity)
            admit(self, m)

    return blind


def test_open_fence_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head of one block: the next block may not overwrite sums that the clip of the one before still reads."""
    layer = random_layer(config_of(slices=(8,)), 4, (100,), False)
    monkeypatch.setattr(LapaSelection, "_guard", _without_fence(LapaSelection._guard))
    with pytest.raises(AssertionError):
        check(layer)


def _without_fence(guard):
    def open_(self, m, accumulate, threshold, clip):
        guard(self, m, accumulate, threshold, clip)
        m.d.comb += accumulate.fence.closed.eq(0)

    return open_
