# SPDX-License-Identifier: Apache-2.0
"""Reads a Liberty cell library (NLDM): functions, pins, state elements, power, leakage and transition tables.

Whatever units the file uses, everything here is in fF, ns, fJ, nW and V.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from config.errors import Refusal
from synth.boolean import Floats, Function
from synth.liberty_text import Group, numbers, tree

SUFFIX = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3}
QUANTITY = re.compile(r"([\d.]*)\s*([fpnumk]?)(s|v|w|f)", re.IGNORECASE)

POWER_TABLES = ("rise_power", "fall_power", "power")
TRANSITION_TABLES = ("rise_transition", "fall_transition")
ROLES = ("clock", "enable", "test", "out")


@dataclass(frozen=True)
class Table:
    """Values over input transition time (ns) and output load (fF); an axis with one entry does not matter."""

    slews: Floats
    loads: Floats
    values: Floats

    def at(self, slew: Floats, load: Floats) -> Floats:
        """Interpolates, and beyond the edges extrapolates, linearly both ways; slew [n] and load [n] give [n]."""
        row, across = _position(self.slews, slew)
        column, along = _position(self.loads, load)
        next_row, next_column = np.minimum(row + 1, len(self.slews) - 1), np.minimum(column + 1, len(self.loads) - 1)
        low = self.values[row, column] * (1 - along) + self.values[row, next_column] * along
        high = self.values[next_row, column] * (1 - along) + self.values[next_row, next_column] * along
        result: Floats = low * (1 - across) + high * across
        return result


def _position(axis: Floats, at: Floats) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Floats]:
    if len(axis) == 1:
        return np.zeros(len(at), dtype=np.intp), np.zeros(len(at))
    index = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    return index, (at - axis[index]) / (axis[index + 1] - axis[index])


@dataclass(frozen=True)
class InternalPower:
    """Energy inside the cell per transition (fJ): of an output caused by `related`, or of a pin by itself if empty."""

    related: str
    when: Function | None
    rise: Table | None
    fall: Table | None
    supply: str


@dataclass(frozen=True)
class Arc:
    """How the transition time of an output (ns) follows from that of the pin `related`."""

    related: str
    sense: str
    kind: str
    rise: Table | None
    fall: Table | None


@dataclass(frozen=True)
class Pin:
    """Capacitances in fF. `role` is what a clock gate uses the pin for: clock, enable, test, out, or nothing."""

    name: str
    direction: str
    rise_cap: float
    fall_cap: float
    function: Function | None
    clock: bool
    role: str
    powers: tuple[InternalPower, ...]
    arcs: tuple[Arc, ...]


@dataclass(frozen=True)
class State:
    """A flip-flop (`edge`) or a latch: names of state and inverted state, what is stored when, asynchronous inputs."""

    edge: bool
    name: str
    inverse: str
    data: Function
    clock: Function
    clear: Function | None
    preset: Function | None
    both: str
    """State while clear and preset are both active: `L`, `H`, or anything else for unknown."""


@dataclass(frozen=True)
class Cell:
    """One cell; `area` in the library's unit (µm² in both libraries used here), leakage in nW."""

    name: str
    area: float
    leakage: float | None
    leakages: tuple[tuple[Function | None, float], ...]
    pins: dict[str, Pin]
    state: State | None
    gate: str
    """Kind of integrated clock gate, such as `latch_posedge`; empty for any other cell."""

    @property
    def inputs(self) -> list[Pin]:
        return [pin for pin in self.pins.values() if pin.direction == "input"]

    @property
    def outputs(self) -> list[Pin]:
        return [pin for pin in self.pins.values() if pin.direction == "output"]


