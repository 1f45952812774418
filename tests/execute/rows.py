# SPDX-License-Identifier: Apache-2.0
"""Rows for the softmax unit, what the golden model makes of them, and a bench that sends them through it."""

import random
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import wiring

from golden.execute.softmax import softmax
from tests.arith import simulate


@dataclass(frozen=True)
class Row:
    """Scores and which are kept, whole beats of them; exponent and context, each mul and shift."""

    scores: np.ndarray
    kept: np.ndarray
    exponent: tuple[int, int]
    context: tuple[int, int] = (40_000, 21)


@dataclass
class Seen:
    """beats: payloads of `o`; scales: of `scale`; and the cycles of each transfer in, of codes, and of scales."""

    beats: list[int]
    scales: list[int]
    entered: list[int]
    left: list[int]
    scaled: list[int]


def expected(rows: list[Row], lanes: int) -> tuple[list[int], list[int]]:
    """Payloads of `o` and of `scale`."""
    beats, scales = [], []
    for row in rows:
        result = softmax(row.scores, row.kept, *(np.array(value) for value in row.exponent))
        ends = len(row.scores) // lanes - 1
        for number, codes in enumerate(result.codes.reshape(-1, lanes)):
            beats += simulate.patterns([[code] for code in [*codes, number == ends]], [8] * lanes + [1])
        scales.append(scale_of(int(result.total[0]), *row.context))
    return beats, scales


def scale_of(total: int, mul: int, shift: int) -> int:
    """Payload of `scale`."""
    total = total or 1 << 21
    over = total.bit_length() - 22
    return (mul << 15) // (total >> (over + 6)) | (shift + over) << 16


def transfers(row: Row, lanes: int, score_bits: int) -> list[int]:
    """Payloads of `i`."""
    beats = len(row.scores) // lanes
    return [
        simulate.patterns(
            [[value] for value in [*scores, *kept, number == beats - 1]], [score_bits] * lanes + [1] * (lanes + 1)
        )[0]
        for number, (scores, kept) in enumerate(
            zip(row.scores.reshape(beats, lanes), row.kept.reshape(beats, lanes), strict=True)
        )
    ]


def settings(row: Row) -> int:
    return simulate.patterns([[value] for value in (*row.exponent, *row.context)], [16, 6, 16, 6])[0]


def through(
    dut: wiring.Component, rows: list[Row], lanes: int, score_bits: int, *, idle=0.0, stall=0.0, hold=0.0, limit=None
) -> Seen:
    """Rows through the unit. idle, stall, hold: how often `i`, `o` and `scale` rest. Ends when all has left."""
    queue = [
        (payload, settings(row) if payload >> (lanes * (score_bits + 1)) else None)
        for row in rows
        for payload in transfers(row, lanes, score_bits)
    ]
    rng = random.Random(len(queue))
    codes, scales = simulate.Sink(dut.o), simulate.Sink(dut.scale)
    seen = Seen(codes.seen, scales.seen, [], [], [])
    payload, row = Value.cast(dut.i.payload), Value.cast(dut.row)
    total = len(queue)
    limit = limit or int((total + 40 * len(rows) + 200) / (1 - max(idle, stall, hold)) * 2)

    async def bench(context):
        at, offered = 0, False
        for now in range(limit):
            offered = at < total and (offered or rng.random() >= idle)
            shown, setting = queue[at] if offered else (rng.getrandbits(len(payload)), None)
            context.set(dut.i.valid, offered)
            context.set(payload, shown)
            context.set(row, rng.getrandbits(len(row)) if setting is None else setting)
            context.set(dut.o.ready, rng.random() >= stall)
            context.set(dut.scale.ready, rng.random() >= hold)
            for sink, cycles in ((codes, seen.left), (scales, seen.scaled)):
                sink.sample(context)
                if len(sink.seen) > len(cycles):
                    cycles.append(now)
            if offered and context.get(dut.i.ready):
                at, offered = at + 1, False
                seen.entered.append(now)
            await context.tick()
            if len(scales.seen) == len(rows) and len(codes.seen) == total:
                break

    simulate.run(dut, bench)
    return seen
