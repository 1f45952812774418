# SPDX-License-Identifier: Apache-2.0
"""A PE array: dense products are golden.execute.linear's, context the softmax's, also in turn; lanes are never idle."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product as product_of

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from config.pe_arrays import PeArraysConfig
from golden.execute.linear import Linear, linear
from hdl.execute.dense import WORD
from hdl.execute.pe_array import PeArray
from tests.arith import simulate
from tests.execute.items import beats, random_items, small
from tests.execute.test_context_unit import Row, rows_of
from tests.planted import Planted

TAG_BITS = 3


@dataclass(frozen=True)
class Product:
    """x: [T, D] of the rows of a list, int8; layer: of whole tiles of columns. double: two tiles at once."""

    x: np.ndarray
    layer: Linear
    double: bool = False


def product(
    rows: int, depth: int, tiles: int, lanes: int, *, bits: int = 8, ends: bool = False, double: bool = False
) -> Product:
    """Most results within their range, biases up to the ends of theirs."""
    rng = np.random.default_rng(rows * depth + tiles)
    columns = tiles * lanes

    def operands(*shape: int) -> np.ndarray:
        return rng.choice([-128, 127], shape) if ends else rng.integers(-128, 128, shape)

    bias = rng.integers(-1000, 1000, columns)
    bias[::5] = rng.choice([-(2**31), 2**31 - 1])
    shift = rng.integers(20, 26, columns) if bits == 8 else rng.integers(14, 18, columns)
    layer = Linear(operands(columns, depth), bias, rng.integers(1 << 14, 1 << 16, columns), shift, bits)
    return Product(operands(rows, depth), layer, double)


@dataclass
class Streams:
    """Payloads for the ports of an array, and what is to come of them."""

    rows: list[int] = field(default_factory=list)
    x: list[int] = field(default_factory=list)
    tile: list[int] = field(default_factory=list)
    w: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    results: list[int] = field(default_factory=list)


def streams_of(products: list[Product], config: PeArraysConfig) -> Streams:
    """Each tile's results: group by group, line by line."""
    s, lanes, scalers = Streams(), config.lanes, config.scalers
    widths = [config.lines.bit_length(), max(config.terms, WORD).bit_length()]
    tag_widths = [(config.lines - 1).bit_length(), (config.groups - 1).bit_length(), 1, 1]
    for each in products:
        count, depth = each.x.shape
        tiles = len(each.layer.w) // lanes
        s.rows += simulate.patterns([[count], [depth]], widths)
        padded = np.pad(each.x, ((0, 0), (0, -depth % WORD)), constant_values=77).reshape(-1, WORD)
        s.x += simulate.patterns(padded.T.tolist(), [8] * WORD)
        y, wide = linear(each.x, each.layer), each.layer.bits == 16
        together = 2 if each.double else 1
        for tile in range(0, tiles, together):
            s.tile += simulate.patterns([[wide], [tile == tiles - together], [each.double]], [1, 1, 1])
            weights = each.layer.w[tile * lanes : (tile + together) * lanes]
            noise = np.random.default_rng(tile).integers(-128, 128, weights.shape)
            s.w += simulate.patterns(np.concatenate([weights, noise])[: 2 * lanes].tolist(), [8] * (2 * lanes))
            for group, upper in product_of(range(config.groups), range(together)):
                first = (tile + upper) * lanes + group * scalers
                at = slice(first, first + scalers)
                parts = zip(each.layer.mul[at], each.layer.shift[at], each.layer.bias[at], strict=True)
                s.column += simulate.patterns([[v] for part in parts for v in part], [16, 6, 32] * scalers)
                for line in range(count):
                    last = group == config.groups - 1 and line == count - 1 and upper == together - 1
                    number = line + upper * (config.lines // 2)
                    values = [[v] for v in (*y[line, at], number, group, wide, last)]
                    s.results += simulate.patterns(values, [16] * scalers + tag_widths)
    return s


def run(
    dut,
    sources: dict[str, list[int]],
    sinks: list[str],
    *,
    flow: float = 0.0,
    cycles: int = 3000,
    beside: Callable[..., None] = lambda context, queues: None,
):
    """Payloads that leave on each of the `sinks`, and the cycles in which those of each source entered. flow: how often
    every stream rests. beside: is told in each cycle, when all streams are driven, what waits for each."""
    rng = random.Random(cycles)
    queues = {name: deque(payloads) for name, payloads in sources.items()}
    offered = dict.fromkeys(queues, False)
    entered: dict[str, list[int]] = {name: [] for name in queues}
    watched = {name: simulate.Sink(getattr(dut, name)) for name in sinks}
    idle = 0

    async def bench(context):
        nonlocal idle
        for cycle in range(cycles):
            for name, queue in queues.items():
                port = getattr(dut, name)
                offered[name] = bool(queue) and (offered[name] or rng.random() >= flow)
                payload = Value.cast(port.payload)
                context.set(payload, queue[0] if offered[name] else rng.getrandbits(len(payload)))
                context.set(port.valid, offered[name])
            for name in sinks:
                context.set(getattr(dut, name).ready, rng.random() >= flow)
            beside(context, queues)
            before = sum(len(sink.seen) for sink in watched.values())
            for sink in watched.values():
                sink.sample(context)
            moved = any(queues.values()) or sum(len(sink.seen) for sink in watched.values()) > before
            idle = 0 if moved else idle + 1
            for name, queue in queues.items():
                if offered[name] and context.get(getattr(dut, name).ready):
                    queue.popleft()
                    offered[name] = False
                    entered[name].append(cycle)
            await context.tick()
            if idle > 60:
                break

    simulate.run(dut, bench)
    assert not any(queues.values()), {name: len(queue) for name, queue in queues.items()}
    return {name: sink.seen for name, sink in watched.items()}, entered


def check_products(config: PeArraysConfig, products: list[Product], dut=None, **how) -> dict[str, list[int]]:
    streams = streams_of(products, config)
    sources = {name: getattr(streams, name) for name in ("rows", "x", "tile", "w", "column")}
    found, entered = run(dut or PeArray(config, items=False), sources, ["o"], **how)
    assert found["o"] == streams.results
    return entered


MIXED = [(3, 17, 2, 8), (1, 8, 1, 8), (2, 1, 3, 8), (3, 9, 2, 16), (2, 64, 1, 8), (3, 24, 1, 8)]


def mixed(lanes: int) -> list[Product]:
    """Lists of any count, depths from 1 to the longest, both widths of results."""
    return [product(rows, depth, tiles, lanes, bits=bits) for rows, depth, tiles, bits in MIXED]


@pytest.mark.parametrize("flow", [0.0, 0.5])
@pytest.mark.parametrize(("lanes", "scalers"), [(4, 2), (3, 1)])
def test_products_are_golden(lanes: int, scalers: int, flow: float) -> None:
    check_products(small(lanes=lanes, scalers=scalers), mixed(lanes), flow=flow)


@pytest.mark.parametrize("flow", [0.0, 0.5])
@pytest.mark.parametrize("lines", [4, 5])
def test_two_tiles_at_once(lines: int, flow: float) -> None:
    """Lists of up to half of the lines, among others."""
    shapes = [(2, 17, 4, True), (1, 8, 2, True), (3, 9, 2, False), (2, 20, 3, False), (2, 64, 2, True), (1, 1, 2, True)]
    products = [product(rows, depth, tiles, 4, double=double) for rows, depth, tiles, double in shapes]
    check_products(small(lines=lines), products, flow=flow)


def test_two_tiles_take_the_time_of_one() -> None:
    config = small(lines=4)
    entered = check_products(config, [product(2, 24, 4, 4, double=True)] * 2)
    assert entered["w"] == list(range(entered["w"][0], entered["w"][0] + 2 * 2 * 24))


def test_products_of_ends() -> None:
    check_products(small(lanes=2), [product(3, 64, 2, 2, ends=True, bits=bits) for bits in (8, 16)])


def test_tiles_and_lists_follow_each_other_without_a_gap() -> None:
    """As long as depth is at least count·groups + 2, and a list has as many tiles as it takes to bring the next one."""
    config = small()
    entered = check_products(config, [product(3, 8, 2, 4)] * 4)
    assert entered["w"] == list(range(entered["w"][0], entered["w"][0] + 4 * 2 * 8))


def test_shallower_tiles_take_as_long_as_their_reading() -> None:
    config = small(lanes=4, scalers=1)
    entered = check_products(config, [product(3, 3, 8, 4)])
    starts = np.array(entered["w"][::3])
    assert set(np.diff(starts)[4:].tolist()) <= {3 * config.groups, 3 * config.groups + 2}


@pytest.mark.parametrize(
    ("lanes", "scalers", "depth"), [(4, 1, 96), pytest.param(32, 2, 384, marks=pytest.mark.long)], ids=["", "minilm"]
)
def test_lanes_are_in_use(lanes: int, scalers: int, depth: int) -> None:
    """16 lines, lists of three tiles as for a head's Q, K and V, from the first beat of weights to the last: products
    that count by those that there could have been. minilm, and a quarter of its depth with as many results a cycle."""
    config = small(lines=16, lanes=lanes, terms=depth, keys=128, scalers=scalers)
    products = [product(16, depth, 3, lanes), product(16, depth, 3, lanes, bits=16)]
    entered = check_products(config, products, cycles=6000)["w"]
    useful = sum(each.x.size * len(each.layer.w) for each in products)
    assert useful / (config.lines * config.lanes * (entered[-1] - entered[0] + 1)) >= 0.95


# Items beside tiles


def items_of(config: PeArraysConfig, lengths: list[int]) -> list[list[Row]]:
    """Of each line."""
    every = rows_of(random_items(config.lanes, lengths * config.lines, codes=True))
    return [every[line :: config.lines] for line in range(config.lines)]


def check_both(config: PeArraysConfig, products: list[Product], rows: list[list[Row]], dut=None, **how) -> None:
    streams = streams_of(products, config)
    sources = {name: getattr(streams, name) for name in ("rows", "x", "tile", "w", "column")}
    for line, each in enumerate(rows):
        sources[f"item{line}"] = beats([row.item for row in each], TAG_BITS)
        sources[f"scale{line}"] = [row.scale for row in each]
    sinks = ["o", *(f"context{line}" for line in range(config.lines))]
    found, _ = run(dut or PeArray(config, tag_bits=TAG_BITS), sources, sinks, **how)
    assert found["o"] == streams.results
    for line, each in enumerate(rows):
        expected: list[int] = []
        for row in each:
            for group in range(config.groups):
                values = row.golden[group * config.scalers : (group + 1) * config.scalers]
                columns = [[v] for v in (*values, group == config.groups - 1, row.item.tag)]
                expected += simulate.patterns(columns, [8] * config.scalers + [1, TAG_BITS])
        assert found[f"context{line}"] == expected


@pytest.mark.parametrize("flow", [0.0, 0.5])
def test_items_and_tiles_take_turns(flow: float) -> None:
    config = small()
    check_both(config, mixed(4)[:4], items_of(config, [1, 5, 2, 9, 1]), flow=flow)


def test_items_alone() -> None:
    config = small(lines=2)
    check_both(config, [], items_of(config, [3, 1, 6]))


# Construction and planted faults


def test_ports() -> None:
    found = {name: shape.width for name, shape in simulate.ports(PeArray(small(), items=False)).items()}
    assert {name: width for name, width in found.items() if name.endswith("payload")} == {
        "rows__payload": 2 + 7, "x__payload": 128, "tile__payload": 3, "w__payload": 64,
        "column__payload": 2 * 54, "o__payload": 2 * 16 + 2 + 1 + 2,
    }  # fmt: skip


def test_one_line_is_refused() -> None:
    assert simulate.refusal_of(lambda: PeArray(small(lines=1))) == (
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
    ],
    ids=["word lost", "weights invented", "column invented", "tile lost", "offer not held", "one off"],
)
def test_a_fault_is_caught(fault) -> None:
    config = small()
    with pytest.raises(AssertionError):
        check_products(config, mixed(4)[:3], Planted(PeArray(config, items=False), **fault), flow=0.5, cycles=1000)
