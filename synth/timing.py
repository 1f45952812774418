# SPDX-License-Identifier: Apache-2.0
"""Highest clock of a mapped design, by OpenSTA: cell delays at the real loads, no wires, ideal clock."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.errors import Refusal
from synth.mapping import MEMORY, Mapped

OPENSTA = "sta"
MISSING = "OpenSTA is missing, so there is no timing: install it (as root: make system-timing) and run again."

_SCRIPT = """
read_liberty {liberty}
set_cmd_units -time ns -capacitance fF
read_verilog timing.v
link_design {top}
create_clock -name clk -period {period} [get_ports clk]
set_false_path -from [get_ports rst]
set_input_delay 0.1 -clock clk [all_inputs]
set_load 10 [all_outputs]
report_checks -path_delay max -fields {{slew cap}} -digits 3
report_worst_slack
"""


@dataclass(frozen=True)
class Timing:
    """`period_ns`: the shortest clock period; `path`: start and end of the path that sets it."""

    period_ns: float
    start: str
    end: str

    @property
    def megahertz(self) -> float:
        return 1e3 / self.period_ns


def available() -> bool:
    """Is OpenSTA on the path?"""
    return shutil.which(OPENSTA) is not None


def analyse(mapped: Mapped, liberty: Path, period_ns: float = 1.0) -> Timing:
    """Time the mapped netlist, all rows in place; the memory of partial sums is a black box and starts no path.

    Inputs arrive 0.1 ns after the clock edge, as from a register. Raises `Refusal` if OpenSTA cannot read the netlist.
    """
    text = re.sub(r"\bsigned\b", "", mapped.netlist_verilog.read_text(encoding="utf-8"))
    text = re.sub(rf"^module \S+_{MEMORY}\(.*?^endmodule\n", "", text, flags=re.MULTILINE | re.DOTALL)
    (mapped.folder / "timing.v").write_text(text, encoding="utf-8")
    script = _SCRIPT.format(liberty=liberty.resolve(), top=mapped.top, period=period_ns)
    (mapped.folder / "timing.tcl").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [OPENSTA, "-exit", "timing.tcl"], cwd=mapped.folder, capture_output=True, text=True, check=False
    )
    log = done.stdout + done.stderr
    (mapped.folder / "timing.log").write_text(log, encoding="utf-8")
    slack = re.search(r"^worst slack(?: max)? (-?[\d.]+)", log, re.MULTILINE)
    ends = re.findall(r"^(?:Startpoint|Endpoint): (\S+)", log, re.MULTILINE)
    # OpenSTA ends with status 0 whatever happened: its log is the only witness.
    wrong = [line for line in log.splitlines() if line.startswith("Error")]
    if wrong or slack is None or len(ends) < 2:
        said = wrong[0] if wrong else "no slack"
        raise Refusal(f"OpenSTA must time {mapped.top}, but said '{said}'; see {mapped.folder}/timing.log.")
    return Timing(period_ns - float(slack[1]), ends[0], ends[1])
