# SPDX-License-Identifier: Apache-2.0
"""Proofs: each line gets the rows of Q of its items, in their order, and none waits longer than the others take."""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.items import ItemsConfig
from hdl.execute.query_feed import FairChoice, QueryFeed
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

TINY = ItemsConfig(lines=2, lanes=1, banks=2, tokens=2, heads=1, chunk=2, record=2, sets=1, ports=1, queue=4)


class FeedClaim(contract.Claim):
    """Of lines that begin with an item when its row is there, and take it `DELAY` + 1 cycles later at the earliest:
    what a line takes is the row of the item that it was given, in their order; a row is there within `bound` cycles,
    unless those before it are not taken. Row r of Q is the number r."""

    DELAY = 1

    def __init__(self, dut: wiring.Component, bound: int):
        self._bound = bound
        super().__init__(dut, {"picked": In(2), "opens": In(2)})

    def claim(self, m: Module, dut: wiring.Component) -> None:
        written, write = Signal(2), dut.write
        with m.If(write.valid):
            m.d.sync += written.eq(written | 1 << write.payload.row)
        m.d.comb += Assume(~write.valid | (write.payload.b[0] == write.payload.row))
        for line in range(TINY.lines):
            self._claim_line(m, dut, line, written)

    def _claim_line(self, m: Module, dut: wiring.Component, line: int, written) -> None:
        row = dut.items[0].row
        gets, takes = dut.given[line] & dut.advance, dut.begins[line]
        next_, opened, waited = (Signal(width, name=f"{name}{line}") for name, width in
                                 (("next", 1), ("opened", 3), ("waited", 4)))  # fmt: skip
        opens = next_ & dut.there[line] & self.opens[line]
        ages = [Signal(name=f"age{line}_{n}") for n in range(self.DELAY)]
        m.d.sync += [next_.eq((next_ | gets) & ~opens), Cat(ages).eq(Cat(opens, *ages[:-1]))]
        m.d.sync += opened.eq(opened + ages[-1] - takes)
        m.d.comb += [
            Assume(~gets | (~next_ & (written >> row)[0])),
            Assume(~takes | (opened != 0)),
            Assume(opened < 4),
        ]
        contract.claim_order(
            m, enters=gets, expected=row, leaves=takes, result=dut.a[line].as_value()[0], picked=self.picked[line]
        )
        late = next_ & ~dut.there[line] & (opened == 0) & ~Cat(ages).any()
        m.d.sync += waited.eq(Mux(late, waited + 1, 0))
        m.d.comb += Assert(waited <= self._bound)


@pytest.mark.formal
def test_each_line_gets_its_rows_in_time(tmp_path: Path) -> None:
    assert check(FeedClaim(QueryFeed(TINY), 2), folder=tmp_path, depth=11, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault",
    [
        {"given": lambda given: Cat(given[1], given[0])},
        {"there": lambda there: there | 1},
        {"there": lambda there: there & 1},
        {"begins": lambda begins: begins & 2},
        {"a": lambda a: Cat(a[8:], a[:8])},
        {"advance": lambda advance: Const(1)},
    ],
    ids=["another's", "too early", "never", "never taken", "exchanged", "given while nothing moves"],
)
def test_a_wrong_feed_is_refuted(fault, tmp_path: Path) -> None:
    dut = Planted(QueryFeed(TINY), **fault)
    assert not check(FeedClaim(dut, 2), folder=tmp_path, depth=11, gates=True)


class FairClaim(contract.Claim):
    """One that asks is chosen, and nobody twice while another one asks on."""

    def claim(self, m: Module, dut: wiring.Component) -> None:
        width = len(dut.asks)
        twice = [Signal(width, name=f"twice{n}") for n in range(width)]
        m.d.comb += [
            Assert((dut.chosen & ~dut.asks) == 0),
            Assert(dut.chosen.any() == dut.asks.any()),
            Assert((dut.chosen & (dut.chosen - 1)[:width]) == 0),
        ]
        for n, chosen in enumerate(twice):
            # Who has been chosen since n began to ask.
            waits = dut.asks[n] & ~dut.chosen[n]
            m.d.comb += Assert(~waits | ((chosen & dut.chosen) == 0))
            m.d.sync += chosen.eq(Mux(waits, chosen | dut.chosen, 0))


@pytest.mark.formal
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_choice_is_fair(width: int, tmp_path: Path) -> None:
    assert check(FairClaim(FairChoice(width)), folder=tmp_path, depth=10, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault", [{"asks": lambda asks: asks & 3}, {"chosen": lambda chosen: chosen & 3}], ids=["one passed over", "lost"]
)
def test_a_wrong_choice_is_refuted(fault, tmp_path: Path) -> None:
    assert not check(FairClaim(Planted(FairChoice(3), **fault)), folder=tmp_path, depth=6, gates=True)
