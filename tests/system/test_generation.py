# SPDX-License-Identifier: Apache-2.0
"""Jobs of generation: each head's, as soon as its plan is there, for the right array."""

import random

import pytest

from config.presets import systems
from hdl.system.generation import GenerationJobs
from hdl.system.layouts import Region, Sink, job_layout
from tests.system.streams import fields_of, through

CONFIG, LATE = systems("tiny")["spls"], systems("tiny")["sanger"]
TOKENS, WORDS = 13, 3
EVERY = (1 << TOKENS) - 1


class Plans:
    """A plan store whose heads are planned one after the other."""

    def __init__(self, dut: GenerationJobs, rng: random.Random, heads: int, every: int, eager: bool) -> None:
        self.heads = [(rng.getrandbits(TOKENS), rng.getrandbits(TOKENS)) for _ in range(heads)]
        self._dut, self._every, self._eager = dut, every, eager
        self._shown = (0, 0)
        self.waited = 0

    def __call__(self, context, now: int) -> None:
        dut = self._dut
        for name, value in (("heads", len(self.heads)), ("tokens", TOKENS), ("words", WORDS), ("eager", self._eager)):
            context.set(getattr(dut, name), value)
        context.set(dut.start, now == 2)
        context.set(dut.planned, min(now // self._every, len(self.heads)))
        context.set(dut.columns, self._shown[0])
        context.set(dut.critical, self._shown[1])
        self.waited += context.get(dut.waits)
        # What is not asked for is not shown.
        self._shown = self.heads[context.get(dut.read_at)] if context.get(dut.read) else (0x1555, 0x0AAA)


def run(heads: int, every: int, eager: bool, seed: int, stall: float = 0.4):
    dut = GenerationJobs(CONFIG)
    plans = Plans(dut, random.Random(seed), heads, every, eager)
    found = through(dut, {}, {"o0": heads, "o1": heads}, seed=seed, stall=stall, each=plans)
    return plans, [[fields_of(job_layout(CONFIG), job) for job in found[name]] for name in ("o0", "o1")]


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
def test_jobs_of_heads(heads, eager):
    for seed in range(6):
        plans, jobs = run(heads, 40, eager, seed)
        for head, (columns, critical) in enumerate(plans.heads):
            rows = (EVERY, EVERY) if eager and head == 0 else (columns, critical)
            keys, queries = jobs[head % 2][head], jobs[1 - head % 2][head]
            shared = {"region": Region.INPUT.value, "words": WORDS, "index": head, "last": 0}
            assert keys == {**shared, "rows": rows[0], "tiles": 2, "sink": Sink.KEY_VALUE.value}
            assert queries == {**shared, "rows": rows[1], "tiles": 1, "sink": Sink.QUERY.value}


def test_waits_for_plans_alone():
    assert run(2, 60, False, 1, stall=0)[0].waited > 80
    assert run(2, 60, True, 1, stall=0)[0].waited > 50
    assert run(1, 60, True, 1, stall=0)[0].waited == 0


@pytest.mark.parametrize("heads", [1, 2])
def test_all_rows_of_all_heads_where_the_plan_is_made_of_them(heads):
    dut = GenerationJobs(LATE)
    assert not {"eager", "planned", "read", "columns", "critical"} & set(dut.signature.members)

    def each(context, now: int) -> None:
        for name, value in (("heads", heads), ("tokens", TOKENS), ("words", WORDS), ("start", now == 2)):
            context.set(getattr(dut, name), value)
        assert not context.get(dut.waits)

    found = through(dut, {}, {"o0": heads, "o1": heads}, seed=heads, stall=0.4, each=each)
    for head in range(heads):
        for name, sink, tiles in ((head % 2, Sink.KEY_VALUE, 2), (1 - head % 2, Sink.QUERY, 1)):
            job = fields_of(job_layout(LATE), found[f"o{name}"][head])
            assert (job["rows"], job["sink"], job["tiles"], job["index"]) == (EVERY, sink.value, tiles, head)
