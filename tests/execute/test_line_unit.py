# SPDX-License-Identifier: Apache-2.0
"""A PE line: exact sums of every kind of item, under every flow control, without a gap; proofs of its parts."""

import random
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.pe_arrays import PLACE_BITS, PeArraysConfig
from config.presets import PRESETS, pe_arrays
from hdl.arith.columns import ColumnTree, heights
from hdl.arith.compress import Word
from hdl.execute.line import PeLine
from hdl.execute.pe_lane import BIAS, CARRIES, DIGITS_LAYOUT, SLICE, WORDS, partials, recode
from tests.arith import simulate
from tests.execute.items import Item, beats, random_items, small
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

TAG_BITS = 3


def resolved(pair: int, offset: int, acc_bits: int) -> int:
    """What a pair of words stands for."""
    carry = sum((pair >> (acc_bits + i) & 1) << word.column for i, word in enumerate(CARRIES))
    total = (pair + carry + offset) & ((1 << acc_bits) - 1)
    return total - (total >> (acc_bits - 1) << acc_bits)


class Reader:
    """Reads a line's sums group by group, and releases them with the last one. `seen`: tag and sums of each item."""

    def __init__(self, dut, config: PeArraysConfig, hold: float, rng: random.Random):
        self.seen: list[tuple[int, list[int]]] = []
        self._dut, self._config, self._hold, self._rng = dut, config, hold, rng
        self._sums: list[int] = []

    def drive(self, context) -> None:
        """Once a cycle, when `done` stands; it depends on nothing that is driven in this cycle."""
        dut, config = self._dut, self._config
        reads = bool(context.get(dut.done)) and self._rng.random() >= self._hold
        group = len(self._sums) // config.scalers
        context.set(dut.select, 1 << group if reads else self._rng.getrandbits(config.groups))
        ends = reads and group == config.groups - 1
        context.set(dut.consumed, ends)
        if not reads:
            return
        shown = context.get(Value.cast(dut.sums))
        width = config.acc_bits + len(CARRIES)
        offset = shown >> width * config.scalers
        pairs = [shown >> width * k & ((1 << width) - 1) for k in range(config.scalers)]
        self._sums += [resolved(pair, offset, config.acc_bits) for pair in pairs]
        if ends:
            self.seen.append((context.get(dut.tag), self._sums))
            self._sums = []


def summed(
    dut, config: PeArraysConfig, items: list[Item], *, idle: float = 0, hold: float = 0, cycles: int = 4000
) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """Tag and sums of what leaves, and the cycles in which beats entered."""
    rng = random.Random(len(items))
    reader, entered = Reader(dut, config, hold, rng), []
    payload = Value.cast(dut.i.payload)

    async def bench(context):
        queue, offered = deque(beats(items, TAG_BITS)), False
        for cycle in range(cycles):
            offered = bool(queue) and (offered or rng.random() >= idle)
            context.set(payload, queue[0] if offered else rng.getrandbits(len(payload)))
            context.set(dut.i.valid, offered)
            reader.drive(context)
            if offered and context.get(dut.i.ready):
                queue.popleft()
                offered = False
                entered.append(cycle)
            await context.tick()
            if len(reader.seen) == len(items):
                break

    simulate.run(dut, bench)
    return reader.seen, entered


def check_line(config: PeArraysConfig, items: list[Item], dut=None, **how) -> list[int]:
    found, entered = summed(dut or PeLine(config, tag_bits=TAG_BITS), config, items, **how)
    assert found == [(item.tag, item.sums.tolist()) for item in items]
    return entered


# Construction


