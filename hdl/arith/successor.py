# SPDX-License-Identifier: Apache-2.0
"""The next number, in slices one behind the other: for wide numbers that stand for some cycles before they go on."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.adder import LONGEST_SLICE


class Successor(wiring.Component):
    """Parameters: `bits`; `longest` slice.

    Members: `value`: In. `moves`: In, 1: it becomes another one at the end of this cycle; if nothing is said, it may in
    any. `o`: Out: value + 1, modulo 2^bits, if value has stood for `latency` cycles, the first ones after reset among
    them. Once it is there nothing toggles.
    """

    def __init__(self, bits: int, longest: int = LONGEST_SLICE):
        self._longest = longest
        super().__init__({"value": In(bits), "moves": In(1, init=1), "o": Out(bits)})

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
        turn: Value = self.moves
        for low in range(0, len(self.value), self._longest):
            part = slice(low, min(low + self._longest, len(self.value)))
            goes_round = Signal(name=f"goes_round{low}")
            mine = Signal(name=f"turn{low}", init=1)
            m.d.sync += mine.eq(turn)
            with m.If(mine):
                m.d.sync += Cat(self.o[part], goes_round).eq(self.value[part] + carry)
            carry, turn = goes_round, mine
        return m
