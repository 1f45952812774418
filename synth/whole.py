# SPDX-License-Identifier: Apache-2.0
"""An accelerator's pieces as one netlist, and its clock, block by block, with paths that lead from piece to piece."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synth import hierarchy
from synth.pieces import Design, Mapped, named

CLOCK = "aclk"
RESETS = ("rst", "core_rst")
"""Ports of the pieces below the top."""


def clocks(
    design: Design, mapped: Mapping[str, Mapped], block_of: Mapping[str, str], work: Path, liberty: Path
) -> dict[str, float]:
    """MHz of each block: of the worst path that ends in it, no wires, no buffers between pieces. Resets are left out:
    in a chip they are trees, as the clock is, and here one gate drives them all. work: a folder.

    Raises `Refusal` if OpenSTA cannot time it.
    """
    modules = {named(piece): one.modules() for piece, one in mapped.items()}
    owner = {path: block_of[module.removeprefix(named("")).removeprefix("_")] for path, module in _paths(modules)}
    work.mkdir(parents=True, exist_ok=True)
    below = enumerate(modules[named("")][named("")]["cells"].values())
    pins = [f"c{number}/{pin}" for number, cell in below for pin in RESETS if pin in cell["connections"]]
    ignored = f"set_false_path -through [get_pins {{{' '.join(pins)}}}]"
    return hierarchy.clocks("".join(verilog(modules)), named(""), owner, work, liberty, clock=CLOCK, ignored=ignored)


def verilog(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The module of each piece, from its own netlist. Cells have numbers, ports and nets a name for each bit."""
    for name, around in modules.items():
        yield from _module(name, around)


def _paths(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """All pieces in their places, levels of a path parted by slashes, with their modules."""
    todo = [("", named(""))]
    while todo:
        path, module = todo.pop()
        yield path, module
        for number, cell in enumerate(modules[module][module]["cells"].values()):
            if cell["type"] in modules:
                todo.append((f"{path}/c{number}" if path else f"c{number}", cell["type"]))


def _module(name: str, around: Mapping[str, Any]) -> Iterator[str]:
    body = around[name]
    ports = [(_escaped(bit), net, body["ports"][port]["direction"]) for port, bit, net in _bits(body["ports"])]
    nets = {net: bit for bit, net, _ in reversed(ports)}

    def at(net: int | str) -> str:
        return nets.get(net, f"n{net}") if isinstance(net, int) else f"1'b{int(net == '1')}"

    yield f"module {name} ({', '.join(bit for bit, _, _ in ports)});\n"
    for bit, net, direction in ports:
        yield f"  {direction} {bit};\n"
        # A net that is several outputs, an input and an output, or a constant.
        if direction == "output" and at(net) != bit:
            yield f"  assign {bit} = {at(net)};\n"
    for number, cell in enumerate(body["cells"].values()):
        if cell["type"] != hierarchy.MEMORY:
            pins = ", ".join(f".{_escaped(pin)}({at(net)})" for pin, net in _connections(cell, around))
            yield f"  {cell['type']} c{number} ({pins});\n"
    yield "endmodule\n"


def _bits(ports: Mapping[str, Any]) -> Iterator[tuple[str, str, int | str]]:
    """Port, name of a bit, its net."""
    for name, port in ports.items():
        for number, net in enumerate(port["bits"]):
            yield name, name if len(port["bits"]) == 1 else f"{name}[{number}]", net


def _connections(cell: Mapping[str, Any], around: Mapping[str, Any]) -> Iterator[tuple[str, int | str]]:
    shell = around[cell["type"]]["ports"] if cell["type"] in around else {}
    for pin, nets in cell["connections"].items():
        wide = len(shell[pin]["bits"]) if pin in shell else len(nets)
        for number, net in enumerate(nets):
            yield pin if wide == 1 else f"{pin}[{number}]", net


def _escaped(name: str) -> str:
    return f"\\{name} " if not name.isidentifier() else name
