# SPDX-License-Identifier: Apache-2.0
"""Passes over the residual stream: golden, in every combination, under every flow control, and a beat a cycle."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from config.presets import systems
from golden.execute.layer import Layer, execute
from golden.execute.layer_norm import layer_norm
from golden.execute.scales import Scale
from golden.system.row_pass import Copies, Pass, Sources, passes, row_pass
from sim.dot import FLOWS, Flow
from sim.row_pass import Bench, Work, build, run
from tests.execute.test_layer import codes_of, converted, inputs, plan_of
from tests.execute.test_layer_norm_unit import norm_of

TINY = systems("tiny")["dense"]
TOKENS, WIDTH = TINY.tokens, TINY.speculation.width
ORDERS = ("post", "pre")


@cache
def a_layer() -> Layer:
    return converted("post", inputs(20))[2].layer


def random_layer(width: int, seed: int) -> Layer:
    """A layer's scales and norms, each channel with its own."""
    rng = np.random.default_rng(seed)
    norms = [norm_of(width, shift=int(rng.integers(8, 18)), eps=int(rng.integers(1 << 30))) for _ in range(2)]
    scales = [Scale(rng.integers(0, 1 << 16, width), rng.integers(14, 20, width)) for _ in range(2)]
    norm2 = replace(norms[1], gain=norms[1].gain[::-1].copy(), offset=norms[1].offset[::-1].copy())
    return replace(a_layer(), stream1=scales[0], stream2=scales[1], norm1=norms[0], norm2=norm2)


def random_rows(tokens: int, width: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    limit = 1 << (bits - 1)
    rows = rng.integers(-limit, limit, (tokens, width))
    return np.where(rng.random(rows.shape) < 0.1, rng.choice([-limit, limit - 1], rows.shape), rows)


def random_sources(tokens: int, rng: np.random.Generator) -> Sources:
    """Rows take those of rows before them, or their own."""
    rows = np.arange(tokens)
    earlier = np.array([rng.integers(0, row + 1) for row in rows])
    leader = np.where(rng.random(tokens) < 0.5, rows, earlier)
    return Sources(
        leader, np.array([rng.integers(0, row + 1) for row in rows]), (rng.random(tokens) < 0.5) & (rows > 0)
    )


# The golden passes are those of the golden layer


@pytest.mark.parametrize("order", ORDERS)
def test_passes_are_those_of_a_layer(order: str) -> None:
    """What the plan leaves out is in no result that is read."""
    tokens, rng = 24, np.random.default_rng(2)
    x = inputs(tokens)
    layer = converted(order, x)[2]
    rows, plan, seen = codes_of(order, x, layer), plan_of(rng, tokens), {}
    plan = replace(plan, agreed=(plan.reference == plan.reference[0]).all(0) & (plan.reference[0] != np.arange(tokens)))
    y = execute(rows, layer.layer, plan, watch=seen.__setitem__)
    sources = Sources(plan.leader, plan.reference[0], plan.agreed)
    assert np.count_nonzero(plan.agreed) and np.count_nonzero(plan.leader != np.arange(tokens))
    seen = {"x": rows, **seen}
    steps = passes(order, first=True, last=True)
    start = row_pass(steps.start, layer.layer, rows)
    middle = row_pass(steps.middle, layer.layer, start.stream, without(seen["projected"], plan.agreed), sources)
    copied = plan.leader != np.arange(tokens)
    end = row_pass(steps.end, layer.layer, middle.stream, without(seen["fed"], copied), sources)
    assert np.array_equal(start.input, seen["x" if order == "post" else "norm1"])
    assert np.array_equal(middle.input, seen["norm1" if order == "post" else "norm2"])
    assert np.array_equal(end.y, y)
    if order == "post":
        assert np.array_equal(end.input, y)
    again = passes(order, first=False, last=False)
    assert (again.start is None) == (order == "post")
    if order == "pre":
        follows = row_pass(again.start, layer.layer, end.stream)
        assert np.array_equal(follows.input, layer_norm(y, layer.layer.norm1))
        assert np.array_equal(follows.stream, y)


def without(rows: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    return np.where(left_out[:, None], 12345, rows)


# The unit


def layers_work(order: str, tokens: int, width: int, seed: int, flow: Flow, layers: int = 2) -> Work:
    """Two layers one behind the other, with the parameters of one."""
    rng = np.random.default_rng(seed)
    x = random_rows(tokens, width, 8 if order == "post" else 16, rng)
    bench = Bench(TINY, random_layer(width, seed), x, seed)
    for number in range(layers):
        steps = passes(order, first=number == 0, last=number == layers - 1)
        if steps.start:
            bench.step(steps.start)
        for step in (steps.middle, steps.end):
            bench.step(step, random_rows(tokens, width, 16, rng), random_sources(tokens, rng))
    return bench.work(flow)


SIZES = [(TOKENS, WIDTH), (TOKENS, 4), (1, WIDTH), (1, 4), (7, 12), (13, 8)]


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("order", ORDERS)
def test_layers_are_golden(order: str, flow: Flow) -> None:
    """Of every size, no reset between them."""
    run(build(TINY), [layers_work(order, *size, seed, flow) for seed, size in enumerate(SIZES)])


def combinations() -> list[Pass]:
    """All that can be asked for."""
    flags = ("load", "add", "second_scale", "normalise", "second_norm", "keep_norm", "send")
    found = []
    for on in itertools.product([False, True], repeat=len(flags)):
        given = dict(zip(flags, on, strict=True))
        if given["normalise"] or not (given["keep_norm"] or given["second_norm"]):
            if given["add"] or not given["second_scale"]:
                found += [Pass(**given, copies=each) for each in Copies] if given["add"] else [Pass(**given)]
    return found


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_every_pass_is_golden(flow: Flow) -> None:
    """Behind each other, in any order; `narrow` where the row is of int8."""
    works = []
    for seed, (tokens, width) in enumerate([(7, WIDTH), (5, 8)]):
        rng = np.random.default_rng(seed)
        bench = Bench(TINY, random_layer(width, seed), random_rows(tokens, width, 16, rng), seed)
        jobs = combinations()
        bench.step(Pass(load=True))
        for number in rng.permutation(len(jobs)):
            job = jobs[number]
            if job.load:
                bench.rows = random_rows(tokens, width, int(rng.choice([8, 16])), rng)
            narrow = not (job.add or job.normalise) and int(abs(bench.rows).max()) < 128
            job = replace(job, narrow=narrow or (job.normalise and bool(rng.integers(2))))
            given = (random_rows(tokens, width, 16, rng), random_sources(tokens, rng)) if job.add else ()
            bench.step(job, *given)
        works.append(bench.work(flow))
    run(build(TINY), works)
