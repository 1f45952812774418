# SPDX-License-Identifier: Apache-2.0
"""Comparison in logarithmic depth, where the borrow of a subtraction would come too late.

a, b ─► bits: above? equal? ─┐
        bits: above? equal? ─┴─► pairs ─┐
        …                   ─────► …   ─┴─► … ─► above ─► a or b
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Larger(wiring.Component):
    """The larger of two words. Combinational, of logarithmic depth.

    Parameters: `bits` of a word. Members: `a`, `b`: In, bits, unsigned; `above`: Out, 1: a > b; `o`: Out, bits.
    """

    def __init__(self, bits: int):
        super().__init__({"a": In(bits), "b": In(bits), "above": Out(1), "o": Out(bits)})

    def elaborate(self, platform):
        m = Module()
        # Of single bits, then of twice as many each time: is a's part above b's; and, but for the lowest, equal to it?
        above, equal = self.a & ~self.b, ~(self.a ^ self.b)[1:]
        while (count := len(above)) > 1:
            pairs = [(low, low + 1) for low in range(0, count - 1, 2)]
            alone = count & ~1
            wider = Signal((count + 1) // 2, name=f"above{count}")
            m.d.comb += wider.eq(
                Cat(*(above[high] | equal[high - 1] & above[low] for low, high in pairs), above[alone:])
            )
            both = Signal(len(wider) - 1, name=f"equal{count}")
            m.d.comb += both.eq(
                Cat(
                    *(equal[high - 1] & equal[low - 1] for low, high in pairs[1:]),
                    equal[count - 2 :] if count & 1 else Const(0, 0),
                )
            )
            above, equal = wider, both
        m.d.comb += [self.above.eq(above), self.o.eq(Mux(self.above, self.a, self.b))]
        return m
