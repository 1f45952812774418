# SPDX-License-Identifier: Apache-2.0
"""The dot-product unit: construction, then co-simulation of its Verilog against the golden model."""

import numpy as np
import pytest
from amaranth.hdl import Const

from config.array import SYSTEMS, ArrayConfig, number_system
from config.errors import Refusal
from config.formats import ROUNDINGS
from golden.speculate import array as golden
from hdl.arith import shift
from hdl.emit import verilog
from hdl.speculate.unit import DotUnit
from sim import dot, runner

ODD = {"rows": 3, "lanes": 5, "depth": 8, "terms": 24}


def random(seed, t, n, d, bits=8):
    rng = np.random.default_rng(seed)
    return (rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows, d)) for rows in (t, n))


def configurations():
    for system in SYSTEMS:
        yield pytest.param(ArrayConfig(number_system(system), **ODD), id=system)
    for rounding in ROUNDINGS[1:]:
        yield pytest.param(ArrayConfig(number_system("hlog", 8, rounding), **ODD), id=f"hlog-{rounding}")
    for system in ("int8", "int4"):
        yield pytest.param(ArrayConfig(number_system(system), booth=True, **ODD), id=f"{system}-booth")
    yield pytest.param(ArrayConfig(number_system("hlog"), load=3, **ODD), id="hlog-all-rows-load-at-once")
    yield pytest.param(ArrayConfig(number_system("hlog"), **(ODD | {"rows": 4, "load": 2})), id="hlog-two-rows-load")
    yield pytest.param(ArrayConfig(number_system("hlog", 10), 1, 3, 2, 9), id="hlog-10-bits-one-row")
    yield pytest.param(ArrayConfig(number_system("aloc", 4), 2, 1, 1, 6), id="aloc-4-bits-one-lane")


# --- construction


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rows": 0}, "rows must be an integer from 1 to 128, not 0; set rows to a value in that range."),
        ({"lanes": 257}, "lanes must be an integer from 1 to 256, not 257; set lanes to a value in that range."),
        ({"depth": 2.5}, "depth must be an integer from 1 to 4096, not 2.5; set depth to a value in that range."),
        ({"load": 3}, "load must be a divisor of rows = 16, not 3; choose 1, or another divisor."),
        ({"terms": 63}, "terms must be at least lanes = 64, not 63; raise terms or use fewer lanes."),
        ({"booth": True}, "booth applies to int8 and int4 only, not to 'hlog'; leave it out."),
    ],
)
def test_illegal_array(change, sentence):
    with pytest.raises(Refusal) as refused:
        ArrayConfig(**({"terms": 64} | change))
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("log",), "The number system must be one of hlog, aloc, pot, int8, int4, not 'log'; choose one of them."),
        (("hlog", 3), "bits must be an integer from 4 to 10, not 3; set bits to the operand's width."),
        (("aloc", 11), "bits must be an integer from 4 to 10, not 11; set bits to the operand's width."),
        (("int8", 9), "bits must be 8 for int8, not 9; leave bits out."),
        (("pot", 8, "truncate"), "rounding applies to hlog only, not to 'pot'; leave it out."),
        (
            ("hlog", 8, "up"),
            "rounding must be one of nearest, nearest_down, truncate, not 'up'; set rounding to one of them.",
        ),
    ],
)
def test_illegal_system(arguments, sentence):
    with pytest.raises(Refusal) as refused:
        number_system(*arguments)
    assert str(refused.value) == sentence


def test_operands_larger_than_the_array():
    x, w = random(0, 9, 2, 24)
    with pytest.raises(Refusal, match=r"^x must be at most 8 rows of 24 terms for this array, not 9 of 24; "):
        dot.run(ArrayConfig(**ODD), x, w)


# --- co-simulation


