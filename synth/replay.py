# SPDX-License-Identifier: Apache-2.0
"""The netlist of a piece does again what the RTL around it has done: from its registers at the begin of each recorded
window, with what came into it in each cycle.

record of the RTL ─► registers, inputs, of every instance in every window ─► gatesim, all side by side ─► activity
                └──► outputs ──────────────────────────────────────────────► must be the netlist's, every bit
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import require
from sim.windows import Record
from synth import netlist
from synth.activity import Activity
from synth.gateprogram import Program, compile_netlist
from synth.gatesim import Bits, Simulator
from synth.liberty import Library
from synth.memory_ports import MEMORY
from synth.netlist import SEPARATOR, Netlist
from synth.pieces import Design, Mapped, named
from synth.slews import constants

Place = tuple[str, int]
"""A signal's path below its piece, and a bit of it."""
_BIT = re.compile(r"(.*)\[(\d+)\]")
CLOCKS = ("clk", "CK", "aclk")
_PADDED = "$iopadmap$"
"""What Yosys puts before the name of a port whose output buffer it has set."""


class DifferenceError(AssertionError):
    """A netlist does not do what its RTL does."""


@dataclass(frozen=True)
class Memory:
    """A memory of a piece: its size, and the nets that say in which cycles it is read, and each of its parts
    written."""

    words: int
    bits: int
    read: int
    writes: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """A mapped piece with what is below it, and its memories, cut off: where it was joined it has ports. drives, shows:
    what in the RTL each input and output port is, bit by bit; of a memory's address and data, which have no name, no
    output is shown. states: what each flip-flop is, with 1 where it is the complement."""

    name: str
    netlist: Netlist
    program: Program
    memories: tuple[Memory, ...]
    drives: dict[str, list[Place]]
    shows: dict[str, list[Place]]
    states: list[tuple[Place, int]]

    @property
    def places(self) -> set[str]:
        """All signals that a replay needs."""
        ports = [place for each in (self.drives, self.shows) for places in each.values() for place in places]
        return {name for name, _ in [*ports, *(place for place, _ in self.states)]}


def piece_of(mapped: Mapped, design: Design, library: Library) -> Piece:
    """A mapped piece, ready. Raises `Refusal` if a register or an input of the netlist has no name in the RTL."""
    modules = mapped.modules
    widths = design.widths_joined(mapped.piece)
    top = named(mapped.piece)
    body, memories = _cut(modules, top, library)
    whole = netlist.from_json(json.dumps({"modules": {top: body}}), library, top)
    names = _names(whole, widths)

    def placed(net: int, what: str) -> Place:
        require(net in names, f"{what} of {mapped.piece or 'the top'} must have a name in the RTL, and has none.")
        return names[net]

    drives, shows = {}, {}
    for port in whole.ports.values():
        if port.direction == "input" and port.name not in CLOCKS:
            drives[port.name] = [placed(int(net), f"input {port.name}") for net in port.nets]
        elif port.direction == "output" and all(int(net) in names for net in port.nets):
            shows[port.name] = [names[int(net)] for net in port.nets]
    program = compile_netlist(whole, library)
    states = []
    for net, other in zip(*(each.tolist() for each in program.shown), strict=True):
        flip = int(net not in names and other in names)
        states.append((placed(other if flip else net, "a register"), flip))
    return Piece(mapped.piece, whole, program, tuple(_memories(whole, memories)), drives, shows, states)


def _cut(modules: dict[str, Any], top: str, library: Library) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """The module with ports in place of cells that are none of the library's; and its memories, by name, with their
    parameters."""
    body = modules[top]
    ports, cells, memories = dict(body["ports"]), {}, {}
    for name, cell in body["cells"].items():
        if cell["type"] in library.cells:
            cells[name] = cell
        elif cell["type"] == MEMORY:
            memories[name] = {key: int(value, 2) for key, value in cell["parameters"].items()}
        else:
            inner = modules[cell["type"]]["ports"]
            for pin, bits in cell["connections"].items():
                if pin not in CLOCKS:
                    direction = "input" if inner[pin]["direction"] == "output" else "output"
                    ports[_plain(name) + SEPARATOR + pin] = {"direction": direction, "bits": bits}
    return {**body, "ports": ports, "cells": cells}, memories


def _plain(cell: str) -> str:
    """The path of a cell that Yosys has made in place of one of the RTL."""
    return re.sub(r"\$flatten|\$techmap\d+|\\", "", cell)


def _memories(whole: Netlist, memories: Mapping[str, Mapping[str, int]]) -> Iterator[Memory]:
    for name, sizes in memories.items():
        data = sizes["WR_PORTS"] * sizes["WIDTH"]
        addresses = sizes["WR_PORTS"] * sizes["ABITS"]
        pins = [f"{name}.in[{at}].pin.D" for at in range(data, data + sizes["WR_PORTS"])]
        read = f"{name}.in[{data + sizes['WR_PORTS'] + addresses + sizes['ABITS']}].pin.D"
        read_net, *write_nets = (int(whole.ports[pin].nets[0]) for pin in (read, *pins))
        yield Memory(sizes["SIZE"], sizes["WIDTH"], read_net, tuple(write_nets))


