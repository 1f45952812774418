# SPDX-License-Identifier: Apache-2.0
"""LayerNorm and residual sums: offers stand and wait for no ready, as proofs; their Verilog is lint-clean."""

import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Const

from hdl.emit import verilog_of
from hdl.execute.layer_norm import LayerNormUnit
from hdl.execute.residual import ResidualUnit
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"


SMALLEST = {"layer_norm": lambda: LayerNormUnit(lanes=1, width=1), "residual": lambda: ResidualUnit(lanes=1)}


@pytest.mark.formal
@pytest.mark.parametrize("name", ["layer_norm", "residual"])
def test_offers_are_proved_to_stand_for_all_time(name: str, tmp_path: Path) -> None:
    assert check(contract.OfferClaim(SMALLEST[name](), "o"), folder=tmp_path, depth=2, induction=True)


@pytest.mark.formal
def test_a_sum_that_does_not_stand_is_refuted(tmp_path: Path) -> None:
    wrong = Planted(ResidualUnit(lanes=1), o__ready=lambda ready: Const(1))
    assert not check(contract.OfferClaim(wrong, "o"), folder=tmp_path, depth=10, gates=True)


@pytest.mark.formal
def test_valid_is_proved_independent_of_ready(tmp_path: Path) -> None:
    claim = contract.IndependenceClaim(ResidualUnit(lanes=1), ResidualUnit(lanes=1))
    assert check(claim, folder=tmp_path, depth=10, gates=True)


class FlowClaim(contract.Claim):
    """A sum leaves for each beat of all three streams, and none for less; it leaves within the latency."""

    def __init__(self, dut, latency: int):
        self._latency = latency
        super().__init__(dut)

    def claim(self, m, dut) -> None:
        leaves = contract.fires(dut.o)
        owed = contract.claim_balance(m, enters=contract.fires(dut.i), leaves=leaves)
        both = contract.claim_balance(m, enters=contract.fires(dut.result), leaves=leaves)
        m.d.comb += Assert(both <= owed)
        can = dut.o.ready & dut.result.valid
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=can, bound=self._latency)


@pytest.mark.formal
def test_flow_is_proved(tmp_path: Path) -> None:
    dut = ResidualUnit(lanes=1)
    assert check(FlowClaim(dut, dut.latency), folder=tmp_path, depth=16, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault", [{"result__valid": lambda valid: Const(1)}, {"i__ready": lambda ready: Const(1)}], ids=["result", "value"]
)
def test_wrong_flow_is_refuted(fault, tmp_path: Path) -> None:
    dut = ResidualUnit(lanes=1)
    assert not check(FlowClaim(Planted(dut, **fault), dut.latency), folder=tmp_path, depth=16, gates=True)


@pytest.mark.parametrize("lanes", [1, 8])
def test_verilog_is_lint_clean(lanes: int, tmp_path: Path) -> None:
    units = {"layer_norm": LayerNormUnit(lanes=lanes, width=384), "residual": ResidualUnit(lanes=lanes)}
    for name, text in verilog_of(units).items():
        path = tmp_path / f"{name}.v"
        path.write_text(text)
        command = ["verilator", "--lint-only", "-Wall", str(WAIVERS), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
