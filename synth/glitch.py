# SPDX-License-Identifier: Apache-2.0
"""What glitches add to the energy of a block: the same netlist on the same operands, without delays and with them.

    a row of each array     weights loaded, x streaming by: `synth.energy`
    a line of each PE array dense tiles: `synth.lines`
    requantiser             a projection's sums to int8
    softmax power           scores to powers of two

What both simulators put out must be equal at the end of every cycle, and what the golden model says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from config.array import ArrayConfig
from config.pe_arrays import PeArraysConfig
from golden.arith.requantise import requantise
from golden.execute.scales import Scale
from golden.execute.softmax import powers_of
from hdl.arith.requantise import Requantiser
from hdl.emit import verilog
from hdl.execute.dot_line import DotLine
from hdl.execute.line import PeLine
from hdl.execute.power import Power
from synth import delays, energy, gatesim, hierarchy, lines, mapping, netlist, power, timed
from synth.energy import INPUT_SLEW_NS, WrongTotalError
from synth.gatesim import Run, to_integers
from synth.liberty import Library
from synth.mapping import Mapped
from synth.netlist import Netlist
from synth.stimulus import Integers

SHOWN = 2
"""Rows of an array, tokens of a line, that are simulated with delays: as many streams."""


@dataclass(frozen=True)
class Cells:
    """A library: its Liberty file, what is in it, and its cells in Verilog; and the clock period in ns."""

    liberty: Path
    library: Library
    verilog: Path
    period_ns: float


@dataclass(frozen=True)
class Spent:
    """fJ per operation, pins independent, and `joint` when a flip-flop's QN is taken as the complement of its Q;
    toggles of all nets but the clock's, per cycle."""

    energy: float
    joint: float
    toggles: float


@dataclass(frozen=True)
class Glitches:
    """A block on its operands: cells of its netlist, operations and cycles of a stream, and what they take without
    delays and with them."""

    block: str
    operation: str
    cells: int
    operations: int
    cycles: int
    settled: Spent
    timed: Spent

    @property
    def ratio(self) -> float:
        """How many times the energy without delays it is."""
        return self.timed.energy / self.settled.energy


class Pair(gatesim.Simulator):
    """Both simulators as one: runs without delays, then with them, and keeps both. work: for the second's files."""

    def __init__(self, net: Netlist, cells: Cells, streams: int, work: Path) -> None:
        super().__init__(net, cells.library, streams)
        work.mkdir(parents=True, exist_ok=True)
        found = delays.measured(
            net, cells.library, cells.liberty, work, period_ns=cells.period_ns, input_slew_ns=INPUT_SLEW_NS
        )
        self._cells = cells
        self._timed = timed.Simulator(
            net, cells.library, streams, cells=cells.verilog, delays=found, period_ns=cells.period_ns, work=work
        )
        self._runs: tuple[Run, Run] | None = None

    def run(self, stimulus: Mapping[str, NDArray[np.integer]], *, start: int = 1, stop: int | None = None) -> Run:
        """That without delays. Raises `WrongTotalError` if an output of the other differs at the end of a cycle."""
        settled = super().run(stimulus, start=start, stop=stop)
        slow = self._timed.run(stimulus, start=start, stop=stop)
        for name, bits in settled.outputs.items():
            if not np.array_equal(bits, slow.outputs[name]):
                raise WrongTotalError(
                    f"{self.netlist.name}: with delays {name} is another; {self._cells.period_ns} ns may be too short"
                )
        self._runs = settled, slow
        return settled

    def glitches(self, block: str, operation: str, operations: int) -> Glitches:
        """Of the last run, in which each stream did so many operations."""
        assert self._runs, "nothing was run"
        cycles = len(next(iter(self._runs[0].outputs.values())))
        settled, slow = (self._spent(run, cycles / operations) for run in self._runs)
        return Glitches(block, operation, self.netlist.cells, operations, cycles, settled, slow)

    def _spent(self, run: Run, scale: float) -> Spent:
        found = [
            power.estimate(
                self.netlist,
                self._cells.library,
                run.activity,
                self._cells.period_ns,
                input_slew_ns=INPUT_SLEW_NS,
                joint_states=joint,
            )
            for joint in (False, True)
        ]
        # Nets that come in are charged by whoever drives them, and counted here, where their load is known.
        independent, joint = ((each.total.total + each.ports) * scale for each in found)
        logic = np.ones(self.netlist.nets, dtype=bool)
        logic[self.program.clock_nets] = False
        return Spent(independent, joint, float(run.activity.toggles[logic].sum()))


