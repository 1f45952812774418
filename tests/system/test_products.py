# SPDX-License-Identifier: Apache-2.0
"""Jobs of a dense product: all of its tiles, in order, no more at a time than the weights' store takes twice."""

import pytest

from config.presets import systems
from hdl.system.layouts import Region, Sink, job_layout
from hdl.system.products import ProductJobs, product_layout
from tests.system.streams import bits_of, fields_of, through

CONFIG = systems("tiny")["spls"]
ROWS = 0b1011


def given(words: int, tiles: int, first: int) -> dict[str, int]:
    fields = {"region": Region.HIDDEN, "sink": Sink.WIDE, "rows": ROWS}
    return {**fields, "words": words, "tiles": tiles, "first": first}


def jobs_of(products, seed: int = 0, stall: float = 0.3, hold_until: int = 0):
    due = sum(-(-p["tiles"] // at_once(p["words"])) for p in products)

    def each(context, now):
        context.set(dut.hold, now < hold_until)

    dut = ProductJobs(CONFIG)
    words = [bits_of(product_layout(CONFIG), p) for p in products]
    found = through(dut, {"i": words}, {"o": due}, seed=seed, idle=0.3, stall=stall, each=each)["o"]
    return [fields_of(job_layout(CONFIG), job) for job in found]


def at_once(words: int) -> int:
    """The store has 128 words a half; a tile takes as many as a row has bytes."""
    return {1: 8, 4: 8, 5: 4, 8: 4, 9: 2, 16: 2}[words]


@pytest.mark.parametrize("words", [1, 4, 5, 8, 9, 16])
def test_tiles_in_order(words):
    for seed, (tiles, first) in enumerate(((1, 0), (2, 3), (7, 0), (8, 8), (9, 1), (16, 0))):
        jobs = jobs_of([given(words, tiles, first)] * 2, seed)
        for part in (jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]):
            place = first
            for number, job in enumerate(part):
                assert job["index"] == place
                assert job["tiles"] == min(at_once(words), first + tiles - place)
                assert job["last"] == (number == len(part) - 1)
                assert {n: job[n] for n in ("rows", "region", "words", "sink")} == {
                    "rows": ROWS,
                    "region": Region.HIDDEN.value,
                    "words": words,
                    "sink": Sink.WIDE.value,
                }
                place += job["tiles"]
            assert place == first + tiles


def test_the_last_job_is_held():
    dut, seen = ProductJobs(CONFIG), []

    def each(context, now):
        context.set(dut.hold, now < 50)
        if context.get(dut.o.valid):
            seen.append((now, context.get(dut.o.payload.last)))

    through(dut, {"i": [bits_of(product_layout(CONFIG), given(16, 3, 0))]}, {"o": 2}, each=each)
    assert seen == [(1, 0), (50, 1)]
