# SPDX-License-Identifier: Apache-2.0
"""Takes a netlist apart into AND and XOR nodes in an order in which they can be evaluated, for `synth.gatesim`.

Nodes are numbered: the constant zero, top-level inputs, flip-flop states (these are the roots), then the logic by
depth. A reference to a node is its number, or its number plus the number of nodes for its complement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal
from synth.boolean import Node, invert, substitute
from synth.clocks import FREE, ClockTree, clock_pin, trace
from synth.liberty import Cell, Library, State
from synth.netlist import Group, Netlist

Index = NDArray[np.int64]
MAX_DEPTH = 10_000


@dataclass(frozen=True)
class Program:
    nodes: int
    inputs: int
    states: int
    levels: list[tuple[int, int, Index]]
    """Per depth: its first node, how many of its nodes are ANDs, and the left operands followed by the right ones."""
    net_reference: Index
    observed: Index
    """References of the bits of all outputs, in port order."""
    data: Index
    """What each state takes at a clock edge."""
    gated: Index
    """States behind a clock gate ..."""
    gated_by: Index
    """... and for each of them the number of its gate."""
    enables: Index
    """What turns each gate on, the gates before it included."""
    forced: Index
    """States with an asynchronous input ..."""
    forced_to: Index
    """... and for each of them the value that it has under it."""
    shown: tuple[Index, Index]
    """For each state the net that shows it, and the net that shows its complement; -1 where there is none."""
    clock_nets: Index
    clock_gate: Index
    """For each clock net the number of its gate, or len(enables) where the clock is free."""

    first_input: int = 1

    @property
    def first_state(self) -> int:
        return self.first_input + self.inputs

    @property
    def roots(self) -> int:
        return self.first_state + self.states


@dataclass(frozen=True)
class Signal:
    """Signals of several cells: each a net (`at` >= 0) or a node (`at` = -1 - number), inverted where `flip` is 1."""

    at: Index
    flip: Index

    def __invert__(self) -> Signal:
        return Signal(self.at, 1 - self.flip)

    def __getitem__(self, index: Index) -> Signal:
        return Signal(self.at[index], self.flip[index])


def _nets(nets: Index) -> Signal:
    return Signal(nets, np.zeros_like(nets))


def _concatenate(signals: list[Signal]) -> Signal:
    empty = np.zeros(0, dtype=np.int64)
    return Signal(
        np.concatenate([empty, *(signal.at for signal in signals)]),
        np.concatenate([empty, *(signal.flip for signal in signals)]),
    )


@dataclass
class _Nodes:
    """Nodes made so far; each call makes one for every cell of a group."""

    count: int
    left: list[Signal] = field(default_factory=list)
    right: list[Signal] = field(default_factory=list)
    xor: list[NDArray[np.bool_]] = field(default_factory=list)

    def add(self, xor: bool, left: Signal, right: Signal) -> Signal:
        numbers = np.arange(self.count, self.count + len(left.at), dtype=np.int64)
        self.count += len(numbers)
        self.left.append(left)
        self.right.append(right)
        self.xor.append(np.full(len(numbers), xor))
        return _nets(-1 - numbers)

    def build(self, node: Node, pins: dict[str, Signal], size: int) -> Signal:
        """The value of an expression for `size` cells whose pins carry the signals `pins`."""
        if node.op == "var":
            return pins[node.name]
        if node.op == "const":
            return _nets(np.full(size, int(node.value), dtype=np.int64))
        args = [self.build(arg, pins, size) for arg in node.args]
        if node.op == "not":
            return ~args[0]
        if node.op == "or":
            return ~self.add(False, ~args[0], ~args[1])
        return self.add(node.op == "xor", args[0], args[1])


def _forced(state: State, value: Node) -> Node:
    """`value` under the flip-flop's asynchronous inputs."""
    if state.preset is not None:
        value = Node("or", args=(value, state.preset.node))
    if state.clear is not None:
        both = state.preset is not None and state.both == "H"
        clear = state.clear.node
        if both and state.preset is not None:
            clear = Node("and", args=(clear, invert(state.preset.node)))
        value = Node("and", args=(value, invert(clear)))
    return value


