# SPDX-License-Identifier: Apache-2.0
"""Accounts of accelerators as energy of a layer: by block, by phase, with what lies beside the cells."""

from collections.abc import Iterable
from dataclasses import dataclass

from synth import clock_tree, dram, pieces, system
from synth.layers import ATTENTION, Account, Spent
from synth.liberty import Library

BESIDE = ("clock tree", "DRAM")
"""Lines of a ledger that are no blocks: both are estimates, from pins and from bytes."""


@dataclass(frozen=True)
class Line:
    """nJ of a layer, means over all layers: of cells, as they are clocked; of memories."""

    cells: float
    memories: float

    @property
    def total(self) -> float:
        return self.cells + self.memories


@dataclass(frozen=True)
class Ledger:
    """lines: by block, and `BESIDE`. attention: of the phase, and of prediction whenever it works; without DRAM.
    phases: nJ of a layer in each, clock tree included, prediction's blocks left out. cycles: of a layer. causes: nJ of
    a layer in all cells and memories, by cause. area: mm² by block, of cells and of memories."""

    account: Account
    lines: dict[str, Line]
    attention: float
    phases: dict[str, float]
    cycles: float
    causes: dict[str, float]
    area: dict[str, tuple[float, float]]

    @property
    def chip(self) -> float:
        """nJ of a layer, DRAM left out."""
        return sum(line.total for name, line in self.lines.items() if name != "DRAM")

    @property
    def cells(self) -> float:
        """nJ of a layer in cells, clock tree included; no memories."""
        return sum(line.cells for name, line in self.lines.items() if name != "DRAM")

    @property
    def prediction(self) -> float:
        """Share of the chip's energy."""
        own = sum(line.total for name, line in self.lines.items() if name.startswith(system.PREDICTION))
        return own / self.chip

    @property
    def tops_per_watt(self) -> float:
        """Effective: operations of the same layers without a plan, by the chip's energy."""
        return self.account.operations / self.account.layers / self.chip * 1e-3


def ledger(account: Account, library: Library) -> Ledger:
    """An account, block by block. A phase of which no window was recorded takes in a cycle what the others do."""
    block_of = pieces.shares(system.BLOCKS)
    per_layer = 1e-6 / account.layers
    recorded = {phase: count for phase, count in account.cycles.items() if phase in account.spent}
    whole = account.counters["CYCLES"]
    weight = {phase: count * whole / sum(recorded.values()) for phase, count in recorded.items()}
    cells, memories = dict.fromkeys(system.BLOCKS, 0.0), dict.fromkeys(system.BLOCKS, 0.0)
    tree = clock_tree.estimate(account.clock_pins_ff, library)
    # nW times ns is 1e-3 fJ.
    of_tree = tree.pins + tree.buffers + tree.leakage_nw * account.period_ns * 1e-3
    phases = {phase: of_tree * weight[phase] * per_layer for phase in account.spent}
    predicted = 0.0
    for phase, spent in account.spent.items():
        for piece, each in spent.items():
            block, cycles = block_of[piece], weight[phase] * per_layer
            cells[block] += each.cells * cycles
            memories[block] += each.memories * cycles
            if block.startswith(system.PREDICTION):
                predicted += (each.cells + each.memories) * cycles
            else:
                phases[phase] += (each.cells + each.memories) * cycles
    octets = account.counters["BYTES_READ"] + account.counters["BYTES_WRITTEN"]
    lines = {block: Line(cells[block], memories[block]) for block in system.BLOCKS}
    lines["clock tree"] = Line(of_tree * whole * per_layer, 0.0)
    lines["DRAM"] = Line(0.0, dram.energy_fj(octets) * per_layer)
    return Ledger(
        account,
        lines,
        predicted + phases.get(ATTENTION, 0.0),
        phases,
        whole / account.layers,
        _causes(account, weight, per_layer),
        _area(account, block_of),
    )


def _causes(account: Account, weight: dict[str, float], per_layer: float) -> dict[str, float]:
    def of(part: str) -> float:
        return sum(
            float(getattr(each, part)) * weight[phase] * per_layer
            for phase, spent in account.spent.items()
            for each in spent.values()
        )

    return {name: of(name) for name in Spent.__dataclass_fields__}


def _area(account: Account, block_of: dict[str, str]) -> dict[str, tuple[float, float]]:
    def of(block: str, values: Iterable[tuple[str, float]]) -> float:
        return sum(value for piece, value in values if block_of[piece] == block) * 1e-6

    return {
        block: (
            of(block, ((piece, size.cell_area) for piece, size in account.sizes.items())),
            of(block, ((piece, size.memory_area) for piece, size in account.sizes.items())),
        )
        for block in system.BLOCKS
    }
