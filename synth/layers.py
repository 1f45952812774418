# SPDX-License-Identifier: Apache-2.0
"""What layers of a real model take in a whole accelerator: every piece, in every phase, from its own netlist.

RTL ─► pieces ─► netlists ─────────────────────────────┐
 └──► layers in simulation, checked, windows recorded ─┴► replay, piece by piece ─► energy at the real loads ─► Account
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from config.system import SystemConfig
from hdl.system.sequencer import Phase
from sim import accelerator, memory
from sim.stack import Step
from sim.windows import Record, Windows
from synth import joints, power, replay, sram
from synth.liberty import Library
from synth.pieces import Design, Mapped
from synth.power import Split
from synth.replay import Piece
from synth.slews import loads

INPUT_SLEW_NS = 0.02
"""Of what comes from other pieces: a gate's."""
COUNTERS = "counters"
"""The piece whose inputs say in which phase a layer is."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Spent:
    """Of all instances of a piece: fJ in a cycle, by cause; of its memories, accesses and leakage, apart."""

    cells: Split
    memories: float


@dataclass(frozen=True)
class Account:
    """Layers through an accelerator. cycles: by phase. spent: by phase and piece, of all of its instances. windows: by
    phase, how many were recorded. counts: of pieces. annotated: the smallest share of a piece's pins whose activity
    was observed. words: counters of the run, by name. steps: how many layers."""

    period_ns: float
    cycles: dict[str, int]
    spent: dict[tuple[str, str], Spent]
    windows: dict[str, int]
    counts: dict[str, int]
    annotated: float
    counters: dict[str, int]
    layers: int
    clock_pins_ff: float


class Probed:
    """An accelerator whose pieces' ports and registers can be recorded. text: its Verilog."""

    def __init__(self, text: str, design: Design, mapped: Mapping[str, Mapped], library: Library):
        self.design, self.library, self._text = design, library, text
        self.pieces: dict[str, Piece] = {name: replay.piece_of(one, design, library) for name, one in mapped.items()}

    @cached_property
    def signals(self) -> dict[str, int]:
        """All that is recorded, by path, with its bits."""
        found = {}
        for instance in self.design.instances:
            widths = self.design.widths_joined(instance.piece)
            for name in sorted(self.pieces[instance.piece].places):
                found[f"{instance.path}.{name}" if instance.path else name] = widths[name]
        return found

    @cached_property
    def model(self) -> memory.Model:
        """Built if need be."""
        return memory.build(self._text, self.design.top, memory_bytes=accelerator.MEMORY_BYTES, probed=self.signals)

    @cached_property
    def paths(self) -> dict[str, list[str]]:
        """Where each piece is."""
        found: dict[str, list[str]] = defaultdict(list)
        for instance in self.design.instances:
            found[instance.piece].append(instance.path)
        return dict(found)

    @cached_property
    def outside(self) -> dict[str, joints.Outside]:
        """What is behind the outputs of each piece."""
        return joints.outside(self.design, {name: each.netlist for name, each in self.pieces.items()}, self.library)

    def phases(self, record: Record) -> dict[str, list[int]]:
        """Windows by the phase that the layer is in in the middle of each; those between two layers are left out."""
        path, found = self.paths[COUNTERS][0], {}
        for phase in Phase:
            if phase.value:
                name = phase.name.lower()
                bits = record.bits(f"{path}.count_cycles_{name}")[:, record.length // 2, 0]
                if bits.any():
                    found[name] = np.flatnonzero(bits).tolist()
        return found


def measure(
    probed: Probed,
    config: SystemConfig,
    steps: Sequence[Step],
    windows: Windows,
    period_ns: float,
    progress: Progress = lambda *_: None,
) -> Account:
    """Layers through the RTL, each piece's netlist again in the windows, and what it takes at that clock.

    Raises AssertionError for an output of a layer that is not golden, `replay.DifferenceError` for a netlist that does
    not do what its RTL does, `SimulationError` if the hardware stands still.
    """
    laid = accelerator.lay_out(config, steps)
    ended = accelerator.run(config, laid, limit=accelerator.limit_of(steps), model=probed.model, windows=windows)
    accelerator.check(steps, laid, ended)
    record = ended.record
    assert record is not None
    phases = probed.phases(record)
    cycles = {phase: ended.counters[f"CYCLES_{phase.upper()}"] for phase in phases}
    spent, annotated = {}, 1.0
    todo = [(phase, piece) for piece in probed.pieces for phase in phases]
    for done, (phase, piece) in enumerate(todo, 1):
        spent[phase, piece], known = _spent(probed, piece, record, phases[phase], period_ns)
        annotated = min(annotated, known)
        progress(piece, done, len(todo))
    return Account(
        period_ns,
        cycles,
        spent,
        {phase: len(each) for phase, each in phases.items()},
        dict(probed.design.counts),
        annotated,
        ended.counters,
        len(steps),
        _clock_pins(probed),
    )


def _spent(probed: Probed, name: str, record: Record, windows: Sequence[int], period_ns: float) -> tuple[Spent, float]:
    """Of all instances of a piece, and the share of pins that were observed."""
    piece, paths = probed.pieces[name], probed.paths[name]
    activity = replay.replay(piece, paths, record, probed.library, windows)
    found = power.estimate(
        piece.netlist,
        probed.library,
        activity,
        period_ns,
        input_slew_ns=INPUT_SLEW_NS,
        port_loads=probed.outside[name],
        joint_states=True,
    )
    accesses = 0.0
    for each in piece.memories:
        macro = sram.macro(each.words, each.bits)
        accesses += macro.read_fj * activity.high[each.read]
        accesses += macro.write_fj * activity.high[list(each.writes)].sum() / len(each.writes)
        # nW times ns is 1e-3 fJ.
        accesses += macro.leakage_nw * period_ns * 1e-3
    return Spent(_times(found.total, len(paths)), float(accesses) * len(paths)), found.annotated


def _times(split: Split, count: int) -> Split:
    return Split(
        split.internal * count,
        split.switching * count,
        split.leakage * count,
        split.clock * count,
        split.cells * count,
        split.area * count,
    )


def _clock_pins(probed: Probed) -> float:
    """fF of all clock pins that no gate is before, which a clock tree has to drive."""
    total = 0.0
    for name, piece in probed.pieces.items():
        netlist = piece.netlist
        worst = loads(netlist, probed.library).worst
        clocks = [port.nets for port in netlist.ports.values() if port.name in replay.CLOCKS]
        total += sum(float(worst[nets].sum()) for nets in clocks) * len(probed.paths[name])
    return total
