# SPDX-License-Identifier: Apache-2.0
"""Mapped modules as Verilog, for tools that read no JSON: cells have numbers, ports and nets a name for each bit."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synth.memory_ports import MEMORY

Modules = Mapping[str, Any]
"""Of Yosys's `write_json`, by name."""


def written(modules: Modules) -> Iterator[str]:
    """All modules but those of memories, one after the other; a memory's pins are instances of what is not there."""
    for name, body in modules.items():
        if not name.startswith(MEMORY):
            yield from _module(name, body)


def instance(number: int) -> str:
    """How the cell is called that is in this place of its module."""
    return f"c{number}"


def _module(name: str, body: Any) -> Iterator[str]:
    pins = {port: each["bits"] for port, each in body["ports"].items()}
    ports = [(_escaped(bit), net, body["ports"][port]["direction"]) for port, bit, _, net in bits(pins)]
    # A net that comes in is called as it comes in, whatever it goes out as.
    nets = {net: bit for bit, net, _ in sorted(ports, key=lambda port: port[2] == "input")}

    def at(net: int | str) -> str:
        return nets.get(net, f"n{net}") if isinstance(net, int) else f"1'b{int(net == '1')}"

    yield f"module {name} ({', '.join(bit for bit, _, _ in ports)});\n"
    for bit, net, direction in ports:
        yield f"  {direction} {bit};\n"
        # A net that is several outputs, an input and an output, or a constant.
        if direction == "output" and at(net) != bit:
            yield f"  assign {bit} = {at(net)};\n"
    for number, cell in enumerate(body["cells"].values()):
        if cell["type"] != MEMORY:
            joined = ", ".join(f".{_escaped(bit)}({at(net)})" for _, bit, _, net in bits(cell["connections"]))
            yield f"  {cell['type']} {instance(number)} ({joined});\n"
    yield "endmodule\n"


def bits(pins: Mapping[str, Sequence[int | str]]) -> Iterator[tuple[str, str, int, int | str]]:
    """Pin, name of a bit, its number, its net, whether Yosys has split the pin or not."""
    for pin, nets in pins.items():
        for number, net in enumerate(nets):
            yield pin, pin if len(nets) == 1 else f"{pin}[{number}]", number, net


def _escaped(name: str) -> str:
    return f"\\{name} " if not name.isidentifier() else name
