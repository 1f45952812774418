# SPDX-License-Identifier: Apache-2.0
"""The counters that registers show."""

from amaranth.hdl import Module, Mux, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.registers import COUNTER_BITS, COUNTERS
from config.system import SystemConfig


def step_shapes(config: SystemConfig) -> dict[str, Shape]:
    """Counter → by how much it rises in a cycle."""
    several = {
        "items_executed": range(config.attention.arrays.lines + 1),
        "bytes_read": range(config.bus_bytes + 1),
        "bytes_written": range(config.bus_bytes + 1),
    }
    return {counter.port: Shape.cast(several.get(counter.port, 1)) for counter in COUNTERS}


class Counters(wiring.Component):
    """Parameters: `config`, a `SystemConfig`.

    Members
    -------
    clear: In, 1: all are 0 from the next cycle on, whatever is counted in this one. For each counter of
    `config.registers.COUNTERS`, count_…: In, `step_shapes`: what is added to it, and …: Out, 64, registered: what it
    is. They go round.
    """

    def __init__(self, config: SystemConfig):
        self._steps = step_shapes(config)
        super().__init__(
            {"clear": In(1)}
            | {f"count_{name}": In(shape) for name, shape in self._steps.items()}
            | {name: Out(COUNTER_BITS) for name in self._steps}
        )

    def elaborate(self, platform):
        m = Module()
        for name in self._steps:
            value, step = getattr(self, name), getattr(self, f"count_{name}")
            m.d.sync += value.eq(Mux(self.clear, 0, value + step))
        return m
