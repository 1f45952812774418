# SPDX-License-Identifier: Apache-2.0
"""How many tokens, or heads, are kept: golden.speculate.plan.share_left, a bit of the share at a time.

count ─► + if the bit is set ─► halved ─► o        what is halved away carries nothing: it is never added to again
           ▲                        │
           └────────────────────────┘
"""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.speculate import UNITY

STEPS = UNITY.bit_length() - 1


class Places(wiring.Component):
    """max(1, count·(256 - drop) // 256).

    Parameters: `most`: of count.
    Members: start: In, 1; count: In, 0 to most, and drop: In, 0 to 255, still until `done`. done: Out, 1, `latency`
    cycles behind `start`; o: Out, from that cycle until the next `start`.
    """

    latency = STEPS + 1

    def __init__(self, most: int):
        super().__init__(
            {
                "start": In(1),
                "count": In(range(most + 1)),
                "drop": In(range(UNITY)),
                "done": Out(1),
                "o": Out(range(most + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        product, share = Signal.like(self.count, reset_less=True), Signal(STEPS, reset_less=True)
        left = Signal(range(STEPS + 1))
        m.d.sync += self.done.eq(left == 1)
        with m.If(self.start):
            # 256 - drop, but for the bit that it has if nothing is dropped.
            m.d.sync += [product.eq(0), share.eq(-self.drop), left.eq(STEPS)]
        with m.Elif(left != 0):
            m.d.sync += [
                product.eq((product + Mux(share[0], self.count, 0))[1:]),
                share.eq(share >> 1),
                left.eq(left - 1),
            ]
        kept = Mux(self.drop == 0, self.count, product)
        m.d.comb += self.o.eq(Mux(kept == 0, Const(1, 1), kept))
        return m