def row(mapped: Mapped, config: ArrayConfig, cells: Cells, x: Integers, w: Integers, work: Path) -> Glitches:
    """A row of a mapped array while it computes x [T, D] times w [N, D] transposed; loading of weights included."""
    run = energy.row_run(mapped, config, cells.library, x, w)
    net = netlist.read(mapped.netlist_json, cells.library, f"{mapped.top}_row")
    shown = min(SHOWN, config.rows)
    pair = Pair(net, cells, shown, work)
    # Of what has a value for each row, the rows that are shown; a block without a register that is reset has no reset.
    inputs = {name: values[:, :shown] if values.ndim > 1 else values for name, values in run.stimulus.items()}
    totals = pair.run({name: values for name, values in inputs.items() if name in net.ports}).outputs["total"]
    if not np.array_equal(to_integers(totals[run.done], signed=True), run.sums[:, :shown]):
        raise WrongTotalError(f"{net.name}: the mapped netlist does not compute the golden sums")
    return pair.glitches(f"row, {config.name}", "term", run.terms)


def line(name: str, arrays: PeArraysConfig, cells: Cells, x: Integers, w: Integers, work: Path) -> Glitches:
    """A `dot_line` or `pe_line` of this shape, on dense tiles of x times w transposed."""
    component = {"dot_line": DotLine, "pe_line": PeLine}[name](arrays)
    net = lines.whole_ports(standalone(component, name, cells, work))
    x, w = lines.whole_tiles(arrays, x[:SHOWN], w)
    pair = Pair(net, cells, len(x), work / "timed")
    lines.multiply(name, pair, arrays, x, w)
    return pair.glitches(name.replace("_", " "), "product", w.size)


def requantiser(sums: Integers, acc_bits: int, scale: Scale, cells: Cells, work: Path) -> Glitches:
    """A requantiser that brings sums, one a cycle, to int8, all by one scale."""
    component = Requantiser(acc_bits=acc_bits)
    net = lines.whole_ports(standalone(component, "requantiser", cells, work))
    stream = _held(sums.ravel(), component.latency)
    always = np.ones(len(stream), np.int64)
    stimulus = {"rst": 0 * always, "i__payload": stream, "i__valid": always, "o__ready": always}
    pair = Pair(net, cells, 1, work / "timed")
    mul, shift = int(scale.mul), int(scale.shift)
    run = pair.run(stimulus | {"mul": mul * always, "shift": shift * always})
    _same(net, run.outputs["o__payload"], component.latency, requantise(sums.ravel(), mul, shift), signed=True)
    return pair.glitches("requantiser", "value", sums.size)


def softmax_power(scores: Integers, score_bits: int, scale: Scale, cells: Cells, work: Path) -> Glitches:
    """A lane of softmax that raises the scores [T, S] of row after row, one a cycle, all kept."""
    component = Power(score_bits)
    net = lines.whole_ports(standalone(component, "power", cells, work))
    # Scores come as unsigned: only how far they are below the largest counts.
    lifted = scores - scores.min()
    mul, shift = int(scale.mul), int(scale.shift)
    stream = _held(lifted.ravel(), component.latency)
    largest = _held(np.repeat(lifted.max(axis=1), scores.shape[1]), component.latency)
    always = np.ones(len(stream), np.int64)
    stimulus = {
        "enable": ((1 << component.latency) - 1) * always,
        "kept": always,
        "score": stream,
        # It meets its score a stage later.
        "largest": np.concatenate([largest[:1], largest[:-1]]),
        "mul": mul * always,
        "rounding": (1 << (shift - 1)) * always,
        "shift": shift * always,
        "fine": (shift & 7) * always,
    }
    pair = Pair(net, cells, 1, work / "timed")
    run = pair.run({name: values for name, values in stimulus.items() if name in {port.name for port in pair.inputs}})
    wanted = powers_of(lifted, np.ones(scores.shape, bool), np.asarray(mul), np.asarray(shift))
    _same(net, run.outputs["power"], component.latency, wanted.ravel(), signed=False)
    return pair.glitches("softmax power", "score", scores.size)


def standalone(component: wiring.Component, name: str, cells: Cells, work: Path) -> Netlist:
    """A component mapped by itself, as the flow maps it inside a unit."""
    text = verilog(component, name)
    script = _SCRIPT.format(read=hierarchy.READ.format(top=name), to_cells=hierarchy.to_cells(text, name, kept=()))
    mapping.run_yosys(script, name, {"design.v": text}, work / "mapped", cells.liberty)
    return netlist.read(work / "mapped" / "netlist.json", cells.library, name)


_SCRIPT = """\
{read}
{to_cells}
splitnets -ports
opt_clean -purge
write_json netlist.json
"""


def _held(values: Integers, behind: int) -> Integers:
    """The values, and the last one until all results are out."""
    return np.concatenate([values, np.repeat(values[-1:], behind)])


def _same(net: Netlist, bits: gatesim.Bits, late: int, wanted: Integers, *, signed: bool) -> None:
    """Refuse results of a stream that come so many cycles late and are not the golden ones."""
    found = to_integers(bits[:, 0], signed=signed)
    if not np.array_equal(found[late : late + len(wanted)], wanted):
        raise WrongTotalError(f"{net.name}: the mapped netlist does not compute the golden results")