def _names(whole: Netlist, widths: Mapping[str, int]) -> dict[int, Place]:
    """A signal of the RTL for each net that is one."""
    found: dict[int, Place] = {}
    for name, net in whole.net_by_name.items():
        place = place_of(name)
        if place[1] < widths.get(place[0], 0):
            found.setdefault(net, place)
    for port in whole.ports.values():
        name, at = place_of(port.name)
        for bit, net in enumerate(port.nets.tolist()):
            if at + bit < widths.get(name, 0):
                found.setdefault(net, (name, at + bit))
    return found


def place_of(name: str) -> Place:
    name = name.removeprefix(_PADDED)
    bit = _BIT.fullmatch(name)
    return (bit[1], int(bit[2])) if bit else (name, 0)


def replay(
    piece: Piece, paths: Sequence[str], record: Record, library: Library, groups: Sequence[Sequence[int]]
) -> list[Activity]:
    """What the netlist of a piece does in all windows of the record, in all instances at once, given by their paths:
    of each group of windows toggles and time at one, means over all of them. Raises `DifferenceError` if an output is
    not in each cycle what it is in the RTL."""
    windows = range(record.count)
    streams = len(paths) * len(windows)
    seen = _Seen(paths, record, windows)
    simulator = Simulator(piece.netlist, library, streams, piece.program)
    states = [seen.bit(place)[0] ^ flip for place, flip in piece.states]
    begin = np.stack(states, axis=-1) if states else np.zeros((streams, 0), np.uint8)
    stimulus = {port: seen.bits(places) for port, places in piece.drives.items()}
    # A piece without a register has a clock that goes nowhere but to its memories.
    idle = [port for port in simulator.inputs if port.name in CLOCKS]
    stimulus |= {port.name: np.zeros((record.length, 1, len(port.nets)), np.uint8) for port in idle}
    of_windows = np.arange(streams).reshape(len(windows), len(paths))
    run = simulator.go_on(stimulus, begin, [of_windows[list(group)].ravel() for group in groups])
    constant = constants(piece.netlist, library)
    for port, places in piece.shows.items():
        wanted = seen.bits(places)
        differs = run.outputs[port] != wanted
        # A register that is only ever loaded with a one is a one in the netlist, and in the RTL once it is loaded.
        ones = constant[piece.netlist.ports[port].nets] == 1
        if ones.any():
            differs[..., ones] &= seen.ever(wanted[..., ones])
        wrong = np.argwhere(differs)
        if len(wrong):
            cycle, stream, bit = wrong[0].tolist()
            name, at = places[bit]
            raise DifferenceError(
                f"{paths[stream % len(paths)]}.{name}[{at}] of the netlist must be what it is in the RTL, and is not "
                f"in cycle {cycle} of window {windows[stream // len(paths)]}; {len(wrong)} bits of {port} differ."
            )
    return run.groups


class _Seen:
    """Signals of several instances in several windows, as streams beside each other: the instances of the first window
    first."""

    def __init__(self, paths: Sequence[str], record: Record, windows: Sequence[int]):
        self._paths, self._record, self._windows = paths, record, list(windows)
        self._kept: dict[str, Bits] = {}

    def bits(self, places: Sequence[Place]) -> Bits:
        """[cycle, stream, bit]"""
        return np.stack([self.bit(place) for place in places], axis=-1)

    def ever(self, bits: Bits) -> NDArray[np.bool_]:
        """[cycle, stream, bit]: has the bit been one, in this cycle of the instance or one recorded before it?"""
        cycles, _, width = bits.shape
        windows, instances = len(self._windows), len(self._paths)
        in_order = bits.reshape(cycles, windows, instances, width).swapaxes(0, 1).reshape(-1, instances, width)
        so_far: NDArray[np.bool_] = np.maximum.accumulate(in_order, axis=0) != 0
        return so_far.reshape(windows, cycles, instances, width).swapaxes(0, 1).reshape(bits.shape)

    def bit(self, place: Place) -> Bits:
        """[cycle, stream]"""
        name, at = place
        if name not in self._kept:
            seen = [self._record.bits(f"{path}.{name}" if path else name)[self._windows] for path in self._paths]
            # [instance, window, cycle, bit] → [bit, cycle, window, instance]
            turned = np.stack(seen).transpose(3, 2, 1, 0)
            self._kept[name] = np.ascontiguousarray(turned).reshape(*turned.shape[:2], -1)
        found: Bits = self._kept[name][at]
        return found
