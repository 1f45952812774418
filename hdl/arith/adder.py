# SPDX-License-Identifier: Apache-2.0
"""Carry-propagating adders: those that end a carry-save tree, and one in slices for sums beside the array."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

LONGEST_SLICE = 11
"""Bits of a carry chain that fit a nanosecond in 45 nm."""

SHORT_SLICE = 6
"""Bits of one that leaves time for a choice by the sign of the sum."""


class SlicedAdder(wiring.Component):
    """o = a + b. Combinational: every slice with and without a carry from below, then the right one of both.

    Parameters: `bits` of `a`, `addend_bits`, no more than that, of `b`; `longest` slice: short ones where something
    else is to follow in the same cycle.
    Members: `a`: In, signed(bits); `b`: In, signed(addend_bits); `o`: Out, signed(bits + 1).
    """

    def __init__(self, bits: int, addend_bits: int, longest: int = LONGEST_SLICE):
        self._longest = longest
        super().__init__({"a": In(signed(bits)), "b": In(signed(addend_bits)), "o": Out(signed(bits + 1))})

    def elaborate(self, platform):
        m = Module()
        total, carry = [], Const(0, 1)
        a, b = (Cat(v, v[-1].replicate(len(self.o) - len(v))) for v in (self.a, self.b))
        for low in range(0, len(self.o), self._longest):
            x, y = (value[low : low + self._longest] for value in (a, b))
            bits = len(x) + 1
            chosen = Mux(carry, (x + y + 1)[:bits], (x + y)[:bits])
            total.append(chosen[:-1])
            carry = chosen[-1]
        m.d.comb += self.o.eq(Cat(total))
        return m


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


def add_in_slices(m: Module, pair: list[Value], add: Value, choose: Value) -> Value:
    """The signed sum of the pair, modulo its width, in two stages that move by `add` and by `choose`: each slice of it
    with and without a carry from below, then the right one of the two."""
    total, carry = [], Const(0, 1)
    for low in range(0, len(pair[0]), LONGEST_SLICE):
        a, b = (word[low : low + LONGEST_SLICE] for word in pair)
        sums = [Signal(len(a) + 1, name=f"sum{low}_with_{carried}", reset_less=True) for carried in (0, 1)]
        with m.If(add):
            m.d.sync += [register.eq(a + b + carried) for carried, register in enumerate(sums)]
        right = Mux(carry, sums[1], sums[0])
        total.append(right[: len(a)])
        carry = right[-1]
    chosen = Signal(signed(len(pair[0])), reset_less=True)
    with m.If(choose):
        m.d.sync += chosen.eq(Cat(total))
    return chosen
