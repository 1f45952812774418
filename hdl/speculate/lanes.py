# SPDX-License-Identifier: Apache-2.0
"""What a lane of the array is made of in each number system; everything around it is the same for all.

    x code ─► decode, once for all rows ─► multiples ──broadcast──► products ─► unsigned words for the compressor
                                                       weight code ───┘
    Σ words(x, w) - Σ words(0, w)  =  x·w              the second sum depends on the weights alone
"""

from abc import ABC, abstractmethod

from amaranth.hdl import Cat, Module, Mux, Shape, Value, signed, unsigned
from amaranth.lib import data

from config.array import NumberSystem
from hdl.arith import booth, hlog, leading_one, shift
from hdl.arith.compress import Word


class Lane(ABC):
    """A number system's part of the array.

    Attributes: `x_code`, `w_code`: shapes of the operand codes; `multiples`: layout of what one x is broadcast as;
    `words`: where the words of one product lie.
    """

    x_code: data.Layout | Shape
    w_code: data.Layout | Shape
    multiples: data.StructLayout
    words: list[Word]

    @abstractmethod
    def decode(self, m: Module, code: Value, multiples: data.View) -> None:
        """Drive `multiples` from an x code, combinationally. The code of zero gives zeros."""

    @abstractmethod
    def products(self, multiples: data.View, code: Value) -> list[Value]:
        """The words of the product, one for each of `words`."""


class HLogLane(Lane):
    """HLog × HLog: X and 3X are broadcast; a lane selects, negates and shifts."""

    def __init__(self, system: NumberSystem):
        self._coding = system.w
        bits = system.bits
        self.x_code = self.w_code = hlog.code_layout(system.w)
        self.multiples = data.StructLayout({"once": signed(bits + 1), "thrice": signed(bits + 2)})
        self.words = [Word(2 * bits)]

    def decode(self, m, code, multiples):
        unit = hlog.HLogMultiples(self._coding)
        m.submodules += unit
        m.d.comb += [unit.i.eq(code), multiples.once.eq(unit.once), multiples.thrice.eq(unit.thrice)]

    def products(self, multiples, code):
        return [hlog.hlog_place(multiples.once, multiples.thrice, code, self._coding)]


class LeadingOneLane(Lane):
    """Leading-one weights: x, as it is (ALOC) or itself cut to its leading one (power of two), negated and shifted."""

    def __init__(self, system: NumberSystem):
        self._coding = system.w
        self._x_is_coded = system.x == system.w
        bits = system.bits
        self.w_code = leading_one.code_layout(system.w)
        self.x_code = self.w_code if self._x_is_coded else signed(bits)
        self.multiples = data.StructLayout({"once": signed(bits)})
        self.words = [Word(2 * bits - 1)]

    def decode(self, m, code, multiples):
        if self._x_is_coded:
            bits = self._coding.bits
            # The top position is left out: -2^(n-1) is the sign bit alone, and +2^(n-1) is the code of zero.
            power = Cat(code.position == k for k in range(bits - 1))
            negative = (~power + 1)[: bits - 1]
            m.d.comb += multiples.once.eq(Cat(Mux(code.sign, negative, power), code.sign))
        else:
            m.d.comb += multiples.once.eq(code)

    def products(self, multiples, code):
        return [shift.leading_one_place(multiples.once, code, self._coding)]


class IntegerLane(Lane):
    """Integer × integer by Booth digits of the stationary weight."""

    def __init__(self, system: NumberSystem):
        bits = system.x.bits
        self.x_code = signed(bits)
        self.w_code = unsigned(bits)
        self.multiples = data.StructLayout({"once": signed(bits)})
        self.words = booth.words(bits)

    def decode(self, m, code, multiples):
        m.d.comb += multiples.once.eq(code)

    def products(self, multiples, code):
        return booth.partials(multiples.once, code)


def lane_of(system: NumberSystem) -> Lane:
    """The lane of a number system."""
    kinds = {"hlog": HLogLane, "aloc": LeadingOneLane, "pot": LeadingOneLane, "int8": IntegerLane, "int4": IntegerLane}
    return kinds[system.name](system)
