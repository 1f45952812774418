# SPDX-License-Identifier: Apache-2.0
"""Carry-propagating adders: those that end a carry-save tree, and one in slices for sums beside the array."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

LONGEST_SLICE = 11
"""Bits of a carry chain that fit a nanosecond in 45 nm."""

SHORT_SLICE = 6
"""Bits of one that leaves time for a choice by the sign of the sum."""


def add_in_slices(a: Value, b: Value, carry: Value | int = 0, longest: int = LONGEST_SLICE) -> Value:
    """a + b + carry, of unsigned words of equal width, with the carry out on top: every slice with and without a carry
    from below, then the right one of both."""
    total, carry = [], Const(carry, 1) if isinstance(carry, int) else carry
    for low in range(0, len(a), longest):
        x, y = (value[low : low + longest] for value in (a, b))
        width = len(x) + 1
        # Nobody chooses in front of the first slice.
        chosen = Mux(carry, (x + y + 1)[:width], (x + y)[:width]) if low else (x + y + carry)[:width]
        total.append(chosen[:-1])
        carry = chosen[-1]
    return Cat(total, carry)


def add_in_two(m: Module, pair: list[Value], add: Value, choose: Value) -> Signal:
    """The sum of the pair, modulo their width, in two register stages, which take what stands in front of them in
    cycles with `add` and `choose`: each slice of it with and without a carry from below, then the right one of both."""
    total, carry = [], Const(0, 1)
    for low in range(0, len(pair[0]), LONGEST_SLICE):
        a, b = (word[low : low + LONGEST_SLICE] for word in pair)
        sums = [Signal(len(a) + 1, name=f"sum{low}_with_{carried}", reset_less=True) for carried in (0, 1)]
        with m.If(add):
            m.d.sync += [register.eq(a + b + carried) for carried, register in enumerate(sums)]
        right = Mux(carry, sums[1], sums[0])
        total.append(right[: len(a)])
        carry = right[-1]
    chosen = Signal(len(pair[0]), reset_less=True)
    with m.If(choose):
        m.d.sync += chosen.eq(Cat(total))
    return chosen


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
        a, b = (Cat(v, v[-1].replicate(len(self.o) - len(v))) for v in (self.a, self.b))
        m.d.comb += self.o.eq(add_in_slices(a, b, longest=self._longest)[:-1])
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