def test_ports() -> None:
    found = {name: shape.width for name, shape in simulate.ports(PeLine(pe_arrays("minilm"), tag_bits=5)).items()}
    pair = 26 + len(CARRIES)
    assert found == {
        "i__payload": 9 + 256 + 2 + 5, "i__valid": 1, "i__ready": 1,
        "select": 16, "sums": 2 * pair + 26, "tag": 5, "done": 1, "consumed": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scalers": 3}, "scalers must be a divisor of lanes = 4, not 3; choose 1, or another divisor."),
        ({"scalers": 0}, "scalers must be a divisor of lanes = 4, not 0; choose 1, or another divisor."),
        ({"terms": 0}, "terms must be an integer from 1 to 16384, not 0; set terms to a value in that range."),
        ({"keys": 4097}, "keys must be an integer from 1 to 4096, not 4097; set keys to a value in that range."),
    ],
)
def test_illegal_configurations_are_refused(changes: dict[str, int], sentence: str) -> None:
    assert simulate.refusal_of(lambda: small(**changes)) == sentence


def test_a_line_without_a_tag_is_refused() -> None:
    assert simulate.refusal_of(lambda: PeLine(small(), tag_bits=0)) == (
        "tag_bits must be an integer from 1 to 64, not 0; set tag_bits to a value in that range."
    )


# Widths


@pytest.mark.parametrize("preset", PRESETS)
def test_accumulators_hold_the_longest_sums_and_no_more(preset: str) -> None:
    config = pe_arrays(preset)
    ends = [config.terms * a * b for a in (-128, 127) for b in (-128, 127)]
    ends += [config.keys * 255 * b for b in (-128, 127)]
    assert all(-(1 << (config.acc_bits - 1)) <= end < 1 << (config.acc_bits - 1) for end in ends)
    assert max(map(abs, ends)) >= 1 << (config.acc_bits - 2)
    assert config.keys * 255 * 128 <= 1 << (config.context_bits - 1) <= 2 * config.keys * 255 * 128


def test_the_narrowest_accumulator() -> None:
    config = small(terms=1, keys=1)
    assert config.acc_bits == PLACE_BITS + 1
    check_line(config, random_items(4, [1] * 20))


@pytest.mark.parametrize("b", [-128, 127])
@pytest.mark.parametrize(("a", "count"), [(-128, 1536), (127, 1536), (255, 128)])
def test_the_longest_sums_of_ends(a: int, b: int, count: int) -> None:
    """With what comes after them: nothing of them stays."""
    config = small(lanes=1, scalers=1, terms=1536, keys=128)
    check_line(config, [Item(np.full(count, a), np.full((count, 1), b)), *random_items(1, [3])])


# Sums


def test_a_few_sums() -> None:
    items = [
        Item(np.array([1, -1]), np.array([[5, 6, 7, 8], [1, 2, 3, 4]]), 1),
        Item(np.array([255]), np.array([[-128, 127, 0, 1]]), 2),
        Item(np.array([0]), np.array([[9, 9, 9, 9]]), 3),
        Item(np.array([0, 2, 0]), np.array([[9, 9, 9, 9], [1, 1, 1, 1], [7, 7, 7, 7]]), 4),
    ]
    assert [item.sums.tolist() for item in items] == [
        [4, 4, 4, 4], [-32640, 32385, 0, 255], [0, 0, 0, 0], [2, 2, 2, 2],
    ]  # fmt: skip
    check_line(small(), items)


LENGTHS = [1, 1, 1, 7, 2, 16, 1, 3, 3, 3, 9, 1, 2, 1, 30, 1]


@pytest.mark.parametrize("hold", [0, 0.6])
@pytest.mark.parametrize("idle", [0, 0.5])
@pytest.mark.parametrize("codes", [False, True])
@pytest.mark.parametrize(("lanes", "scalers"), [(4, 2), (5, 1), (3, 3), (1, 1)])
def test_sums_under_every_flow_control(lanes: int, scalers: int, codes: bool, idle: float, hold: float) -> None:
    config = small(lanes=lanes, scalers=scalers)
    check_line(config, random_items(lanes, LENGTHS * 3, codes=codes), idle=idle, hold=hold)


