# SPDX-License-Identifier: Apache-2.0
"""Codes at a line: each row gets its own, whatever the order and the flow."""

import random
from collections import deque

import pytest
from amaranth.hdl import Const, Value

from hdl.execute.gather_lines import row_layout
from hdl.execute.line_codes import LineCodes, scaled_layout
from tests.arith import simulate
from tests.execute.gathering import shaped, unpacked
from tests.planted import Planted
from tests.speculate.plans import pack

CONFIG = shaped(lines=2, banks=4, tokens=16, chunk=8, heads=2, sets=2, queue=16)


def check(dut, together: int, *, items: int = 12, idle: float = 0.0, stall: float = 0.0) -> int:
    """Items of random keys in random order, given as a line would be; returns the cycles that it took."""
    rng = random.Random(items)
    codes = [[rng.randrange(256) for _ in range(CONFIG.chunk)] for _ in range(items)]
    keys = [rng.sample(range(CONFIG.chunk), rng.randint(1, CONFIG.chunk)) for _ in range(items)]
    beats = deque(
        simulate.patterns([[code] for code in each[at : at + together]], [8] * together)[0]
        for each in codes
        for at in range(0, CONFIG.chunk, together)
    )
    rows = [deque(
        pack(row_layout(CONFIG), b=rng.randrange(1 << 16), row=n, key=8 + key, first=at == 0, last=at == len(each) - 1)
        for at, key in enumerate(each)
    ) for n, each in enumerate(keys)]  # fmt: skip
    wanted = [(word, codes[n][keys[n][at]]) for n, each in enumerate(rows) for at, word in enumerate(each)]
    sink, cycles = simulate.Sink(dut.o), 0

    async def bench(context):
        nonlocal cycles
        current, given, pending, coded, shown = -1, 0, False, False, False
        while len(sink.seen) < len(wanted) and cycles < 2000:
            # The line begins with an item that opens, and is given the next one then.
            if pending and context.get(dut.opens) and (current < 0 or not rows[current]):
                current, pending = current + 1, False
            give = not pending and given < items
            context.set(dut.given, give)
            coded = bool(beats) and (coded or rng.random() >= idle)
            context.set(dut.codes.valid, coded)
            context.set(Value.cast(dut.codes.payload), beats[0] if coded else rng.getrandbits(8 * together))
            shown = current >= 0 and bool(rows[current]) and (shown or rng.random() >= idle)
            context.set(dut.i.valid, shown)
            context.set(Value.cast(dut.i.payload), rows[current][0] if shown else rng.getrandbits(20))
            context.set(dut.o.ready, rng.random() >= stall)
            sink.sample(context)
            if coded and context.get(dut.codes.ready):
                beats.popleft()
                coded = False
            if shown and context.get(dut.i.ready):
                rows[current].popleft()
                shown = False
            given, pending = given + give, pending or give
            await context.tick()
            cycles += 1

    simulate.run(dut, bench)
    found = [unpacked(scaled_layout(CONFIG), word) for word in sink.seen]
    expected = [unpacked(row_layout(CONFIG), word) | {"a": code} for word, code in wanted]
    assert found == expected
    return cycles


@pytest.mark.parametrize("together", [1, 4, 8])
@pytest.mark.parametrize("rests", [{"idle": i, "stall": s} for i in (0, 0.5) for s in (0, 0.5)], ids=str)
def test_each_row_has_its_code(together: int, rests: dict[str, float]) -> None:
    check(LineCodes(CONFIG, together=together, entries=2), together, **rests)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"together": 3}, "together must be a power of two from 1 to 8, not 3; choose one of them."),
        ({"together": 4, "entries": 1}, "entries must be a power of two from 2 to 1024, not 1; choose one of them."),
    ],
)
def test_illegal_shapes_are_refused(given: dict, sentence: str) -> None:
    assert simulate.refusal_of(lambda: LineCodes(CONFIG, **given)) == sentence


@pytest.mark.parametrize(
    "fault",
    [
        {"codes__payload": lambda codes: codes ^ 1},
        {"codes__ready": lambda ready: Const(1)},
        {"opens": lambda opens: Const(1)},
        {"o__payload": lambda o: o ^ 1 << 9},
        {"i__ready": lambda ready: Const(1)},
    ],
    ids=["code", "codes lost", "opens early", "a bit of a row", "row lost"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises(AssertionError):
        check(Planted(LineCodes(CONFIG, together=4, entries=2), **fault), 4, idle=0.3, stall=0.5)
