# SPDX-License-Identifier: Apache-2.0
"""Delays of a netlist's cells from input to output, by OpenSTA, at the loads and transition times of `synth.power`: the
fan-out's input pins, no wires, an ideal clock.

Icarus Verilog's reader of SDF knows neither conditions nor wires. So a cell's delay from one pin to another is the mean
of what the library has under its conditions, and what drives the clock has none.
"""

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from config.errors import Refusal
from synth import timing
from synth.clocks import clock_pin, trace
from synth.liberty import Cell, Library, Pin
from synth.netlist import Netlist

GROUP = 200
"""Cells that lie beside each other, at most."""

Edges = tuple[float, float]
"""Delay in ns until an output has risen, and until it has fallen."""
Delays = Mapping[tuple[int, str, str], Edges]
"""By number of a cell, input pin and output pin."""

_SCRIPT = """
read_liberty {liberty}
set_cmd_units -time ns
read_verilog netlist.v
link_design {top}
{clock}
set_input_transition {slew} [all_inputs]
write_sdf -no_timestamp -digits 4 opensta.sdf
"""
_INSTANCE = re.compile(r"\(INSTANCE u(\d+)\)")
_PATH = re.compile(r"\(IOPATH (\w+) (\w+) \(([^)]*)\) \(([^)]*)\)\)")


@dataclass(frozen=True)
class Flat:
    """A netlist as Verilog: module `top` of cells, cell number n named `un`, net number n named `nn`. Its ports are the
    input nets in `inputs`, in this order; its outputs are to be looked at inside. nets: those that are connected."""

    top: str
    text: str
    inputs: tuple[int, ...]
    nets: frozenset[int]


