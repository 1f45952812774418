# SPDX-License-Identifier: Apache-2.0
"""The cells of a library that the flow names itself, found by what they do; all others are chosen by Yosys and ABC.

    role             by                                                                  without it
    flip-flop        rising edge, stores an input, no set or reset                       the library is refused
    buffer           puts out its input; the second size, for the smallest is weak       the library is refused
    full adder       three inputs; two outputs, parity and majority                      adders of gates
    clock gate       Liberty's mark for one that passes the high phase, behind a latch   multiplexers before registers
    ones, zeros      no input, a constant output                                         constants in the netlist

Of several the smallest is taken, and of those the first by name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from config.errors import require
from synth.boolean import Function, Node, parse
from synth.liberty import Cell, Library, Pin

PARITY = "{0} ^ {1} ^ {2}"
MAJORITY = "{0} {1} + {2} ({0} + {1})"

Role = TypeVar("Role")


@dataclass(frozen=True)
class FlipFlop:
    """Names of the cell and of its pins."""

    cell: str
    clock: str
    data: str
    output: str


@dataclass(frozen=True)
class Through:
    """A cell with an input that matters and an output: a buffer, or a constant, which has no input."""

    cell: str
    input: str
    output: str


@dataclass(frozen=True)
class FullAdder:
    """Names of the cell and of its pins."""

    cell: str
    inputs: tuple[str, str, str]
    carry: str
    sum: str


@dataclass(frozen=True)
class ClockGate:
    """Names of the cell and of its pins; `tests` are to be held at zero."""

    cell: str
    clock: str
    enable: str
    output: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Roles:
    """What a library has for each role; None where it has nothing."""

    flip_flop: FlipFlop
    buffer: Through
    full_adder: FullAdder | None
    clock_gate: ClockGate | None
    one: Through | None
    zero: Through | None


def roles_of(library: Library) -> Roles:
    """The library's cells by role. Raises `Refusal` if it has no plain flip-flop, or no buffer."""
    cells = sorted(library.cells.values(), key=lambda cell: (cell.area, cell.name))
    flip_flop, buffer = _first(_flip_flop, cells), _second_size(cells)
    for role, found in (("plain flip-flop on the rising edge", flip_flop), ("buffer", buffer)):
        require(
            found is not None,
            f"The cell library must have a {role}, but {library.name} has none; leave LIBERTY unset, or name another.",
        )
    assert flip_flop is not None
    assert buffer is not None
    return Roles(
        flip_flop=flip_flop,
        buffer=buffer,
        full_adder=_first(_full_adder, cells),
        clock_gate=_first(_clock_gate, cells),
        one=_first(lambda cell: _constant(cell, True), cells),
        zero=_first(lambda cell: _constant(cell, False), cells),
    )


def _first(of: Callable[[Cell], Role | None], cells: Iterable[Cell]) -> Role | None:
    return next((role for cell in cells if (role := of(cell)) is not None), None)


def _second_size(cells: list[Cell]) -> Through | None:
    found = [(cell.area, role) for cell in cells if (role := _buffer(cell)) is not None]
    larger = [role for area, role in found if area > found[0][0]]
    chosen = larger or [role for _, role in found]
    return chosen[0] if chosen else None


def _plain(cell: Cell) -> bool:
    """Logic, and of pins nothing but inputs and outputs with a function."""
    pins = cell.pins.values()
    known = all(pin.direction == "input" or (pin.direction == "output" and pin.function) for pin in pins)
    return cell.state is None and not cell.gate and known


def _is(pin: Pin, text: str) -> bool:
    """Does the pin put out this function?"""
    if pin.function is None:
        return False
    return not Function(Node("xor", args=(pin.function.node, parse(text).node))).table.any()


def _flip_flop(cell: Cell) -> FlipFlop | None:
    state = cell.state
    if state is None or not state.edge or state.clear or state.preset or cell.gate:
        return None
    clock, data = state.clock.node, state.data.node
    pins = {pin.name for pin in cell.inputs}
    if clock.op != "var" or data.op != "var" or pins != {clock.name, data.name}:
        return None
    output = next((pin.name for pin in cell.outputs if _is(pin, state.name)), None)
    return FlipFlop(cell.name, clock.name, data.name, output) if output else None


def _buffer(cell: Cell) -> Through | None:
    if not _plain(cell) or len(cell.inputs) != 1 or len(cell.outputs) != 1:
        return None
    source, output = cell.inputs[0].name, cell.outputs[0]
    return Through(cell.name, source, output.name) if _is(output, source) else None


def _constant(cell: Cell, value: bool) -> Through | None:
    if not _plain(cell) or cell.inputs or len(cell.outputs) != 1:
        return None
    return Through(cell.name, "", cell.outputs[0].name) if _is(cell.outputs[0], str(int(value))) else None


def _full_adder(cell: Cell) -> FullAdder | None:
    if not _plain(cell) or len(cell.inputs) != 3 or len(cell.outputs) != 2:
        return None
    a, b, c = (pin.name for pin in cell.inputs)
    by_function = {
        kind: pin.name
        for pin in cell.outputs
        for kind, text in (("sum", PARITY), ("carry", MAJORITY))
        if _is(pin, text.format(a, b, c))
    }
    return FullAdder(cell.name, (a, b, c), **by_function) if len(by_function) == 2 else None


def _clock_gate(cell: Cell) -> ClockGate | None:
    # An observation point or an inverted clock would be another kind, by the words behind these.
    if cell.gate not in ("latch_posedge", "latch_posedge_precontrol", "latch_posedge_postcontrol"):
        return None
    pins = {role: [pin.name for pin in cell.pins.values() if pin.role == role] for role in ("clock", "enable", "out")}
    if any(len(names) != 1 for names in pins.values()):
        return None
    tests = tuple(pin.name for pin in cell.pins.values() if pin.role == "test")
    return ClockGate(cell.name, pins["clock"][0], pins["enable"][0], pins["out"][0], tests)
