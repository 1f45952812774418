# SPDX-License-Identifier: Apache-2.0
"""Area, memory bits and clock of a unit, sub-block by sub-block.

The unit is mapped by hierarchy: the modules that a table of sub-blocks names stay modules, each is mapped once and
counts as often as it occurs; all others dissolve into the one around them. Nets between modules get buffers. Memories
become no cells: their bits are counted, and for the clock their ports are flip-flops.
"""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from config.errors import Refusal
from synth import buffers, mapping, memory_ports, timing, verilog
from synth import liberty as liberty_files
from synth.liberty import Library
from synth.memory_ports import MEMORY
from synth.roles import roles_of

Parts = Mapping[str, tuple[str, ...]]
"""Sub-block → its modules, named without the top's name in front; the top itself has no name, and is `CONTROL`."""
CONTROL = "control"
_FAST = re.compile(rf"{mapping.ADDER}|dot_adder|choice_of_\d+|short_adder_\d+|divide_step_\d+|larger|larger_power|code")
"""Modules that are mapped for speed: an array's adder, and those with which something else shares a cycle."""
Modules = dict[str, Any]
Instance = tuple[str, str, str]
"""Path, sub-block, module."""

READ = """\
read_verilog design.v
hierarchy -check -top {top}
proc
opt
memory -nomap
opt_clean
"""
"""A design whose memories are as they were."""

SCRIPT = """\
read_verilog stubs.v
{read}
setparam -set INIT 1'bx t:$mem_v2
techmap -map memories.v t:$mem_v2
opt_clean
{to_cells}
splitnets -ports
opt_clean -purge
write_json netlist.json
"""

_TIMING = """
read_liberty {liberty}
set_cmd_units -time ns -capacitance fF
read_verilog timing.v
link_design {top}
create_clock -name clk -period 1 [get_ports {clock}]
set_input_delay 0.1 -clock clk [all_inputs]
set_load 10 [all_outputs]
report_checks -path_delay max -group_count 1000000 -format end -digits 3 > ends.txt
"""