def flat(netlist: Netlist, library: Library, *, inside: str = "") -> Flat:
    """The netlist without hierarchy, constants at the pins themselves.

    inside: for Icarus Verilog, the path of the instance of `top`. Cells then lie in groups, for it looks each one up
    among all that lie beside it; and a net that comes to several pins of one cell goes through a gate without delay to
    all but the first, for it would take the pins for one.
    """
    inputs = tuple(
        int(net) for port in netlist.ports.values() if port.direction == "input" for net in port.nets if net > 1
    )
    nets = frozenset(inputs) | {net for _, net in netlist.pin_nets() if net > 1}
    head = [f"module flat ({', '.join(f'n{net}' for net in inputs)});"]
    head += [f"  input n{net};" for net in inputs]
    head += [f"  wire n{net};" for net in sorted(nets - set(inputs))]
    cells = _cells(netlist, library, f"{inside}." if inside else "")
    if inside:
        head += [f"  g{group} g{group} ();" for group in sorted({cell // GROUP for cell in cells})]
        text = ["\n".join(head), "endmodule"]
        by_group: dict[int, list[str]] = defaultdict(list)
        for cell, line in cells.items():
            by_group[cell // GROUP].append(line)
        text += [f"module g{group};\n" + "\n".join(lines) + "\nendmodule" for group, lines in by_group.items()]
    else:
        text = [*head, *cells.values(), "endmodule"]
    return Flat("flat", "\n".join([*text, ""]), inputs, nets)


def _cells(netlist: Netlist, library: Library, path: str) -> dict[int, str]:
    """Each cell's line. path: in front of the name of a net, empty where no cell's pins are to be kept apart."""
    lines = {}
    for kind, group in netlist.groups.items():
        pins = [pin.name for pin in library.cells[kind].pins.values() if pin.name in group.pins]
        for at, cell in enumerate(group.cells):
            nets = {pin: _net(int(group.pins[pin][at]), path) for pin in pins}
            copies = [
                (pin, net)
                for pin, net in nets.items()
                if path and net.startswith(path) and list(nets.values()).index(net) < pins.index(pin)
            ]
            gates = "".join(f"  wire u{cell}_{pin}; buf (u{cell}_{pin}, {net});\n" for pin, net in copies)
            nets |= {pin: f"u{cell}_{pin}" for pin, _ in copies}
            lines[int(cell)] = f"{gates}  {kind} u{cell} ({', '.join(f'.{pin}({net})' for pin, net in nets.items())});"
    return lines


def _net(net: int, path: str) -> str:
    return f"1'b{net}" if net < 2 else f"{path}n{net}"


def measured(
    netlist: Netlist, library: Library, liberty: Path, work: Path, *, period_ns: float, input_slew_ns: float
) -> Delays:
    """The cells' delays; `work` is a folder for the files of the tool. There are none of paths that OpenSTA knows to
    stand still, behind constants. Raises `Refusal` if OpenSTA is not there or cannot do it."""
    if not timing.available():
        raise Refusal(timing.MISSING)
    design, tree = flat(netlist, library), trace(netlist, library)
    (work / "netlist.v").write_text(design.text, encoding="utf-8")
    roots = [net for net in design.inputs if net in tree.gate_of]
    clock = f"create_clock -name clk -period {period_ns} [get_ports n{roots[0]}]" if roots else ""
    script = _SCRIPT.format(liberty=liberty.resolve(), top=design.top, clock=clock, slew=input_slew_ns)
    (work / "delays.tcl").write_text(script, encoding="utf-8")
    command = [timing.OPENSTA, "-exit", "delays.tcl"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    wrong = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
    if wrong or not (work / "opensta.sdf").is_file():
        raise Refusal(f"OpenSTA must give the delays of {netlist.name}, but said '{(wrong or ['nothing'])[0]}'.")
    found = read((work / "opensta.sdf").read_text(encoding="utf-8"))
    return {
        key: (0.0, 0.0) if on_clock else found[key]
        for _, key, on_clock in paths(netlist, library, set(tree.gate_of))
        if on_clock or key in found
    }


def read(sdf: str) -> Delays:
    """The delays in an SDF file of OpenSTA, the mean of those under conditions; where an edge has none, the other's."""
    found: dict[tuple[int, str, str], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    cell = -1
    for line in sdf.splitlines():
        if instance := _INSTANCE.search(line):
            cell = int(instance[1])
        elif path := _PATH.search(line):
            for edge, triple in zip(found[cell, path[1], path[2]], path.groups()[2:], strict=True):
                # The least and the most, with nothing between.
                edge += [fmean(float(value) for value in triple.split(":") if value)] if triple else []
    return {key: (fmean(rise or fall), fmean(fall or rise)) for key, (rise, fall) in found.items()}


def none(netlist: Netlist, library: Library, arrival_ns: float) -> Delays:
    """No delay of any cell, but that flip-flops show what they took when the inputs arrive, so that everything that a
    clock edge changes begins at one time."""
    clocks = set(trace(netlist, library).gate_of)
    return {
        key: (arrival_ns,) * 2 if library.cells[kind].state and not on_clock else (0.0, 0.0)
        for kind, key, on_clock in paths(netlist, library, clocks)
    }


def paths(netlist: Netlist, library: Library, clocks: set[int]) -> Iterator[tuple[str, tuple[int, str, str], bool]]:
    """Kind, cell and pins of every way through a cell from a pin that is no constant, and whether it ends on the
    clock."""
    for kind, group in netlist.groups.items():
        cell = library.cells[kind]
        for output in cell.outputs:
            for start in starts(cell, output):
                for at in np.flatnonzero(group.pins[start] > 1):
                    key = int(group.cells[at]), start, output.name
                    yield kind, key, int(group.pins[output.name][at]) in clocks


def starts(cell: Cell, output: Pin) -> tuple[str, ...]:
    """Input pins whose change can change the output at once."""
    if cell.state is not None:
        forced = [function.names for function in (cell.state.clear, cell.state.preset) if function]
        return (cell.state.clock.node.name, *(name for names in forced for name in names))
    if cell.gate:
        return (clock_pin(cell) or "",)
    return output.function.names if output.function else ()


def to_sdf(delays: Delays, netlist: Netlist, library: Library) -> str:
    """As an SDF file for the netlist of `flat` as Icarus Verilog gets it."""
    clocks = {kind: clock_pin(library.cells[kind]) for kind in netlist.groups if library.cells[kind].state}
    kinds = {int(cell): kind for kind, group in netlist.groups.items() for cell in group.cells}
    by_cell: dict[int, list[str]] = defaultdict(list)
    for (cell, start, end), edges in delays.items():
        rise, fall = (":".join([f"{edge:.4f}"] * 3) for edge in edges)
        source = f"(posedge {start})" if clocks.get(kinds[cell]) == start else start
        by_cell[cell].append(f"(IOPATH {source} {end} ({rise}) ({fall}))")
    lines = ['(DELAYFILE (SDFVERSION "3.0") (DIVIDER /) (TIMESCALE 1ns)']
    for cell, paths in by_cell.items():
        where = f'(CELLTYPE "{kinds[cell]}") (INSTANCE g{cell // GROUP}/u{cell})'
        lines.append(f"(CELL {where} (DELAY (ABSOLUTE {' '.join(paths)})))")
    return "\n".join([*lines, ")", ""])
