# SPDX-License-Identifier: Apache-2.0
"""Sanger's unit: its records in Verilator against the golden plan, whatever layers and streams do."""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Cat, Module

from config import presets
from config.errors import Refusal
from config.sanger import SangerConfig
from config.speculate import SangerSettings
from hdl.emit import verilog
from hdl.speculate.sanger import selection
from hdl.speculate.sanger.unit import SangerUnit
from sim import dot, minilm, runner, sanger
from sim.dot import Rhythm
from sim.sanger_bench import INPUTS
from tests.speculate.sanger import layers
from tests.speculate.test_random_units import lint

FLOWS = [*dot.FLOWS.values(), dot.Flow(stall=0.9)]


def test_the_preset_is_what_the_tests_take():
    assert presets.sanger("tiny") == layers.TINY


def test_equals_golden():
    """One unit, layer after layer without a reset: lengths, masks, thresholds, shapes, all ways of flow control."""
    given = [(layers.any_layer(layers.TINY, seed), FLOWS[seed % len(FLOWS)]) for seed in range(40)]
    lengths = {layer.q.shape[1] for layer, _ in given}
    assert {tokens % 4 for tokens in lengths} == {0, 1, 2, 3}
    assert 16 in lengths
    assert len(sanger.run(layers.TINY, given)) == len(given)


def test_edges():
    """Every end of the threshold, causal and not, on rows whose powers are equal or halves of each other; a row of one
    key; rows of none."""
    given = []
    for threshold, causal in product((*layers.EDGES, 131), (False, True)):
        one = layers.equal(layers.TINY, 13, threshold)
        given += [
            replace(one, settings=replace(one.settings, causal=causal)),
            layers.halves(threshold=threshold),
            layers.layer(layers.TINY, threshold, 16, threshold=threshold, causal=causal),
            layers.layer(layers.TINY, threshold, 1, threshold=threshold, causal=causal),
        ]
        alone = np.arange(9) == threshold % 9
        given += [layers.layer(layers.TINY, 1, 9, threshold=threshold, causal=causal, attend=each) for each in
                  (alone, np.zeros(9, bool))]  # fmt: skip
    results = sanger.run(layers.TINY, [(layer, dot.FULL_SPEED) for layer in given])
    assert results[0].plan.mask.all()
    assert results[5].plan.counts.scores == 0
    assert results[1].plan.counts.scores == 5 * 3


class NotBelow(selection.Verdict):
    """Keeps what is not below the bound, for what is above it."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.kept.eq(Cat(power[-1] | (power >= self.bound) for power in self.powers))
        return m


def test_a_share_that_is_the_threshold_is_not_kept(monkeypatch):
    """Of the row's quarters, and with a threshold just below them; a unit that kept them would be found out."""
    right, below = layers.halves(), layers.halves(threshold=16383)
    results = sanger.run(layers.TINY, [(right, dot.FULL_SPEED), (below, dot.FULL_SPEED)])
    assert [result.plan.counts.scores for result in results] == [5, 15]
    monkeypatch.setattr(selection, "Verdict", NotBelow)
    wrong = runner.build(verilog(SangerUnit(layers.TINY), layers.TINY.name), layers.TINY.name)
    monkeypatch.setattr(sanger, "build", lambda _: wrong)
    sanger.run(layers.TINY, below)
    with pytest.raises(runner.SimulationError, match=r"record 0 is \{'kind': 0"):
        sanger.run(layers.TINY, right)


