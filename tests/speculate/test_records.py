# SPDX-License-Identifier: Apache-2.0
"""Records of a plan: their order on a worked example, there and back for any plan, and refusal of what breaks rules."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.speculate import Kind
from golden.speculate.plan import Plan, assemble
from golden.speculate.records import Record, plan_of, records
from tests.arith.simulate import refusal_of
from tests.speculate.plans import random_plan


def equal(one: Plan, other: Plan) -> bool:
    names = ("mask", "reference", "columns", "leader", "agreed")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def example() -> Plan:
    """Two heads of three tokens; row 1 copies row 0 in both."""
    mask = np.array([[[1, 1, 0], [0, 0, 0], [1, 0, 1]], [[0, 1, 0], [0, 0, 0], [0, 1, 1]]], dtype=bool)
    return assemble(mask, np.array([[0, 0, 2], [0, 0, 2]]), window=2, least_votes=2)


def told() -> list[Record]:
    """The records of the example in a unit of two rows."""
    keys = Kind.KEYS
    return [
        Record(keys, 0, 0, 0, chunk=0, keys=0b11, fresh=0b11, end=False),
        Record(keys, 0, 0, 0, chunk=1, keys=0, fresh=0),
        Record(Kind.COPY, 0, 1, 0),
        Record(keys, 0, 2, 2, chunk=0, keys=0b01, fresh=0, end=False),
        Record(keys, 0, 2, 2, chunk=1, keys=0b1, fresh=0b1),
        Record(keys, 1, 0, 0, chunk=0, keys=0b10, fresh=0b10, end=False),
        Record(keys, 1, 0, 0, chunk=1, keys=0, fresh=0),
        Record(Kind.COPY, 1, 1, 0),
        Record(Kind.LEADER, 1, 0, 0),
        Record(Kind.LEADER, 1, 1, 0, agreed=True),
        Record(keys, 1, 2, 2, chunk=0, keys=0b10, fresh=0, end=False),
        Record(keys, 1, 2, 2, chunk=1, keys=0b1, fresh=0b1),
        Record(Kind.LEADER, 1, 2, 2, last=True),
    ]


def test_worked_example() -> None:
    assert records(example(), rows=2, window=2, causal=False) == told()
    assert equal(plan_of(told(), heads=2, tokens=3, rows=2), example())


def test_causal_rows_end_with_their_block() -> None:
    plan = assemble(np.tril(np.ones((1, 5, 5), dtype=bool)), np.arange(5)[None, :], 1, 2)
    chunks = [(r.row, r.chunk, r.keys) for r in records(plan, rows=2, window=1, causal=True) if r.kind == Kind.KEYS]
    assert chunks == [(0, 0, 1), (1, 0, 3), (2, 0, 3), (2, 1, 1), (3, 0, 3), (3, 1, 3), (4, 0, 3), (4, 1, 3), (4, 2, 1)]


def test_causal_plan_that_looks_ahead_is_refused() -> None:
    plan = assemble(np.ones((1, 3, 3), dtype=bool), np.arange(3)[None, :], 1, 2)
    assert refusal_of(lambda: records(plan, rows=2, window=1, causal=True)) == (
        "the keys kept for row 0 of head 0 must lie below 2, in its own block of 2 or before it, not beyond; "
        "take the records of a plan that is causal."
    )


@settings(deadline=None, derandomize=True, database=None)
@given(
    heads=st.integers(1, 4),
    tokens=st.integers(1, 21),
    rows=st.sampled_from([2, 4, 8]),
    window=st.sampled_from([1, 2, 4, 8]),
    causal=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_there_and_back(heads: int, tokens: int, rows: int, window: int, causal: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, heads, tokens, window, causal=causal, least_votes=int(rng.integers(1, heads + 2)))
    assert equal(plan_of(records(plan, rows, window, causal), heads, tokens, rows), plan)


WRONG = {
    "missing row": (lambda r: r[:2] + r[3:], "record 2 must be of head 0, row 1"),
    "out of order": (lambda r: [r[0], r[2], r[1], *r[3:]], "record 1 must be of head 0, row 0"),
    "heads swapped": (lambda r: r[5:8] + r[:5] + r[8:], "record 0 must be of head 0, row 0"),
    "cut short": (lambda r: r[:-1], "record 12 must be of head 1, row 2, but there are only 12"),
    "nothing": (lambda r: [], "record 0 must be of head 0, row 0, but there are only 0"),
    "two layers": (lambda r: r + r, "the layer ends with record 12, but 13 more follow"),
    "chunk skipped": (lambda r: r[1:], "record 0 must hold chunk 0"),
    "later reference": (lambda r: change(r, 2, reference=2), "record 2 must refer to an earlier critical row"),
    "reference to a copy": (
        lambda r: [*r[:3], Record(Kind.COPY, 0, 2, 1), *r[5:]],
        "record 3 must refer to an earlier critical row",
    ),
    "reference beyond the window": (
        lambda r: [*r[:10], Record(Kind.COPY, 1, 2, 0), r[12]],
        "record 11 must not tell of a window from row 2 on",
    ),
    "foreign reference": (lambda r: change(r, 0, reference=1), "record 0 must refer to its own row"),
    "key that is not there": (lambda r: change(r, 1, keys=2, fresh=2), "record 1 must keep keys below 3 only"),
    "fresh twice": (lambda r: change(r, 3, fresh=1), "record 3 must be fresh in 0x0"),
    "never fresh": (lambda r: change(r, 5, fresh=0), "record 5 must be fresh in 0x2"),
    "row ends early": (lambda r: change(r, 3, end=True), "record 3 must end its row behind"),
    "copy with keys": (lambda r: change(r, 2, keys=1), "record 2 must hold no chunk, no keys"),
    "agreed row": (lambda r: change(r, 2, agreed=True), "record 2 must not be marked agreed"),
    "agreed for nothing": (lambda r: change(r, 8, agreed=True), "record 8 must be agreed if"),
    "not agreed": (lambda r: change(r, 9, agreed=False), "record 9 must be agreed if"),
    "leader early": (lambda r: [r[0], r[1], r[8], *r[2:]], "record 2 must be of head 0, row 1"),
    "leader instead of row": (
        lambda r: [r[0], r[1], Record(Kind.LEADER, 0, 1, 0), *r[3:]],
        "record 2 must tell of a row",
    ),
    "later leader": (lambda r: change(r, 8, reference=1), "record 8 must name a row of its window"),
    "leaders late": (lambda r: [*r[:9], *r[10:], r[9]], "record 9 must be of head 1, row 1"),
    "last twice": (lambda r: change(r, 9, last=True), "record 9 must be marked last if"),
    "never last": (lambda r: change(r, 12, last=False), "record 12 must be marked last if"),
}


def change(sequence: list[Record], at: int, **fields: object) -> list[Record]:
    return [*sequence[:at], replace(sequence[at], **fields), *sequence[at + 1 :]]


@pytest.mark.parametrize("name", WRONG)
def test_broken_rule_is_refused(name: str) -> None:
    breaks, sentence = WRONG[name]
    said = refusal_of(lambda: plan_of(breaks(told()), heads=2, tokens=3, rows=2))
    assert said.startswith(sentence)
    assert said.endswith(".")


def test_rows_neither_causal_nor_full_are_refused() -> None:
    """Row 1 ends with its own block, row 0 did not."""
    wrong = [*told()[:2], Record(Kind.KEYS, 0, 1, 1)]
    said = refusal_of(lambda: plan_of(wrong, heads=1, tokens=3, rows=2))
    assert said.startswith("record 2 must end its row behind its own block, or all rows behind the last key")


def test_leader_that_is_a_copy_itself_is_refused() -> None:
    """Row 2 names row 1, whose FFN is row 0's: heads differ."""
    reference = np.array([[0, 0, 2], [0, 1, 1]])
    plan = assemble(np.zeros((2, 3, 3), dtype=bool), reference, window=4, least_votes=1)
    assert plan.leader.tolist() == [0, 0, 2]
    right = records(plan, rows=4, window=4, causal=False)
    said = refusal_of(lambda: plan_of(change(right, len(right) - 1, reference=1), heads=2, tokens=3, rows=4))
    assert said.startswith(f"record {len(right) - 1} must name itself, or the row that most heads name")
