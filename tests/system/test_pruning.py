# SPDX-License-Identifier: Apache-2.0
"""What attention tells of its items, line by line, and the plans that follow: the golden cascade's."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Value

from config.presets import systems
from config.spatten import SpattenConfig
from golden.speculate.records import records
from hdl.execute.row_codes import told_layout
from hdl.speculate.socket import record_layout
from hdl.system.pruning import Pruning
from sim.spatten import chunks
from sim.speculation import record_bits
from tests.arith import simulate
from tests.planted import Planted
from tests.speculate.spatten.layers import any_batch
from tests.system.streams import bits_of

CONFIG = systems("tiny")["spatten"]
ITEMS, UNIT = CONFIG.attention.items, SpattenConfig.within(CONFIG.speculation)
BATCH = SpattenConfig(rows=UNIT.rows, lanes=UNIT.lanes, tokens=UNIT.tokens, heads=UNIT.heads, head_width=4, layers=4)


class Bench:
    """A chain of layers, each one's items on any lines, in any order, at random pauses."""

    def __init__(self, dut, batch, seed: int) -> None:
        self._dut, self._batch, self._rng = dut, batch, random.Random(seed)
        self._tokens = len(batch.attend)
        self._sinks = {name: simulate.Sink(getattr(dut, name)) for name in ("alive", "o")}

    def run(self) -> None:
        async def bench(context) -> None:
            for number, (plan, seen) in enumerate(self._batch.layers):
                await self._plan(context, number, plan)
                await self._tell(context, plan, seen)

        simulate.run(self._dut, bench)

    async def _cycle(self, context) -> None:
        for name, sink in self._sinks.items():
            context.set(getattr(self._dut, name).ready, self._rng.random() < 0.8)
            sink.sample(context)
        await context.tick()

    async def _plan(self, context, number: int, plan) -> None:
        dut, settings = self._dut, self._batch.settings
        fields = {"tokens": self._tokens, "heads": self._batch.heads, "slices": 4, "causal": 0}
        fields |= {"drop_tokens": settings.tokens[number], "drop_heads": settings.heads[number]}
        context.set(dut.settings, fields)
        context.set(dut.first, number == 0)
        there = np.pad(self._batch.attend, (0, CONFIG.tokens - self._tokens), constant_values=True)
        context.set(dut.mask, sum(1 << int(token) for token in np.flatnonzero(there)))
        for port in (dut.start, dut.predict):
            context.set(port, 1)
            await self._cycle(context)
            context.set(port, 0)
        told = replace(plan, alive=None)
        due = [record_bits(record_layout(UNIT.plan), each) for each in records(told, UNIT.rows, 1, False)]
        alive = chunks(UNIT, np.asarray(plan.alive))
        for _ in range(20 * len(due) + 400):
            await self._cycle(context)
            if len(self._sinks["o"].seen) == len(due):
                break
        found = {name: list(sink.seen) for name, sink in self._sinks.items()}
        assert found == {"alive": alive, "o": due}, f"layer {number}"
        for sink in self._sinks.values():
            sink.seen.clear()

    async def _tell(self, context, plan, seen) -> None:
        """Of all rows that keep a key, codes and contexts."""
        dut, rng = self._dut, self._rng
        items = [(int(h), int(r)) for h, r in np.argwhere(plan.mask.any(axis=-1))]
        context.set(dut.total, len(items))
        lines: list[list[int]] = [[] for _ in range(ITEMS.lines)]
        for head, row in rng.sample(items, len(items)):
            lines[rng.randrange(len(lines))] += self._row(seen, head, row)
        words = seen.context.reshape(self._tokens, self._batch.heads, -1)
        contexts = rng.sample(items, len(items))
        offered = [False] * len(lines)
        while any(lines) or contexts:
            for number, left in enumerate(lines):
                told = getattr(dut, f"told{number}")
                offered[number] = bool(left) and (offered[number] or rng.random() < 0.5)
                context.set(told.valid, offered[number])
                context.set(Value.cast(told.payload), left[0] if offered[number] else 0)
            comes = bool(contexts) and rng.random() < 0.5
            context.set(dut.told.valid, comes)
            if comes:
                head, row = contexts.pop()
                context.set(dut.told.name, {"row": row, "head": head})
                word = np.pad(words[row, head], (0, CONFIG.lanes - words.shape[-1]))
                context.set(Value.cast(dut.told.word), int.from_bytes(word.astype(np.int8).tobytes(), "little"))
            await context.delay(0)
            taken = [offered[n] and context.get(getattr(dut, f"told{n}").ready) for n in range(len(lines))]
            await self._cycle(context)
            for number, takes in enumerate(taken):
                if takes:
                    lines[number].pop(0)
                    offered[number] = False
        context.set(dut.told.valid, 0)
        for number in range(len(lines)):
            context.set(getattr(dut, f"told{number}").valid, 0)

    def _row(self, seen, head: int, row: int) -> list[int]:
        record = ITEMS.record
        codes = np.pad(seen.codes[head, row], (0, -self._tokens % record)).reshape(-1, record)
        row_of = {"total": int(seen.total[head, row, 0]), "row": row}
        ends = [{"first": n == 0, "last": n == len(codes) - 1} for n in range(len(codes))]
        return [
            bits_of(told_layout(ITEMS), {"codes": chunk.tolist(), **row_of, **end})
            for chunk, end in zip(codes, ends, strict=True)
        ]


def batches() -> list:
    """Of several layers, with something to attend to in each, that drop something."""
    found = [any_batch(BATCH, seed) for seed in range(60)]
    return [
        batch
        for batch in found
        if len(batch.layers) > 1
        and batch.attend.any()
        and all(plan.mask.any() for plan, _ in batch.layers)
        and not all(plan.mask.all() for plan, _ in batch.layers)
    ][:6]


@pytest.mark.parametrize("number", range(6))
def test_plans_follow_from_what_lines_tell(number: int) -> None:
    Bench(Pruning(CONFIG), batches()[number], number).run()


def test_there_is_padding_among_them() -> None:
    assert not all(batch.attend.all() for batch in batches())


def test_a_sequence_of_its_own_is_another_one() -> None:
    with pytest.raises(AssertionError, match="layer 1"):
        Bench(Planted(Pruning(CONFIG), first=lambda first: first | 1), batches()[0], 0).run()


def test_another_mask_is_another_plan() -> None:
    with pytest.raises(AssertionError, match="layer 0"):
        Bench(Planted(Pruning(CONFIG), mask=lambda mask: mask ^ 1), batches()[0], 0).run()
