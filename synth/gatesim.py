# SPDX-License-Identifier: Apache-2.0
"""Simulates a mapped netlist without delays, many independent streams of stimuli at once, and counts toggles.

Every cell function is taken apart into two-input AND and XOR nodes whose operands may be inverted. Nodes are sorted by
logic depth and kind, so that a whole level is four NumPy calls: gather, AND, XOR, invert. One bit of a word is one
stream.

A cycle is the time from one rising clock edge to the next. At its start flip-flops take what their inputs were at the
end of the cycle before, top-level inputs change, and everything settles at once: no glitches. A clock behind a clock
gate has a pulse at the start of a cycle when the gate's enable was on at the end of the cycle before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal
from synth.activity import Activity
from synth.gateprogram import Program, compile_netlist
from synth.liberty import Library
from synth.netlist import Netlist, Port

Words = NDArray[np.unsignedinteger]
Bits = NDArray[np.uint8]
WORDS = ((8, np.uint8), (16, np.uint16), (32, np.uint32), (64, np.uint64))


@dataclass(frozen=True)
class Run:
    """Outputs as settled in each cycle, bits [cycles, streams, width] from the least significant; and the activity, the
    mean of all streams; `groups`: means of those of each group that was asked for."""

    outputs: dict[str, Bits]
    activity: Activity
    groups: list[Activity] = field(default_factory=list)


def to_bits(values: NDArray[np.integer], width: int) -> Bits:
    """Integers of any shape as their `width` lowest bits, two's complement, along a last axis."""
    shifts = np.arange(width, dtype=np.int64)
    return ((np.asarray(values, dtype=np.int64)[..., np.newaxis] >> shifts) & 1).astype(np.uint8)


