# SPDX-License-Identifier: Apache-2.0
"""What stands before and behind LAPA's selection: a model of the sequencer and the array, and of the golden rounds."""

from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
from amaranth.lib import wiring
from amaranth.sim import Simulator
from numpy.typing import NDArray

from config.speculate import LapaSettings, SpeculationConfig
from golden.speculate import lapa
from golden.speculate.array import dot
from golden.speculate.operands import allowed
from hdl.speculate.socket import column_layout, row_layout, visit_layout

TAKE = None
"""What the sequencer asks for when it needs a key that is to be visited."""


@dataclass
class Layer:
    """Q̂, K̂ [T, dh] of each head, and what holds for all of them."""

    config: SpeculationConfig
    heads: list[tuple[NDArray, NDArray]]
    eta: tuple[int, ...]
    causal: bool = False
    attend: NDArray | None = None
    sums: list[list[NDArray]] = field(init=False)
    found: list[list[NDArray]] = field(init=False)

    def __post_init__(self) -> None:
        slices = self.config.slices
        self.pairs = allowed(self.heads[0][0], LapaSettings(causal=self.causal), self.attend)[0]
        self.sums = [[dot(part, q, lapa.SYSTEM).T for part in lapa.sliced(k, slices)] for q, k in self.heads]
        self.found = [lapa.rounds(q, k, self.pairs, self.eta, slices) for q, k in self.heads]

    @property
    def tokens(self) -> int:
        return len(self.heads[0][0])

    def rows_of(self, block: int) -> slice:
        return slice(block * self.config.rows, min((block + 1) * self.config.rows, self.tokens))

    def length(self, block: int) -> int:
        """Keys of a block's first round."""
        return self.rows_of(block).stop if self.causal else self.tokens

    @property
    def blocks(self) -> int:
        return -(-self.tokens // self.config.rows)

    def visited(self, head: int, block: int) -> list[list[int]]:
        """The keys of each round: as before if no row drops any, or else those that any row keeps."""
        lists, before = [list(range(self.length(block)))], self.pairs
        for after in self.found[head][:-1]:
            rows = self.rows_of(block)
            same = (before[rows] == after[rows]).all()
            lists.append(lists[-1] if same else np.flatnonzero(after[rows].any(axis=0)).tolist())
            before = after
        return lists

    def column(self, head: int, block: int, slot: int, turn: int, key: int, last: bool) -> int:
        """A transfer of `columns`, as a number."""
        rows = self.rows_of(block)
        total, valid = np.zeros(self.config.rows, dtype=int), 0
        total[: rows.stop - rows.start] = self.sums[head][turn][rows, key]
        for i, may in enumerate(self.pairs[rows, key]):
            valid |= int(may) << i
        fields = {"sum": total.tolist(), "valid": valid, "key": key, "block": block, "last": int(last)}
        fields |= {"round": turn, "slot": slot, "first": int(turn == 0), "final": int(turn == self.config.rounds - 1)}
        return column_layout(self.config).const(fields).as_value().value

    def records(self) -> list[tuple]:
        """What must leave as rows: row, reference, chunk, keys, last."""
        beats, width = [], self.config.rows
        for found in self.found:
            for row in range(self.tokens):
                chunks = -(-self.length(row // width) // width)
                for chunk in range(chunks):
                    keys = found[-1][row, chunk * width : (chunk + 1) * width]
                    code = sum(int(kept) << i for i, kept in enumerate(keys))
                    beats.append((row, row, chunk, code, int(chunk == chunks - 1)))
        return beats


def schedule(layer: Layer) -> Generator[int | None, tuple[int, int] | None, None]:
    """One beat of the array after the other: yields a column, or -1 for a beat without one; or `TAKE`, and is sent the
    visit that was taken. A visit with a column is a beat as well."""
    slices, rounds = layer.config.head_slices, layer.config.rounds
    for head in range(len(layer.heads)):
        for start in range(0, layer.blocks, 2):
            pair = range(start, min(start + 2, layer.blocks))
            lists = {block: layer.visited(head, block) for block in pair}
            for turn in range(rounds):
                for slot, block in enumerate(pair):
                    keys = lists[block][turn]
                    for part in range(slices):
                        for key in keys:
                            last = key == keys[-1]
                            if turn:
                                assert (yield TAKE) == (key, int(last)), (head, block, turn, part)
                            ends = part == slices - 1
                            yield layer.column(head, block, slot, turn, key, last) if ends else -1


class Bench:
    """Runs a layer through a selection, cycle by cycle; counts what happens.

    latency: cycles from the array's beat to its column. idle: share of cycles in which no new column is shown.
    visit_stall, row_stall: share of cycles in which nothing is taken.
    """

    def __init__(
        self, layer: Layer, *, latency=5, idle=0.0, visit_stall=0.0, row_stall=0.0, seed=0, limit: int | None = None
    ) -> None:
        self._layer = layer
        self._latency, self._idle, self._visit_stall, self._row_stall = latency, idle, visit_stall, row_stall
        self._rng = np.random.default_rng(seed)
        self._beats = schedule(layer)
        self._pipe: deque[tuple[int, int]] = deque()
        self._limit = limit
        self.rows: list[tuple] = []
        self.taken: list[tuple[int, int]] = []
        self.cycles: Counter[str] = Counter()

    def _chance(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def _next(self, answer: tuple[int, int] | None = None) -> None:
        try:
            self._wanted = self._beats.send(answer)
        except StopIteration:
            self._wanted = "end"

    def run(self, dut: wiring.Component) -> "Bench":
        expected = len(self._layer.records())
        limit = self._limit or 60 * expected + 4000

        async def bench(ctx):
            settings = {"tokens": self._layer.tokens, "causal": int(self._layer.causal), "eta": list(self._layer.eta)}
            ctx.set(dut.settings, settings)
            self._next()
            held: dict[str, int | None] = {"visit": None, "rows": None}
            shown = False
            for now in range(limit):
                shown = self._drive(ctx, dut, now, shown)
                for name, stream in (("visit", dut.visit), ("rows", dut.rows)):
                    held[name] = self._check_held(ctx, name, stream, held[name])
                shown = self._sample(ctx, dut, now, shown)
                if len(self.rows) == expected and self._wanted == "end":
                    break
                await ctx.tick()
            self.cycles["all"] = now + 1

        simulator = Simulator(dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        assert self._wanted == "end", "the selection stands still"
        assert not self._pipe
        return self

    def _check_held(self, ctx, name: str, stream, before: int | None) -> int | None:
        valid, payload = ctx.get(stream.valid), ctx.get(stream.payload.as_value())
        assert before is None or (valid and payload == before), f"{name}: an offer must stand until it is taken"
        return payload if valid and not ctx.get(stream.ready) else None

    def _drive(self, ctx, dut, now: int, shown: bool) -> bool:
        if not shown and self._pipe and self._pipe[0][0] <= now and not self._chance(self._idle):
            ctx.set(dut.columns.payload.as_value(), self._pipe[0][1])
            shown = True
        ctx.set(dut.columns.valid, shown)
        self._room = len(self._pipe) < self._latency + 3
        ctx.set(dut.visit.ready, self._wanted is TAKE and self._room and not self._chance(self._visit_stall))
        ctx.set(dut.rows.ready, not self._chance(self._row_stall))
        return shown

    def _sample(self, ctx, dut, now: int, shown: bool) -> bool:
        if shown:
            ready = ctx.get(dut.columns.ready)
            self.cycles["taken" if ready else "held"] += 1
            if ready:
                self.taken.append((now, self._pipe.popleft()[1]))
                shown = False
        if ctx.get(dut.rows.valid & dut.rows.ready):
            beat = row_layout(self._layer.config).from_bits(ctx.get(dut.rows.payload.as_value()))
            self.rows.append((beat.row, beat.reference, beat.chunk, beat["keys"], beat.last))
        if self._wanted is TAKE:
            if ctx.get(dut.visit.valid & dut.visit.ready):
                visit = visit_layout(self._layer.config).from_bits(ctx.get(dut.visit.payload.as_value()))
                self._next((visit.key, visit.last))
            else:
                self.cycles["waiting"] += 1
                return shown
        if self._wanted not in (TAKE, "end") and self._room:
            if self._wanted >= 0:
                self._pipe.append((now + 1 + self._latency, self._wanted))
            self._next()
        return shown
