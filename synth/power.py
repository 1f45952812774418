# SPDX-License-Identifier: Apache-2.0
"""Energy of a mapped netlist per clock cycle: library tables at the real loads and transition times, times toggles.

The method is that of a current OpenSTA, so that both can be held against each other; `docs/power.md` explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.errors import Refusal
from synth.activity import Activity
from synth.boolean import Floats, Function, Node, invert, substitute
from synth.clocks import trace
from synth.liberty import Cell, InternalPower, Library, Pin, WireLoad
from synth.netlist import SEPARATOR, Group, Netlist
from synth.slews import FALL, RISE, Loads, loads, transitions

# Clock pins without a condition: both levels last half a cycle.
HALF = 0.5


@dataclass(frozen=True)
class Split:
    """Energy per clock cycle in fJ; `clock` is the part of internal and switching that the clock network causes."""

    internal: float
    switching: float
    leakage: float
    clock: float
    cells: int
    area: float

    @property
    def total(self) -> float:
        return self.internal + self.switching + self.leakage


@dataclass(frozen=True)
class Power:
    """What `estimate` found: arrays are fJ per clock cycle, shape [cells], in the order of the netlist's cells.

    `ports` is what charging the nets of top-level inputs (the clock's root among them) takes; their drivers are
    outside, so it is in no other figure. `annotated` is the share of cell pins whose activity was observed.
    """

    netlist: Netlist
    period_ns: float
    internal: Floats
    switching: Floats
    leakage: Floats
    clock: Floats
    area: Floats
    kinds: list[str]
    ports: float
    annotated: float

    @property
    def total(self) -> Split:
        return self._sum(np.arange(self.netlist.cells))

    @property
    def milliwatts(self) -> float:
        return self.total.total / self.period_ns * 1e-3

    def _sum(self, cells: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Split:
        parts = (self.internal, self.switching, self.leakage, self.clock)
        internal, switching, leakage, clock = (float(part[cells].sum()) for part in parts)
        return Split(internal, switching, leakage, clock, len(cells), float(self.area[cells].sum()))

    def by(self, key: Callable[[str, str], str]) -> dict[str, Split]:
        """Sums over cells with the same key, which is made from a cell's hierarchical name and its type."""
        keys = np.array([key(name, kind) for name, kind in zip(self.netlist.cell_names, self.kinds, strict=True)])
        return {str(one): self._sum(np.flatnonzero(keys == one)) for one in np.unique(keys)}

    def by_kind(self) -> dict[str, Split]:
        return self.by(lambda _, kind: kind)

    def by_module(self, depth: int = 1) -> dict[str, Split]:
        """Sums over instances `depth` levels down; cells above that level count under the instance that holds them."""
        return self.by(lambda name, _: SEPARATOR.join(_modules(name)[:depth]))


def _modules(name: str) -> list[str]:
    """The instances that hold a cell, outermost first."""
    levels = name.split(SEPARATOR)[:-1]
    # Names that Yosys makes up start with a dollar and may hold separators.
    made_up = next((at for at, level in enumerate(levels) if level.startswith("$")), len(levels))
    return levels[:made_up]


def estimate(netlist: Netlist, library: Library, activity: Activity, clock_period_ns: float, **options: Any) -> Power:
    """Energy of every cell at this activity. options: as of `Tables`."""
    return Tables(netlist, library, **options).estimate(activity, clock_period_ns)


class Tables:
    """A netlist with all that does not depend on its activity: loads and transition times. See `synth.slews` for the
    first options.

    joint_states: False takes all pins of a cell as independent, Q and its complement too, as OpenSTA does; True makes
    outputs follow from inputs and state, and gives an arc its share only while its condition holds.
    """

    def __init__(
        self,
        netlist: Netlist,
        library: Library,
        *,
        wire_load: WireLoad | None = None,
        fanout_scale: Mapping[str, float] | None = None,
        input_slew_ns: float = 0.0,
        clock_slew_ns: float = 0.0,
        output_load_ff: float = 0.0,
        port_loads: Mapping[str, Floats] | None = None,
        joint_states: bool = False,
    ) -> None:
        self._netlist, self._library, self._joint = netlist, library, joint_states
        self._loads = loads(netlist, library, wire_load, fanout_scale, output_load_ff, port_loads)
        self._slews = transitions(netlist, library, self._loads, input_slew_ns, clock_slew_ns)

    def estimate(self, activity: Activity, clock_period_ns: float) -> Power:
        """Energy of every cell at this activity. Raises `Refusal` for that of another netlist, or no period."""
        netlist = self._netlist
        if clock_period_ns <= 0:
            raise Refusal(f"The clock period must be positive, not {clock_period_ns} ns.")
        if len(activity.toggles) != netlist.nets:
            raise Refusal(
                f"The activity must be of this netlist's {netlist.nets} nets, not of {len(activity.toggles)}."
            )
        return _Estimator(netlist, self._library, activity, self._loads, self._slews, self._joint).run(clock_period_ns)


class _Estimator:
    def __init__(
        self, netlist: Netlist, library: Library, activity: Activity, load: Loads, slews: Floats, joint: bool
    ) -> None:
        self.netlist, self.library, self.joint = netlist, library, joint
        self.toggles = np.where(activity.known, activity.toggles, 0.0)
        self.high = np.where(activity.known, activity.high, 0.0)
        self.high[1] = 1.0
        self.known = activity.known
        self.load, self.slews = load.worst, slews
        self.is_clock = np.zeros(netlist.nets, dtype=bool)
        self.is_clock[trace(netlist, library).nets] = True

    def run(self, period: float) -> Power:
        cells = self.netlist.cells
        internal, switching, leakage, clock, area = (np.zeros(cells) for _ in range(5))
        kinds = [""] * cells
        pins = known = 0
        for kind, group in self.netlist.groups.items():
            cell = self.library.cells[kind]
            view = _View(self, group, cell)
            for energy, of_clock in view.internal():
                internal[group.cells] += energy
                clock[group.cells] += np.where(of_clock, energy, 0.0)
            for pin in cell.outputs:
                energy = self.charge(group.pins[pin.name])
                switching[group.cells] += energy
                clock[group.cells] += np.where(self.is_clock[group.pins[pin.name]], energy, 0.0)
            # nW times ns is 1e-3 fJ.
            leakage[group.cells] = view.leakage() * period * 1e-3
            area[group.cells] = cell.area
            for number in group.cells:
                kinds[number] = kind
            pins += sum(nets.size for nets in group.pins.values())
            known += sum(int(np.count_nonzero(self.known[nets] | (nets < 2))) for nets in group.pins.values())
        inputs = [port.nets for port in self.netlist.ports.values() if port.direction == "input"]
        ports = float(sum(self.charge(nets).sum() for nets in inputs))
        annotated = known / pins if pins else 1.0
        return Power(self.netlist, period, internal, switching, leakage, clock, area, kinds, ports, annotated)

    def charge(self, nets: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
        """Half C V² per toggle."""
        result: Floats = 0.5 * self.load[nets] * self.library.voltage**2 * self.toggles[nets]
        return result


class _View:
    """All cells of one type with what their pins see."""

    def __init__(self, estimator: _Estimator, group: Group, cell: Cell) -> None:
        self.estimator, self.group, self.cell = estimator, group, cell
        self.toggles = {name: estimator.toggles[nets] for name, nets in group.pins.items()}
        self.duty = {name: estimator.high[nets] for name, nets in group.pins.items()}
        zeros = np.zeros(len(group.cells))
        self.duty |= {pin.name: zeros for pin in cell.pins.values() if pin.name not in self.duty}
        self.no_load = zeros
        self.outputs = _dependent(cell) if estimator.joint else {}

    def internal(self) -> Iterator[tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
        """Energy by pin, and where the pin carries the clock."""
        for pin in self.cell.inputs:
            yield self.input_power(pin), self.estimator.is_clock[self.group.pins[pin.name]]
        for pin in self.cell.outputs:
            yield self.output_power(pin), self.estimator.is_clock[self.group.pins[pin.name]]

    def energy(self, power: InternalPower, load: Floats, source: str, opposite: bool = False) -> Floats:
        """Energy per transition: the mean of rise and fall."""
        total = np.zeros(len(self.group.cells))
        nets = self.group.pins[source]
        for table, edge in ((power.rise, RISE), (power.fall, FALL)):
            if table is not None:
                total += table.at(self.estimator.slews[edge ^ opposite, nets], load)
        return total / 2

    def probability(self, function: Function) -> Floats:
        return function.substitute(self.outputs).probability(self.duty)

    def input_power(self, pin: Pin) -> Floats:
        total = np.zeros(len(self.group.cells))
        for power in pin.powers:
            total += self.energy(power, self.no_load, pin.name) * self.input_share(power, pin)
        return total * self.toggles[pin.name]

    def input_share(self, power: InternalPower, pin: Pin) -> Floats | float:
        """How often the condition of an input's energy holds when the input toggles."""
        if power.when is None:
            return 1.0
        outputs = [name for name in power.when.names if self.cell.pins[name].direction == "output"]
        function = self.cell.pins[outputs[0]].function if outputs else None
        if not self.estimator.joint and function is not None and pin.name in function.names:
            return function.difference(pin.name).probability(self.duty)
        return self.probability(power.when)

    def output_power(self, pin: Pin) -> Floats:
        """Toggles of the output, spread over the arcs in proportion to how often each is likely to have caused one."""
        causes = [self.toggles[power.related] * self.output_share(power, pin) for power in pin.powers]
        sums: dict[str, Floats] = {}
        for power, cause in zip(pin.powers, causes, strict=True):
            sums[power.supply] = sums.get(power.supply, 0.0) + cause
        total = np.zeros(len(self.group.cells))
        load = self.estimator.load[self.group.pins[pin.name]]
        for power, cause in zip(pin.powers, causes, strict=True):
            whole = sums[power.supply]
            weight = np.divide(cause, whole, out=np.zeros_like(whole), where=whole > 0)
            total += weight * self.energy(power, load, power.related, self.opposite(power.related, pin))
        return total * self.toggles[pin.name]

    def opposite(self, related: str, pin: Pin) -> bool:
        arc = next((arc for arc in pin.arcs if arc.related == related), None)
        return arc is not None and arc.sense == "negative_unate"

    def output_share(self, power: InternalPower, pin: Pin) -> Floats | float:
        if pin.function is not None and power.related in pin.function.names:
            passing = pin.function.difference(power.related)
            if self.estimator.joint and power.when is not None:
                passing = Function(Node("and", args=(passing.node, power.when.node)))
            return self.probability(passing)
        return HALF if power.when is None else self.probability(power.when)

    def leakage(self) -> Floats:
        """Leakage in nW: each state's, weighted by its probability; the cell's general figure for what is left."""
        plain = [value for when, value in self.cell.leakages if when is None]
        states = [(self.probability(when), value) for when, value in self.cell.leakages if when is not None]
        general = self.cell.leakage or 0.0
        if not states:
            return np.full(len(self.group.cells), plain[-1] if plain else general)
        share = sum((duty for duty, _ in states), np.zeros(len(self.group.cells)))
        return sum((duty * value for duty, value in states), general * (1.0 - share))


def _dependent(cell: Cell) -> dict[str, Node]:
    """Each output that follows from other pins, in terms of them; a flip-flop's state goes by the pin that shows it."""
    state = cell.state
    known: dict[str, Node] = {}
    if state is not None:
        shown = [pin.name for pin in cell.outputs if pin.function and pin.function.node == Node("var", name=state.name)]
        if not shown:
            return {}
        here = Node("var", name=shown[0])
        known = {state.name: here, state.inverse: invert(here)}
    functions = {pin.name: substitute(pin.function.node, known) for pin in cell.outputs if pin.function}
    return known | {name: node for name, node in functions.items() if node != Node("var", name=name)}
