# SPDX-License-Identifier: Apache-2.0
"""Finds the clock of a mapped netlist: its port, the buffers and clock gates behind it, and what turns each gate on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal
from synth.liberty import Cell, Library
from synth.netlist import Group, Netlist

FREE = -1


@dataclass(frozen=True)
class ClockGate:
    """Passes the clock of gate number `parent` (or FREE) while one of the nets `enables` was high before the edge."""

    enables: tuple[int, ...]
    parent: int


@dataclass
class ClockTree:
    """`gate_of[net]` is the number of the gate that the clock net hangs on, or FREE."""

    gate_of: dict[int, int] = field(default_factory=dict)
    gates: list[ClockGate] = field(default_factory=list)

    @property
    def nets(self) -> NDArray[np.int64]:
        return np.array(sorted(self.gate_of), dtype=np.int64)


def clock_pin(cell: Cell) -> str | None:
    """The pin on whose rising edge the cell acts, None for combinational cells. Raises Refusal for any other state."""
    if cell.gate:
        if not cell.gate.startswith("latch_posedge"):
            raise Refusal(
                f"A clock gate must pass the high phase (latch_posedge); {cell.name} is {cell.gate}: keep it out."
            )
        return next(pin.name for pin in cell.pins.values() if pin.role == "clock")
    if cell.state is None:
        return None
    if not cell.state.edge or cell.state.clock.node.op != "var":
        raise Refusal(
            f"State must be in flip-flops on the rising clock edge; cell {cell.name} is none: keep it out of the map."
        )
    return cell.state.clock.node.name


def trace(netlist: Netlist, library: Library) -> ClockTree:
    """The clock tree of the netlist; empty where nothing is clocked. Raises Refusal where there are two clocks."""
    tracer = _Tracer(netlist, library)
    for kind, group in netlist.groups.items():
        pin = clock_pin(library.cells[kind])
        for net in np.unique(group.pins[pin]) if pin else ():
            tracer.visit(int(net))
    roots = [net for net in tracer.tree.gate_of if net in tracer.inputs]
    if len(roots) > 1:
        names = ", ".join(sorted(netlist.net_names[net] for net in roots))
        raise Refusal(f"A netlist must have one clock; this one has {len(roots)}: {names}.")
    return tracer.tree


class _Tracer:
    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.netlist, self.tree = netlist, ClockTree()
        self.inputs = {int(net) for port in netlist.ports.values() if port.direction == "input" for net in port.nets}
        self.drivers: dict[int, tuple[Cell, Group, int]] = {}
        for kind, group in netlist.groups.items():
            cell = library.cells[kind]
            output = next((pin for pin in cell.outputs if pin.role == "out" or _copies(cell)), None)
            if output is not None:
                self.drivers |= {int(net): (cell, group, at) for at, net in enumerate(group.pins[output.name])}

    def visit(self, net: int) -> int:
        """Follows a clock net to its source; returns the number of the gate it hangs on."""
        if net in self.tree.gate_of:
            return self.tree.gate_of[net]
        if net in self.inputs:
            self.tree.gate_of[net] = FREE
        elif net not in self.drivers:
            raise Refusal(
                f"A clock must come from a top-level input through buffers and clock gates only; "
                f"{self.netlist.net_names[net]!r} does not."
            )
        else:
            cell, group, at = self.drivers[net]
            upstream = clock_pin(cell) or cell.inputs[0].name
            parent = self.visit(int(group.pins[upstream][at]))
            self.tree.gate_of[net] = self.gate(cell, group, at, parent) if cell.gate else parent
        return self.tree.gate_of[net]

    def gate(self, cell: Cell, group: Group, at: int, parent: int) -> int:
        pins = [pin.name for pin in cell.pins.values() if pin.role in ("enable", "test")]
        self.tree.gates.append(ClockGate(tuple(int(group.pins[pin][at]) for pin in pins), parent))
        return len(self.tree.gates) - 1


def _copies(cell: Cell) -> bool:
    function = cell.outputs[0].function if len(cell.outputs) == 1 and cell.state is None else None
    return function is not None and function.node.op == "var"