def test_rows_of_zeros_are_zero() -> None:
    check_line(small(), random_items(4, LENGTHS, zeros=1.0))


# Throughput


def test_items_follow_each_other_without_a_gap() -> None:
    """From `groups` + 2 beats on, if each group is read as soon as it is there."""
    config = small()
    entered = check_line(config, random_items(4, [config.groups + 2] * 20))
    assert entered == list(range(len(entered)))


def test_shorter_items_take_as_long_as_their_reading() -> None:
    config = small(lanes=8, scalers=1)
    entered = check_line(config, random_items(8, [2] * 30))
    # Two items wait in the line, and the third one's first beat in front of its sums.
    starts = entered[::2][4:]
    assert np.diff(starts).tolist() == [config.groups + 2] * (len(starts) - 1)


# Planted faults


@pytest.mark.parametrize(
    "fault",
    [
        {"i__ready": lambda ready: Const(1)},
        {"done": lambda done: Const(1)},
        {"consumed": lambda consumed: Const(1)},
        {"sums": lambda sums: sums ^ 1},
        {"i__payload": lambda payload: payload & ~(1 << 8)},
        {"tag": lambda tag: tag ^ 1},
    ],
    ids=["beat lost", "sums invented", "sums lost", "one off", "sign lost", "another's"],
)
def test_a_fault_is_caught(fault) -> None:
    config = small()
    with pytest.raises((AssertionError, IndexError)):
        check_line(config, random_items(4, LENGTHS), Planted(PeLine(config, tag_bits=TAG_BITS), **fault), hold=0.5)


# Products


class Words(wiring.Component):
    """The sum of a product's words."""

    a: In(signed(9))
    b: In(signed(8))
    o: Out(PLACE_BITS)

    def elaborate(self, platform):
        m = Module()
        digits = Signal(DIGITS_LAYOUT)
        m.d.comb += [
            digits.as_value().eq(recode(self.a)),
            self.o.eq(sum(value << word.column for word, value in zip(WORDS, partials(self.b, digits), strict=True))),
        ]
        return m


def test_every_product() -> None:
    a, b = simulate.pairs(np.arange(-128, 256), simulate.operands(8))
    assert np.array_equal(simulate.evaluate(Words(), a=a, b=b) - BIAS, a * b)


def test_zero_has_no_digits() -> None:
    """So that nothing toggles behind it."""
    dut = Words()
    assert set(simulate.evaluate(dut, a=[0] * 256, b=range(-128, 128)).tolist()) == {BIAS}


# Columns


def test_heights() -> None:
    assert [heights(n) for n in (1, 2, 3, 4, 7, 9, 10)] == [
        [], [], [2], [3, 2], [6, 4, 3, 2], [6, 4, 3, 2], [9, 6, 4, 3, 2],
    ]  # fmt: skip


def test_sums_that_do_not_fit_are_refused() -> None:
    assert simulate.refusal_of(lambda: ColumnTree(words=[Word(4)] * 5, bits=4)) == (
        "the sum must fit its 4 columns, but carries leave them; widen the pair."
    )
    assert simulate.refusal_of(lambda: ColumnTree(words=[Word(4, 1)], bits=4)) == (
        "every word must have bits and end below column 4, the width of the pair; widen the pair."
    )


class TreeClaim(contract.Claim):
    """A pair is the sum of the words, to the bit."""

    def __init__(self, dut: ColumnTree, words: list[Word]):
        self._words = words
        super().__init__(dut)

    def claim(self, m, dut) -> None:
        total = sum(dut.i[str(i)] << word.column for i, word in enumerate(self._words))
        m.d.comb += Assert(dut.o[0] + dut.o[1] == total)


LANE_WORDS = [*WORDS, Word(PLACE_BITS), *CARRIES]


