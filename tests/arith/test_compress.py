# SPDX-License-Identifier: Apache-2.0
"""Column compressor and adder tree: exact sums, every count of words, registers that move and registers that hold."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import wiring

from hdl.arith.compress import CarrySaveTree, SumTree, Word, cuts, levels, words_layout
from tests.arith import simulate
from tests.planted import Planted

COUNTS = range(1, 71)


def clocked(dut: wiring.Component, inputs: Sequence[int], enables: Sequence[int] = ()) -> list[int]:
    """What `o` shows behind each clock edge that finds `i` and `enable` as given."""
    seen: list[int] = []

    async def bench(context):
        for number, value in enumerate(inputs):
            context.set(Value.cast(dut.i), value)
            if enables:
                context.set(dut.enable, enables[number])
            await context.tick()
            seen.append(context.get(Value.cast(dut.o)))

    simulate.run(dut, bench)
    return seen


def pair_sum(pair: int, bits: int) -> int:
    """The sum of the two words that a compressor gives, in its columns."""
    return ((pair >> bits) + pair) % (1 << bits)


def extremes(bits: int, count: int) -> list[list[int]]:
    """All smallest, all largest, all zero, one hot at each end, alternating signs, a staircase."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    hot = [[low if i == position else 0 for i in range(count)] for position in (0, count // 2, count - 1)]
    alternating = [[(low, high)[(i + start) % 2] for i in range(count)] for start in (0, 1)]
    return [[low] * count, [high] * count, [0] * count, [-1] * count, *hot, *alternating]


def rows(bits: int, count: int, random: int) -> list[list[int]]:
    """Extremes, and then random rows of `count` signed integers."""
    drawn = np.random.default_rng(count).integers(-(1 << (bits - 1)), 1 << (bits - 1), (random, count))
    return extremes(bits, count) + drawn.tolist()


def packed(row: Sequence[int], bits: int) -> int:
    """A row of integers as one number."""
    return simulate.patterns([[value] for value in row], [bits] * len(row))[0]


# Construction and bad arguments


def test_ports_of_the_compressor() -> None:
    words = [Word(4), Word(4, 2), Word(1, 5)]
    assert words_layout(words).size == 9
    tree = CarrySaveTree(words=words, bits=7, cuts=(0, 1))
    assert (tree.words, tree.bits, tree.cuts, tree.latency) == (tuple(words), 7, (0, 1), 2)
    assert simulate.ports(tree) == {"i": unsigned(9), "enable": unsigned(2), "o": unsigned(14)}
    combinational = CarrySaveTree(words=words, bits=7)
    assert combinational.latency == 0
    assert simulate.ports(combinational) == {"i": unsigned(9), "o": unsigned(14)}


def test_ports_of_the_adder_tree() -> None:
    tree = SumTree(count=64, bits=16)
    assert simulate.ports(tree) == {"i": unsigned(16 * 64), "enable": unsigned(1), "o": signed(16 + 6)}
    assert tree.latency == 3


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: CarrySaveTree(words=[], bits=8),
            "words must name at least one word, not none; give the shape of each word.",
        ),
        (
            lambda: CarrySaveTree(words=[Word(4), Word(1, 8)], bits=8),
            "every word must have bits and begin below column 8, the width of the sum; widen the sum.",
        ),
        (
            lambda: CarrySaveTree(words=[Word(4), Word(0)], bits=8),
            "every word must have bits and begin below column 8, the width of the sum; widen the sum.",
        ),
        (
            lambda: CarrySaveTree(words=[Word(4)] * 4, bits=8, cuts=(3,)),
            "cuts must be different levels from 0 to 2, not (3,); drop the others.",
        ),
        (
            lambda: CarrySaveTree(words=[Word(4)] * 4, bits=8, cuts=(1, 1)),
            "cuts must be different levels from 0 to 2, not (1, 1); drop the others.",
        ),
        (lambda: SumTree(count=0, bits=8), "count must be an integer from 1, not 0; raise it."),
        (lambda: SumTree(count=4.0, bits=8), "count must be an integer from 1, not 4.0; raise it."),
        (lambda: SumTree(count=4, bits=1), "bits must be an integer from 2, not 1; raise it."),
        (
            lambda: SumTree(count=4, bits=8, first=-1),
            "stages must hold first >= 0 and later >= 1 levels, not -1 and 7; raise them.",
        ),
        (lambda: cuts(9, 2, 0), "stages must hold first >= 0 and later >= 1 levels, not 2 and 0; raise them."),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], object], sentence: str) -> None:
    assert simulate.refusal_of(call) == sentence


# Worked examples


def test_levels() -> None:
    """Each level leaves two words of three: 3 → 2, 4 → 3 → 2, 9 → 6 → 4 → 3 → 2."""
    assert [levels(count) for count in (1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, 64)] == [
        0,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
    ]


def test_cuts() -> None:
    """64 words need 10 levels; the last cut is behind the tree."""
    assert cuts(64, 5, 7) == (5, 10)
    assert cuts(64, 0, 4) == (0, 4, 8, 10)
    assert cuts(64, 20, 1) == (10,)
    assert cuts(2, 0, 1) == (0,)


