# SPDX-License-Identifier: Apache-2.0
"""The next number, in slices one behind the other: for wide numbers that stand for some cycles before they go on."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.adder import LONGEST_SLICE


class Successor(wiring.Component):
    """Parameters: `bits`; `longest` slice.

    Members: `value`: In. `o`: Out: value + 1, modulo 2^bits, if value has stood for `latency` cycles.
    """

    def __init__(self, bits: int, longest: int = LONGEST_SLICE):
        self._longest = longest
        super().__init__({"value": In(bits), "o": Out(bits)})

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return f"successor_{len(self.value)}_by_{self._longest}"

    @property
    def latency(self) -> int:
        """Cycles, one for each slice."""
        return -(-len(self.value) // self._longest)

    def elaborate(self, platform):
        m = Module()
        carry: Value = Const(1, 1)
        for low in range(0, len(self.value), self._longest):
            part = slice(low, min(low + self._longest, len(self.value)))
            goes_round = Signal(name=f"goes_round{low}")
            m.d.sync += Cat(self.o[part], goes_round).eq(self.value[part] + carry)
            carry = goes_round
        return m
