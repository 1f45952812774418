# SPDX-License-Identifier: Apache-2.0
"""Buffers before what synthesis did not see: it maps one module at a time, and of it gates between registers. What a
net drives in other modules, in registers and memories made it no slower there, however much it is.

    gate ─┬─ 128 rows           gate ─ buffer ─┬─ buffer ─┬─ 24 rows
          ⋮                                    ⋮          ⋮
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from synth import verilog
from synth.clocks import clock_pin
from synth.liberty import Library
from synth.memory_ports import MEMORY
from synth.roles import Through, roles_of

MOST = 24
"""What a net may carry, in inputs of a buffer: the project's choice. A weak gate takes a third of a nanosecond for it
in 45 nm, a buffer 0.07."""

_Load = tuple[float, list[Any], int]
"""fF of an input pin; where its net is written down: a list, and the place in it."""


def insert(modules: Mapping[str, Any], library: Library) -> None:
    """Insert them in place. modules: of Yosys's `write_json`, mapped, by name, with all that they hold; cells of none
    of these modules are the library's, or a memory's. Clocks and constants are left as they are.

    Behind it no net carries more than `MOST` of modules, registers and memories, nor more than `MOST` of anything if it
    comes from another module, unless a single pin is more.
    """
    shown = {name: body for name, body in modules.items() if not name.startswith(MEMORY)}
    inserted = _Buffers(shown, library)
    for module in shown:
        inserted.behind(module)


class _Buffers:
    def __init__(self, modules: Mapping[str, Any], library: Library):
        self._modules, self._library = modules, library
        roles = roles_of(library)
        self._buffer, self._register = roles.buffer, roles.flip_flop
        self._constants = {role.cell for role in (roles.one, roles.zero) if role}
        self._size = self._pin(self._buffer.cell, self._buffer.input)
        self._behind: dict[str, tuple[dict[str, float], set[str]]] = {}

    def behind(self, module: str) -> tuple[dict[str, float], set[str]]:
        """fF that each bit of a module's ports carries inside, by `verilog.bits`, and which of them are clocks."""
        if module not in self._behind:
            self._behind[module] = self._insert(_Nets(self, self._modules[module]))
        return self._behind[module]

    def pin(self, kind: str, pin: str) -> tuple[float, bool, bool]:
        """fF of a bit of a cell's pin, none if it is an output; whether it is a clock's; whether synthesis saw it."""
        if kind.startswith(MEMORY):
            load = self._pin(self._register.cell, self._register.data) if pin == "D" else 0.0
            return load, pin == "CK", False
        if kind in self._modules:
            carried, clocks = self.behind(kind)
            return carried.get(pin, 0.0), pin in clocks, False
        clock = clock_pin(self._library.cells[kind])
        return self._pin(kind, pin), clock == pin, clock is None

    def constant(self, kind: str) -> bool:
        """Does the cell do nothing but put out a constant?"""
        return kind in self._constants

    def drives(self, kind: str, pin: str) -> bool:
        """Does a module drive this bit of its pin?"""
        return kind in self._modules and pin not in self.behind(kind)[0]

    def _pin(self, kind: str, pin: str) -> float:
        found = self._library.cells[kind].pins[pin]
        return max(found.rise_cap, found.fall_cap) if found.direction == "input" else 0.0

    def _insert(self, nets: "_Nets") -> tuple[dict[str, float], set[str]]:
        for net in sorted((nets.seen.keys() | nets.unseen.keys()) - nets.clocks - nets.constants):
            if net in nets.from_outside:
                nets.unseen[net] = self._split(nets, net, nets.seen.pop(net, []) + nets.unseen.pop(net, []))
            else:
                nets.unseen[net] = self._split(nets, net, nets.unseen.pop(net, []))
        carried = {bit: nets.carried(net) for bit, net in nets.inputs.items()}
        return carried, {bit for bit, net in nets.inputs.items() if net in nets.clocks}

    def _split(self, nets: "_Nets", net: int, loads: list[_Load]) -> list[_Load]:
        """Puts buffers before what a net carries, and before those, until it carries no more than it may."""
        limit = MOST * self._size
        while sum(load for load, *_ in loads) > limit and len(loads) > 1:
            before = []
            for group in _groups(loads, limit):
                output = nets.free()
                for _, bits, at in group:
                    bits[at] = output
                before.append((self._size, nets.buffer(self._buffer, net, output), 0))
            loads = before
        return loads


class _Nets:
    """A module's nets: what each carries that synthesis saw, and what it did not; clocks, constants; what comes from
    outside."""

    def __init__(self, known: _Buffers, body: Any):
        self.seen: dict[int, list[_Load]] = defaultdict(list)
        self.unseen: dict[int, list[_Load]] = defaultdict(list)
        self.clocks: set[int] = set()
        self.constants: set[int] = set()
        pins = {name: port["bits"] for name, port in body["ports"].items() if port["direction"] == "input"}
        self.inputs: dict[str, int] = {name: int(net) for _, name, _, net in verilog.bits(pins)}
        self.from_outside = set(self.inputs.values())
        self._cells = body["cells"]
        for cell in self._cells.values():
            self._connect(known, cell)
        named = (bit for net in body["netnames"].values() for bit in net["bits"] if isinstance(bit, int))
        self._last = max(named, default=1)

    def _connect(self, known: _Buffers, cell: Any) -> None:
        kind, joined = cell["type"], cell["connections"]
        if known.constant(kind):
            self.constants.update(net for nets in joined.values() for net in nets)
        for pin, bit, at, net in verilog.bits(joined):
            if isinstance(net, int):
                load, clock, seen = known.pin(kind, bit)
                if clock:
                    self.clocks.add(net)
                if load:
                    (self.seen if seen else self.unseen)[net].append((load, joined[pin], at))
                if known.drives(kind, bit):
                    self.from_outside.add(net)

    def carried(self, net: int) -> float:
        """fF"""
        return sum(load for of in (self.seen, self.unseen) for load, *_ in of.get(net, ()))

    def free(self) -> int:
        """A net that is not there yet."""
        self._last += 1
        return self._last

    def buffer(self, cell: Through, source: int, output: int) -> list[int]:
        """One from net to net; returns what its input is joined to."""
        joined = [source]
        self._cells[f"$buffer{output}"] = {
            "hide_name": 1,
            "type": cell.cell,
            "parameters": {},
            "attributes": {},
            "port_directions": {cell.input: "input", cell.output: "output"},
            "connections": {cell.input: joined, cell.output: [output]},
        }
        return joined


def _groups(loads: list[_Load], limit: float) -> Iterator[list[_Load]]:
    group: list[_Load] = []
    carried = 0.0
    for load in loads:
        if group and carried + load[0] > limit:
            yield group
            group, carried = [], 0.0
        group.append(load)
        carried += load[0]
    yield group
