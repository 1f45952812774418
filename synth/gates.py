# SPDX-License-Identifier: Apache-2.0
"""A design mapped onto cells, as Verilog to be simulated: each cell is what it computes, memories are as they were.

Verilog ─► cells, by hierarchy, as in synthesis ─► a module for each of the design's, of assignments and flip-flops
"""

import re
from pathlib import Path

from synth import hierarchy, mapping
from synth import liberty as liberty_files
from synth.roles import ClockGate, roles_of

_CLOCK_GATE = """
module {cell} ({ports}, output {output});
  reg enabled;
  always @* if (!{clock}) enabled = {enabled};
  assign {output} = {clock} & enabled;
endmodule
"""
"""What the library says with a table of states, which Yosys does not read."""

_SCRIPT = """\
{read}
{to_cells}
opt_clean -purge
write_verilog -noattr -noexpr netlist.v
design -reset
read_verilog netlist.v
hierarchy -top {top}
setattr -mod -set keep_hierarchy 1 {top}*
read_liberty -overwrite -ignore_miss_func cells.lib
read_verilog -overwrite clock_gate.v
flatten
proc
opt_clean -purge
write_verilog -noattr gates.v
"""


def of(text: str, top: str, work: Path, liberty: Path) -> str:
    """The Verilog of module `top` and all below it, mapped in the folder `work`; ports are those of `text`, and so are
    modules, but for adders and their trees. Raises `Refusal` if Yosys fails."""
    names = [name.removeprefix(f"{top}_") for name in re.findall(r"^module (\w+)\(", text, re.MULTILINE) if name != top]
    gate = _clock_gate(roles_of(liberty_files.read(liberty)).clock_gate)
    script = _SCRIPT.format(
        read=hierarchy.READ.format(top=top), top=top, to_cells=hierarchy.to_cells(text, top, kept=names)
    )
    mapping.run_yosys(script, top, {"design.v": text, "clock_gate.v": gate}, work, liberty)
    return (work / "gates.v").read_text(encoding="utf-8")


def _clock_gate(gate: ClockGate | None) -> str:
    """The clock gate's module, if there is one."""
    if gate is None:
        return ""
    inputs = (gate.clock, gate.enable, *gate.tests)
    return _CLOCK_GATE.format(
        cell=gate.cell,
        ports=", ".join(f"input {pin}" for pin in inputs),
        clock=gate.clock,
        enabled=" | ".join(inputs[1:]),
        output=gate.output,
    )
