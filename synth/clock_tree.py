# SPDX-License-Identifier: Apache-2.0
"""What a clock tree would take: an estimate from the pins that it has to drive, before there is a layout.

root ─► buffers ─► … ─► buffers, each with `LOAD_FF` of clock pins behind it ─► flip-flops, clock gates

Every level is buffers of the library's clock buffer (else its buffer), as many as the level below has input pins to
drive. Each of their pins, and each clock pin, charges once a cycle; wires are left out. Behind a clock gate nothing is
added: what it drives is in the netlist.
"""

from dataclasses import dataclass

import numpy as np

from config.errors import require
from synth.liberty import Cell, Library
from synth.roles import roles_of

LOAD_FF = 40.0
"""Behind each buffer: some 40 flip-flops of the 45 nm library. The project's choice."""
SLEW_NS = 0.04
"""At each buffer's input. The project's choice."""
_CLOCK = "CLKBUF"
"""What names of clock buffers begin with, where a library has them."""


@dataclass(frozen=True)
class ClockTree:
    """fJ of a cycle: `pins`, charging the clock pins; `buffers`, all that the buffers take. There are `count` of them,
    in `levels`, with their leakage in nW and area in µm²."""

    pins: float
    buffers: float
    count: int
    levels: int
    leakage_nw: float
    area_um2: float


def estimate(pins_ff: float, library: Library) -> ClockTree:
    """For clock pins of so many fF in all. Raises `Refusal` for less than nothing."""
    require(pins_ff >= 0, f"The clock pins must have 0 fF or more, not {pins_ff}.")
    cell, pin_in, pin_out = _buffer(library)
    own = (cell.pins[pin_in].rise_cap + cell.pins[pin_in].fall_cap) / 2
    power = cell.pins[pin_out].powers[0]
    slew, load = np.array([SLEW_NS]), np.array([LOAD_FF])
    internal = sum(float(table.at(slew, load)[0]) for table in (power.rise, power.fall) if table is not None)
    charge, level, count, levels = library.voltage**2, pins_ff, 0, 0
    while level > LOAD_FF:
        buffers = -int(-level // LOAD_FF)
        count, levels, level = count + buffers, levels + 1, buffers * own
    return ClockTree(
        pins=pins_ff * charge,
        buffers=count * (internal + own * charge),
        count=count,
        levels=levels,
        leakage_nw=count * (cell.leakage or 0.0),
        area_um2=count * cell.area,
    )


def _buffer(library: Library) -> tuple[Cell, str, str]:
    """The cell, and its pins: the second size of those for clocks, as of all others."""
    plain = roles_of(library).buffer
    clocks = sorted((cell.area, name) for name, cell in library.cells.items() if name.startswith(_CLOCK))
    if clocks:
        cell = library.cells[clocks[min(1, len(clocks) - 1)][1]]
        return cell, cell.inputs[0].name, cell.outputs[0].name
    return library.cells[plain.cell], plain.input, plain.output
