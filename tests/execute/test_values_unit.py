# SPDX-License-Identifier: Apache-2.0
"""Softmax at the lines and codes with rows of V: codes, scales and contexts are golden, whatever comes when."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Const

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.values import Values
from tests.arith import simulate
from tests.execute.attending import SCORE_BITS, Flow, Head, Seen, check, through
from tests.planted import Planted

CONFIG = ItemsConfig(
    lines=2, lanes=4, banks=4, tokens=8, heads=2, chunk=8, record=4, sets=2, ports=1, queue=16, allocation="dynamic"
)
ARRAYS = PeArraysConfig(lines=2, lanes=4, rows=4, terms=64, keys=8, scalers=2)
TOP = (1 << (SCORE_BITS - 1)) - 1


def unit(config: ItemsConfig = CONFIG, arrays: PeArraysConfig = ARRAYS, **others: int) -> Values:
    return Values(config, arrays, score_bits=SCORE_BITS, **others)


def head(rng: np.random.Generator, config: ItemsConfig, density: float, *, size: int = SCORE_BITS - 1) -> Head:
    """Scores of `size` bits and a sign; mostly, an exponent that tells them apart, and contexts within int8."""
    tokens = config.tokens
    kept = rng.random((tokens, tokens)) < density
    kept[~kept.any(axis=1), int(rng.integers(tokens))] = True
    scores = rng.integers(-1 << size, 1 << size, (tokens, tokens))
    mul = int(rng.integers(1, 1 << 16))
    shift = int(np.clip(mul.bit_length() + size - rng.integers(6, 11), 1, 40))
    v = rng.integers(-128, 128, (tokens, config.lanes))
    return Head(scores, kept, v, (mul, shift), (int(rng.integers(1 << 14, 1 << 16)), int(rng.integers(20, 26))))


def heads_of(config: ItemsConfig, density: float, seed: int = 0) -> list[Head]:
    rng = np.random.default_rng(seed)
    return [head(rng, config, density) for _ in range(config.heads)]


FLOWS = {
    "at once": Flow(),
    "gaps": Flow(gap=0.4, late=0.4),
    "rests": Flow(rest=0.5),
    "all": Flow(gap=0.3, late=0.5, rest=0.6, flight=3),
}


def check_all(
    config: ItemsConfig, arrays: PeArraysConfig, heads: list[list[Head]], dut=None, *, flows=FLOWS
) -> list[Seen]:
    """Each of the heads in each flow. No beat waits if contexts are always taken."""
    jobs = [(each, flow) for each in heads for flow in flows.values()]
    seen = through(dut or unit(config, arrays), config, arrays, jobs)
    for (each, flow), found in zip(jobs, seen, strict=True):
        check(config, arrays, each, found)
        assert flow.rest or not found.waited
    return seen


def test_contexts_are_golden() -> None:
    check_all(CONFIG, ARRAYS, [heads_of(CONFIG, density) for density in (0.0, 0.4, 1.0)])


def special(config: ItemsConfig) -> list[Head]:
    """Rows with one key, full rows, equal scores, the largest and the smallest score, exponents of every kind."""
    tokens, rng = config.tokens, np.random.default_rng(3)
    usual = head(rng, config, 0.5)
    alone, full = np.eye(tokens, dtype=bool), np.ones((tokens, tokens), dtype=bool)
    ends = np.where(rng.random((tokens, tokens)) < 0.5, TOP, -TOP - 1)
    equal = np.tile(rng.integers(-TOP - 1, TOP, (tokens, 1)), tokens)
    low, high = np.full((tokens, tokens), -TOP - 1), np.full((tokens, tokens), TOP)
    peak = low + (2 * TOP + 1) * np.eye(tokens, dtype=np.int64)
    return [
        replace(usual, kept=alone),
        replace(usual, kept=full),
        *(replace(usual, kept=full, scores=scores) for scores in (ends, equal, low, high, peak)),
        *(replace(usual, kept=full, exponent=each) for each in ((1, 1), (65535, 1), (1, 40), (65535, 40), (0, 7))),
        replace(usual, kept=full, scores=peak, exponent=(65535, 34)),
        replace(usual, v=np.full_like(usual.v, -128), kept=full, scores=equal, context=(65535, 1)),
        replace(usual, v=np.full_like(usual.v, 127), kept=full, scores=equal, context=(65535, 40)),
        replace(usual, context=(0, 40)),
    ]


def test_special_rows() -> None:
    """Heads in pairs, one of each kind behind one of another."""
    heads = special(CONFIG)
    flows = {"at once": Flow()}
    seen = check_all(CONFIG, ARRAYS, [list(pair) for pair in zip(heads[::2], heads[1::2], strict=True)], flows=flows)
    kept = sum(int(each.kept.sum()) for each in heads)
    beats = sum(len(line) for run in seen for line in run.beats)
    assert beats < kept, "some codes are 0"


SHAPES = {
    "four lines": ({"lines": 4, "banks": 8, "tokens": 16, "chunk": 16, "heads": 1, "sets": 1}, {"scalers": 4}, {}),
    "a scaler, few places": ({"heads": 1, "sets": 1}, {"scalers": 1}, {"words": 8, "entries": 2}),
    "banks as lines": ({"banks": 2, "lanes": 1}, {"scalers": 1}, {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(shape: str) -> None:
    items, array, others = SHAPES[shape]
    config = replace(CONFIG, **items)
    arrays = replace(ARRAYS, lines=config.lines, lanes=config.lanes, keys=config.chunk, **array)
    flows = {name: FLOWS[name] for name in ("at once", "all")}
    heads = [heads_of(config, density, seed=1) for density in (0.0, 0.7)]
    check_all(config, arrays, heads, unit(config, arrays, **others), flows=flows)


def test_short_rows_come_as_fast_as_contexts_leave() -> None:
    """Rows of one key: an item of a line every `groups` + 2 cycles, and no faster, or beats would have to wait."""
    config = replace(CONFIG, lanes=12, heads=4, sets=4)
    arrays = replace(ARRAYS, lanes=12, scalers=1)
    rng = np.random.default_rng(5)
    heads = [head(rng, config, 0.0) for _ in range(config.heads)]
    (seen,) = through(unit(config, arrays), config, arrays, [(heads, Flow())])
    check(config, arrays, heads, seen)
    assert not seen.waited
    for cycles in seen.beat_cycles:
        assert set(np.diff(cycles)[-8:].tolist()) == {arrays.groups + 2}


def test_long_rows_come_without_a_pause() -> None:
    config = replace(CONFIG, tokens=32, chunk=32, heads=1, sets=1)
    arrays = replace(ARRAYS, keys=32)
    rng = np.random.default_rng(6)
    # No code of 0.
    heads = [replace(head(rng, config, 1.0), exponent=(1, 14)) for _ in range(config.heads)]
    (seen,) = through(unit(config, arrays), config, arrays, [(heads, Flow())])
    check(config, arrays, heads, seen)
    for cycles in seen.beat_cycles:
        assert cycles[-1] - cycles[0] + 1 <= 1.05 * len(cycles)


@pytest.mark.parametrize(
    ("items", "array", "others", "sentence"),
    [
        ({"tokens": 16}, {"keys": 16}, {}, "chunk must be tokens = 16, not 8; set it to that."),
        ({}, {"lines": 4}, {}, "lines and lanes of the array must be 2 and 4, not 4 and 4; set them to those."),
        ({}, {"keys": 7}, {}, "keys of the array must be at least chunk = 8, not 7; raise it."),
        ({}, {}, {"words": 4}, "words must be an integer from chunk = 8, not 4; raise it."),
        ({}, {}, {"entries": 3}, "entries must be a power of two from 2, not 3; choose one."),
    ],
)  # fmt: skip
def test_illegal_shapes_are_refused(items: dict, array: dict, others: dict, sentence: str) -> None:
    config, arrays = replace(CONFIG, **items), replace(ARRAYS, **array)
    assert simulate.refusal_of(lambda: unit(config, arrays, **others)) == sentence


CROWDED = replace(ARRAYS, scalers=1)


def check_crowded(dut) -> Seen:
    """Contexts are taken so rarely that all places fill up."""
    heads = heads_of(CONFIG, 0.5, seed=2)
    (seen,) = through(dut, CONFIG, CROWDED, [(heads, Flow(rest=0.9))], slow=0.15)
    check(CONFIG, CROWDED, heads, seen)
    return seen


@pytest.mark.parametrize(
    "fault",
    [
        {"opens": lambda opens: ~Const(0, 2)},
        {"scores__0__payload": lambda score: score ^ 1 << 15},
        {"count__0": lambda count: count & 1},
        {"item0__payload": lambda beat: beat ^ 1},
        {"item1__ready": lambda ready: Const(1)},
        {"scale0__ready": lambda ready: Const(1)},
        {"scale1__payload": lambda scale: scale ^ 1},
        {"settings__payload": lambda settings: settings & ~1},
        {"write__payload": lambda row: row ^ 1 << 7},
    ],
    ids=["opens early", "score", "too few", "code", "beat lost", "scale lost", "scale", "head of settings", "V"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises(AssertionError):
        check_crowded(Planted(unit(CONFIG, CROWDED, words=8, entries=2), **fault))


def test_nothing_is_lost_where_nothing_finds_room() -> None:
    """Without which faults would mean nothing."""
    assert check_crowded(unit(CONFIG, CROWDED, words=8, entries=2)).waited
