# SPDX-License-Identifier: Apache-2.0
"""A bit for many places, with a driver of its own for each."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Broadcast(wiring.Component):
    """o = i, in every bit. Combinational.

    A module of its own, so that synthesis can give each copy its buffer: one gate that drives hundreds of inputs takes
    longer than all logic before it, and nothing else would part its load.

    Parameters: `copies`. Members: `i`: In, 1. `o`: Out, copies.
    """

    def __init__(self, copies: int):
        self._copies = copies
        super().__init__({"i": In(1), "o": Out(copies)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.i.replicate(self._copies))
        return m
