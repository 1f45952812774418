# SPDX-License-Identifier: Apache-2.0
"""SpAtten's unit: its plans in Verilator against the golden cascade, whatever layers and streams do."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Module

from config import presets
from config.errors import Refusal
from config.spatten import SpattenConfig
from config.speculate import SpattenSettings
from golden.models import integer
from golden.models.minilm import ARCHITECTURE, embed_batch, layer_weights
from hdl.emit import verilog
from hdl.speculate.spatten import cut
from hdl.speculate.spatten.unit import SpattenUnit
from sim import dot, minilm, runner, spatten
from sim.dot import Rhythm
from sim.spatten_bench import INPUTS, OUTPUTS
from tests.speculate.spatten import layers
from tests.speculate.test_random_units import lint

FLOWS = [*dot.FLOWS.values(), dot.Flow(stall=0.9)]
NOTHING = (0, 0, 0, 0)


def test_the_preset_is_what_the_tests_take():
    assert presets.spatten("tiny") == layers.TINY


def test_equals_golden():
    """One unit, batch after batch without a reset: lengths, padding, shares, orders of rows, all flow control."""
    given = [(layers.any_batch(layers.TINY, seed), FLOWS[seed % len(FLOWS)]) for seed in range(40)]
    assert {len(batch.attend) % 4 for batch, _ in given} == {0, 1, 2, 3}
    assert {len(batch.layers) for batch, _ in given} == {1, 2, 3, 4}
    assert {batch.attend.all() for batch, _ in given} == {True, False}
    assert len(spatten.run(layers.TINY, given)) == len(given)


def cascade(observe, tokens=NOTHING, heads=NOTHING, attend=None, shuffle=None, length=13):
    attend = np.ones(length, bool) if attend is None else attend
    return spatten.batch(SpattenSettings(tokens=tokens, heads=heads), attend, 2, observe, shuffle)


def left(batch):
    """Tokens and heads that each layer has."""
    masks = [plan.mask for plan, _ in batch.layers]
    return [(int(mask.any((0, 1)).sum()), int(mask.any((1, 2)).sum())) for mask in masks]


def test_edges():
    """Nothing dropped, all but one, a half at once; a sequence of one token, of one block, of all; one token that is no
    padding, and none; sums that are all equal, all 0, and as large as they can be."""
    few, half = (0, 255, 255, 255), (0, 128, 128, 128)
    seen = layers.anything(3, 2, 4)
    alone = np.arange(9) == 6
    given = [
        cascade(seen),
        cascade(seen, few, few),
        cascade(seen, half, half),
        cascade(seen, few, half, length=1),
        cascade(seen, half, few, length=4),
        cascade(seen, (0, 0, 0, 255), (0, 0, 0, 255), length=16),
        cascade(seen, half, half, attend=alone),
        cascade(seen, half, half, attend=np.zeros(9, bool)),
        cascade(layers.equal(4), half, half, length=16),
        cascade(layers.equal(4, code=0, value=0), (0, 64, 128, 200), half, length=16),
        cascade(layers.equal(4, code=0, value=0), (0, 64, 128, 200), half, length=16, shuffle=1),
    ]
    assert left(given[0]) == [(13, 2)] * 4
    assert left(given[1])[1:] == [(1, 1)] * 3
    assert left(given[2])[1:] == [(6, 1)] * 3
    assert left(given[6]) == [(1, 2), *[(1, 1)] * 3]
    assert left(given[7]) == [(0, 0)] * 4
    assert left(given[9]) == [(16, 2), (12, 1), (8, 1), (3, 1)]
    spatten.run(layers.TINY, [(batch, dot.FULL_SPEED) for batch in given])


class FromTheTop(cut.Ranks):
    """Counts the flags above each one, so that on equal sums the higher place of a chunk wins."""

    def elaborate(self, platform):
        m = Module()
        rows = len(self.i)
        m.d.comb += [self.o[n].eq(sum(self.i[n + 1 :], start=0)) for n in range(rows)]
        m.d.comb += self.o[rows].eq(sum(self.i))
        return m


def test_ties_go_to_the_lower_index(monkeypatch):
    """A unit that gave them to the higher one would be found out, and only where there are ties."""

    def told_apart(plan, number):
        seen = layers.equal(4)(plan, number)
        codes = np.where(plan.mask, 250 - 16 * np.arange(plan.mask.shape[-1]), 0)
        context = seen.context.reshape(-1, 2, 4) // np.array([1, 2])[:, None]
        return spatten.Seen(codes, seen.total, context.reshape(seen.context.shape))

    shares = (0, 64, 128, 200)
    ties = cascade(layers.equal(4), shares, (0, 128, 128, 128), length=16)
    clear = cascade(told_apart, shares, (0, 128, 128, 128), length=16)
    assert [np.flatnonzero(plan.mask.any((0, 1))).tolist() for plan, _ in ties.layers[2:]] == [[*range(8)], [0, 1, 2]]
    spatten.run(layers.TINY, [(ties, dot.FULL_SPEED), (clear, dot.FULL_SPEED)])
    monkeypatch.setattr(cut, "Ranks", FromTheTop)
    wrong = runner.build(verilog(SpattenUnit(layers.TINY), layers.TINY.name), layers.TINY.name)
    monkeypatch.setattr(spatten, "build", lambda _: wrong)
    spatten.run(layers.TINY, clear)
    with pytest.raises(runner.SimulationError, match=r"chunk 0 of alive tokens of layer 3 is 0xe, not 0x7"):
        spatten.run(layers.TINY, ties)


SHAPES = {
    "one block": SpattenConfig(rows=8, lanes=5, tokens=8, heads=3, head_width=3, layers=2),
    "two rows": SpattenConfig(rows=2, lanes=1, tokens=6, heads=7, head_width=2, layers=3),
    "least": SpattenConfig(rows=2, lanes=16, tokens=2, heads=1, head_width=1, layers=1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(shape):
    config = SHAPES[shape]
    given = [(layers.any_batch(config, 60 + seed), FLOWS[seed % len(FLOWS)]) for seed in range(15)]
    spatten.run(config, given)


def any_config(seed):
    """A small legal unit."""
    rng = np.random.default_rng([20_264, seed])
    rows = int(rng.choice([2, 4, 8]))
    return SpattenConfig(
        rows=rows,
        lanes=int(rng.integers(1, 9)),
        tokens=rows * int(rng.integers(1, 24 // rows + 1)),
        heads=int(rng.integers(1, 11)),
        head_width=int(rng.integers(1, 11)),
        layers=int(rng.integers(1, 5)),
    )


UNITS = 12


@pytest.mark.long
@pytest.mark.parametrize("seed", range(UNITS))
def test_any_unit(seed, tmp_path):
    """Whatever `SpattenConfig` allows lints clean and equals the golden plans."""
    config = any_config(seed)
    assert lint(config, spatten.build(config) / f"{config.name}.v", tmp_path) == "", config
    given = [(layers.any_batch(config, 100 + seed * 7 + n), FLOWS[(seed + n) % len(FLOWS)]) for n in range(7)]
    spatten.run(config, given)


def test_there_is_everything_among_them():
    configs = [any_config(seed) for seed in range(UNITS)]
    assert {config.blocks == 1 for config in configs} == {True, False}
    assert {config.head_chunks == 1 for config in configs} == {True, False}
    assert {config.head_slices == 1 for config in configs} == {True, False}
    assert {config.tokens & config.tokens - 1 == 0 for config in configs} == {True, False}


def test_lints_clean(tmp_path):
    config = layers.TINY
    assert lint(config, spatten.build(config) / f"{config.name}.v", tmp_path) == ""


@pytest.mark.parametrize(
    ("length", "together"),
    [(3, 1), pytest.param(4, 1, marks=pytest.mark.long), pytest.param(2, 6, marks=pytest.mark.long)],
)
def test_every_rhythm(length, together):
    """Every pattern of so many cycles on so many of the streams, the others never rest: no deadlock, the same plans."""
    names, config = (*INPUTS, *OUTPUTS), SHAPES["two rows"]
    patterns = [bits for bits in product((0, 1), repeat=length) if not all(bits)]
    chosen = [
        Rhythm(0.9, 0.9, tuple(zip(names[first : first + together], bits, strict=True)))
        for first in range(len(names) - together + 1)
        for bits in product(patterns, repeat=together)
    ]
    settings = SpattenSettings(tokens=(0, 100, 100), heads=(0, 0, 128))
    batch = spatten.batch(settings, np.arange(5) != 1, 3, layers.anything(5, 3, 2))
    spatten.run(config, [(batch, rhythm) for rhythm in chosen])


CORNERS = {"o_waits", "row_without_keys", "row_of_padding", "chunk_under_way", "codes_wait_for_the_scale"} | {
    "same_head_again", "same_head_behind_another", "tie_at_the_cut", "more_places_than_sums", "alive_waits",
    "padding_is_carried_along", "row_or_head_dropped", "next_layer_waits_for_sums", "all_is_padding",
}  # fmt: skip


def test_batches_reach_every_corner(monkeypatch):
    counts: Counter[str] = Counter()
    run, config = runner.run, layers.TINY

    def counted(folder, top, bench, work, settings):
        run(folder, top, bench, work, settings)
        counts.update(runner.reached(folder, top, work))

    folder = runner.build(verilog(SpattenUnit(config), config.name, corners=True), config.name, coverage=True)
    monkeypatch.setattr(spatten, "build", lambda _: folder)
    monkeypatch.setattr(runner, "run", counted)
    given = [(layers.any_batch(config, 200 + seed), FLOWS[seed % len(FLOWS)]) for seed in range(30)]
    padding = cascade(layers.anything(1, 2, 4), (0, 64, 64, 64), attend=np.zeros(9, bool))
    spatten.run(config, [*given, (padding, dot.FULL_SPEED)])
    assert set(counts) == CORNERS
    assert {name for name, count in counts.items() if not count} == set()
    assert "corner" not in verilog(SpattenUnit(config), config.name)


def test_layers_of_minilm():
    """Three layers on a real sentence as long as the unit can take, half of tokens and heads dropped by the last: sums
    take a chunk a cycle, and the cut a hundredth of the plan."""
    config = presets.spatten("minilm")
    ids, weights = minilm.token_ids(config.plan), [layer_weights(number) for number in range(3)]
    x, attend = embed_batch(ids[None]), np.ones((1, len(ids)), np.bool_)
    model = integer.build(weights, ARCHITECTURE, [integer.Batch(x, attend)])
    observe = spatten.of_model([each.layer for each in model.layers], model.codes(x)[0])
    settings = SpattenSettings(tokens=(0, 64, 128), heads=(0, 64, 128))
    batch = spatten.batch(settings, attend[0], config.heads, observe)
    assert left(batch) == [(128, 12), (96, 9), (64, 6)]
    first, *others = spatten.run(config, batch)[0]
    rows, chunks = config.heads * config.tokens, config.blocks
    assert first.sums == rows * chunks
    for each in (first, *others):
        assert each.plan == 2 * config.heads * chunks + rows * chunks + config.tokens + 3
    for each in others:
        assert each.cut == 25 + 9 * (chunks + 4) + 9 * (1 + 4)


def test_a_batch_that_does_not_fit():
    for wrong in ({"length": 17}, {"observe": layers.anything(0, 2, 5)}):
        with pytest.raises(
            Refusal, match=r"^The layers must have at most 16 tokens, .* at most 4, not .*; build a unit for them\.$"
        ):
            spatten.run(layers.TINY, cascade(**({"observe": layers.anything(0, 2, 4), "length": 4} | wrong)))
    causal = spatten.batch(SpattenSettings(causal=True), np.ones(4, bool), 2, layers.anything(0, 2, 4))
    with pytest.raises(Refusal, match=r"^causal must be False"):
        spatten.run(layers.TINY, causal)
