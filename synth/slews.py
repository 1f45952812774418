# SPDX-License-Identifier: Apache-2.0
"""Capacitive load and transition time of every net of a mapped netlist, from the library's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal
from synth.boolean import Floats
from synth.clocks import clock_pin, trace
from synth.liberty import Arc, Cell, Library, WireLoad
from synth.netlist import Group, Netlist

MAX_DEPTH = 10_000
RISE, FALL = 0, 1
# What an output's edge may come from: (output edge, input edge) by the sense of the arc.
SENSES = {
    "positive_unate": ((RISE, RISE), (FALL, FALL)),
    "negative_unate": ((RISE, FALL), (FALL, RISE)),
    "non_unate": ((RISE, RISE), (RISE, FALL), (FALL, RISE), (FALL, FALL)),
}
# Kinds of arcs that make transitions in normal operation, and the output edges that they make. Asynchronous set and
# reset do not count: they happen once.
KINDS = {
    "combinational": (RISE, FALL),
    "combinational_rise": (RISE,),
    "combinational_fall": (FALL,),
    "rising_edge": (RISE, FALL),
    "falling_edge": (RISE, FALL),
}


@dataclass(frozen=True)
class Loads:
    """Per net and edge, shape [2, nets]: capacitance (fF) that its driver charges and discharges."""

    caps: Floats

    @property
    def worst(self) -> Floats:
        """Shape [nets]: the larger of both edges, which the power tables are read at."""
        result: Floats = self.caps.max(axis=0)
        return result


def loads(
    netlist: Netlist,
    library: Library,
    wire_load: WireLoad | None = None,
    fanout_scale: Mapping[str, float] | None = None,
    output_load_ff: float = 0.0,
    port_loads: Mapping[str, Floats] | None = None,
) -> Loads:
    """Pin capacitances behind each net, wire by fan-out (none by default), and `output_load_ff` at every output port.

    port_loads: for ports by name, what is behind each bit of them outside of the netlist, fF, [bits].

    fanout_scale: for nets by name (a port's bits by `name[index]`, or all of a port by `name`), how many equal copies
    of what they drive exist, of which the netlist holds one.
    """
    caps = np.zeros((2, netlist.nets))
    fanout = np.zeros(netlist.nets)
    for kind, group in netlist.groups.items():
        for pin in library.cells[kind].inputs:
            count = np.bincount(group.pins[pin.name], minlength=netlist.nets)
            caps[RISE] += count * pin.rise_cap
            caps[FALL] += count * pin.fall_cap
            fanout += count
    for port in netlist.ports.values():
        if port.direction == "output":
            count = np.bincount(port.nets, minlength=netlist.nets)
            caps += count * output_load_ff
            fanout += count
    for name, outside in (port_loads or {}).items():
        caps += np.bincount(netlist.ports[name].nets, outside, minlength=netlist.nets)
    scale = _scale(netlist, fanout_scale or {})
    caps *= scale
    if wire_load is not None:
        caps += wire_load.at(fanout * scale)
    return Loads(caps)


def _scale(netlist: Netlist, fanout_scale: Mapping[str, float]) -> Floats:
    scale = np.ones(netlist.nets)
    for name, copies in fanout_scale.items():
        if name in netlist.ports:
            scale[netlist.ports[name].nets] = copies
        elif name in netlist.net_by_name:
            scale[netlist.net_by_name[name]] = copies
        else:
            raise Refusal(f"fanout_scale must name nets or ports of {netlist.name}; it has no {name!r}.")
    return scale


def transitions(
    netlist: Netlist, library: Library, load: Loads, input_slew_ns: float = 0.0, clock_slew_ns: float = 0.0
) -> Floats:
    """Transition time (ns) of every net and edge, shape [2, nets]: the slowest that any arc of its driver gives.

    Top-level inputs have `input_slew_ns`; the clock has `clock_slew_ns` at every flip-flop and behind every gate.
    """
    slews = np.full((2, netlist.nets), 0.0)
    for port in netlist.ports.values():
        if port.direction == "input":
            slews[:, port.nets] = input_slew_ns
    clocks = trace(netlist, library).nets
    slews[:, clocks] = clock_slew_ns
    constant = constants(netlist, library)
    for group, cell, members in _by_depth(netlist, library):
        for pin in cell.outputs:
            outs = group.pins[pin.name][members]
            found = np.zeros((2, len(members)))
            for arc in pin.arcs:
                source = group.pins[arc.related][members]
                new = np.where(constant[source] >= 0, 0.0, _through(arc, slews[:, source], load.caps[:, outs]))
                found = np.maximum(found, new)
            free = ~np.isin(outs, clocks)
            slews[:, outs[free]] = found[:, free]
    return slews


def _through(arc: Arc, slew: Floats, load: Floats) -> Floats:
    result = np.zeros_like(slew)
    for out, source in SENSES.get(arc.sense, ()):
        table = (arc.rise, arc.fall)[out]
        if table is None or out not in KINDS.get(arc.kind, ()):
            continue
        if arc.kind in ("rising_edge", "falling_edge") and source != (RISE if arc.kind == "rising_edge" else FALL):
            continue
        result[out] = np.maximum(result[out], table.at(slew[source], load[out]))
    return result


def constants(netlist: Netlist, library: Library) -> NDArray[np.int8]:
    """Per net 0 or 1 where it is tied to that value, by a constant or by a cell without inputs, and -1 elsewhere."""
    value = np.full(netlist.nets, -1, dtype=np.int8)
    value[:2] = (0, 1)
    for kind, group in netlist.groups.items():
        cell = library.cells[kind]
        for pin in cell.outputs:
            if not cell.inputs and pin.function is not None:
                value[group.pins[pin.name]] = int(pin.function.table)
    return value


def _by_depth(netlist: Netlist, library: Library) -> Iterator[tuple[Group, Cell, NDArray[np.int64]]]:
    """All cells, those of one type and depth together, each after everything that drives it."""
    depth = np.zeros(netlist.nets, dtype=np.int64)
    kinds = [(group, library.cells[kind]) for kind, group in netlist.groups.items()]
    logic = [(group, cell) for group, cell in kinds if clock_pin(cell) is None]
    before = np.full(netlist.nets, -1)
    for _ in range(MAX_DEPTH):
        if (before == depth).all():
            break
        before = depth.copy()
        for group, cell in logic:
            inner = 1 + np.max(
                [depth[group.pins[pin.name]] for pin in cell.inputs] or np.zeros((1, len(group.cells))), axis=0
            )
            for pin in cell.outputs:
                depth[group.pins[pin.name]] = inner
    else:
        raise Refusal(
            f"A netlist must have no combinational loop; {netlist.name} has one (or is {MAX_DEPTH} gates deep)."
        )
    yield from ((group, cell, np.arange(len(group.cells))) for group, cell in kinds if clock_pin(cell) is not None)
    at = [(group, cell, depth[group.pins[cell.outputs[0].name]]) for group, cell in logic if cell.outputs]
    for level in range(1, int(depth.max()) + 1):
        for group, cell, depths in at:
            members = np.flatnonzero(depths == level)
            if len(members):
                yield group, cell, members
