# SPDX-License-Identifier: Apache-2.0
"""What layers of a real model take in a whole accelerator: every piece, in every phase, from its own netlist.

RTL ─► pieces ─► netlists ─────────────────────────────┐
 └──► layers in simulation, checked, windows recorded ─┴► replay, piece by piece ─► energy at the real loads ─► Account
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from config.errors import require
from config.system import SystemConfig
from hdl.system.sequencer import Phase
from sim import accelerator, memory
from sim.speed_up import sizes_of
from sim.stack import Step
from sim.windows import Probe, Record, Windows
from synth import joints, power, replay, sram
from synth.activity import Activity
from synth.liberty import Library
from synth.pieces import Design, Mapped
from synth.replay import Piece
from synth.slews import loads

INPUT_SLEW_NS = 0.02
"""Of what comes from other pieces: a gate's."""
COUNTERS = "counters"
"""The piece whose inputs say in which phase a layer is."""
PHASES = tuple(phase.name.lower() for phase in Phase if phase.value)
ATTENTION = "attention"
"""The phase in which kept pairs are scored and meet their values. It is short, and much differs from row to row:
windows may be closer there."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Spent:
    """Of all instances of a piece, fJ in a cycle: of its cells by cause; of its memories, accesses and leakage."""

    internal: float
    switching: float
    leakage: float
    clock: float
    accesses: float
    memory_leakage: float

    @property
    def cells(self) -> float:
        """`clock` is a part of the others."""
        return self.internal + self.switching + self.leakage

    @property
    def memories(self) -> float:
        return self.accesses + self.memory_leakage


@dataclass(frozen=True)
class Size:
    """Of all instances of a piece: cells with their area, memories with theirs by `synth.sram`, µm²."""

    count: int
    cells: int
    cell_area: float
    memory_area: float


@dataclass(frozen=True)
class Account:
    """Layers through an accelerator: what every cycle of every phase takes.

    cycles: of all layers, by phase; `windows`: how many were recorded of each. spent: phase → piece → fJ in a cycle.
    sizes: by piece. clock_pins_ff: what a clock tree has to drive. annotated: the smallest share of a piece's pins
    whose activity was observed. counters: of the run. operations: two for each multiplication of the same layers
    without any plan.
    """

    name: str
    method: str
    period_ns: float
    layers: int
    operations: int
    cycles: dict[str, int]
    windows: dict[str, int]
    spent: dict[str, dict[str, Spent]]
    sizes: dict[str, Size]
    clock_pins_ff: float
    annotated: float
    counters: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def from_json(figures: Mapping[str, Any]) -> Account:
    """What `Account.as_json` gave."""
    spent = {phase: {piece: Spent(**each) for piece, each in of.items()} for phase, of in figures["spent"].items()}
    sizes = {piece: Size(**each) for piece, each in figures["sizes"].items()}
    return Account(**{**figures, "spent": spent, "sizes": sizes})


class Probed:
    """An accelerator whose pieces' ports and registers can be recorded. text: its Verilog."""

    def __init__(self, text: str, design: Design, mapped: Mapping[str, Mapped], library: Library):
        self.design, self.library, self.mapped, self._text = design, library, mapped, text
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
        probe = Probe(self.signals, closer=f"{self.paths[COUNTERS][0]}.count_cycles_{ATTENTION}")
        return memory.build(self._text, self.design.top, memory_bytes=accelerator.MEMORY_BYTES, probe=probe)

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
        for name in PHASES:
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
    limit = accelerator.limit_of(steps)
    ended = accelerator.run(config, laid, limit=limit, model=probed.model, windows=windows)
    accelerator.check(steps, laid, ended)
    return account(probed, config, steps, ended, period_ns, progress)


def account(
    probed: Probed,
    config: SystemConfig,
    steps: Sequence[Step],
    ended: accelerator.Ended,
    period_ns: float,
    progress: Progress = lambda *_: None,
) -> Account:
    """`measure`, of layers that have run, with a record."""
    record = ended.record
    require(record is not None, "A run must have recorded windows to be accounted for; give it some.")
    assert record is not None
    phases = probed.phases(record)
    spent: dict[str, dict[str, Spent]] = {phase: {} for phase in phases}
    annotated = 1.0
    for done, piece in enumerate(probed.pieces, 1):
        for phase, (each, known) in zip(phases, _spent(probed, piece, record, phases, period_ns), strict=True):
            spent[phase][piece], annotated = each, min(annotated, known)
        progress(piece, done, len(probed.pieces))
    return Account(
        name=config.name,
        method=config.speculation.method,
        period_ns=period_ns,
        layers=len(steps),
        operations=sum(2 * sizes_of(step).dense.total for step in steps),
        cycles={name: ended.counters[f"CYCLES_{name.upper()}"] for name in PHASES},
        windows={phase: len(each) for phase, each in phases.items()},
        spent=spent,
        sizes={piece: _size(probed, piece) for piece in probed.pieces},
        clock_pins_ff=_clock_pins(probed),
        annotated=annotated,
        counters=ended.counters,
    )


def _spent(
    probed: Probed, name: str, record: Record, phases: Mapping[str, Sequence[int]], period_ns: float
) -> Iterator[tuple[Spent, float]]:
    """Of all instances of a piece, phase by phase, and the share of pins that were observed."""
    piece, paths = probed.pieces[name], probed.paths[name]
    tables = power.Tables(
        piece.netlist,
        probed.library,
        input_slew_ns=INPUT_SLEW_NS,
        port_loads=probed.outside[name],
        joint_states=True,
    )
    for activity in replay.replay(piece, paths, record, probed.library, list(phases.values())):
        found = tables.estimate(activity, period_ns)
        total = found.total
        parts = (total.internal, total.switching, total.leakage, total.clock, *_memories(piece, activity, period_ns))
        yield Spent(*(part * len(paths) for part in parts)), found.annotated


def _memories(piece: Piece, activity: Activity, period_ns: float) -> tuple[float, float]:
    """fJ in a cycle of its memories: accesses, leakage. A word of which a part is written counts as written."""
    accesses = leakage = 0.0
    for each in piece.memories:
        macro = sram.macro(each.words, each.bits)
        accesses += macro.read_fj * float(activity.high[each.read])
        accesses += macro.write_fj * float(activity.high[list(each.writes)].max(initial=0.0))
        # nW times ns is 1e-3 fJ.
        leakage += macro.leakage_nw * period_ns * 1e-3
    return accesses, leakage


def _size(probed: Probed, name: str) -> Size:
    piece, count, cells = probed.pieces[name], len(probed.paths[name]), probed.library.cells
    area = sum(cells[kind].area * len(group.cells) for kind, group in piece.netlist.groups.items())
    memories = sum(sram.macro(each.words, each.bits).area_um2 for each in piece.memories)
    return Size(count, count * piece.netlist.cells, count * area, count * memories)


def _clock_pins(probed: Probed) -> float:
    """fF of all clock pins that no gate is before, which a clock tree has to drive."""
    total = 0.0
    for name, piece in probed.pieces.items():
        netlist = piece.netlist
        worst = loads(netlist, probed.library).worst
        clocks = [port.nets for port in netlist.ports.values() if port.name in replay.CLOCKS]
        total += sum(float(worst[nets].sum()) for nets in clocks) * len(probed.paths[name])
    return total