@dataclass(frozen=True)
class WireLoad:
    """Wire capacitance guessed from fan-out: length at each listed fan-out, `slope` more for each further one."""

    capacitance: float
    slope: float
    lengths: tuple[tuple[int, float], ...]

    def at(self, fanout: Floats) -> Floats:
        """Wire capacitance (fF) of nets with this many loads, shape [nets]."""
        points = np.array(self.lengths, dtype=float).reshape(-1, 2)
        if not len(points):
            return fanout * self.slope * self.capacitance
        last = points[-1]
        length = np.interp(fanout, *points.T) + self.slope * np.maximum(0.0, fanout - last[0])
        # Below the first listed fan-out the length shrinks with the slope too, but not under nothing.
        length -= self.slope * np.maximum(0.0, points[0, 0] - fanout)
        return np.where(fanout > 0, np.maximum(length, 0.0), 0.0) * self.capacitance


@dataclass(frozen=True)
class Library:
    name: str
    voltage: float
    corner: str
    cells: dict[str, Cell]
    wire_loads: dict[str, WireLoad]
    default_wire_load: str


@dataclass(frozen=True)
class _Units:
    time: float
    cap: float
    energy: float
    leakage: float
    voltage: float


def _quantity(text: str) -> float:
    match = QUANTITY.fullmatch(text.strip())
    if match is None:
        raise Refusal(
            f"A unit in a Liberty file must be a number and a unit such as 1ns, not {text!r}; correct the library file."
        )
    return float(match.group(1) or 1) * SUFFIX[match.group(2).lower()]


def _units(library: Group) -> _Units:
    amount, unit = library.repeated.get("capacitive_load_unit", [["1", "pf"]])[0]
    cap = float(amount) * _quantity(unit)
    voltage = _quantity(library.attributes.get("voltage_unit", "1V"))
    return _Units(
        time=_quantity(library.attributes.get("time_unit", "1ns")) / 1e-9,
        cap=cap / 1e-15,
        energy=cap * voltage * voltage / 1e-15,
        leakage=_quantity(library.attributes.get("leakage_power_unit", "1nW")) / 1e-9,
        voltage=voltage,
    )


