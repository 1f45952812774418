# SPDX-License-Identifier: Apache-2.0
"""The sink of the simulations fails when an offer does not stand."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from tests.arith import simulate


class Source(wiring.Component):
    """Offers a payload in four cycles; offers stand, unless they `change` or are `withdrawn` while they wait."""

    def __init__(self, *, change: bool = False, withdrawn: bool = False):
        self._change, self._withdrawn = change, withdrawn
        super().__init__({"o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        cycle, taken = Signal(8), Signal(8)
        m.d.sync += [cycle.eq(cycle + 1), taken.eq(taken + (self.o.valid & self.o.ready))]
        m.d.comb += [
            self.o.valid.eq((taken < 4) & ~(cycle[0] & self._withdrawn)),
            self.o.payload.eq(cycle if self._change else 3 * taken),
        ]
        return m


def taken(source: Source, stall: bool) -> list[int]:
    sink = simulate.Sink(source.o)

    async def bench(context):
        for cycle in range(20):
            context.set(source.o.ready, not stall or cycle % 3 == 2)
            sink.sample(context)
            await context.tick()

    simulate.run(source, bench)
    return sink.seen


def test_everything_is_taken_once() -> None:
    assert taken(Source(), stall=False) == taken(Source(), stall=True) == [0, 3, 6, 9]


def test_offers_may_change_when_none_waits() -> None:
    assert taken(Source(change=True), stall=False) == [0, 1, 2, 3]


@pytest.mark.parametrize("fault", ["change", "withdrawn"])
def test_an_offer_that_does_not_stand_is_caught(fault: str) -> None:
    with pytest.raises(AssertionError, match="must be held"):
        taken(Source(**{fault: True}), stall=True)
