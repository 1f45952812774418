# SPDX-License-Identifier: Apache-2.0
"""Lines by what they compute show what those show that are built: compared at full size, proved at a small one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring

from config.pe_arrays import PeArraysConfig
from config.presets import pe_arrays
from hdl.execute.dot_line import DotLine
from hdl.execute.line import PeLine
from hdl.execute.pe_lane import SLICE
from tests.arith import simulate
from tests.behaviour import AgreeClaim, Behaviour, Beside, agree
from tests.execute.items import small
from tests.formal.prove import check
from tests.planted import Fault, Planted

TAG_BITS = 3
ENDS = [-128, -1, 0, 1, 127]


def dot_lines(m: Module, one, other) -> tuple[Value, Value]:
    """From the first sum on, `o` is the same whether it is valid or not: an accumulator starts with anything."""
    begun = Signal()
    m.d.sync += begun.eq(begun | one.o.valid)
    same = Value.cast(one.o.payload) == Value.cast(other.o.payload)
    return (one.o.valid == other.o.valid) & (same | ~(begun | one.o.valid)), one.o.valid


def pe_lines(m: Module, one, other) -> tuple[Value, Value]:
    """Of pairs and offset, what they stand for."""
    same = (sums(one) == sums(other)) & (one.tag == other.tag)
    return (one.done == other.done) & (one.i.ready == other.i.ready) & (same | ~one.done), one.done


def sums(line) -> Value:
    found = []
    for pair in line.sums.pairs:
        carry = Cat(Cat(Const(0, SLICE - 1), bit) for bit in pair.carry) << 1
        found.append((pair.sum + carry + line.sums.offset)[: len(pair.sum)])
    return Cat(found)


def dot_pair(config: PeArraysConfig, kind: type[DotLine] = DotLine, **faults: Fault) -> tuple[wiring.Component, ...]:
    other = Behaviour(kind(config, tag_bits=TAG_BITS))
    return DotLine(config, tag_bits=TAG_BITS), Planted(other, **faults) if faults else other


def pe_pair(config: PeArraysConfig, kind: type[PeLine] = PeLine, **faults: Fault) -> tuple[wiring.Component, ...]:
    other = Behaviour(kind(config, tag_bits=TAG_BITS))
    return PeLine(config, tag_bits=TAG_BITS), Planted(other, **faults) if faults else other


# At full size


Inputs = dict[str, list[int]]
CYCLES = 2000


def dot_inputs(a: np.ndarray, b: np.ndarray, first, last, hold, valid) -> Inputs:
    """a, b: [N, lanes]; the others: [N]."""
    tags = np.arange(len(a)) % (1 << TAG_BITS)
    columns = [*((each, 8) for each in (*a.T, *b.T)), (first, 1), (last, 1), (tags, TAG_BITS), (hold, 1)]
    return {"i__payload": patterns(columns), "i__valid": patterns([(valid, 1)])}


def pe_inputs(
    groups: int, a: np.ndarray, b: np.ndarray, first: np.ndarray, last: np.ndarray, valid, consumed
) -> Inputs:
    """b: [N, lanes]; the others: [N]. Whatever is shown meanwhile, all groups are in turn."""
    number = np.arange(len(a))
    columns = [(a, 9), *((each, 8) for each in b.T), (first, 1), (last, 1), (number % (1 << TAG_BITS), TAG_BITS)]
    return {
        "i__payload": patterns(columns),
        "i__valid": patterns([(valid, 1)]),
        "select": patterns([(1 << number % groups, groups)]),
        "consumed": patterns([(consumed, 1)]),
    }


def patterns(columns: list[tuple[np.ndarray, int]]) -> list[int]:
    return simulate.patterns([each.astype(int).tolist() for each, _ in columns], [width for _, width in columns])


def joined(*parts: Inputs) -> Inputs:
    return {name: [word for part in parts for word in part[name]] for name in parts[0]}


def rests(rng: np.random.Generator, *shares: float) -> np.ndarray:
    """True in such a share of `CYCLES`, in turn for a while."""
    return rng.random(CYCLES) < np.resize(np.repeat(shares, 100), CYCLES)


def operands(rng: np.random.Generator, lanes: int, ends: float) -> np.ndarray:
    shape = (CYCLES, lanes)
    return np.where(rng.random(shape) < ends, rng.choice([-128, 0, 127], shape), rng.integers(-128, 128, shape))


def marks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """First and last beats, in any order: it is no matter of the lines that items are whole."""
    first, last = (rng.random(CYCLES) < 0.3 for _ in range(2))
    first[0] = True
    return first, last


def every_dot(lanes: int) -> Inputs:
    """Every product of two operands, in items of one beat."""
    a, b = (each.reshape(-1, lanes) for each in simulate.pairs(*[simulate.operands(8)] * 2))
    always = np.ones(len(a))
    return dot_inputs(a, b, always, always, 0 * always, always)


def random_dots(lanes: int, ends: float) -> Inputs:
    rng = np.random.default_rng(lanes)
    a, b = (operands(rng, lanes, ends) for _ in range(2))
    return dot_inputs(a, b, *marks(rng), rests(rng, 0.4, 0.1), rests(rng, 1, 0.6))


def every_product(lanes: int, groups: int) -> Inputs:
    """Every product of a scalar and an operand, in sums that stand until each group has been shown."""
    a = np.repeat(np.arange(-128, 256), 256 // lanes)
    b = np.tile(simulate.operands(8).reshape(-1, lanes), (384, 1))
    place = np.arange(len(a)) % (groups + 2)
    return pe_inputs(groups, a, b, place == 0, place == groups + 1, np.ones(len(a)), place == 2)


def random_products(lanes: int, groups: int, ends: float) -> Inputs:
    rng = np.random.default_rng(lanes)
    a = np.where(rng.random(CYCLES) < ends, rng.choice([-128, 0, 127, 255], CYCLES), rng.integers(-128, 256, CYCLES))
    return pe_inputs(groups, a, operands(rng, lanes, ends), *marks(rng), rests(rng, 0.9, 0.6), rests(rng, 0.9, 0.2))


def test_dot_lines_agree() -> None:
    config = pe_arrays("minilm")
    lanes = config.lanes
    given = joined(every_dot(lanes), random_dots(lanes, 0.1), random_dots(lanes, 0.9))
    assert agree(Beside(*dot_pair(config), dot_lines), "dot_lines", **given) > 256 * 256 // lanes


def test_lines_agree() -> None:
    config = pe_arrays("minilm")
    shape = config.lanes, config.groups
    given = joined(every_product(*shape), random_products(*shape, 0.1), random_products(*shape, 0.9))
    assert agree(Beside(*pe_pair(config), pe_lines, consumed="done"), "pe_lines", **given) > CYCLES


class Hasty(DotLine):
    """The sum takes what is not there yet."""

    def _behave(self, m: Module, enable: list[Value], first: Value) -> None:
        super()._behave(m, [*enable[:-1], Const(1)], first)


class Endless(PeLine):
    """A sum begins with the one before."""

    def _behave(self, m: Module, control, enter: Value, first: Value) -> list[Value]:
        return super()._behave(m, control, enter, Const(0))


@pytest.mark.parametrize(
    ("kind", "faults"),
    [
        (Hasty, {}),
        (DotLine, {"i__payload": lambda payload: payload & ~(1 << (8 * 2 * 4 + 2 + TAG_BITS))}),
        (DotLine, {"i__payload": lambda payload: payload & ~(1 << 7)}),
    ],
    ids=["hasty", "never held", "a sign lost"],
)
def test_other_dot_lines_do_not_agree(kind: type[DotLine], faults: dict[str, Fault]) -> None:
    with pytest.raises(AssertionError, match="cycles differ"):
        agree(Beside(*dot_pair(small(), kind, **faults), dot_lines), "dot_lines", **random_dots(4, 0.1))


@pytest.mark.parametrize(
    ("kind", "faults"),
    [
        (Endless, {}),
        (PeLine, {"sums": lambda sums: sums ^ 1}),
        (PeLine, {"i__payload": lambda payload: payload & ~(1 << 8)}),
        (PeLine, {"consumed": lambda consumed: Const(0)}),
    ],
    ids=["endless", "one off", "a sign lost", "never read"],
)
def test_other_lines_do_not_agree(kind: type[PeLine], faults: dict[str, Fault]) -> None:
    pair = Beside(*pe_pair(small(), kind, **faults), pe_lines, consumed="done")
    with pytest.raises(AssertionError, match="cycles differ"):
        agree(pair, "pe_lines", **random_products(4, small().groups, 0.1))


# For all inputs

TWO_LANES = small(lanes=2, scalers=1, terms=1, keys=1)
Range = Callable[[Value], Value]


def bit(value: Value) -> Value:
    return value.as_unsigned() >> 1 == 0


def signed_pair(value: Value) -> Value:
    """-2 to 1: the products of all pairs are compared above."""
    return value.as_unsigned()[1:].all() | ~value.as_unsigned()[1:].any()


def whole(value: Value) -> Value:
    return Const(1)


def dot_claim(one, other, of_a: Range, of_b: Range) -> AgreeClaim:
    def assumed(line) -> list[Value]:
        beat = line.i.payload
        return [*map(of_a, beat.a), *map(of_b, beat.b)]

    return AgreeClaim(one, other, dot_lines, assumed)


def pe_claim(one, other, of_a: Range, of_b: Range) -> AgreeClaim:
    def assumed(line) -> list[Value]:
        beat, select = line.i.payload, line.select
        return [of_a(beat.a), *map(of_b, beat.b), (select == 1) | (select == 2), ~line.consumed | line.done]

    return AgreeClaim(one, other, pe_lines, assumed)


@pytest.mark.formal
@pytest.mark.parametrize(("of_a", "of_b", "depth"), [(bit, signed_pair, 7), (signed_pair, bit, 7)])
def test_dot_lines_are_proved_to_agree(of_a: Range, of_b: Range, depth: int, tmp_path: Path) -> None:
    claim = dot_claim(*dot_pair(TWO_LANES), of_a, of_b)
    assert check(claim, folder=tmp_path, depth=depth, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(("of_a", "of_b", "depth"), [(bit, whole, 8), (signed_pair, bit, 9)])
def test_lines_are_proved_to_agree(of_a: Range, of_b: Range, depth: int, tmp_path: Path) -> None:
    claim = pe_claim(*pe_pair(TWO_LANES), of_a, of_b)
    assert check(claim, folder=tmp_path, depth=depth, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize("kind", [Hasty, Endless])
def test_others_are_refuted(kind: type[DotLine] | type[PeLine], tmp_path: Path) -> None:
    make, claim = (dot_pair, dot_claim) if issubclass(kind, DotLine) else (pe_pair, pe_claim)
    assert not check(claim(*make(TWO_LANES, kind), bit, bit), folder=tmp_path, depth=8, gates=True)