class _Compiler:
    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.netlist, self.library = netlist, library
        self.clocks: ClockTree = trace(netlist, library)
        self.clock_nets = self.clocks.nets
        inputs = [port.nets for port in netlist.ports.values() if port.direction == "input"]
        self.input_nets = np.concatenate(
            [np.zeros(0, dtype=np.int64), *(nets for nets in inputs if not np.isin(nets, self.clock_nets).any())]
        )
        self.flops = [(group, cell) for group, cell in self.groups() if cell.state is not None]
        self.states = sum(len(group.cells) for group, _ in self.flops)
        self.nodes = _Nodes(1 + len(self.input_nets) + self.states)
        # A net refers to itself until its driver is known.
        self.driver = _nets(np.arange(netlist.nets, dtype=np.int64))
        self.drive(np.array([0, 1], dtype=np.int64), Signal(np.array([-1, -1]), np.array([0, 1])))
        self.drive(self.input_nets, _nets(-2 - np.arange(len(self.input_nets), dtype=np.int64)))

    def groups(self) -> list[tuple[Group, Cell]]:
        return [(group, self.library.cells[kind]) for kind, group in self.netlist.groups.items()]

    def drive(self, nets: Index, signal: Signal) -> None:
        self.driver.at[nets] = signal.at
        self.driver.flip[nets] = signal.flip

    def combinational(self) -> None:
        for group, cell in self.groups():
            if clock_pin(cell) is not None:
                continue
            pins = {name: _nets(nets) for name, nets in group.pins.items()}
            for pin in cell.outputs:
                if pin.function is None:
                    raise Refusal(
                        f"Every output of a combinational cell must have a function; {cell.name} has none: keep it out."
                    )
                # Buffers of the clock are no logic; their nets stay without a driver here.
                logic = np.flatnonzero(~np.isin(group.pins[pin.name], self.clock_nets))
                taken = {name: signal[logic] for name, signal in pins.items()}
                self.drive(group.pins[pin.name][logic], self.nodes.build(pin.function.node, taken, len(logic)))

    def sequential(self) -> tuple[Signal, Index, list[tuple[Index, Signal]]]:
        """What each state takes, the gate of each, and per kind with asynchronous inputs its states and values."""
        data, gates, forced = [], [], []
        first = 1 + len(self.input_nets)
        for group, cell in self.flops:
            state, size = cell.state, len(group.cells)
            assert state is not None
            numbers = np.arange(first, first + size, dtype=np.int64)
            first += size
            pins = {name: _nets(nets) for name, nets in group.pins.items()}
            stored = Node("var", name=state.name)
            value = self.nodes.build(_forced(state, stored), pins | {state.name: _nets(-1 - numbers)}, size)
            if state.clear is not None or state.preset is not None:
                forced.append((numbers, value))
            for pin in cell.outputs:
                node = pin.function.node if pin.function else stored
                node = substitute(node, {state.inverse: invert(stored)})
                self.drive(group.pins[pin.name], self.nodes.build(node, pins | {state.name: value}, size))
            data.append(self.nodes.build(_forced(state, state.data.node), pins | {state.name: value}, size))
            gate_of = self.clocks.gate_of
            clock = clock_pin(cell)
            gates.append(np.array([gate_of[int(net)] for net in group.pins[clock or ""]], dtype=np.int64))
        return _concatenate(data), np.concatenate([np.zeros(0, dtype=np.int64), *gates]), forced

    def shown(self) -> tuple[Index, Index]:
        """The nets of each state and of its complement."""
        true: list[Index] = []
        complement: list[Index] = []
        for group, cell in self.flops:
            assert cell.state is not None
            for name, found in ((cell.state.name, true), (cell.state.inverse, complement)):
                pins = [
                    pin.name for pin in cell.outputs if pin.function and pin.function.node == Node("var", name=name)
                ]
                found.append(group.pins[pins[0]] if pins else np.full(len(group.cells), -1, dtype=np.int64))
        empty = np.zeros(0, dtype=np.int64)
        return np.concatenate([empty, *true]), np.concatenate([empty, *complement])

    def enables(self) -> Signal:
        made: list[Signal] = []
        for gate in self.clocks.gates:
            one = [_nets(np.array([net], dtype=np.int64)) for net in gate.enables]
            signal = one[0]
            for other in one[1:]:
                signal = ~self.nodes.add(False, ~signal, ~other)
            if gate.parent != FREE:
                signal = self.nodes.add(False, signal, made[gate.parent])
            made.append(signal)
        return _concatenate(made)

    def resolve(self, signal: Signal) -> Signal:
        """Follows nets to the nodes that drive them."""
        for _ in range(MAX_DEPTH):
            nets = signal.at >= 0
            if not nets.any():
                return signal
            onward = self.driver[np.where(nets, signal.at, 0)]
            stuck = nets & (onward.at == signal.at)
            if stuck.any():
                name = self.netlist.net_names[signal.at[stuck][0]]
                raise Refusal(f"The clock must not be used as data, and no logic may feed itself: net {name!r}.")
            signal = Signal(
                np.where(nets, onward.at, signal.at), np.where(nets, signal.flip ^ onward.flip, signal.flip)
            )
        raise Refusal(
            f"A netlist must have no ring of buffers; {self.netlist.name} has one (or a chain of {MAX_DEPTH})."
        )

    def compile(self) -> Program:
        self.combinational()
        data, gate_of, forced = self.sequential()
        enables = self.enables()
        order, levels = self.sort()
        place = np.empty_like(order)
        place[order] = np.arange(len(order))

        def reference(signal: Signal) -> Index:
            found = self.resolve(signal)
            return place[-1 - found.at] + found.flip * len(order)

        known = np.flatnonzero(~np.isin(np.arange(self.netlist.nets), self.clock_nets))
        known = known[self.driver.at[known] != known]
        net_reference = np.zeros(self.netlist.nets, dtype=np.int64)
        net_reference[known] = reference(_nets(known))
        outputs = [port.nets for port in self.netlist.ports.values() if port.direction == "output"]
        gated = np.flatnonzero(gate_of != FREE)
        gates = len(self.clocks.gates)
        return Program(
            nodes=len(order),
            inputs=len(self.input_nets),
            states=self.states,
            levels=levels,
            net_reference=net_reference,
            observed=reference(_nets(np.concatenate([np.zeros(0, dtype=np.int64), *outputs]))),
            data=reference(data),
            gated=gated,
            gated_by=gate_of[gated],
            enables=reference(enables),
            forced=np.concatenate([np.zeros(0, dtype=np.int64), *(numbers for numbers, _ in forced)]),
            forced_to=reference(_concatenate([value for _, value in forced])),
            shown=self.shown(),
            clock_nets=self.clock_nets,
            clock_gate=np.array(
                [self.clocks.gate_of[int(net)] % (gates + 1) for net in self.clock_nets], dtype=np.int64
            ),
        )

    def sort(self) -> tuple[Index, list[tuple[int, int, Index]]]:
        """The order of all nodes (roots first, then by depth, ANDs before XORs), and the levels in that order."""
        left, right = self.resolve(_concatenate(self.nodes.left)), self.resolve(_concatenate(self.nodes.right))
        xor = np.concatenate([np.zeros(0, dtype=bool), *self.nodes.xor])
        roots = self.nodes.count - len(xor)
        depth = np.zeros(self.nodes.count, dtype=np.int64)
        for _ in range(MAX_DEPTH):
            deeper = 1 + np.maximum(depth[-1 - left.at], depth[-1 - right.at])
            if (deeper == depth[roots:]).all():
                break
            depth[roots:] = deeper
        else:
            raise Refusal(
                f"A netlist must have no combinational loop; {self.netlist.name} has one "
                f"(or is {MAX_DEPTH} gates deep)."
            )
        sorted_nodes = np.lexsort((xor, depth[roots:]))
        order = np.concatenate([np.arange(roots), roots + sorted_nodes])
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        operands = [place[-1 - side.at] + side.flip * len(order) for side in (left, right)]
        levels = []
        ends = np.cumsum(np.bincount(depth[roots:], minlength=1)) if len(xor) else np.zeros(1, dtype=np.int64)
        for low, high in pairwise(ends):
            members = sorted_nodes[low:high]
            ands = int(np.count_nonzero(~xor[members]))
            levels.append((roots + int(low), ands, np.concatenate([side[members] for side in operands])))
        return order, levels


def compile_netlist(netlist: Netlist, library: Library) -> Program:
    """The netlist as nodes. Raises Refusal for what has no zero-delay meaning here: latches, loops, several clocks."""
    return _Compiler(netlist, library).compile()
