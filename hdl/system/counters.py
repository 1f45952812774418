# SPDX-License-Identifier: Apache-2.0
"""The counters that registers show."""

from amaranth.hdl import Cat, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from config.registers import COUNTER_BITS, COUNTERS
from config.system import SystemConfig
from hdl.arith.adder import LONGEST_SLICE
from hdl.arith.successor import Successor
from hdl.shared import share


def step_shapes(config: SystemConfig) -> dict[str, Shape]:
    """Counter → by how much it rises in a cycle."""
    several = {
        "items_executed": range(config.attention.arrays.lines + 1),
        "bytes_read": range(config.bus_bytes + 1),
        "bytes_written": range(config.bus_bytes + 1),
    }
    return {counter.port: Shape.cast(several.get(counter.port, 1)) for counter in COUNTERS}


class Counter(wiring.Component):
    """A counter: its lowest bits count, and what those above will be when they go round is there by then.

    Parameters: `step_bits` of what is added to it in a cycle; `bits`; `longest` slice, as many as the lowest bits.
    Members: `clear`: In, 1; `step`: In; `value`: Out, two cycles behind. Raises `Refusal` for slices so short that the
    lowest bits go round before the others are ready.
    """

    def __init__(self, step_bits: int, bits: int = COUNTER_BITS, longest: int = LONGEST_SLICE):
        self._successor = Successor(bits - longest, longest)
        needed = self._successor.latency + 2
        require(
            longest > step_bits and 1 << (longest - step_bits) >= needed,
            f"longest must leave {needed} cycles until the lowest bits go round, and {longest} does not; raise it.",
        )
        self.lowest, self.upper = Signal(longest), Signal(bits - longest)
        super().__init__({"clear": In(1), "step": In(step_bits), "value": Out(bits)})

    def elaborate(self, platform):
        m = Module()
        successor = self._successor
        m.submodules.successor = share(successor, successor.name, platform)
        carry, moves, shows = Signal(), Signal(), Signal()
        shown = Signal.like(self.lowest)
        m.d.comb += [
            self.value.eq(Cat(shown, self.upper)),
            successor.value.eq(self.upper),
            successor.moves.eq(carry | self.clear),
            moves.eq(self.step.any() | carry),
        ]
        m.d.sync += shows.eq(moves)
        with m.If(moves):
            m.d.sync += Cat(self.lowest, carry).eq(self.lowest + self.step)
        with m.If(shows):
            m.d.sync += shown.eq(self.lowest)
        with m.If(carry):
            m.d.sync += self.upper.eq(successor.o)
        with m.If(self.clear):
            m.d.sync += [each.eq(0) for each in (self.lowest, carry, shown, self.upper)]
        return m


class Counters(wiring.Component):
    """Parameters: `config`, a `SystemConfig`.

    Members
    -------
    clear: In, 1: all are 0 from the next cycle on, whatever has been counted. For each counter of
    `config.registers.COUNTERS`, count_…: In, `step_shapes`: what is added to it, and …: Out, 64, what it was two cycles
    before. They go round.
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
        for name, shape in self._steps.items():
            counter = Counter(shape.width)
            m.submodules[name] = share(counter, f"counter_{shape.width}", platform)
            m.d.comb += [
                counter.clear.eq(self.clear),
                counter.step.eq(getattr(self, f"count_{name}")),
                getattr(self, name).eq(counter.value),
            ]
        return m