class _Reader:
    """Turns the groups of one library into cells, in this module's units."""

    def __init__(self, library: Group) -> None:
        self.library = library
        self.units = _units(library)
        self.templates = {
            template.args[0]: template
            for kind in ("lu_table_template", "power_lut_template")
            for template in library.all(kind)
            if template.args
        }

    def table(self, group: Group | None, unit: float) -> Table | None:
        if group is None or "values" not in group.repeated:
            return None
        template = self.templates.get(group.args[0] if group.args else "", Group("", []))
        values = np.array(numbers(group.repeated["values"][0])) * unit
        axes = {"slew": np.zeros(1), "load": np.zeros(1)}
        order = []
        for index in ("1", "2"):
            points = group.repeated.get(f"index_{index}", template.repeated.get(f"index_{index}"))
            if points is None or len(values) == 1:
                continue
            variable = template.attributes.get(f"variable_{index}", "input_transition_time" if index == "1" else "load")
            kind = "load" if "capacitance" in variable or variable == "load" else "slew"
            order.append(kind)
            axes[kind] = np.array(numbers(points[0])) * (self.units.cap if kind == "load" else self.units.time)
        grid = values.reshape([len(axes[kind]) for kind in order] or [1])
        if order == ["load", "slew"]:
            grid = grid.T
        return Table(axes["slew"], axes["load"], grid.reshape(len(axes["slew"]), len(axes["load"])))

    def powers(self, pin: Group) -> Iterator[InternalPower]:
        for group in pin.all("internal_power"):
            rise, fall, single = (self.table(group.first(name), self.units.energy) for name in POWER_TABLES)
            for related in group.attributes.get("related_pin", "").split() or [""]:
                yield InternalPower(
                    related=related,
                    when=group.function("when"),
                    rise=rise or single,
                    fall=fall or single,
                    supply=group.attributes.get("related_pg_pin", ""),
                )

    def arcs(self, pin: Group) -> Iterator[Arc]:
        for group in pin.all("timing"):
            rise, fall = (self.table(group.first(name), self.units.time) for name in TRANSITION_TABLES)
            if rise is None and fall is None:
                continue
            kind = group.attributes.get("timing_type", "combinational")
            for related in group.attributes.get("related_pin", "").split():
                yield Arc(related, group.attributes.get("timing_sense", "non_unate"), kind, rise, fall)

    def pin(self, group: Group, name: str) -> Pin:
        cap = group.number("capacitance", self.library.number("default_input_pin_cap", 0.0))
        if group.attributes.get("direction") != "input":
            cap = group.number("capacitance", 0.0)
        roles = [role for role in ROLES if group.attributes.get(f"clock_gate_{role}_pin") == "true"]
        return Pin(
            name=name,
            direction=group.attributes.get("direction", ""),
            rise_cap=group.number("rise_capacitance", cap) * self.units.cap,
            fall_cap=group.number("fall_capacitance", cap) * self.units.cap,
            function=group.function("function"),
            clock=group.attributes.get("clock") == "true",
            role=roles[0] if roles else "",
            powers=tuple(self.powers(group)),
            arcs=tuple(self.arcs(group)),
        )

    def state(self, cell: Group) -> State | None:
        group = cell.first("ff") or cell.first("latch")
        if group is None:
            return None
        edge = group.name == "ff"
        data = group.function("next_state" if edge else "data_in")
        clock = group.function("clocked_on" if edge else "enable")
        if data is None or clock is None or len(group.args) != 2:
            raise Refusal(
                f"The state element of cell {cell.args[0]!r} must say what it stores and when; correct the file."
            )
        clear, preset = group.function("clear"), group.function("preset")
        both = group.attributes.get("clear_preset_var1", "")
        return State(edge, group.args[0], group.args[1], data, clock, clear, preset, both)

    def leakages(self, cell: Group) -> Iterator[tuple[Function | None, float]]:
        grounds = {
            supply.args[0] for supply in cell.all("pg_pin") if supply.attributes.get("pg_type", "").endswith("ground")
        }
        for group in cell.all("leakage_power"):
            if "value" in group.attributes and group.attributes.get("related_pg_pin") not in grounds:
                yield group.function("when"), group.number("value", 0.0) * self.units.leakage

    def cell(self, group: Group) -> Cell:
        leakage = group.attributes.get("cell_leakage_power", self.library.attributes.get("default_cell_leakage_power"))
        return Cell(
            name=group.args[0],
            area=group.number("area", 0.0),
            leakage=None if leakage is None else float(leakage) * self.units.leakage,
            leakages=tuple(self.leakages(group)),
            pins={name: self.pin(pin, name) for pin in group.all("pin") for name in pin.args},
            state=self.state(group),
            gate=group.attributes.get("clock_gating_integrated_cell", ""),
        )

    def wire_load(self, group: Group) -> WireLoad:
        points = sorted((int(fanout), float(length)) for fanout, length, *_ in group.repeated.get("fanout_length", []))
        return WireLoad(group.number("capacitance", 0.0) * self.units.cap, group.number("slope", 0.0), tuple(points))

    def corner(self) -> Group:
        wanted = self.library.attributes.get("default_operating_conditions")
        found = [group for group in self.library.all("operating_conditions") if group.args == [wanted]]
        return found[0] if found else Group("operating_conditions", ["nominal"])


@lru_cache(maxsize=4)
def read(path: Path) -> Library:
    """The library in the file; kept for the next call. Raises Refusal where it is not there or not Liberty."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Refusal(
            f"The cell library {path} must be readable, but: {error.strerror}; `make synth` fetches it."
        ) from error
    library = tree(text).first("library")
    if library is None:
        raise Refusal(f"The cell library {path} must hold a `library` group and does not; fetch it again.")
    reader = _Reader(library)
    corner = reader.corner()
    return Library(
        name=library.args[0],
        voltage=corner.number("voltage", library.number("nom_voltage", 0.0)) * reader.units.voltage,
        corner=corner.args[0],
        cells={group.args[0]: reader.cell(group) for group in library.all("cell")},
        wire_loads={group.args[0]: reader.wire_load(group) for group in library.all("wire_load")},
        default_wire_load=library.attributes.get("default_wire_load", ""),
    )
