# SPDX-License-Identifier: Apache-2.0
"""Rows of Q and K, read where attention keeps them: all of them, in order, none before it is there."""

import random

import pytest
from amaranth.hdl import Value

from config.presets import systems
from hdl.system.row_walk import RowWalk, walked_layout
from tests.planted import Planted
from tests.system.streams import fields_of, through

CONFIG = systems("tiny")["sanger"]
ROW_BITS = 8 * CONFIG.lanes


class Kept:
    """Where rows are kept: written now and then, heads beside each other, each in the order of its tokens; and read."""

    def __init__(self, dut, seed: int, tokens: int, heads: int, holds: int = 0) -> None:
        self._dut, self._rng = dut, random.Random(seed)
        self._tokens, self._heads, self._holds = tokens, heads, holds
        self._memory: dict[tuple[int, int], int] = {}
        self.rows = {(h, t): self._rng.getrandbits(ROW_BITS) for h in range(heads) for t in range(tokens)}
        self._left = dict.fromkeys(range(heads), 0)
        self._shown = 0
        self.first_read: int | None = None

    def __call__(self, context, now: int) -> None:
        dut, rng = self._dut, self._rng
        context.set(dut.start, now == 3)
        context.set(dut.tokens, self._tokens)
        context.set(dut.heads, self._heads)
        context.set(dut.hold, now < self._holds)
        context.set(Value.cast(dut.look.row), self._shown)
        written = {"valid": 0, "head": rng.randrange(CONFIG.heads), "token": rng.randrange(CONFIG.tokens)}
        unfinished = [head for head, token in self._left.items() if token < self._tokens]
        if now > 4 and unfinished and rng.random() < 0.6:
            head = rng.choice(unfinished)
            written = {"valid": 1, "head": head, "token": self._left[head]}
            self._left[head] += 1
        context.set(dut.written, written)
        # The row that is read stands from the next cycle on; what is not there yet is anything.
        if context.get(dut.look.read):
            of = context.get(dut.look.of)
            self._shown = self._memory.get((of["head"], of["token"]), 0)
            self.first_read = now if self.first_read is None else self.first_read
        if written["valid"]:
            place = (written["head"], written["token"])
            self._memory[place] = self.rows[place]


def walk(dut, seed: int, tokens: int, heads: int, stall: float, holds: int = 0) -> Kept:
    kept = Kept(dut, seed, tokens, heads, holds)
    done: list[int] = []

    def each(context, now: int) -> None:
        kept(context, now)
        done.append(context.get(dut.done))

    found = through(dut, {}, {"o": tokens * heads}, seed=seed, stall=stall, each=each, limit=2000)["o"]
    rows = [fields_of(walked_layout(CONFIG), payload) for payload in found]
    places = [(head, token) for head in range(heads) for token in range(tokens)]
    assert [row["row"] for row in rows] == [kept.rows[place] for place in places]
    assert [row["token"] for row in rows] == [token for _, token in places]
    assert [row["last"] for row in rows] == [place == places[-1] for place in places]
    # Nothing is said to be over before the last row has been taken.
    assert not any(done[4:])
    return kept


SHAPES = [(16, 2), (13, 2), (1, 1), (1, 2), (7, 1)]


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_row_in_its_turn(shape, stall):
    for seed in range(4):
        walk(RowWalk(CONFIG), seed, *shape, stall)


def test_nothing_is_read_while_it_must_not():
    kept = walk(RowWalk(CONFIG), 1, 16, 2, 0.0, holds=200)
    assert kept.first_read is not None
    assert kept.first_read >= 200


FAULTS = {
    "a row that is not there": {"written": lambda written: written | 1},
    "never there": {"written": lambda written: written & ~1},
    "held for ever": {"hold": lambda hold: hold | 1},
    "another head": {"look__of": lambda of: of ^ 1},
    "over too early": {"done": lambda done: ~done},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_walk_is_found(name):
    with pytest.raises(AssertionError):
        walk(Planted(RowWalk(CONFIG), **FAULTS[name]), 2, 13, 2, 0.3)
