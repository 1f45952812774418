# SPDX-License-Identifier: Apache-2.0
"""Proofs: an item of a plan leaves the memory once, as it came, in its order, and soon; the reader of records never has
an item and something else at once. Lint."""

import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.items import ItemsConfig
from config.presets import systems
from config.speculate import METHODS, Kind
from hdl.emit import verilog
from hdl.execute.items import ItemReader
from hdl.system.plan_store import Backlog, PlanStore
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"
DEPTH, BITS = 5, 2


class BacklogClaim(contract.Claim):
    """Words leave in the order in which they came, each once; what is offered stands; none waits more than two cycles
    while they are taken; `total` counts them."""

    def __init__(self, dut: wiring.Component):
        super().__init__(dut, {"picked": In(1)})

    def claim(self, m: Module, dut: wiring.Component) -> None:
        enters, leaves = dut.write, contract.fires(dut.o)
        m.d.comb += [Assume(~dut.clear), Assume(~dut.write | (dut.total != DEPTH)), Assert(contract.held(m, dut.o))]
        contract.claim_order(
            m, enters=enters, expected=dut.word, leaves=leaves, result=dut.o.payload, picked=self.picked
        )
        owed = contract.claim_balance(m, enters=enters, leaves=leaves)
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=dut.o.ready, bound=Backlog.latency)


def backlog() -> Backlog:
    return Backlog(DEPTH, BITS)


@pytest.mark.formal
def test_no_item_is_lost_or_doubled(tmp_path: Path) -> None:
    assert check(BacklogClaim(backlog()), folder=tmp_path, depth=14, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault",
    [
        {"o__ready": lambda ready: Const(1)},
        {"o__payload": lambda o: Cat(o[1], o[0])},
        {"o__valid": lambda valid: Const(0)},
        {"write": lambda write: Const(0)},
        {"clear": lambda clear: Const(1)},
    ],
    ids=["lost while it waits", "exchanged", "never", "not stored", "cleared"],
)
def test_a_wrong_memory_is_refuted(fault, tmp_path: Path) -> None:
    assert not check(BacklogClaim(Planted(backlog(), **fault)), folder=tmp_path, depth=10, gates=True)


class SoleClaim(contract.Claim):
    """Of the reader's two streams, one at the most has something, if leaders alone may overtake."""

    def claim(self, m: Module, dut: wiring.Component) -> None:
        m.d.comb += [
            Assume(dut.others.ready == (dut.o.ready | (dut.others.payload.kind == Kind.LEADER))),
            Assert(~(dut.o.valid & dut.others.valid)),
        ]


ITEMS = ItemsConfig(lines=2, lanes=1, banks=2, tokens=2, heads=1, chunk=2, record=2, sets=1, ports=1, queue=4)


@pytest.mark.formal
def test_rows_leave_one_by_one(tmp_path: Path) -> None:
    assert check(SoleClaim(ItemReader(ITEMS)), folder=tmp_path, depth=10, gates=True)


@pytest.mark.formal
def test_a_reader_that_exchanges_rows_is_refuted(tmp_path: Path) -> None:
    dut = Planted(ItemReader(ITEMS), others__valid=lambda valid: Const(1))
    assert not check(SoleClaim(dut), folder=tmp_path, depth=10, gates=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["tiny", "minilm"])
@pytest.mark.parametrize("corners", [False, True], ids=["", "corners"])
def test_verilog_is_lint_clean(preset: str, method: str, corners: bool, tmp_path: Path) -> None:
    path = tmp_path / "plan_store.v"
    path.write_text(verilog(PlanStore(systems(preset)[method]), "plan_store", corners=corners))
    command = ["verilator", "--lint-only", "-Wall", str(WAIVERS), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
