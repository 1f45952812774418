# SPDX-License-Identifier: Apache-2.0
"""HLog in hardware (ESACT's bit-level unit): encoder, multiples of a level, product of two levels."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.formats import HLogFormat
from hdl.arith.leading_one import binary, magnitude, one_hot_leading
from hdl.arith.shift import place


def code_layout(coding: HLogFormat) -> data.StructLayout:
    """Fields of an HLog code, the lowest first."""
    return data.StructLayout({"exponent": coding.exponent_bits, "half": 1, "sign": 1})


class HLogEncoder(wiring.Component):
    """Projects an operand onto the HLog levels and codes the level. Combinational, no comparator.

        |x| = 2^m · 1.b1 b0 r…      the two bits below the leading one, and whether anything is left below them

        nearest        half = b1 xor b0                      exponent = m + (b1 and b0)
        nearest_down   the same with b1 b0 lowered by one where a tie would go up: r = 0 and b0 = 1
        truncate       half = b1                             exponent = m

    Parameters
    ----------
    coding: the format: operand width n = `bits`, and `rounding`.

    Members
    -------
    i: In, signed(n). The operand.
    o: Out, `code_layout(coding)`. The code of its level; the format's zero code for 0.
    """

    def __init__(self, coding: HLogFormat):
        self._coding = coding
        super().__init__({"i": In(signed(coding.bits)), "o": Out(code_layout(coding))})

    @property
    def coding(self) -> HLogFormat:
        return self._coding

    def elaborate(self, platform):
        m = Module()
        coding = self._coding
        bits = coding.bits
        size = Signal(bits)
        leading = Signal(bits)
        position = Signal(coding.exponent_bits)
        m.d.comb += [
            size.eq(magnitude(self.i, bits)),
            leading.eq(Cat(one_hot_leading(size))),
            position.eq(binary(list(leading), coding.exponent_bits)),
        ]
        half, carry = self._round(m, size, leading)
        zero = size == 0
        m.d.comb += [
            self.o.exponent.eq(position + carry),
            self.o.half.eq(half | zero),
            self.o.sign.eq(self.i[-1]),
        ]
        return m

    def _round(self, m: Module, size: Value, leading: Value) -> tuple[Value, Value]:
        """Half-step flag, and whether the exponent goes up by one."""

        def below(distance: int) -> Value:
            """The bit `distance` places below the leading one."""
            return Cat(leading[i] & size[i - distance] for i in range(distance, len(size))).any()

        b1, b0 = Signal(), Signal()
        m.d.comb += [b1.eq(below(1)), b0.eq(below(2))]
        if self._coding.rounding == "truncate":
            return b1, 0
        if self._coding.rounding == "nearest_down":
            rest = Signal()
            m.d.comb += rest.eq(Cat(leading[i] & size[: i - 2].any() for i in range(3, len(size))).any())
            b0 = b0 & rest
            # A tie from 1.11 falls to 1.1: b0 drops out, and b1 alone stays a half step.
        return b1 ^ b0, b1 & b0


class HLogMultiples(wiring.Component):
    """Decodes an HLog code to the two multiples from which any product with another level is a shift. Combinational.

        low   = 2^k, or 2^(k-1) with the half-step flag      the lowest one of the level, and of its multiples
        X     = low · {1, 3}      = low + {0, 2·low}
        3·X   = low · {3, 9}      = low + {2·low, 8·low}

    No two ones of a sum fall on one place, so both are ORs. Nor does a negative one take an adder: -m keeps the bits
    up to its lowest one and inverts those above.

    Parameters
    ----------
    coding: the format of the code; n = its `bits`.

    Members
    -------
    i: In, `code_layout(coding)`.
    once: Out, signed(n+1). The level X: ±2^k or ±3·2^(k-1), or 0.
    thrice: Out, signed(n+2). 3·X.
    """

    def __init__(self, coding: HLogFormat):
        self._coding = coding
        super().__init__(
            {
                "i": In(code_layout(coding)),
                "once": Out(signed(coding.bits + 1)),
                "thrice": Out(signed(coding.bits + 2)),
            }
        )

    @property
    def coding(self) -> HLogFormat:
        return self._coding

    def elaborate(self, platform):
        m = Module()
        bits = self._coding.bits
        half = self.i.half
        power = Signal(bits)
        low = Signal(bits)
        inverted = Signal(bits + 2)
        m.d.comb += [
            power.eq(Cat(self.i.exponent == k for k in range(bits))),
            # "Half of 2^0" is the zero code, and nothing is left of it.
            low.eq(Mux(half, power >> 1, power)),
            inverted.eq(Cat(low[:i].any() & self.i.sign for i in range(bits + 2))),
            self.once.eq((low | Mux(half, low << 1, 0)) ^ inverted[: bits + 1]),
            self.thrice.eq((low | Mux(half, low << 3, low << 1)) ^ inverted),
        ]
        return m


def hlog_place(m: Module, once: Value, thrice: Value, code: Value, coding: HLogFormat) -> Value:
    """`shift.place` of an HLog level X, given as X and 3X, under an HLog code: 2n bits.

    A weight is 2^k or 1.5·2^k, so the product is (2X or 3X) << k, halved. Halving drops a bit that says nothing:
    k = 0 comes with 2X only.
    """
    zero = code.half & (code.exponent == 0)
    word = Signal(coding.bits + 2)
    m.d.comb += word.eq(Mux(code.half, thrice.as_unsigned(), Cat(Const(0, 1), once)))
    return place(m, word, code.sign, code.exponent, zero, coding.bits - 1)[1:]


class HLogProduct(wiring.Component):
    """Product of two HLog levels: a selection between X and 3X, a sign, a shift. Combinational.

    Parameters
    ----------
    coding: the format of both codes; n = its `bits`.

    Members
    -------
    x, w: In, `code_layout(coding)`. The codes.
    o: Out, signed(2n). The product of their levels: ±{1, 3, 9}·2^e, or 0.
    """

    def __init__(self, coding: HLogFormat):
        self._coding = coding
        layout = code_layout(coding)
        super().__init__({"x": In(layout), "w": In(layout), "o": Out(signed(2 * coding.bits))})

    @property
    def coding(self) -> HLogFormat:
        return self._coding

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiples = multiples = HLogMultiples(self._coding)
        nothing = Const(0, multiples.once.shape()), Const(0, multiples.thrice.shape())
        m.d.comb += [
            multiples.i.eq(self.x),
            self.o.eq(
                hlog_place(m, multiples.once, multiples.thrice, self.w, self._coding)
                - hlog_place(m, *nothing, self.w, self._coding)
            ),
        ]
        return m
