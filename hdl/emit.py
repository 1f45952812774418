# SPDX-License-Identifier: Apache-2.0
"""Amaranth to Verilog: every distinct component is one module, the text the same to the byte on every machine."""

import functools
import re
from collections.abc import Mapping
from itertools import chain

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Fragment, Instance, ResetSignal
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.lib import wiring

from hdl.shared import mark_used

OLDEST_YOSYS = (0, 40)
_UNWANTED = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding", "init")
_MODULE = re.compile(r"^module (\w+)(\(.*?^endmodule)\n+", re.MULTILINE | re.DOTALL)
_LICENSE = "// SPDX-License-Identifier: Apache-2.0\n"


def ports_of(component: wiring.Component) -> dict[str, tuple]:
    """Name → (value, direction) of each port: the path of the member, joined by two underscores."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (getattr(value, "as_value", lambda value=value: value)(), direction)
    return ports


class _ModuleText(rtlil.ModuleEmitter):
    """Amaranth's RTLIL of a module, without what is no hardware."""

    def emit_signal_fields(self):
        """Nothing: these are second names for the fields of layouts, the larger part of a wide array's text."""

    def emit_memory(self, cell_idx, cell):
        """A memory that starts with zeros starts with anything, like an SRAM: nothing is read before it is written."""
        if any(cell.init):
            super().emit_memory(cell_idx, cell)

    def emit_operator(self, cell_idx, cell):
        """Sums and comparisons whose operands have one width, written out."""
        self._written_out = cell.operator in ("==", "!=", "+", "-")
        super().emit_operator(cell_idx, cell)

    def shorten_operand(self, value, *, signed):
        return value if self._written_out else super().shorten_operand(value, signed=signed)


def _rtlil(component: wiring.Component, name: str, platform: "_Sharing") -> str:
    netlist = build_netlist(Fragment.get(component, platform), ports=ports_of(component), name=name)
    empty = rtlil.EmptyModuleChecker(netlist)
    design, names = rtlil.Design(emit_src=False), SignalDict()
    for index, module in enumerate(netlist.modules):
        if not empty.is_empty(index):
            text = design.module(".".join(module.name), src_loc=module.src_loc)
            _ModuleText(text, netlist, module, names, empty_checker=empty).emit()
    return _without_idle_reset(_plain_names(str(design)))


def _plain_names(text: str) -> str:
    """Names that no tool has to escape: no dot in a module's, no dollar in a signal's. Yosys refuses a clash."""
    text = re.sub(r"^( *(?:module|cell) \\\S+)", lambda m: m[1].replace(".", "_"), text, flags=re.MULTILINE)
    return re.sub(r"(?<=\\)[\w$]*\$\w*", lambda m: m[0].lstrip("$").replace("$", "_"), text)


def _without_idle_reset(text: str) -> str:
    """Amaranth gives every clocked module a reset; one that holds data only has no use for it."""
    used = len(re.findall(r"\\rst\b", text)) > 1
    return text if used else re.sub(r"^  wire width 1 input \d+ +\\rst\n", "", text, flags=re.MULTILINE)


class _Sharing:
    """The platform of one conversion: keeps the RTLIL text of each module that components share. `corners`: those of
    `hdl.cover` are counted. `behavioural`: as `hdl.behaviour` has it. `written`: as of `verilog_of`; `copies`: their
    Verilog, as it is to follow."""

    def __init__(
        self,
        top: str,
        corners: bool = False,
        behavioural: bool = False,
        written: Mapping[wiring.Component, str] | None = None,
    ):
        self._top = top
        self.corners, self.behavioural, self._written = corners, behavioural, written or {}
        self._kinds: dict[str, tuple] = {}
        self.texts: list[str] = []
        self.copies: list[str] = []

    def convert(self, component: wiring.Component, name: str) -> str:
        """Add the component's module and those below it; returns its text."""
        text = _rtlil(component, name, self)
        self.texts.append(text)
        return text

    def instance(self, component: wiring.Component, name: str) -> Instance:
        module = f"{self._top}_{name}"
        mark_used(component)
        ports = ports_of(component)
        kind = (type(component), {port: len(value) for port, (value, _) in ports.items()})
        if module not in self._kinds:
            self._kinds[module] = (*kind, self._module(component, module))
        *known, globals_ = self._kinds[module]
        assert tuple(known) == kind, f"two different components share the name {module}"
        wires = {("i_" if d is PortDirection.Input else "o_") + port: value for port, (value, d) in ports.items()}
        drivers = {"clk": ClockSignal, "rst": ResetSignal}
        return Instance(module, **wires, **{f"i_{port}": drivers[port]() for port in globals_})

    def _module(self, component: wiring.Component, module: str) -> list[str]:
        """Make the component's module; returns those of `clk` and `rst` that it has."""
        if component in self._written:
            text = self._written[component]
            self.copies.append(_renamed(text, module))
            return clocking_of(text)
        text = self.convert(component, module)
        return re.findall(r"^  wire width 1 input \d+ +\\(clk|rst)$", text, re.MULTILINE)


