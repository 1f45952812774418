# SPDX-License-Identifier: Apache-2.0
"""Corners of a component's behaviour that tests have to reach: counted in simulation, absent from all other Verilog.

condition ─► wire corner_NAME ─► cover (corner_NAME), once a cycle
"""

from amaranth.hdl import Cover, Module, Signal, Value

PREFIX = "corner_"


def corner(m: Module, platform, name: str, condition: Value) -> None:
    """Have the cycles counted in which `condition`, 1 bit, is true, if `platform` counts corners; else add nothing."""
    if getattr(platform, "corners", False):
        reached = Signal(name=PREFIX + name)
        m.d.comb += reached.eq(condition)
        m.d.sync += Cover(reached)
