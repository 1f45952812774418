# SPDX-License-Identifier: Apache-2.0
"""Components by what they compute (`hdl.behaviour`), alone and beside the same ones as they are built."""

from collections.abc import Callable, Sequence

from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Fragment, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sim import replay
from tests.arith import simulate
from tests.formal import contract


class _Platform:
    behavioural = True


class _Described(Elaboratable):
    def __init__(self, component: wiring.Component):
        self._component = component

    def elaborate(self, platform):
        return Fragment.get(self._component, _Platform())


class Behaviour(wiring.Component):
    """A component by what it computes, behind the same ports, whatever the platform of those around it."""

    def __init__(self, component: wiring.Component):
        self._component = component
        super().__init__(component.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.described = _Described(self._component)
        wiring.connect(m, wiring.flipped(self), self._component)
        return m


Compare = Callable[[Module, wiring.Component, wiring.Component], tuple[Value, Value]]
"""Of one as it is built and another: whether they show the same in this cycle, and whether it is a result."""


class Beside(wiring.Component):
    """Two components with equal inputs.

    Parameters: the two; `compare` them. limits: of inputs by name, 1 bit, what they are ANDed with: an output of the
    first, by name.
    Members: `i`: In, stream, taken at once: all inputs of one, in the order of `widths`, the first lowest; `o`: Out,
    stream of what they are compared to, in the same cycle.
    """

    def __init__(self, one, other, compare: Compare, **limits: str):
        self._one, self._other, self._compare, self._limits = one, other, compare, limits
        self.widths = {name: len(port) for name, port in contract.inputs_of(one).items()}
        super().__init__({"i": In(stream.Signature(sum(self.widths.values()))), "o": Out(stream.Signature(2))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.one, m.submodules.other = one, other = self._one, self._other
        given = Signal(len(self.i.payload))
        m.d.comb += given.eq(self.i.payload & self.i.valid.replicate(len(given)))
        for each in (one, other):
            low = 0
            for name, port in contract.inputs_of(each).items():
                value = given[low : low + len(port)]
                if name in self._limits:
                    value = value & getattr(one, self._limits[name])
                m.d.comb += port.eq(value)
                low += len(port)
        same, shown = self._compare(m, one, other)
        m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(self.i.valid), self.o.payload.eq(Cat(same, shown))]
        return m


def agree(pair: Beside, name: str, **given: Sequence[int]) -> int:
    """In how many cycles the two showed a result, when each input was `given` so. Raises AssertionError if they ever
    differed."""
    words = simulate.patterns([given[port] for port in pair.widths], pair.widths.values())
    model = replay.build(pair, name)
    found = replay.run(model, replay.Job({"i": words}, {"o": len(words)}, limit=2 * len(words) + 100))
    seen = found.sinks["o"].payloads
    wrong = [number for number, word in enumerate(seen) if not word & 1]
    assert not wrong, f"{len(wrong)} of {len(seen)} cycles differ, the first of them {wrong[0]}"
    return sum(word >> 1 for word in seen)


class AgreeClaim(contract.Claim):
    """Two components show the same in every cycle, whatever comes, if `assume` holds of the first one's ports."""

    def __init__(self, one, other, compare: Compare, assume: Callable[[wiring.Component], Sequence[Value]]):
        self._other, self._compare, self._assume = other, compare, assume
        super().__init__(one)

    def claim(self, m: Module, dut) -> None:
        m.submodules.other = self._other
        self._drive(m, self._other)
        m.d.comb += [Assume(each) for each in self._assume(dut)]
        m.d.comb += Assert(self._compare(m, dut, self._other)[0])
