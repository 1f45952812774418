# SPDX-License-Identifier: Apache-2.0
"""Codes of a line's items as whole rows: every chunk of each, 0 where nothing is kept, with the row's total."""

import random

import pytest

from config.items import ItemsConfig
from hdl.execute.row_codes import RowCodes, told_layout, total_bits
from tests.arith import simulate
from tests.planted import Planted
from tests.system.streams import fields_of

ITEMS = ItemsConfig(lines=2, lanes=2, banks=4, tokens=16, heads=3, chunk=16, record=4, sets=4, ports=1, queue=4)


def some_of(rng: random.Random, tokens: int) -> list[int]:
    return rng.sample(range(tokens), rng.randint(1, tokens))


def items(seed: int, count: int, tokens: int) -> list[dict]:
    """Rows of keys with their codes, in any order, and totals; some codes are 0, and a row has one key at least."""
    rng = random.Random(seed)
    return [
        {
            "row": rng.randrange(tokens),
            "codes": {key: rng.choice([0, 1, 255, rng.randrange(256)]) for key in some_of(rng, tokens)},
            "total": rng.getrandbits(total_bits(ITEMS)),
        }
        for _ in range(count)
    ]


def through(dut, given: list[dict], tokens: int, stall: float, seed: int) -> list[int]:
    """What leaves, as payloads. Items begin as soon as they may, their codes come later, and later still a total."""
    rng, sink = random.Random(seed), simulate.Sink(dut.o)

    async def bench(context) -> None:
        context.set(dut.last_chunk, (tokens - 1) // ITEMS.record)
        waiting, coming, totals = list(given), [], []
        chunks = -(-tokens // ITEMS.record) * len(given)
        for now in range(4000):
            begins = bool(waiting) and bool(context.get(dut.opens)) and rng.random() < 0.8
            context.set(dut.begins, begins)
            if begins:
                coming.append((waiting.pop(0), now + 2))
            context.set(dut.i.valid, 0)
            if coming and coming[0][1] <= now:
                item, _ = coming[0]
                left = item.setdefault("left", list(item["codes"].items()))
                key, code = left.pop(0)
                first, last = len(left) + 1 == len(item["codes"]), not left
                payload = {"code": code, "key": key, "first": first, "last": last, "head": 0}
                context.set(dut.i.valid, 1)
                context.set(dut.i.payload, payload | {"row": item["row"] if last else rng.randrange(16)})
                if last:
                    coming.pop(0)
                    totals.append((item["total"], now + rng.randint(1, 6)))
            due = bool(totals) and totals[0][1] <= now
            context.set(dut.total.valid, due)
            context.set(dut.total.payload, totals.pop(0)[0] if due else rng.getrandbits(8))
            context.set(dut.o.ready, rng.random() >= stall)
            sink.sample(context)
            await context.tick()
            if len(sink.seen) == chunks:
                return
        raise AssertionError(f"{len(sink.seen)} of {chunks} chunks have come")

    simulate.run(dut, bench)
    return sink.seen


def expected(given: list[dict], tokens: int) -> list[dict[str, int]]:
    chunks = -(-tokens // ITEMS.record)
    return [
        {
            "codes": sum(item["codes"].get(chunk * ITEMS.record + n, 0) << 8 * n for n in range(ITEMS.record)),
            "total": item["total"],
            "row": item["row"],
            "first": int(chunk == 0),
            "last": int(chunk == chunks - 1),
        }
        for item in given
        for chunk in range(chunks)
    ]


def compare(dut, given: list[dict], tokens: int, stall: float, seed: int) -> None:
    found = through(dut, given, tokens, stall, seed)
    assert [fields_of(told_layout(ITEMS), payload) for payload in found] == expected(given, tokens)


@pytest.mark.parametrize("stall", [0.0, 0.7])
@pytest.mark.parametrize("tokens", [16, 13, 4, 1])
def test_rows_of_codes(tokens, stall):
    compare(RowCodes(ITEMS), items(tokens, 12, tokens), tokens, stall, seed=tokens)


FAULTS = {
    "another total": {"total__payload": lambda total: total ^ 1},
    "another key": {"i__payload": lambda code: code ^ 1 << 8},
    "a chunk too few": {"last_chunk": lambda chunk: chunk & 2},
    "too many at once": {"opens": lambda opens: opens | 1},
}


@pytest.mark.parametrize("name", FAULTS)
def test_wrong_rows_are_found(name):
    given = items(3, 12, 16)
    dut = Planted(RowCodes(ITEMS), **FAULTS[name])
    with pytest.raises(AssertionError):
        compare(dut, given, 16, 0.7, seed=3)
