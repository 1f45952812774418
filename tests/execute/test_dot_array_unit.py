# SPDX-License-Identifier: Apache-2.0
"""An array of dot lines: dense products are golden.execute.linear's, items' sums exact, also in turn; lanes are never
idle."""

from dataclasses import dataclass, field
from itertools import product as product_of

import numpy as np
import pytest
from amaranth.hdl import Const

from config.pe_arrays import PeArraysConfig
from golden.execute.linear import linear
from hdl.execute.dot_array import DotArray
from hdl.execute.dot_tiles import words
from tests.arith import simulate
from tests.execute.items import small
from tests.execute.test_dot_line_unit import Item, beats, random_items
from tests.execute.test_pe_array_unit import Product, product, run
from tests.planted import Planted

TAG_BITS = 3
SOURCES = ("rows", "x", "tile", "w", "column")


@dataclass
class Streams:
    """Payloads for the ports of an array, and what is to come of them, results of one line each."""

    rows: list[int] = field(default_factory=list)
    x: list[int] = field(default_factory=list)
    tile: list[int] = field(default_factory=list)
    w: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    results: list[tuple[int, ...]] = field(default_factory=list)


def in_words(rows: np.ndarray, lanes: int, fill: int) -> list[int]:
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % lanes)), constant_values=fill).reshape(-1, lanes)
    return simulate.patterns(padded.T.tolist(), [8] * lanes)


