# SPDX-License-Identifier: Apache-2.0
"""Reads a mapped design from Yosys's `write_json`: flat, as arrays of net numbers.

Nets 0 and 1 are the constants; every other net has one driver: a top-level input or one cell's output. Modules inside
the top are dissolved; a cell keeps its hierarchical name, levels parted by `.`. An output pin left open gets a net of
its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal
from synth.liberty import Library

Nets = NDArray[np.int64]
SEPARATOR = "."


@dataclass(frozen=True)
class Port:
    """A top-level port; `nets` from the least significant bit."""

    name: str
    direction: str
    nets: Nets


@dataclass(frozen=True)
class Group:
    """All cells of one type: `cells` index the netlist's names, `pins[p]` are the nets at pin p of each."""

    kind: str
    cells: Nets
    pins: dict[str, Nets]


@dataclass(frozen=True)
class Netlist:
    name: str
    ports: dict[str, Port]
    groups: dict[str, Group]
    cell_names: list[str]
    net_names: list[str]
    net_by_name: dict[str, int]
    """Every name of every net, a bit of a vector as `name[index]`, with its hierarchical path."""

    @property
    def nets(self) -> int:
        return len(self.net_names)

    @property
    def cells(self) -> int:
        return len(self.cell_names)

    def pin_nets(self) -> Iterator[tuple[str, int]]:
        """Every cell pin as `cell.pin`, with its net."""
        for group in self.groups.values():
            names = [self.cell_names[number] for number in group.cells]
            for pin, nets in group.pins.items():
                for name, net in zip(names, nets, strict=True):
                    yield f"{name}{SEPARATOR}{pin}", int(net)


@dataclass
class _Flattener:
    modules: dict[str, Any]
    library: Library
    net_names: list[str] = field(default_factory=lambda: ["0", "1"])
    net_by_name: dict[str, int] = field(default_factory=dict)
    cell_names: list[str] = field(default_factory=list)
    cells: dict[str, list[tuple[int, dict[str, int]]]] = field(default_factory=dict)

    def fresh(self, name: str) -> int:
        self.net_names.append(name)
        return len(self.net_names) - 1

    def constant(self, bit: str, where: str) -> int:
        if bit not in ("0", "1"):
            raise Refusal(
                f"Every bit of a mapped netlist must be driven, but {where} is tied to {bit!r}; "
                "run `setundef -zero` in Yosys before write_json."
            )
        return int(bit)

    def module(self, name: str, path: str, bound: dict[int, int]) -> dict[int, int]:
        """Dissolves one module; `bound` maps its bits that come from outside to nets. Returns the map of all bits."""
        body = self.modules[name]
        nets = dict(bound)
        self.name_nets(body["netnames"], path, nets)
        for cell_name, cell in body["cells"].items():
            full = path + cell_name
            pins = {pin: self.bits(bits, nets, f"pin {pin} of {full}") for pin, bits in cell["connections"].items()}
            if cell["type"] in self.library.cells:
                self.leaf(full, cell["type"], pins)
            elif cell["type"] in self.modules:
                self.inner(full, cell["type"], pins)
            else:
                raise Refusal(
                    f"Every cell must be of library {self.library.name} or a module of the design; {full} is of type "
                    f"{cell['type']!r}; map the design with this library first."
                )
        return nets

    def name_nets(self, netnames: dict[str, Any], path: str, nets: dict[int, int]) -> None:
        # Names people gave come first, so that a bit is known by one of them and not by one that Yosys made up.
        for name, net in sorted(
            netnames.items(), key=lambda item: (item[1].get("hide_name", 0), len(item[0]), item[0])
        ):
            offset, bits = net.get("offset", 0), net["bits"]
            for index, bit in enumerate(bits):
                full = path + (name if len(bits) == 1 else f"{name}[{index + offset}]")
                if isinstance(bit, int):
                    if bit not in nets:
                        nets[bit] = self.fresh(full)
                    self.net_by_name.setdefault(full, nets[bit])

    def bits(self, bits: list[int | str], nets: dict[int, int], where: str) -> list[int]:
        return [
            self.constant(bit, where)
            if isinstance(bit, str)
            else nets[bit]
            if bit in nets
            else self.add(bit, nets, where)
            for bit in bits
        ]

    def add(self, bit: int, nets: dict[int, int], where: str) -> int:
        nets[bit] = self.fresh(where)
        return nets[bit]

    def leaf(self, full: str, kind: str, pins: dict[str, list[int]]) -> None:
        number = len(self.cell_names)
        self.cell_names.append(full)
        connected = {pin: bits[0] for pin, bits in pins.items() if bits}
        for pin in self.library.cells[kind].inputs:
            if pin.name not in connected:
                raise Refusal(f"Every input of a cell must be connected; pin {pin.name} of {full} ({kind}) is open.")
        for pin in self.library.cells[kind].outputs:
            if pin.name not in connected:
                connected[pin.name] = self.fresh(f"{full}{SEPARATOR}{pin.name}")
        self.cells.setdefault(kind, []).append((number, connected))

    def inner(self, full: str, kind: str, pins: dict[str, list[int]]) -> None:
        bound = {
            bit: net
            for name, port in self.modules[kind]["ports"].items()
            if name in pins
            for bit, net in zip(port["bits"], pins[name], strict=True)
            if isinstance(bit, int)
        }
        self.module(kind, full + SEPARATOR, bound)

    def groups(self) -> dict[str, Group]:
        return {kind: _group(kind, self.library, members) for kind, members in sorted(self.cells.items())}