def test_a_column_sum_by_hand() -> None:
    """1011 + 110 << 1 + 1 << 4 = 11 + 12 + 16."""
    tree = CarrySaveTree(words=[Word(4), Word(3, 1), Word(1, 4)], bits=6)
    pair = simulate.evaluate(tree, i=[0b1_110_1011])
    assert pair_sum(int(pair[0]), 6) == 39


def test_the_sum_is_modulo_its_width() -> None:
    tree = CarrySaveTree(words=[Word(8)] * 5, bits=6)
    pair = simulate.evaluate(tree, i=[packed([255, 254, 1, 128, 77], 8)])
    assert pair_sum(int(pair[0]), 6) == (255 + 254 + 1 + 128 + 77) % 64


# Random and extreme words


@pytest.mark.parametrize("count", COUNTS)
def test_compressor_of_every_count(count: int) -> None:
    """Words of random width in random columns, some of which stick out of the sum at the top."""
    rng = np.random.default_rng(count)
    words = [Word(int(rng.integers(1, 9)), int(rng.integers(0, 10))) for _ in range(count)]
    bits = 14
    tree = CarrySaveTree(words=words, bits=bits)
    values = [[(1 << word.bits) - 1 for word in words], [0] * count]
    values += [[int(rng.integers(0, 1 << word.bits)) for word in words] for _ in range(8)]
    inputs = simulate.patterns(zip(*values, strict=True), [word.bits for word in words])
    expected = [sum(v << word.column for v, word in zip(row, words, strict=True)) % (1 << bits) for row in values]
    port = simulate.evaluate(tree, i=inputs)
    assert [pair_sum(int(pair), bits) for pair in port] == expected


def sums(tree: wiring.Component, latency: int, bits: int, count: int) -> bool:
    """Does a new exact sum leave the tree in every cycle, `latency` cycles behind its words?"""
    given = rows(bits, count, random=6)
    inputs = [packed(row, bits) for row in given] + [0] * (latency - 1)
    seen = clocked(tree, inputs, enables=[1] * len(inputs))
    return seen[latency - 1 :] == [sum(row) for row in given]


@pytest.mark.parametrize("count", COUNTS)
def test_adder_tree_of_every_count(count: int) -> None:
    tree = SumTree(count=count, bits=4, first=count % 4, later=1 + count % 3)
    assert sums(tree, tree.latency, 4, count)


@pytest.mark.parametrize(("count", "bits"), [(64, 16), (2, 2), (33, 8)])
def test_adder_tree_of_other_widths(count: int, bits: int) -> None:
    tree = SumTree(count=count, bits=bits)
    assert sums(tree, tree.latency, bits, count)


# Pipeline


@pytest.mark.parametrize("places", [(0,), (4,), (0, 1, 2, 3, 4), (2, 4)])
def test_each_stage_holds_while_it_is_disabled(places: tuple[int, ...]) -> None:
    """Against registers that remember which input they hold."""
    count, bits = 8, 9
    tree = CarrySaveTree(words=[Word(6)] * count, bits=bits, cuts=places)
    rng = np.random.default_rng(len(places))
    given = rng.integers(0, 1 << 6, (80, count)).tolist()
    enables = rng.integers(0, 1 << len(places), len(given)).tolist()
    held: list[int | None] = [None] * len(places)
    expected = []
    for now, enable in enumerate(enables):
        held = [(now, *held)[stage] if enable >> stage & 1 else held[stage] for stage in range(len(places))]
        expected.append(held[-1])
    seen = clocked(tree, [packed(row, 6) for row in given], enables)
    known = [
        (pair_sum(pair, bits), sum(given[index]))
        for pair, index in zip(seen, expected, strict=True)
        if index is not None
    ]
    assert len(known) > 40
    assert all(sum_seen == sum_expected for sum_seen, sum_expected in known)


def test_adder_tree_holds_while_it_is_disabled() -> None:
    tree = SumTree(count=9, bits=8, first=1, later=1)
    given = rows(8, 9, random=40)
    enables = np.random.default_rng(9).integers(0, 2, len(given)).tolist()
    taken = [sum(row) for row, enable in zip(given, enables, strict=True) if enable]
    seen = clocked(tree, [packed(row, 8) for row in given], enables)
    moves = list(itertools.accumulate(enables))
    assert all(
        total == taken[moved - tree.latency] for total, moved in zip(seen, moves, strict=True) if moved >= tree.latency
    )
    assert moves[-1] > tree.latency


# Planted faults


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"i": lambda i: i & ~(1 << 7)}, id="sign of one word dropped"),
        pytest.param({"o": lambda o: o & ~(1 << 5)}, id="carry lost"),
        pytest.param({"o": lambda o: o & ~(1 << 10)}, id="sign of the sum dropped"),
        pytest.param({"enable": lambda enable: ~enable}, id="never moves"),
    ],
)
def test_wrong_tree_is_caught(fault) -> None:
    tree = SumTree(count=8, bits=8)
    assert not sums(Planted(tree, **fault), tree.latency, 8, 8)
