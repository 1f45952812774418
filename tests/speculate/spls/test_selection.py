# SPDX-License-Identifier: Apache-2.0
"""The back end of SPLS, and of FACT, against the golden model: every shape of scores, every flow, every length."""

import numpy as np
import pytest

from config.speculate import SpeculationConfig
from hdl.speculate.spls import keep, scan, selection
from hdl.speculate.spls.selection import SplsSelection
from tests.speculate.spls.bench import Layer, expected, layer_of, simulate

FLOWS = [
    pytest.param(idle, stall, id=f"idle {idle} stall {stall}", marks=[] if idle and stall else pytest.mark.long)
    for idle in (0.0, 0.4)
    for stall in (0.0, 0.6)
]


def config_of(**fields) -> SpeculationConfig:
    shape = {"rows": 4, "tokens": 16, "window": 4, "score_bits": 5, "lanes": 8, "load": 1, "width": 16, "head_width": 8}
    return SpeculationConfig(**shape | fields)


def layers_of(config: SpeculationConfig, seed: int = 3) -> list[Layer]:
    """Random scores, most of them ties, and whatever could be taken wrongly."""
    rng = np.random.default_rng(seed)
    most, high = config.tokens, 1 << (config.score_bits - 1)

    def few(tokens, heads=1, values=3):
        return rng.integers(-values, values, (heads, tokens, tokens))

    def clipped(sums):
        return np.clip(sums, -(1 << (config.sum_bits - 1)), (1 << (config.sum_bits - 1)) - 1)

    def wide(tokens, heads=1, factor=1):
        return clipped(rng.integers(-2 * high, 2 * high, (heads, tokens, tokens)) * factor)

    odd = max(1, most - config.rows // 2 - 1)
    alternating = np.tile(np.where(np.arange(most) % 2, high - 1, -high), (1, most, 1))
    peaks = wide(most) // 4
    peaks[:, :, 1], peaks[:, :, most - 1] = high - 1, high - 1
    families = clipped(np.repeat(wide(most, 1)[:, ::2], 2, axis=1)[:, :most] + few(most, values=2))
    return [
        layer_of(wide(most, 2), k=min(5, most), k_similarity=min(3, most), s=200),
        layer_of(families, k=min(4, most), s=256),
        layer_of(np.full((1, most, most), -1), k=min(3, most), s=0),
        layer_of(peaks, k=1),
        layer_of(alternating, k=most // 2, k_similarity=1),
        layer_of(few(odd), k=most, k_similarity=most, s=128),
        layer_of(few(odd, 2), k=min(3, most), causal=True, s=90),
        layer_of(wide(most, factor=40), k=min(2, most), shift=5, attend=rng.random(most) < 0.4, s=150),
        layer_of(few(odd), k=min(5, most), attend=np.zeros(odd, dtype=bool)),
        layer_of(wide(most, 2), k=min(6, most), k_similarity=1, causal=True, attend=rng.random(most) < 0.7, s=256),
        layer_of(few(1, 3), k=1),
    ]


def check(config: SpeculationConfig, layers: list[Layer], *, idle=0.0, stall=0.0, rest=0, hold=0, dut=None) -> list:
    dut = dut or SplsSelection(config)
    seen = simulate(dut, config, layers, idle=idle, stall=stall, rest=rest, hold=hold)
    for layer, got in zip(layers, seen, strict=True):
        assert got.beats == expected(config, layer)
    return seen


@pytest.mark.parametrize(("idle", "stall"), FLOWS)
def test_equals_golden(idle: float, stall: float) -> None:
    config = config_of()
    check(config, layers_of(config), idle=idle, stall=stall)


def test_holds_what_nobody_takes() -> None:
    """Longer than it has room for: then it takes no more columns, and loses nothing."""
    config = config_of()
    seen = check(config, layers_of(config), hold=300)
    assert seen[0].refused


@pytest.mark.parametrize(
    "fields",
    [
        {"window": 1},
        {"method": "fact"},
        {"method": "fact", "rows": 2, "tokens": 2, "score_bits": 4},
        pytest.param({"method": "fact", "tokens": 12, "score_bits": 16, "head_width": 1}, marks=pytest.mark.long),
        pytest.param({"window": 2, "score_bits": 4}, marks=pytest.mark.long),
        {"rows": 2, "tokens": 2, "window": 2, "score_bits": 4},
        {"rows": 2, "tokens": 4, "window": 1, "score_bits": 8},
        {"rows": 8, "tokens": 8, "window": 8, "score_bits": 4},
        pytest.param({"rows": 4, "tokens": 12, "window": 4, "score_bits": 6}, marks=pytest.mark.long),
        pytest.param({"rows": 4, "tokens": 8, "score_bits": 16, "head_width": 1}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_equals_golden_in_other_shapes(fields: dict) -> None:
    config = config_of(**fields)
    check(config, layers_of(config), idle=0.1, stall=0.3)


def test_the_layers_decide_both_ways() -> None:
    """Among the layers above are rows of either kind, and rows whose nearest critical row is not the first one."""
    config = config_of()
    beats = [beat for layer in layers_of(config) for beat in expected(config, layer)]
    distances = {row - reference for row, reference, *_ in beats}
    assert distances == {0, 1, 2, 3}
    assert {row % 4 for row, reference, *_ in beats if row != reference and reference % 4} >= {2, 3}


# Cycles


def at_full_speed(config: SpeculationConfig, *shapes: tuple[int, int], s: int, causal=False, rest=0):
    """What is seen of layers of so many tokens and heads, and the unit."""
    rng = np.random.default_rng(5)
    high = 1 << (config.score_bits - 1)
    sums = [rng.integers(-high, high, (heads, tokens, tokens)) for tokens, heads in shapes]
    dut = SplsSelection(config)
    layers = [layer_of(one, k=max(1, one.shape[1] // 8), s=s, causal=causal) for one in sums]
    return check(config, layers, rest=rest, dut=dut), dut


def test_takes_a_column_every_cycle() -> None:
    """Heads of full length behind each other; a head that is shorter by one block, and one of half the length."""
    config = config_of()
    layers, _ = at_full_speed(config, (16, 4), (8, 1), (4, 1), s=0)
    assert [seen.refused for seen in layers] == [[]] * 3


@pytest.mark.parametrize("window", [4, pytest.param(8, marks=pytest.mark.long)])
@pytest.mark.parametrize("tokens", [4, 8, 12, 16])
def test_takes_a_column_every_cycle_of_causal_heads(tokens: int, window: int) -> None:
    """Their first rows have fewer chunks than a decision takes cycles; between heads the array works on the next K̂ and
    Q̂, twice the sequence at least."""
    rows = max(4, window)
    config = config_of(rows=rows, tokens=4 * rows, window=window)
    shape = (tokens * rows // 4, 3)
    (seen,), _ = at_full_speed(config, shape, s=0, causal=True, rest=2 * shape[0])
    assert seen.refused == []


def test_latency() -> None:
    """From a block's last column to the last beat of its last row, which is critical: the block's rows start one behind
    the other, and the last one's chunks pass, are decided about, and are sent."""
    config = config_of()
    (seen,), dut = at_full_speed(config, (16, 4), s=0)
    start = 2 + (config.rows - 1) * config.blocks
    assert seen.left[-1] - seen.ends[-1] == start + dut.stay + 2 * (config.blocks - 1)


@pytest.mark.long
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("tokens", [128, 96, 32, 16])
def test_minilm_shape(tokens: int, causal: bool) -> None:
    """The largest preset's shape: golden, without a pause."""
    config = SpeculationConfig(rows=16, tokens=128, window=8, score_bits=4, width=64, head_width=8)
    (seen,), _ = at_full_speed(config, (tokens, 2), s=40, causal=causal, rest=2 * tokens)
    assert seen.refused == []


# Wrong rules, which the comparison must catch


@pytest.mark.parametrize("method", ["spls", "fact"])
def test_tie_to_the_higher_column_is_caught(method: str, monkeypatch) -> None:
    monkeypatch.setattr(keep, "_running", lambda flags, right=keep._running: [n + 1 for n in right(flags)[:-1]] + [0])
    config = config_of(method=method)
    with pytest.raises(AssertionError):
        check(config, layers_of(config)[2:4])


def test_distance_of_another_row_is_caught(monkeypatch) -> None:
    right = scan._selected
    monkeypatch.setattr(scan, "_selected", lambda chosen, values: right(chosen, values[::-1]))
    config = config_of()
    with pytest.raises(AssertionError):
        check(config, layers_of(config)[:2])


def test_selection_for_attention_in_place_of_that_for_comparison_is_caught(monkeypatch) -> None:
    def compare(self, m, queue, platform, right=SplsSelection._compare):
        right(self, m, queue, platform)
        m.d.comb += self._topk.k[1].eq(self.settings.k)

    monkeypatch.setattr(selection.SplsSelection, "_compare", compare)
    config = config_of()
    with pytest.raises(AssertionError):
        check(config, layers_of(config)[:1])
