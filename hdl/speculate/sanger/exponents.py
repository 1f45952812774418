# SPDX-License-Identifier: Apache-2.0
"""A head's exponent, which belongs to the scores of int8, for scores of 4 bits, of which one is 256 of those.

mul, shift ─► shift - 8, or mul · 2^(9 - shift) and a shift of 1 ─► register ─► o
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import number_system
from config.requantise import MAX_SHIFT, MUL_BITS
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.execute.layouts import MULTIPLIER

UNIT_BITS = number_system("int4").unit_bits
LARGEST_SHIFT = MAX_SHIFT - UNIT_BITS


class Exponents(wiring.Component):
    """Takes a head's exponent while the head before is under way.

    A shift of 9 or more is less by 8. With a smaller one, (256·d·mul + 2^(shift-1)) >> shift is d·mul·2^(8 - shift),
    and (d·mul·2^(9 - shift) + 1) >> 1 is the same; a mul that has more than 16 bits then makes exponents of 2^15 and
    more of any d but 0, and so does the largest one: all powers are 0.

    Members
    -------
    i: In, stream of `MULTIPLIER`, shift 1 to 40, head by head. known: Out, 1: the next head's is there.
    turn: In, 1, while `known`: that head begins. load: In, 1, a cycle behind `turn`; o: Out, `MULTIPLIER`, shift 1 to
    32: the head's from the cycle behind `load` on.
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(MULTIPLIER)),
                "known": Out(1),
                "turn": In(1),
                "load": In(1),
                "o": Out(MULTIPLIER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        following, current = (Signal(MULTIPLIER, name=name, reset_less=True) for name in ("following", "current"))
        takes = Signal()
        mul, shift, small = self._narrowed(m)
        m.d.comb += [self.i.ready.eq(~self.known), takes.eq(self.i.valid & self.i.ready), self.o.eq(current)]
        with m.If(takes):
            m.d.sync += [following.mul.eq(mul), following.shift.eq(shift), self.known.eq(1)]
        with m.Elif(self.turn):
            m.d.sync += self.known.eq(0)
        with m.If(self.load):
            m.d.sync += current.eq(following)
        corner(m, platform, "small_shift", takes & small)
        corner(m, platform, "exponent_beyond", takes & small & mul.all())
        return m

    def _narrowed(self, m: Module) -> tuple[Value, Value, Value]:
        """mul and shift for scores of 4 bits, and whether the shift was too small to be less by 8."""
        mul, shift = self.i.payload.mul, self.i.payload.shift
        small, wide = Signal(), Signal(MUL_BITS + UNIT_BITS)
        # From mul · 2^8 down to mul · 2: one less for each shift above 1.
        down = (shift - 1)[: (UNIT_BITS - 1).bit_length()]
        over = wide[MUL_BITS:].any()
        m.d.comb += [small.eq(less(shift, UNIT_BITS + 1)), wide.eq(Cat(Const(0, UNIT_BITS), mul) >> down)]
        return (
            Mux(small, wide[:MUL_BITS] | over.replicate(MUL_BITS), mul),
            Mux(small, 1, (shift - UNIT_BITS)[: len(shift)]),
            small,
        )
