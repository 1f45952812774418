# SPDX-License-Identifier: Apache-2.0
"""Passes over the residual stream: golden, in every combination, under every flow control, and a beat a cycle."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.presets import systems
from golden.execute.layer import Layer, execute
from golden.execute.layer_norm import layer_norm
from golden.execute.scales import Scale
from golden.speculate.plan import all_critical
from golden.system.row_pass import Copies, Pass, Sources, passes, row_pass
from hdl.emit import verilog
from hdl.system.row_pass import RowPass
from sim import planned, runner
from sim.dot import FLOWS, Flow
from sim.row_pass import NAME, Bench, Step, Times, Work, build, run
from sim.runner import SimulationError
from tests.arith import simulate
from tests.execute.test_layer import codes_of, converted, inputs, plan_of
from tests.execute.test_layer_norm_unit import norm_of

TINY = systems("tiny")["dense"]
PRUNES = replace(TINY, speculation=replace(TINY.speculation, method="spatten"))
TOKENS, WIDTH = TINY.tokens, TINY.speculation.width
ORDERS = ("post", "pre")


@cache
def a_layer() -> Layer:
    return converted("post", inputs(20))[2].layer


def random_layer(width: int, seed: int) -> Layer:
    """A layer's scales and norms, each channel with its own."""
    rng = np.random.default_rng(seed)
    norms = [norm_of(width, shift=int(rng.integers(8, 18)), eps=int(rng.integers(1 << 30))) for _ in range(2)]
    scales = [Scale(rng.integers(0, 1 << 16, width), rng.integers(14, 20, width)) for _ in range(3)]
    norm2 = replace(norms[1], gain=norms[1].gain[::-1].copy(), offset=norms[1].offset[::-1].copy())
    return replace(a_layer(), stream1=scales[0], stream2=scales[1], norm1=norms[0], norm2=norm2, skip=scales[2])