SHAPES = {
    "slices": SangerConfig(rows=4, lanes=3, load=4, tokens=12, heads=1, head_width=8),
    "one block": SangerConfig(rows=8, lanes=5, load=1, tokens=8, heads=3, head_width=3),
    "two rows": SangerConfig(rows=2, lanes=1, load=1, tokens=6, heads=2, head_width=2),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(shape):
    config = SHAPES[shape]
    given = [(layers.any_layer(config, 60 + seed), FLOWS[seed % len(FLOWS)]) for seed in range(15)]
    sanger.run(config, given)


def any_config(seed):
    """A small legal unit."""
    rng = np.random.default_rng([20_262, seed])
    rows = int(rng.choice([2, 4, 8]))
    return SangerConfig(
        rows=rows,
        lanes=int(rng.integers(1, 9)),
        load=int(rng.choice([load for load in (1, 2, 4, 8) if load <= rows])),
        tokens=rows * int(rng.integers(1, 24 // rows + 1)),
        heads=int(rng.integers(1, 4)),
        head_width=int(rng.integers(1, 11)),
    )


UNITS = 12


@pytest.mark.long
@pytest.mark.parametrize("seed", range(UNITS))
def test_any_unit(seed, tmp_path):
    """Whatever `SangerConfig` allows lints clean and equals the golden plans."""
    config = any_config(seed)
    assert lint(config, sanger.build(config) / f"{config.name}.v", tmp_path) == "", config
    given = [(layers.any_layer(config, 100 + seed * 7 + n), FLOWS[(seed + n) % len(FLOWS)]) for n in range(7)]
    sanger.run(config, given)


def test_there_is_everything_among_them():
    configs = [any_config(seed) for seed in range(UNITS)]
    assert {config.blocks == 1 for config in configs} == {True, False}
    assert {config.head_slices == 1 for config in configs} == {True, False}
    assert {config.load == config.rows for config in configs} == {True, False}
    assert {config.tokens & config.tokens - 1 == 0 for config in configs} == {True, False}


def test_lints_clean(tmp_path):
    config = layers.TINY
    assert lint(config, sanger.build(config) / f"{config.name}.v", tmp_path) == ""


@pytest.mark.parametrize(
    ("length", "together"),
    [(3, 1), pytest.param(4, 1, marks=pytest.mark.long), pytest.param(2, 5, marks=pytest.mark.long)],
)
def test_every_rhythm(length, together):
    """Every pattern of so many cycles on so many of the streams, the others never rest: no deadlock, the same records,
    and no more time than the slowest stream's."""
    names, config = (*INPUTS, "o"), SHAPES["two rows"]
    patterns = [bits for bits in product((0, 1), repeat=length) if not all(bits)]
    chosen = [
        Rhythm(0.9, 0.9, tuple(zip(names[first : first + together], bits, strict=True)))
        for first in range(len(names) - together + 1)
        for bits in product(patterns, repeat=together)
    ]
    layer = layers.layer(config, 5, 5, threshold=9000)
    results = sanger.run(config, [(layer, rhythm) for rhythm in chosen])
    assert not any(any(bits) for _, bits in chosen[0].rests)
    assert max(result.cycles for result in results) <= length * results[0].cycles


CORNERS = {"o_waits", "key_not_attended", "causal", "ring_full", "queries_wait", "keys_wait", "key_not_there_yet"} | {
    "small_shift", "exponent_beyond", "chunk_without_keys", "power_at_the_bound", "flat_row", "key_dropped",
    "kept_below_the_largest",
}  # fmt: skip


def test_layers_reach_every_corner(monkeypatch):
    counts: Counter[str] = Counter()
    # More heads than are kept at once.
    run, config = runner.run, replace(layers.TINY, heads=4)

    def counted(folder, top, bench, work, settings):
        run(folder, top, bench, work, settings)
        counts.update(runner.reached(folder, top, work))

    folder = runner.build(verilog(SangerUnit(config), config.name, corners=True), config.name, coverage=True)
    monkeypatch.setattr(sanger, "build", lambda _: folder)
    monkeypatch.setattr(runner, "run", counted)
    given = [(layers.any_layer(config, 200 + seed), FLOWS[seed % len(FLOWS)]) for seed in range(40)]
    sanger.run(config, [*given, (layers.halves(), dot.FULL_SPEED)])
    assert set(counts) == CORNERS
    assert {name for name, count in counts.items() if not count} == set()
    text = verilog(SangerUnit(config), config.name)
    assert "corner" not in text


def test_a_layer_of_minilm():
    """All heads of a layer, its exact Q and K on a real sentence as long as the unit can take: the array must be busy,
    from the first key to the last record. A head more takes what the array takes for it."""
    config = presets.sanger("minilm")
    integers, seen = minilm.tensors(minilm.token_ids(config.plan), 2, k=45, k_similarity=13, s=100, f=8)
    exponent = integers.exponent.map(np.ravel)
    q, k, attend, settings = seen["q"], seen["k"], np.ones(config.tokens, bool), SangerSettings()
    whole = sanger.Layer(q, k, attend, exponent, settings)
    fewer = sanger.Layer(q[:-1], k[:-1], attend, exponent.map(lambda each: each[:-1]), settings)
    results = sanger.run(config, [(whole, dot.FULL_SPEED), (fewer, dot.FULL_SPEED)])
    assert 0.1 < results[0].plan.counts.scores / q.shape[0] / config.tokens**2 < 0.6
    assert results[0].busy_share >= 0.94
    assert results[0].cycles - results[1].cycles == 8 * (128 + 4)
    assert results[0].busy - results[1].busy == 8 * 128


def test_a_layer_that_does_not_fit():
    for wrong in ({"tokens": 17}, {"heads": 3}, {"width": 5}):
        with pytest.raises(
            Refusal, match=r"^The layer must have at most 16 tokens, .* at most 4, not .*; build a unit for it"
        ):
            sanger.run(layers.TINY, layers.layer(layers.TINY, 0, **({"tokens": 4} | wrong)))