def _renamed(text: str, name: str) -> str:
    """A unit's Verilog as that of a part called `name`, and its modules' names likewise."""
    known = re.findall(r"^module (\w+)\(", text, re.MULTILINE)
    names = {module: name + module.removeprefix(known[0]) for module in known}
    text = re.sub(
        r"^(module |  )(\w+)(?=\(| \w+ \($)", lambda m: m[1] + names.get(m[2], m[2]), text, flags=re.MULTILINE
    )
    return text.removeprefix(_LICENSE)


@functools.cache
def _yosys():
    return find_yosys(lambda version: version >= OLDEST_YOSYS)


def yosys_version() -> str:
    """Of the Yosys that writes the Verilog, as major.minor."""
    return ".".join(map(str, _yosys().version()[:2]))


def _script(sharing: _Sharing) -> list[str]:
    """Commands for Yosys that write one unit's Verilog to the standard output."""
    removed = " ".join(f"-remove {attribute}" for attribute in _UNWANTED)
    return [
        "design -reset",
        *(f"read_rtlil <<rtlil\n{text}\nrtlil" for text in sharing.texts),
        "proc",
        "pmuxtree",
        "memory_collect",
        f"attrmap {removed}",
        f"attrmap -modattr {removed}",
        "opt_clean",
        "opt_dff -simple-dffe -nosdff",
        "opt_clean -purge",
        "write_verilog",
    ]


def verilog_of(
    units: Mapping[str, wiring.Component],
    *,
    corners: bool = False,
    behavioural: bool = False,
    written: Mapping[wiring.Component, str] | None = None,
) -> dict[str, str]:
    """Name → Verilog of each unit, a module of that name with all modules below it; one run of Yosys for all of them.

    Synthesizable, no attributes, no paths. Needs Yosys (`$YOSYS`, or `yosys` on the path). A text depends on the
    component and the tools alone, but for the order of statements, which its company may change. written: what an
    earlier call gave of components that these ones `share`: it is taken as it is, with its modules named after its
    place here, instead of made once more.
    """
    made = {}
    for name, component in units.items():
        made[name] = _Sharing(name, corners, behavioural, written)
        made[name].convert(component, name)
    scripts = map(_script, made.values())
    output = _yosys().run(["-q", "-"], "\n".join(chain.from_iterable(scripts)), ignore_warnings=True)
    # Yosys names itself and its build in front of each.
    nothing, *texts = re.split(r"^/\* Generated by Yosys [^\n]*\n+", output, flags=re.MULTILINE)
    assert not nothing.strip(), nothing
    return {
        name: _merged("\n".join([_LICENSE + _tidy(text), *made[name].copies]))
        for name, text in zip(units, texts, strict=True)
    }


def verilog(component: wiring.Component, name: str, *, corners: bool = False, behavioural: bool = False) -> str:
    """`verilog_of` a single unit. corners: for simulation, with a count for each of `hdl.cover`. behavioural: by
    `hdl.behaviour`, for quick simulation and for FPGAs."""
    return verilog_of({name: component}, corners=corners, behavioural=behavioural)[name]


def _merged(text: str) -> str:
    """Of modules that differ in their names alone, the first one: components of two kinds may come out equal."""
    kept: dict[str, str] = {}
    names = {name: kept.setdefault(body, name) for name, body in _MODULE.findall(text)}
    if all(name == other for name, other in names.items()):
        return text.rstrip() + "\n"
    text = _MODULE.sub(lambda m: m[0] if names[m[1]] == m[1] else "", text)
    # Those that hold them may be equal now.
    return _merged(re.sub(r"(?<=^  )(\w+)(?= \w+ \($)", lambda m: names.get(m[1], m[1]), text, flags=re.MULTILINE))


def clocking_of(text: str) -> list[str]:
    """Those of `clk` and `rst` that the first module of a Verilog text has as ports."""
    first = text[: text.index("\nendmodule")]
    return [port for port in ("clk", "rst") if re.search(rf"^  input {port};$", first, re.MULTILINE)]


def _tidy(text: str) -> str:
    """`!` of a vector as the reduction that it is."""
    return text.replace(" = ! ", " = ~| ")
