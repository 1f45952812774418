# SPDX-License-Identifier: Apache-2.0
"""Proofs about LAPA's whole selection, from columns of sums over visits to rows, for all sums, settings and pauses.

the solver ─► columns ─► LapaSelection ─┬─► rows ─► what is claimed of them
                 ▲                      └─► visit ─┐
                 └──── keys to visit ◄─────────────┘
"""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.speculate import UNITY, SpeculationConfig
from hdl.speculate.lapa.selection import LapaSelection
from hdl.speculate.socket import row_layout
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Fault, Planted
from tests.speculate.selection_proofs import SelectionClaim, narrow, one_for_every_change

pytestmark = pytest.mark.formal

CLAIMS = "efgh"
TOKENS = 2
HALF = UNITY // 2
"""What eta is a multiple of; that the threshold is the rule's is proved for every eta in `test_threshold.py`."""


class LapaClaim(SelectionClaim):
    """Of two keys, two rows and two rounds: e) what a row keeps, it was allowed to, and the second round, if there was
    one, visited it; f) the key with the largest sum of an allowed row's is visited, and the one with the largest of
    those that survived the first round is kept; g) rows and visits come in order, the latter rising, and stand until
    they are taken; h) the last row has left by `deadline`. The solver chooses when visits are taken.

    What is visited is what any row still wants. Where one row may attend to nothing, it is what the other one wants:
    there, e and f are about that row's survivors.
    """

    def __init__(self, dut: wiring.Component, config: SpeculationConfig, **options):
        super().__init__(dut, config, {"visited": In(1)}, **options)

    def follow(self, m: Module, dut: wiring.Component) -> tuple[Value, list[Value]]:
        settings, config = self.settings, self._config
        m.d.comb += [Assume((eta <= UNITY) & ~eta[: HALF.bit_length() - 1].any()) for eta in settings.eta]
        m.d.comb += Assume((settings.tokens >= 1) & (settings.tokens <= TOKENS))
        sums = [[Signal(signed(config.sum_bits), name=f"a{row}_{key}") for key in range(TOKENS)] for row in range(2)]
        allowed = [Signal(TOKENS, name=f"allowed{row}") for row in range(2)]
        after = [
            [Signal.like(a, name=f"after{row}_{key}") for key, a in enumerate(line)] for row, line in enumerate(sums)
        ]
        idle = self._send(m, dut, (allowed, sums, after))
        seen = self._visits(m, dut)
        done = self._rows(m, dut, (allowed, sums, after), seen)
        return done, [self.visited, self.comes | idle]

    def _send(self, m: Module, dut: wiring.Component, known) -> Value:
        """All keys; then, unless that round drops nothing, those to visit, each when it was named. Returns that there
        is no column to be sent."""
        config, column, settings = self._config, dut.columns.payload, self.settings
        allowed, sums, after = known
        key, again, over, named = Signal(range(TOKENS)), Signal(), Signal(), Signal()
        ends, final = Signal(), Signal()
        waits = ~over & (~again | named)
        m.d.comb += [
            ends.eq(Mux(again, column.last, key == (settings.tokens - 1)[:1])),
            final.eq(again | (settings.eta[1] == UNITY)),
            dut.columns.valid.eq(self.comes & waits),
            column.sum.as_value().eq(self.sums),
            column.valid.eq(self.may),
            column.round.eq(again),
            column.first.eq(~again),
            column.final.eq(final),
            dut.visit.ready.eq(self.visited & again & ~over & ~named),
        ]
        visit = Signal.like(dut.visit.payload)
        m.d.comb += [
            column.key.eq(Mux(again, visit.key, key)),
            column.last.eq(Mux(again, visit.last, key == (settings.tokens - 1)[:1])),
        ]
        with m.If(contract.fires(dut.visit)):
            m.d.sync += [visit.eq(dut.visit.payload), named.eq(1)]
        with m.If(contract.fires(dut.columns)):
            m.d.sync += [named.eq(0), key.eq(key + 1)]
            with m.If(ends):
                m.d.sync += [again.eq(1), over.eq(final)]
            for row in range(config.rows):
                part = self.sums.word_select(row, config.sum_bits).as_signed()
                for number in range(TOKENS):
                    with m.If(column.key == number):
                        self._add(m, again, part, (allowed[row][number], sums[row][number], after[row][number]), row)
        return ~waits

    def _add(self, m: Module, again: Signal, part: Value, known, row: int) -> None:
        allowed, before, after = known
        total = Signal(signed(self._config.sum_bits + 1), name=f"total{row}_{before.name}")
        m.d.comb += total.eq(before + part)
        with m.If(again):
            m.d.comb += Assume(total[-1] == total[-2])
            m.d.sync += after.eq(total)
        with m.Else():
            m.d.sync += [allowed.eq(self.may[row]), before.eq(part), after.eq(part)]

    def _visits(self, m: Module, dut: wiring.Component) -> Signal:
        """Returns the keys that the second round visits."""
        o, seen, over = dut.visit.payload, Signal(TOKENS), Signal()
        with m.If(contract.fires(dut.visit)):
            m.d.sync += [seen.bit_select(o.key, 1).eq(1), over.eq(o.last)]
        if "g" in self._claims:
            rising = ~over & ~seen[1] & ~(seen[0] & (o.key == 0)) & (o.key < self.settings.tokens)
            m.d.comb += [Assert(contract.held(m, dut.visit)), Assert(~dut.visit.valid | rising)]
        return seen

    def _rows(self, m: Module, dut: wiring.Component, known, seen: Signal) -> Value:
        """The rows as they come; returns that all have left."""
        o, row = dut.rows.payload, Signal(range(TOKENS + 1))
        done, single = row == self.settings.tokens, self.settings.eta[1] == UNITY
        with m.If(contract.fires(dut.rows)):
            m.d.sync += row.eq(row + 1)
        e, f = [], []
        for number, (allowed, sums, after) in enumerate(zip(*known, strict=True)):
            other = ~known[0][1 - number].any()
            survivors = allowed & Mux(single, ~0, seen)
            largest, final = self._largest(allowed, sums), self._largest(survivors, after)
            mine = dut.rows.valid & (o.row == number)
            e.append(~mine | ~(o["keys"] & ~survivors).any())
            f.append(~mine | single | ~(largest & ~seen).any())
            f.append(~mine | ~(other | single) | ~(final & ~o["keys"]).any())
        in_order = ~done & (o.row == row) & (o.reference == o.row) & (o.chunk == 0) & o.last
        claims = {"e": Cat(e).all(), "f": Cat(f).all(), "g": contract.held(m, dut.rows) & (~dut.rows.valid | in_order)}
        m.d.comb += [Assert(claim) for name, claim in claims.items() if name in self._claims]
        return done

    @staticmethod
    def _largest(survives: Value, a: list[Signal]) -> Value:
        """Which of two keys that survive have the largest sum."""
        first = survives[0] & (~survives[1] | (a[0] >= a[1]))
        return Cat(first, survives[1] & (~survives[0] | (a[1] >= a[0])))


