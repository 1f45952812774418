# SPDX-License-Identifier: Apache-2.0
"""What the tests of the root and of the reciprocal share: numbers through a unit, and claims for the solver."""

from collections.abc import Callable, Sequence

from amaranth.hdl import Assert, Assume, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from tests.arith import simulate
from tests.formal import contract

TAG = 3


def through(
    dut: wiring.Component, numbers: Sequence[int], period: int, latency: int, *, idle: bool, stall: bool
) -> list[int]:
    """What leaves for the numbers, each with the low bits of its place as tag, which must come back; and in time."""
    in_bits, out_bits = (len(side.payload.number) for side in (dut.i, dut.o))
    transfers = [number | (i % (1 << TAG)) << in_bits for i, number in enumerate(numbers)]
    # So many cycles in all, more than the one a transfer that the bench allows.
    allowed = (len(numbers) - 1) * (period - 1) + latency
    seen: list[int] = []
    if idle or stall:
        # The bench allows about a hundred cycles.
        at_once = 50 // period
        for begin in range(0, len(transfers), at_once):
            part = transfers[begin : begin + at_once]
            seen += simulate.stream_through(dut, part, latency=0, idle=idle, stall=stall)
    else:
        seen = simulate.stream_through(dut, transfers, latency=allowed, idle=False, stall=False)
    assert [word >> out_bits for word in seen] == [i % (1 << TAG) for i in range(len(seen))]
    return [word & ((1 << out_bits) - 1) for word in seen]


class ResultClaim(wiring.Component):
    """What enters first leaves as `right(number, result)` demands, if `legal(number)`; it leaves within the latency."""

    def __init__(
        self,
        dut: wiring.Component,
        latency: int,
        legal: Callable[[Value], Value],
        right: Callable[[Value, Value], Value],
    ):
        self._dut, self._latency, self._legal, self._right = dut, latency, legal, right
        super().__init__({"number": In(len(dut.i.payload.number))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._dut
        first, held = Signal(init=1), Signal.like(self.number)
        waited = Signal(range(self._latency + 2))
        m.d.sync += first.eq(0)
        with m.If(first):
            m.d.sync += held.eq(self.number)
        with m.If(~dut.o.valid):
            m.d.sync += waited.eq(waited + 1)
        m.d.comb += [
            Assume(self._legal(self.number)),
            dut.i.valid.eq(first),
            dut.i.payload.number.eq(self.number),
            dut.o.ready.eq(0),
            Assert(~dut.o.valid | self._right(held, dut.o.payload.number)),
            Assert(dut.o.valid | (waited < self._latency)),
        ]
        return m


class FlowClaim(wiring.Component):
    """Numbers leave in order, once each, with their tags; offers are held; nothing waits longer than the latency."""

    def __init__(self, dut: wiring.Component, latency: int):
        self._dut, self._latency = dut, latency
        super().__init__(
            {"tag": In(1), "number": In(len(dut.i.payload.number)), "valid": In(1), "ready": In(1), "picked": In(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._dut
        m.d.comb += [
            dut.i.payload.number.eq(self.number),
            dut.i.payload.tag.eq(self.tag),
            dut.i.valid.eq(self.valid),
            dut.o.ready.eq(self.ready),
            Assert(contract.held(m, dut.o)),
        ]
        enters, leaves = contract.fires(dut.i), contract.fires(dut.o)
        contract.claim_order(
            m, enters=enters, expected=self.tag, leaves=leaves, result=dut.o.payload.tag, picked=self.picked
        )
        owed = contract.claim_balance(m, enters=enters, leaves=leaves)
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=self.ready, bound=self._latency)
        return m
