# SPDX-License-Identifier: Apache-2.0
"""Proof: the reader of records never has an item and something else at once. Lint."""

import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Const, Module
from amaranth.lib import wiring

from config.items import ItemsConfig
from config.presets import systems
from config.speculate import METHODS, Kind
from hdl.emit import verilog
from hdl.execute.items import ItemReader
from hdl.system.plan_store import PlanStore
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"


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