def to_integers(bits: Bits, *, signed: bool) -> NDArray[np.int64]:
    """Bits along the last axis, at most 63 of them, as integers."""
    width = bits.shape[-1]
    weights = 1 << np.arange(width, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return bits.astype(np.int64) @ weights


class Simulator:
    """A netlist ready to run on `streams` stimuli at once.

    program: what `compile_netlist` made of it, if that is at hand.

    Raises Refusal for what it cannot simulate: latches, falling-edge flip-flops, several clocks, combinational loops.
    """

    def __init__(self, netlist: Netlist, library: Library, streams: int, program: Program | None = None) -> None:
        if streams < 1:
            raise Refusal(f"The number of streams must be at least 1, not {streams}.")
        self.netlist, self.streams = netlist, streams
        self.program: Program = program or compile_netlist(netlist, library)
        self.word: type[np.unsignedinteger]
        bits, self.word = next((entry for entry in WORDS if streams <= entry[0]), WORDS[-1])
        self.words = -(-streams // bits)
        self.inputs = [
            port for port in netlist.ports.values() if port.direction == "input" and not self._is_clock(port)
        ]
        self.outputs = [port for port in netlist.ports.values() if port.direction == "output"]

    def _is_clock(self, port: Port) -> bool:
        return bool(np.isin(port.nets, self.program.clock_nets).any())

    def run(self, stimulus: Mapping[str, NDArray[np.integer]], *, start: int = 1, stop: int | None = None) -> Run:
        """Runs from an all-zero state and counts over the cycles start..stop-1 (default: all but the first).

        stimulus: for every input but the clock, integers [cycles] or [cycles, streams], or bits
        [cycles, streams, width].
        """
        packed = self._pack(stimulus)
        stop = len(packed) if stop is None else stop
        if not 1 <= start < stop <= len(packed):
            raise Refusal(
                f"The counted cycles must lie within 1..{len(packed)} and be at least one, not {start}..{stop}."
            )
        state = _State(self.program, self.words, self.word, [np.arange(self.streams)])
        return self._run(state, packed, start, stop)

    def go_on(
        self,
        stimulus: Mapping[str, NDArray[np.integer]],
        begin: Bits,
        groups: Sequence[NDArray[np.intp]],
    ) -> Run:
        """Goes on from what each state is in the first cycle, and counts over all others.

        stimulus: as of `run`. begin: bits [streams, states] in the order of `Program.shown`. groups: of streams, whose
        activity is wanted apart.
        """
        packed = self._pack(stimulus)
        state = _State(self.program, self.words, self.word, [np.arange(self.streams), *groups])
        state.set(self._words(begin[np.newaxis])[0])
        return self._run(state, packed, 1, len(packed))

    def _run(self, state: _State, packed: Words, start: int, stop: int) -> Run:
        cycles = len(packed)
        taken = np.empty((cycles, len(self.program.observed), self.words), dtype=self.word)
        for cycle in range(cycles):
            state.cycle(packed[cycle], first=cycle == 0)
            if start <= cycle < stop:
                state.count()
            else:
                state.keep()
            np.take(state.values, self.program.observed, axis=0, out=taken[cycle], mode="clip")
        whole, *parts = (self._activity(state, group, stop - start) for group in range(len(state.streams)))
        return Run(self._unpack(taken), whole, parts)

    def _pack(self, stimulus: Mapping[str, NDArray[np.integer]]) -> Words:
        names = {port.name for port in self.inputs}
        if names != set(stimulus):
            raise Refusal(
                f"The stimulus must name every input but the clock: {', '.join(sorted(names))}; "
                f"it names {', '.join(sorted(stimulus)) or 'none'}."
            )
        parts = [self._port_bits(port, np.asarray(stimulus[port.name])) for port in self.inputs]
        if len({len(part) for part in parts}) > 1:
            raise Refusal("The stimuli of all inputs must have the same number of cycles.")
        return self._words(np.concatenate(parts, axis=2))

    def _words(self, bits: Bits) -> Words:
        """Bits [cycles, streams, width] as words [cycles, width, words]."""
        bits = bits.transpose(0, 2, 1)
        octets = np.packbits(bits, axis=2, bitorder="little")
        size = self.words * np.dtype(self.word).itemsize
        padded = np.zeros((*octets.shape[:2], size), dtype=np.uint8)
        padded[:, :, : octets.shape[2]] = octets
        return padded.view(self.word)

    def _port_bits(self, port: Port, values: NDArray[np.integer]) -> Bits:
        width = len(port.nets)
        if values.ndim < 3:
            if width > 63:
                raise Refusal(
                    f"Input {port.name!r} is {width} bits wide: give its bits, not integers (63 bits at most)."
                )
            values = to_bits(values if values.ndim == 2 else values[:, np.newaxis], width)
        if values.shape[1] not in (1, self.streams) or values.shape[2] != width:
            raise Refusal(
                f"The stimulus of {port.name!r} must have {self.streams} streams of {width} bits, "
                f"not {values.shape[1]} of {values.shape[2]}."
            )
        return np.broadcast_to(values, (len(values), self.streams, width)).astype(np.uint8)

    def _unpack(self, taken: Words) -> dict[str, Bits]:
        octets = np.ascontiguousarray(taken).view(np.uint8)
        bits = np.unpackbits(octets, axis=2, count=self.streams, bitorder="little").transpose(0, 2, 1)
        ends = np.cumsum([len(port.nets) for port in self.outputs])
        return {port.name: bits[:, :, end - len(port.nets) : end] for port, end in zip(self.outputs, ends, strict=True)}

    def _activity(self, state: _State, group: int, cycles: int) -> Activity:
        program, samples = self.program, cycles * state.streams[group]
        node, inverted = program.net_reference % program.nodes, program.net_reference >= program.nodes
        toggles = state.toggles[group, node] / samples
        ones = state.ones[group, node] / samples
        high = np.where(inverted, 1.0 - ones, ones)
        pulses = np.append(state.pulses[group] / samples, 1.0)
        toggles[program.clock_nets] = 2.0 * pulses[program.clock_gate]
        high[program.clock_nets] = 0.5 * pulses[program.clock_gate]
        return Activity(toggles, high, np.ones(self.netlist.nets, dtype=bool))


class _State:
    """Values of all nodes, and below them of their complements; and the counts, of each group of streams."""

    def __init__(
        self, program: Program, words: int, word: type[np.unsignedinteger], groups: Sequence[NDArray[np.intp]]
    ) -> None:
        self.program, nodes = program, program.nodes
        self.values = np.zeros((2 * nodes, words), dtype=word)
        np.invert(self.values[:nodes], out=self.values[nodes:])
        self.before = self.values[:nodes].copy()
        self.streams = [len(group) for group in groups]
        self.toggles = np.zeros((len(groups), nodes), dtype=np.int64)
        self.ones = np.zeros((len(groups), nodes), dtype=np.int64)
        self.pulses = np.zeros((len(groups), len(program.enables)), dtype=np.int64)
        self.now_on = np.zeros((len(program.enables), words), dtype=word)
        lanes = np.zeros((len(groups), words * np.dtype(word).itemsize * 8), dtype=np.uint8)
        for marked, group in zip(lanes, groups, strict=True):
            marked[group] = 1
        self.lanes = np.packbits(lanes, axis=1, bitorder="little").view(word)
        self.levels = [_Level(self.values, nodes, *level) for level in program.levels]

    def set(self, states: Words) -> None:
        """What the flip-flops are, in the first cycle."""
        program = self.program
        self.values[program.first_state : program.first_state + program.states] = states

    def cycle(self, inputs: Words, *, first: bool) -> None:
        """One clock edge (none before the first cycle), new inputs, and the logic behind them."""
        program, values, nodes = self.program, self.values, self.program.nodes
        states = slice(program.first_state, program.first_state + program.states)
        if not first:
            np.take(values, program.enables, axis=0, out=self.now_on, mode="clip")
            data = values[program.data]
            if len(program.gated):
                old = values[program.first_state + program.gated]
                data[program.gated] = old ^ ((old ^ data[program.gated]) & self.now_on[program.gated_by])
            values[states] = data
        values[program.first_input : program.first_input + program.inputs] = inputs
        np.invert(values[: program.roots], out=values[nodes : nodes + program.roots])
        for level in self.levels:
            level.settle(values)
        if len(program.forced):
            # Asynchronous set and reset show at once and are remembered.
            values[program.first_state + program.forced] = values[program.forced_to]

    def count(self) -> None:
        now = self.values[: self.program.nodes]
        changed = self.before ^ now
        for group, lanes in enumerate(self.lanes):
            self.toggles[group] += np.bitwise_count(changed & lanes).sum(axis=1, dtype=np.int64)
            self.ones[group] += np.bitwise_count(now & lanes).sum(axis=1, dtype=np.int64)
            self.pulses[group] += np.bitwise_count(self.now_on & lanes).sum(axis=1, dtype=np.int64)
        self.keep()

    def keep(self) -> None:
        self.before[:] = self.values[: self.program.nodes]


class _Level:
    """The nodes of one depth: first `ands` AND nodes from node `low` on, then the XOR nodes."""

    def __init__(self, values: Words, nodes: int, low: int, ands: int, operands: NDArray[np.intp]) -> None:
        count = len(operands) // 2
        high = low + count
        self.operands = operands
        self.taken = np.empty((2 * count, values.shape[1]), dtype=values.dtype)
        self.left, self.right = self.taken[:count], self.taken[count:]
        self.and_in = (self.left[:ands], self.right[:ands], values[low : low + ands])
        self.xor_in = (self.left[ands:], self.right[ands:], values[low + ands : high])
        self.true, self.complement = values[low:high], values[nodes + low : nodes + high]

    def settle(self, values: Words) -> None:
        values.take(self.operands, axis=0, out=self.taken, mode="clip")
        np.bitwise_and(*self.and_in)
        np.bitwise_xor(*self.xor_in)
        np.invert(self.true, self.complement)
