# SPDX-License-Identifier: Apache-2.0
"""Narrow integers (Sanger's 4 bits): drop low bits, round half up, saturate at the top."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS, IntegerFormat


class IntegerEncoder(wiring.Component):
    """clip((i + half) >> dropped bits), where half is the weight of the highest dropped bit. Combinational.

    Parameters
    ----------
    coding: the format of the result, 4 or 8 bits; 8 bits pass through.

    Members
    -------
    i: In, signed(8). o: Out, signed(coding.bits).
    """

    def __init__(self, coding: IntegerFormat):
        self._coding = coding
        super().__init__({"i": In(signed(OPERAND_BITS)), "o": Out(signed(coding.bits))})

    @property
    def coding(self) -> IntegerFormat:
        return self._coding

    def elaborate(self, platform):
        m = Module()
        bits, dropped = self._coding.bits, self._coding.dropped_bits
        if not dropped:
            m.d.comb += self.o.eq(self.i)
            return m
        largest = (1 << (bits - 1)) - 1
        kept = self.i[dropped:].as_signed()
        # Only the largest value has no room to round up.
        rounded = Signal(signed(bits))
        m.d.comb += [
            rounded.eq(kept + self.i[dropped - 1]),
            self.o.eq(Mux(kept == largest, kept, rounded)),
        ]
        return m