@dataclass(frozen=True)
class Part:
    """A sub-block: area of its cells and of the registers among them, bits of its memories, how often each of its
    modules occurs, and the highest clock of the paths that end in it, or, if it has no registers and was said to be
    passed, run through it; None where nothing was timed."""

    name: str
    area_um2: float
    register_area_um2: float
    registers: int
    memory_bits: int
    instances: dict[str, int]
    fmax_mhz: float | None = None

    @property
    def register_share(self) -> float:
        return self.register_area_um2 / self.area_um2 if self.area_um2 else 0.0

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return asdict(self) | {"register_share": self.register_share}

    def shared(self, name: str, count: int) -> "Part":
        """One of `count` equal instances that are all of this sub-block, with its share of each module in it."""
        return Part(
            name,
            self.area_um2 / count,
            self.register_area_um2 / count,
            self.registers // count,
            self.memory_bits // count,
            {module: number // count for module, number in self.instances.items()},
            self.fmax_mhz,
        )


def joined(name: str, parts: Collection[Part]) -> Part:
    """Several sub-blocks as one; its clock is that of the slowest."""
    return Part(
        name,
        sum(part.area_um2 for part in parts),
        sum(part.register_area_um2 for part in parts),
        sum(part.registers for part in parts),
        sum(part.memory_bits for part in parts),
        {module: count for part in parts for module, count in part.instances.items()},
        min((part.fmax_mhz for part in parts if part.fmax_mhz is not None), default=None),
    )


class Named(Protocol):
    """A configuration that names its top module."""

    @property
    def name(self) -> str: ...


Config = TypeVar("Config", bound=Named)


@dataclass(frozen=True)
class Unit(Generic[Config]):
    """A unit: its preset's name, its configuration, its parts in the order of the table."""

    preset: str
    config: Config
    parts: tuple[Part, ...]

    @property
    def total(self) -> Part:
        """The whole unit; its clock is that of its slowest part."""
        return replace(joined("whole unit", self.parts), instances={self.config.name: 1})

    def parts_as_json(self) -> list[dict[str, Any]]:
        """All figures of the parts and of the whole."""
        return [part.as_json() for part in (*self.parts, self.total)]


def measure(
    text: str, top: str, parts: Parts, work: Path, liberty: Path, library: Library, *, passed: str | None = None
) -> tuple[Part, ...]:
    """Map the Verilog of module `top` in the folder `work` and, if OpenSTA is at hand, time it. passed: a sub-block
    without registers, whose clock is that of the paths through it. Raises `Refusal` if a tool fails."""
    owner = {module: part for part, modules in parts.items() for module in modules} | {"": CONTROL}
    _map(text, top, owner, work, liberty)
    netlist = work / "netlist.json"
    modules = json.loads(netlist.read_text(encoding="utf-8"))["modules"]
    buffers.insert(modules, library)
    netlist.write_text(json.dumps({"modules": modules}), encoding="utf-8")
    paths = list(instances(modules, owner, top))
    found = {}
    if timing.available():
        text = "".join(verilog.written(modules))
        found = clocks(text, top, {path: part for path, part, _ in paths}, work, liberty, passed)
    return _parts(modules, parts, top, paths, library, found)


def _map(text: str, top: str, owner: Mapping[str, str], work: Path, liberty: Path) -> None:
    inputs = {"design.v": text, "stubs.v": memory_ports.STUBS, "memories.v": memory_ports.TECHMAP}
    script = SCRIPT.format(read=READ.format(top=top), top=top, to_cells=to_cells(text, top, owner))
    mapping.run_yosys(script, top, inputs, work, liberty)


def to_cells(text: str, top: str, kept: Collection[str]) -> str:
    """`mapping.to_cells` for the Verilog of module `top`, by the names of its modules. kept: those that stay modules,
    named without the top's name in front; the others, and all trees and those mapped for speed, dissolve."""
    names = [name.removeprefix(f"{top}_") for name in re.findall(r"^module (\w+)\(", text, re.MULTILINE)]
    trees = [name for name in names if name.rpartition("_")[2] in mapping.TREES]
    fast = [name for name in names if _FAST.fullmatch(name)]
    return mapping.to_cells(
        top,
        kept=[name for name in names if name in kept and name not in trees and name not in fast],
        trees=trees,
        fast=fast,
        buffered=[name for name in names if name == mapping.FRONT],
    )


def instances(modules: Modules, owner: Mapping[str, str], top: str) -> Iterator[Instance]:
    """The unit and all kept modules below, as `verilog.written` names them; levels of a path are parted by slashes.
    owner: module, named without the top's name in front → sub-block."""
    todo = [("", top)]
    while todo:
        path, module = todo.pop()
        yield path, owner[module.removeprefix(top).removeprefix("_")], module
        for number, cell in enumerate(modules[module]["cells"].values()):
            if cell["type"] in modules and not cell["type"].startswith(MEMORY):
                name = verilog.instance(number)
                todo.append((f"{path}/{name}" if path else name, cell["type"]))


def _parts(
    modules: Modules, parts: Parts, top: str, paths: list[Instance], library: Library, clocks: Mapping[str, float]
) -> tuple[Part, ...]:
    own = {module: _own(modules[module]["cells"].values(), top, library) for _, _, module in paths}
    found = []
    for part in parts:
        count = Counter(module for _, owner, module in paths if owner == part)
        if count:
            found.append(
                Part(
                    part,
                    sum(own[module].area * n for module, n in count.items()),
                    sum(own[module].register_area * n for module, n in count.items()),
                    sum(own[module].registers * n for module, n in count.items()),
                    sum(own[module].bits * n for module, n in count.items()),
                    {module.removeprefix(f"{top}_"): n for module, n in count.items()},
                    clocks.get(part),
                )
            )
    return tuple(found)


@dataclass(frozen=True)
class _Own:
    """A module without those below it; `bits` of its memories."""

    area: float
    register_area: float
    registers: int
    bits: int


def _own(cells: Collection[Any], top: str, library: Library) -> _Own:
    kinds = Counter(cell["type"] for cell in cells)
    strange = [kind for kind in kinds if kind not in library.cells and not kind.startswith((top, MEMORY))]
    if strange:
        raise Refusal(f"Every cell of {top} must be mapped, but {', '.join(strange)} is left; report this.")
    known = [(library.cells[kind], count) for kind, count in kinds.items() if kind in library.cells]
    registers = [(cell.area * count, count) for cell, count in known if cell.state is not None]
    sizes = [cell["parameters"] for cell in cells if cell["type"] == MEMORY]
    return _Own(
        area=sum(cell.area * count for cell, count in known),
        register_area=sum(area for area, _ in registers),
        registers=sum(count for _, count in registers),
        bits=sum(int(size["SIZE"], 2) * int(size["WIDTH"], 2) for size in sizes),
    )


def clocks(
    text: str,
    top: str,
    owner: Mapping[str, str],
    work: Path,
    liberty: Path,
    passed: str | None = None,
    clock: str = "clk",
) -> dict[str, float]:
    """Highest clock of each sub-block, in MHz. text: the netlist, as Verilog. owner: path → sub-block. passed: as of
    `measure`. clock: its port. Raises `Refusal` if OpenSTA cannot time it."""
    pins = memory_ports.PINS.format(**asdict(roles_of(liberty_files.read(liberty)).flip_flop))
    (work / "timing.v").write_text(text + pins, encoding="utf-8")
    through = " ".join(f"{{{path}}}" for path, part in owner.items() if part == passed)
    script = _TIMING.format(liberty=liberty.resolve(), top=top, clock=clock)
    if passed:
        script += (
            f"report_checks -path_delay max -through [get_cells [list {through}]] -format end -digits 3 > through.txt\n"
        )
    (work / "timing.tcl").write_text(script, encoding="utf-8")
    command = [timing.OPENSTA, "-exit", "timing.tcl"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    (work / "timing.log").write_text(log, encoding="utf-8")
    wrong = [line for line in log.splitlines() if line.startswith("Error")]
    ends = {} if wrong else _ends(work / "ends.txt")
    passing = _ends(work / "through.txt") if passed and not wrong else {}
    if not ends or (passed and not passing):
        said = wrong[0] if wrong else "no slack"
        raise Refusal(f"OpenSTA must time {top}, but said '{said}'; see {work}/timing.log.")
    worst: dict[str, float] = {passed: min(passing.values())} if passed else {}
    for end, slack in ends.items():
        path = end
        while path not in owner:
            path = path.rpartition("/")[0]
        worst[owner[path]] = min(slack, worst.get(owner[path], slack))
    return {part: 1e3 / (1 - slack) for part, slack in worst.items()}


def _ends(report: Path) -> dict[str, float]:
    """Endpoint → slack in ns, from a report with a line for each."""
    lines = re.findall(r"^(\S+) \(\S+\) .*? (-?[\d.]+) \(", report.read_text(encoding="utf-8"), re.MULTILINE)
    return {end: float(slack) for end, slack in lines}