def streams_of(products: list[Product], config: PeArraysConfig) -> Streams:
    """Each tile's results: column by column, `scalers` lines at once; (values…, line, column, wide, last)."""
    s, lanes = Streams(), config.lanes
    for each in products:
        count, depth = each.x.shape
        tiles = len(each.layer.w) // lanes
        widths = [config.lines.bit_length(), words(config).bit_length()]
        s.rows += simulate.patterns([[count], [-(-depth // lanes)]], widths)
        # What is beyond a row's end meets weights of 0.
        s.x += in_words(each.x, lanes, 77)
        y, wide = linear(each.x, each.layer), each.layer.bits == 16
        columns = simulate.patterns([each.layer.mul, each.layer.shift, each.layer.bias], [16, 6, 32])
        together, noise = (2 if each.double else 1), ~each.layer.w[:1]
        for tile in range(0, tiles, together):
            s.tile += simulate.patterns([[wide], [tile == tiles - together], [each.double]], [1, 1, 1])
            for column in range(lanes):
                at = [(tile + upper) * lanes + column for upper in range(together)]
                weights = np.concatenate([each.layer.w[at], noise])[:2]
                low, high = (in_words(row[None], lanes, 0) for row in weights)
                s.w += [one | other << 8 * lanes for one, other in zip(low, high, strict=True)]
                s.column += [columns[n] for n in at]
                for upper, line in product_of(range(together), range(0, count, config.scalers)):
                    last = column == lanes - 1 and line + config.scalers >= count and upper == together - 1
                    values = y[line : line + config.scalers, at[upper]]
                    number = line + upper * (config.lines // 2)
                    s.results.append((*values.tolist(), number, column, int(wide), int(last)))
    return s


def results_of(payloads: list[int], config: PeArraysConfig, due: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """As `Streams` has them: without values of lines that the list does not have."""
    widths = [16] * config.scalers + [(config.lines - 1).bit_length(), (config.lanes - 1).bit_length(), 1, 1]
    found = []
    for number, payload in enumerate(payloads):
        fields, low = [], 0
        for width in widths:
            fields.append(payload >> low & ((1 << width) - 1))
            low += width
        values = [value - (value >> 15 << 16) for value in fields[: config.scalers]]
        kept = len(due[number]) - 4 if number < len(due) else 0
        found.append((*values[:kept], *fields[config.scalers :]))
    return found


def check_products(config: PeArraysConfig, products: list[Product], dut=None, **how) -> dict[str, list[int]]:
    streams = streams_of(products, config)
    sources = {name: getattr(streams, name) for name in SOURCES}
    found, entered = run(dut or DotArray(config, items=False), sources, ["o"], **how)
    assert results_of(found["o"], config, streams.results) == streams.results
    return entered


MIXED = [(3, 17, 2, 8), (1, 8, 1, 8), (2, 1, 3, 8), (3, 9, 2, 16), (2, 64, 1, 8), (3, 24, 1, 8)]


def mixed(lanes: int) -> list[Product]:
    """Lists of any count, depths from 1 to the longest, both widths of results."""
    return [product(rows, depth, tiles, lanes, bits=bits) for rows, depth, tiles, bits in MIXED]


@pytest.mark.parametrize(("lanes", "scalers", "flow"), [(4, 2, 0.0), (2, 2, 0.5), (3, 1, 0.5), (5, 5, 0.0)])
def test_products_are_golden(lanes: int, scalers: int, flow: float) -> None:
    check_products(small(lanes=lanes, scalers=scalers), mixed(lanes), flow=flow)


@pytest.mark.parametrize("flow", [0.0, 0.5])
@pytest.mark.parametrize(("lines", "scalers"), [(4, 2), (5, 1), (8, 2)])
def test_two_tiles_at_once(lines: int, scalers: int, flow: float) -> None:
    """Lists of up to half of the lines, among others."""
    shapes = [(2, 17, 4, True), (1, 8, 2, True), (3, 9, 2, False), (lines // 2, 20, 2, True), (1, 1, 2, True)]
    products = [product(rows, depth, tiles, 4, double=double) for rows, depth, tiles, double in shapes]
    check_products(small(lines=lines, scalers=scalers), products, flow=flow)


def test_two_tiles_take_the_time_of_one() -> None:
    config = small(lines=4)
    entered = check_products(config, [product(2, 20, 4, 4, double=True)] * 2)
    assert entered["w"] == list(range(entered["w"][0], entered["w"][0] + 2 * 2 * 4 * 5))


def test_products_of_ends() -> None:
    check_products(small(lanes=2), [product(3, 64, 2, 2, ends=True, bits=bits) for bits in (8, 16)])


def test_columns_tiles_and_lists_follow_each_other_without_a_gap() -> None:
    config = small(lines=4, lanes=4)
    entered = check_products(config, [product(4, 16, 1, 4)] * 3)
    assert entered["w"] == list(range(entered["w"][0], entered["w"][0] + 3 * 4 * 4))


def test_shorter_columns_take_as_long_as_their_reading() -> None:
    config = small(lines=4, lanes=4, scalers=1)
    entered = check_products(config, [product(4, 8, 8, 4)])
    starts = np.array(entered["w"][::2])
    assert np.diff(starts)[4:].mean() <= (4 + 4 + 2) / 2


@pytest.mark.parametrize(
    ("lines", "lanes", "scalers", "depth"),
    [(4, 4, 1, 32), pytest.param(8, 16, 2, 128, marks=pytest.mark.long)],
    ids=["", "larger"],
)
def test_lanes_are_in_use(lines: int, lanes: int, scalers: int, depth: int) -> None:
    """Two full lists of a few tiles, from the first beat of weights to the last: products that count by those that
    there could have been."""
    config = small(lines=lines, lanes=lanes, terms=depth, keys=128, scalers=scalers)
    products = [product(lines, depth, 2, lanes), product(lines, depth, 2, lanes, bits=16)]
    entered = check_products(config, products, cycles=6000)["w"]
    useful = sum(each.x.size * len(each.layer.w) for each in products)
    assert useful / (lines * lanes * (entered[-1] - entered[0] + 1)) >= 0.95


# Items beside tiles


def check_both(config: PeArraysConfig, products: list[Product], items: list[list[Item]], dut=None, **how) -> None:
    """items: of each line. Their last beats say that the next one's hold."""
    streams = streams_of(products, config)
    sources = {name: getattr(streams, name) for name in SOURCES}
    for line, each in enumerate(items):
        sources[f"beat{line}"] = beats(each, TAG_BITS)
    dut = dut or DotArray(config, tag_bits=TAG_BITS)
    hold = 16 * config.lanes + 2 + TAG_BITS
    found: list[list[tuple[int, int]]] = [[] for _ in items]

    def beside(context, queues) -> None:
        waiting = [queues[f"beat{line}"] for line in range(config.lines)]
        goes_on = [len(queue) > 1 and queue[1] >> hold & 1 for queue in waiting]
        context.set(dut.goes_on, sum(bit << line for line, bit in enumerate(goes_on)))
        for line, sums in enumerate(found):
            o = getattr(dut, f"sum{line}")
            if context.get(o.valid):
                sums.append((context.get(o.payload.tag), context.get(o.payload.sum)))

    seen, _ = run(dut, sources, ["o"], beside=beside, **how)
    assert results_of(seen["o"], config, streams.results) == streams.results
    assert found == [[(item.tag, item.sum) for item in each] for each in items]


def items_of(config: PeArraysConfig, lengths: list[int]) -> list[list[Item]]:
    """Of each line: an item, and another one of a beat with the same row `a` as its last."""
    every = random_items(config.lanes, lengths * config.lines)
    every = [each for item in every for each in (item, Item(item.a[-1:], item.b[:1] ^ 1, 7 - item.tag))]
    return [[each for pair in range(line, len(every) // 2, config.lines) for each in every[2 * pair : 2 * pair + 2]]
            for line in range(config.lines)]  # fmt: skip


@pytest.mark.parametrize("flow", [0.0, 0.5])
def test_items_and_tiles_take_turns(flow: float) -> None:
    config = small(lanes=2)
    check_both(config, mixed(2)[:4], items_of(config, [1, 5, 2, 9, 1, 3, 1, 1] * 6), flow=flow)


def test_items_alone() -> None:
    config = small(lines=2)
    check_both(config, [], items_of(config, [3, 1, 6]))


# Construction and planted faults


def test_ports() -> None:
    found = {name: shape.width for name, shape in simulate.ports(DotArray(small(), tag_bits=3)).items()}
    assert {name: width for name, width in found.items() if name.endswith("payload")} == {
        "rows__payload": 2 + 5, "x__payload": 32, "tile__payload": 3, "w__payload": 64,
        "column__payload": 54, "o__payload": 2 * 16 + 2 + 2 + 2,
        **{f"beat{n}__payload": 64 + 2 + 3 + 1 for n in range(3)}, **{f"sum{n}__payload": 22 + 3 for n in range(3)},
    }  # fmt: skip


def test_one_line_is_refused() -> None:
    assert simulate.refusal_of(lambda: DotArray(small(lines=1))) == (
        "lines must be an integer from 2 to 1024, not 1; set lines to a value in that range."
    )


@pytest.mark.parametrize(
    "fault",
    [
        {"x__ready": lambda ready: Const(1)},
        {"w__valid": lambda valid: Const(1)},
        {"column__valid": lambda valid: Const(1)},
        {"tile__ready": lambda ready: Const(1)},
        {"o__ready": lambda ready: Const(1)},
        {"o__payload": lambda payload: payload ^ 1},
        {"goes_on": lambda goes_on: Const(0)},
        {"beat1__ready": lambda ready: Const(1)},
        {"sum2__payload": lambda payload: payload ^ 1},
    ],
    ids=[
        "word lost", "weights invented", "column invented", "tile lost", "offer not held", "one off",
        "row lost", "beat lost", "a sum",
    ],
)  # fmt: skip
def test_a_fault_is_caught(fault) -> None:
    config = small(lanes=2)
    items = items_of(config, [1, 5, 2, 9, 1, 3, 1, 1] * 6)
    dut = Planted(DotArray(config, tag_bits=TAG_BITS), **fault)
    with pytest.raises(AssertionError):
        check_both(config, mixed(2)[:3], items, dut, flow=0.5, cycles=1000)