def _group(kind: str, library: Library, members: list[tuple[int, dict[str, int]]]) -> Group:
    cell = library.cells[kind]
    names = [pin.name for pin in (*cell.inputs, *cell.outputs)]
    return Group(
        kind=kind,
        cells=np.array([number for number, _ in members], dtype=np.int64),
        pins={name: np.array([pins[name] for _, pins in members], dtype=np.int64) for name in names},
    )


def from_json(text: str, library: Library, top: str | None = None) -> Netlist:
    """The netlist in the text of Yosys's `write_json`, cells of `library`.

    `top` is the module to take, by default the one marked so. Raises Refusal for cells that are neither in the
    library nor modules, for undriven bits and for open inputs.
    """
    modules = json.loads(text)["modules"]
    tops = [name for name, module in modules.items() if int(str(module.get("attributes", {}).get("top", "0")), 2)]
    if top is None and len(tops) != 1:
        raise Refusal(
            f"The netlist must mark one module as its top, not {len(tops)}; run `hierarchy -top NAME` in Yosys."
        )
    top = top or tops[0]
    if top not in modules:
        raise Refusal(f"The netlist must hold the module {top!r}; it holds {', '.join(sorted(modules)) or 'none'}.")
    flat = _Flattener(modules, library)
    nets = flat.module(top, "", {})
    ports = {
        name: Port(name, port["direction"], np.array(flat.bits(port["bits"], nets, f"port {name}"), dtype=np.int64))
        for name, port in modules[top]["ports"].items()
    }
    result = Netlist(top, ports, flat.groups(), flat.cell_names, flat.net_names, flat.net_by_name)
    _check_drivers(result, library)
    return result


def read(path: Path, library: Library, top: str | None = None) -> Netlist:
    """`from_json` of a file."""
    try:
        return from_json(path.read_text(encoding="utf-8"), library, top)
    except OSError as error:
        raise Refusal(f"The netlist {path} must be readable, but: {error.strerror}; `make synth` writes it.") from error


def _drivers(netlist: Netlist, library: Library) -> Iterable[Nets]:
    yield np.array([0, 1], dtype=np.int64)
    yield from (port.nets for port in netlist.ports.values() if port.direction == "input")
    for kind, group in netlist.groups.items():
        yield from (group.pins[pin.name] for pin in library.cells[kind].outputs)


def _check_drivers(netlist: Netlist, library: Library) -> None:
    count = np.bincount(np.concatenate(list(_drivers(netlist, library))), minlength=netlist.nets)
    loads = [group.pins[pin.name] for kind, group in netlist.groups.items() for pin in library.cells[kind].inputs]
    loads += [port.nets for port in netlist.ports.values() if port.direction == "output"]
    used = np.unique(np.concatenate(loads)) if loads else np.zeros(0, dtype=np.int64)
    for net in (*used[count[used] == 0], *np.flatnonzero(count > 1)):
        raise Refusal(
            f"Every net of a mapped netlist must have one driver; {netlist.net_names[net]!r} has {count[net]}; "
            "run `setundef -zero` and `opt_clean` in Yosys, and do not use tri-state cells."
        )
