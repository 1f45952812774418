# SPDX-License-Identifier: Apache-2.0
"""Carry-propagating adder that ends a carry-save tree."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class IncrementingAdder(wiring.Component):
    """o = (a + b + 1) mod 2^bits. Combinational.

    A module of its own, so that synthesis can map this one critical path for speed and all around it for area.

    Members: `a`, `b`: In, unsigned(bits); `o`: Out, unsigned(bits).
    """

    def __init__(self, bits: int):
        self._bits = bits
        super().__init__({"a": In(bits), "b": In(bits), "o": Out(bits)})

    @property
    def bits(self) -> int:
        return self._bits

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.a + self.b + 1)
        return m