@pytest.mark.formal
@pytest.mark.parametrize(
    ("words", "bits"),
    [([Word(3), Word(3), Word(3, 1)], 5), ([Word(2)] * 7, 5), ([Word(6, 2), Word(1, 7)], 8)],
)
def test_trees_are_proved(words: list[Word], bits: int, tmp_path: Path) -> None:
    assert check(TreeClaim(ColumnTree(words=words, bits=bits), words), folder=tmp_path)


def test_a_lanes_tree() -> None:
    dut = ColumnTree(words=LANE_WORDS, bits=PLACE_BITS + 1)
    assert dut.levels == 4
    widths = [word.bits for word in LANE_WORDS]
    rng = random.Random(1)
    rows = [[rng.getrandbits(bits) for bits in widths] for _ in range(2000)]
    # No product's words are all ones.
    rows = [row for row in rows if sum(v << w.column for v, w in zip(row[:9], WORDS, strict=True)) < 1 << PLACE_BITS]
    seen = simulate.evaluate(dut, i=simulate.patterns(zip(*rows, strict=True), widths))
    total = [sum(value << word.column for value, word in zip(row, LANE_WORDS, strict=True)) for row in rows]
    mask = (1 << (PLACE_BITS + 1)) - 1
    assert [(pair & mask) + (pair >> (PLACE_BITS + 1)) for pair in seen.tolist()] == total
    assert not any(pair >> (PLACE_BITS + 1) & 1 for pair in seen.tolist())


# Proof that nothing is lost


class LineClaim(contract.Claim):
    """Items leave in their order, with their tags and sums, none twice, and each within a few cycles.

    Of a line of one lane, with scalars and operands of 0 and 1: products are tested elsewhere.
    """

    def __init__(self, dut, acc_bits: int):
        self._acc_bits = acc_bits
        super().__init__(dut, {"picked": In(1)})

    def claim(self, m, dut) -> None:
        beat, bits = dut.i.payload, self._acc_bits
        inside, total, expected = Signal(), Signal(signed(bits)), Signal(signed(bits))
        fire = contract.fires(dut.i)
        pair = dut.sums.pairs[0]
        carry = Cat(Cat(Const(0, SLICE - 1), bit) for bit in pair.carry) << 1
        m.d.comb += [
            Assume((beat.a >> 1) == 0),
            Assume((beat.b[0] >> 1) == 0),
            Assume(~dut.i.valid | (beat.first == ~inside)),
            Assume(~dut.consumed | dut.done),
            Assume(dut.select == 1),
            expected.eq(Mux(beat.first, 0, total) + Mux(beat.a[0], beat.b[0], 0)),
        ]
        with m.If(fire):
            m.d.sync += [inside.eq(~beat.last), total.eq(expected)]
        ends, leaves = fire & beat.last, dut.consumed & dut.done
        found = (pair.sum + carry + dut.sums.offset)[:bits]
        contract.claim_order(
            m,
            enters=ends,
            expected=Cat(expected, beat.tag),
            leaves=leaves,
            result=Cat(found, dut.tag),
            picked=self.picked,
        )
        owed = contract.claim_balance(m, enters=ends, leaves=leaves)
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=~dut.done | dut.consumed, bound=5)


ONE_LANE = {"lanes": 1, "scalers": 1, "terms": 1, "keys": 1}


@pytest.mark.formal
def test_no_item_is_lost_or_changed(tmp_path: Path) -> None:
    config = small(**ONE_LANE)
    claim = LineClaim(PeLine(config, tag_bits=1), config.acc_bits)
    assert check(claim, folder=tmp_path, depth=12, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault", [{"consumed": lambda consumed: Const(1)}, {"i__ready": lambda ready: Const(1)}], ids=["sums", "beat"]
)
def test_a_loss_is_refuted(fault, tmp_path: Path) -> None:
    config = small(**ONE_LANE)
    claim = LineClaim(Planted(PeLine(config, tag_bits=1), **fault), config.acc_bits)
    assert not check(claim, folder=tmp_path, depth=12, gates=True)