def random_rows(tokens: int, width: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    limit = 1 << (bits - 1)
    rows = rng.integers(-limit, limit, (tokens, width))
    return np.where(rng.random(rows.shape) < 0.1, rng.choice([-limit, limit - 1], rows.shape), rows)


def random_sources(tokens: int, rng: np.random.Generator) -> Sources:
    """Rows take those of rows before them, or their own."""
    rows = np.arange(tokens)
    earlier = np.array([rng.integers(0, row + 1) for row in rows])
    leader = np.where(rng.random(tokens) < 0.5, rows, earlier)
    first = np.array([rng.integers(0, max(row, 1)) for row in rows])
    return Sources(leader, first, (rng.random(tokens) < 0.5) & (rows > 0))


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
    assert np.count_nonzero(plan.agreed)
    assert np.count_nonzero(plan.leader != np.arange(tokens))
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


@pytest.mark.parametrize("order", ORDERS)
def test_dropped_tokens_pass_as_they_are(order: str) -> None:
    tokens, rng = 24, np.random.default_rng(3)
    x = inputs(tokens)
    layer = converted(order, x)[2]
    alive = rng.random(tokens) < 0.6
    rows = codes_of(order, x, layer)
    mask = (rng.random((layer.layer.heads, tokens, tokens)) < 0.5) & alive[:, None]
    plan, seen = replace(all_critical(mask), alive=alive), {}
    y = execute(rows, layer.layer, plan, watch=seen.__setitem__)
    steps = passes(order, first=True, last=True, drops=True)
    stream = row_pass(steps.start, layer.layer, rows, alive=alive).stream
    for step, results in ((steps.middle, seen["projected"]), (steps.end, seen["fed"])):
        stream = row_pass(step, layer.layer, stream, without(results, ~alive), alive=alive).stream
        assert np.array_equal(stream[~alive], rows[~alive])
    last = row_pass(steps.skip, layer.layer, stream, alive=alive)
    assert np.array_equal(last.y, y)
    assert np.array_equal(last.stream, y)
    assert (last.input is None) == (order == "pre")
    assert not np.array_equal(y[~alive], rows[~alive])
    assert passes(order, first=True, last=True).skip is None


def without(rows: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    return np.where(left_out[:, None], 12345, rows)


# The unit


def layers_jobs(order: str, layers: int = 2) -> list[Pass]:
    """Of layers one behind the other."""
    each = [passes(order, first=number == 0, last=number == layers - 1) for number in range(layers)]
    return [step for steps in each for step in (steps.start, steps.middle, steps.end) if step]


def layers_work(order: str, size: tuple[int, int], seed: int, flow: Flow, *, config=TINY, prompt=False) -> Work:
    """Passes of two layers, with the parameters of one."""
    rng = np.random.default_rng(seed)
    x = random_rows(*size, 8 if order == "post" else 16, rng)
    bench = Bench(config, random_layer(size[1], seed), x, seed)
    for job in layers_jobs(order):
        bench.step(job, *((random_rows(*size, 16, rng), random_sources(size[0], rng)) if job.add else ()))
    return bench.work(flow, prompt=prompt)


SIZES = [(TOKENS, WIDTH), (TOKENS, 4), (1, WIDTH), (1, 4), (7, 12), (13, 8)]


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("order", ORDERS)
def test_layers_are_golden(order: str, flow: Flow) -> None:
    """Of every size, no reset between them."""
    run(build(TINY), [layers_work(order, size, seed, flow) for seed, size in enumerate(SIZES)])


def pruned_work(order: str, size: tuple[int, int], seed: int, flow: Flow, alive: np.ndarray) -> Work:
    """A layer of which tokens are dropped, twice."""
    rng = np.random.default_rng(seed)
    x = random_rows(*size, 8 if order == "post" else 16, rng)
    bench = Bench(PRUNES, random_layer(size[1], seed), x, seed, alive)
    for last in (False, True):
        steps = passes(order, first=not last, last=last, drops=True)
        for job in (steps.start, steps.middle, steps.end, steps.skip):
            if job:
                # A pass that skips has a scale of its own, whatever else it is told.
                job = replace(job, second_scale=job.second_scale or job.skip)
                bench.step(job, *((random_rows(*size, 16, rng), random_sources(size[0], rng)) if job.add else ()))
    return bench.work(flow)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("order", ORDERS)
def test_rows_of_dropped_tokens_are_golden(order: str, flow: Flow) -> None:
    rng = np.random.default_rng(6)
    works = [
        pruned_work(order, size, seed, flow, rng.random(size[0]) < share)
        for seed, (size, share) in enumerate(itertools.product(SIZES, (0.0, 0.5, 1.0)))
    ]
    run(build(PRUNES), works)


@pytest.mark.parametrize("order", ORDERS)
def test_another_token_that_is_dropped_is_found(order: str) -> None:
    work = pruned_work(order, (TOKENS, WIDTH), 3, Flow(), np.arange(TOKENS) % 3 > 0)
    run(build(PRUNES), [work])
    with pytest.raises(SimulationError):
        run(build(PRUNES), [replace(work, setup=work.setup | {"alive": work.setup["alive"] ^ 1 << 5})])


def combinations() -> list[Pass]:
    """All that can be asked for."""
    flags = ("load", "add", "second_scale", "normalise", "second_norm", "keep_norm", "send")
    found = []
    for on in itertools.product([False, True], repeat=len(flags)):
        given = dict(zip(flags, on, strict=True))
        normed = given["normalise"] or not (given["keep_norm"] or given["second_norm"])
        if normed and (given["add"] or not given["second_scale"]):
            found += [Pass(**given, copies=each) for each in (Copies if given["add"] else [Copies.NONE])]
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


@pytest.mark.long
@pytest.mark.parametrize("method", planned.METHODS)
def test_real_layers_are_golden(method: str) -> None:
    """Two layers of MiniLM under a plan; of the rows that it copies there is no result."""
    layers, benches = planned.layers(planned.sentence(0, 128), method, 2), []
    for number, (layer, plan, seen) in enumerate((each.layer, each.plan, each.tensors) for each in layers):
        bench = Bench(systems("minilm")[method], layer, seen["x"], number)
        sources = Sources(plan.leader, plan.reference[0], plan.agreed)
        steps = passes("post", first=True, last=True)
        bench.step(steps.start)
        bench.step(steps.middle, without(seen["projected"], plan.agreed), sources)
        assert np.array_equal(bench.rows, seen["norm1"])
        bench.step(steps.end, without(seen["fed"], plan.leader != np.arange(128)), sources)
        assert np.array_equal(bench.rows, seen["norm2"])
        benches.append(bench)
    flows = Flow(), Flow(idle=0.2, stall=0.2)
    run(build(systems("minilm")[method]), [bench.work(flow) for bench, flow in zip(benches, flows, strict=True)])


# Rates


def by_step(work: Work, times: Times) -> Iterator[tuple[Step, list[list[int]]]]:
    """Of each pass, cycles from its job to each beat of x, of `input` and of y."""
    at = [0, 0, 0]
    for step, job in zip(work.steps, times.jobs, strict=True):
        ends = [begin + len(beats) for begin, beats in zip(at, (step.x, step.input, step.y), strict=True)]
        each = zip((times.x, times.input, times.y), at, ends, strict=True)
        yield step, [[cycle - job for cycle in cycles[begin:end]] for cycles, begin, end in each]
        at = ends


@pytest.mark.parametrize("order", ORDERS)
def test_a_beat_a_cycle_in_rows_of_nine(order: str) -> None:
    """All rows of a pass without a pause, and what docs/system.md says of the first beat."""
    config = replace(TINY, values=1)
    work = layers_work(order, (TOKENS, 12), 1, Flow(), config=config, prompt=True)
    (times,) = run(build(config), [work])
    unit = RowPass(config)
    simulate.ports(unit)
    for job, (_, (x, *others)) in zip(layers_jobs(order), by_step(work, times), strict=True):
        latency = unit.latency(12, add=job.add, normalise=job.normalise)
        for cycles, first in ((x, 2), *((cycles, latency - job.load) for cycles in others)):
            assert not cycles or cycles == list(range(first, first + TOKENS * 12))
        assert len(x) == job.load * TOKENS * 12
    assert unit.latency(12, add=True, normalise=True) == 93


@pytest.mark.parametrize(("width", "period"), [(16, 9), (8, 9), (4, 9)])
def test_shorter_rows_take_nine_cycles_with_a_norm(width: int, period: int) -> None:
    work = layers_work("post", (TOKENS, width), 1, Flow(), prompt=True)
    (times,) = run(build(TINY), [work])
    for step, (_, cycles, _) in by_step(work, times):
        beats = width // TINY.values
        assert cycles[-1] - cycles[0] == (TOKENS - 1) * (period if step.adds else beats) + beats - 1


# Faults


FAULTS = {
    "copies that nobody agreed on": ("copy", lambda copy: copy | 1 << 4),
    "another leader": ("copy", lambda copy: copy ^ 1),
    "rows before they are there": ("limit", lambda limit: Mux(limit == 0, 0, TOKENS)),
    "the row behind": ("limit", lambda limit: limit + 1),
    "the other scale": ("job__payload", lambda job: job ^ 1 << 2),
    "the other norm": ("job__payload", lambda job: job ^ 1 << 6),
    "a norm that is not kept": ("job__payload", lambda job: job & ~(1 << 7)),
    "y missing": ("job__payload", lambda job: job & 0x1FF),
    "other kind of copies": ("job__payload", lambda job: job ^ 3 << 3),
    "another channel": ("parameter__payload", lambda word: word ^ 1 << 3),
    "another kind": ("parameter__payload", lambda word: word ^ 1),
    "another token": ("result__payload", lambda word: word ^ 1 << 2),
    "another word": ("result__payload", lambda word: word ^ 1 << 6),
    "another token told": ("input__payload", lambda word: word ^ 1),
    "another beat told": ("input__payload", lambda word: word ^ 1 << 4),
    "told too early": ("finished", lambda finished: Mux(finished == 3, 4, finished)),
    "over too early": ("busy", lambda busy: busy & 0),
    "x lost": ("x__ready", lambda ready: ready | 1),
    "an offer not held": ("input__ready", lambda ready: ready | 1),
    "y not held": ("y__ready", lambda ready: ready | 1),
    "shifts exchanged": ("norm_shift", lambda shift: Cat(shift[6:], shift[:6])),
    "no eps": ("eps", lambda eps: eps & 0),
}
"""The port that goes wrong, and how."""


class Switched(wiring.Component):
    """The unit, with one of the faults if `fault` is not 0, as one model takes the time of many to build."""

    def __init__(self) -> None:
        self._sound = RowPass(TINY)
        super().__init__({**self._sound.signature.members, "fault": In(range(len(FAULTS) + 1))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.sound = self._sound
        for path, member, inner in self._sound.signature.flatten(self._sound):
            outer = self
            for part in path:
                outer = getattr(outer, part)
            source, sink = (outer, inner) if member.flow == wiring.In else (inner, outer)
            value = Value.cast(source)
            for number, (port, fault) in enumerate(FAULTS.values(), 1):
                if port == "__".join(path):
                    value = Mux(self.fault == number, fault(Value.cast(source))[: len(value)], value)
            m.d.comb += Value.cast(sink).eq(value)
        return m


@cache
def faulty() -> Path:
    return runner.build(verilog(Switched(), NAME), NAME)


def faulty_work(number: int) -> Work:
    work = layers_work("post", (TOKENS, WIDTH), 3, FLOWS["idle and stall"])
    return replace(work, setup=work.setup | {"fault": number}, limit=8000)


def test_without_a_fault_all_is_well() -> None:
    run(faulty(), [faulty_work(0)])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name: str) -> None:
    with pytest.raises(SimulationError):
        run(faulty(), [faulty_work(1 + list(FAULTS).index(name))])