def extremes(terms, bits):
    """Rows of all smallest, all zero, one hot, alternating signs, all largest."""
    smallest, largest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    patterns = np.zeros((5, terms), np.int64)
    patterns[0], patterns[2, terms // 2], patterns[4] = smallest, smallest, largest
    patterns[3, ::2], patterns[3, 1::2] = smallest, largest
    return patterns


@pytest.mark.parametrize("config", list(configurations()))
def test_equals_golden(config):
    """Random operands under all four ways of flow control, then extremes against extremes."""
    operands = [
        (*random(seed, config.depth, 4, config.terms, config.system.bits), flow)
        for seed, flow in enumerate(dot.FLOWS.values())
    ]
    patterns = extremes(config.terms, config.system.bits)
    operands += [
        (patterns[start : start + config.depth], patterns, dot.FULL_SPEED) for start in range(0, 5, config.depth)
    ]
    for result, (x, w, _) in zip(dot.run_each(config, operands), operands, strict=True):
        assert np.array_equal(result.y, golden.dot(x, w, config.system))


def test_one_beat_tiles():
    """The shortest tiles there are, one row and one beat, at full speed: each sum is read just after it was written."""
    config = ArrayConfig(number_system("hlog", 10), 1, 3, 2, 9)
    x, w = random(3, 1, 3, 9, 10)
    assert np.array_equal(dot.run(config, x, w).y, golden.dot(x, w, config.system))


@pytest.mark.parametrize("load", [1, 3])
def test_full_speed_takes_a_beat_every_cycle(load):
    """R / load cycles for the weights of a tile, two at least, and one for each beat; nothing else but the latency.

    A cycle of which is hidden: beats wait in the code register while weights load.
    """
    config = ArrayConfig(number_system("aloc"), load=load, **ODD)
    x, w = random(4, 8, 6, 24)
    tiles = 2 * 5
    unit = DotUnit(config)
    verilog(unit, config.name)
    assert dot.run(config, x, w).cycles == tiles * (max(3 // load, 2) + 8) + unit.latency - 1


# --- the bench can fail


def test_ties_down_instead_of_up_is_caught(monkeypatch):
    """The hardware rounds ties up, the model is told that they go down."""
    up, down = (number_system("hlog", 8, rounding) for rounding in ("nearest", "nearest_down"))
    x = np.full((2, 5), 5)
    folder = dot.build(ArrayConfig(up, **ODD))
    monkeypatch.setattr(dot, "build", lambda config: folder)
    with pytest.raises(runner.SimulationError, match="totals are wrong"):
        dot.run(ArrayConfig(down, **ODD), x, x)


def test_dropped_sign_is_caught(monkeypatch):
    """A lane that forgets the sign of its weight."""
    config = ArrayConfig(number_system("aloc"), **ODD)
    right = shift.place
    monkeypatch.setattr(shift, "place", lambda m, word, sign, *rest: right(m, word, Const(0, 1), *rest))
    folder = runner.build(verilog(DotUnit(config), config.name), config.name)
    monkeypatch.setattr(dot, "build", lambda config: folder)
    with pytest.raises(runner.SimulationError, match="totals are wrong"):
        dot.run(config, np.ones((2, 5), np.int64), -np.ones((3, 5), np.int64))


def test_failure_names_the_command_with_waveforms(monkeypatch):
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/speculate/test_array.py::test_random[hlog] (call)")
    assert runner._rerun().endswith("WAVES=1 python -m pytest 'tests/speculate/test_array.py::test_random[hlog]'")


# --- the arrays that are built in earnest


@pytest.mark.long
@pytest.mark.parametrize("system", SYSTEMS)
def test_minilm_array_over_a_whole_head(system):
    """Q of a head of 128 tokens, 384 terms deep, on 16 × 64; operands as large as they can be among them."""
    x, w = random(5, 128, 32, 384)
    x[7], w[3] = -128, -128
    assert np.array_equal(dot.run(system, x, w).y, golden.dot(x, w, number_system(system)))