def proof(
    tmp_path: Path, depth: int, faults: dict[str, Fault] | None = None, *, pause: int, deadline: int, claims=CLAIMS
):
    config = narrow("lapa", tokens=TOKENS)
    dut = LapaSelection(config)
    wrong = Planted(dut, **faults) if faults else dut
    claim = LapaClaim(wrong, config, pause=pause, deadline=deadline, claims=claims)
    return check(claim, folder=tmp_path, depth=depth, gates=True)


def test_two_rounds_are_proved(tmp_path: Path) -> None:
    """Whatever comes at full speed: the last row has left after 42 cycles."""
    assert proof(tmp_path, 44, pause=0, deadline=42)


def key_of(number: int) -> int:
    layout = row_layout(narrow("lapa", tokens=TOKENS))["keys"]
    return 1 << layout.offset + number


FAULTS: dict[str, tuple[str, dict[str, Fault]]] = {
    "keys back again": ("e", {"rows__payload": lambda beat: beat | key_of(0) | key_of(1)}),
    "the largest dropped": ("f", {"rows__payload": lambda beat: beat & ~key_of(1)}),
    "offers withdrawn": ("g", {"rows__ready": lambda ready: Const(1)}),
    "never taken": ("h", {"rows__ready": lambda ready: Const(0)}),
}


@pytest.mark.parametrize("name", one_for_every_change(FAULTS, "the largest dropped"))
def test_wrong_rows_are_refuted(name: str, tmp_path: Path) -> None:
    """Each claim alone finds the fault that is meant for it."""
    claims, faults = FAULTS[name]
    assert not proof(tmp_path, 44, faults, pause=1 if claims == "g" else 0, deadline=42, claims=claims)
