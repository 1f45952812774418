# SPDX-License-Identifier: Apache-2.0
"""What a lane of the array is made of in each number system; everything around it is the same for all.

x code ─► decoder, once for all rows ─► multiples ──broadcast──► product ─► unsigned words for the compressor
                                                    weight code ───┘
Σ words(x, w) - Σ words(0, w)  =  x·w              the second sum depends on the weights alone
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.array import ArrayConfig, NumberSystem
from hdl.arith import booth, hlog, shift
from hdl.arith.compress import Word, words_layout
from hdl.speculate.encoder import code_shape


@dataclass(frozen=True)
class Lane:
    """A number system's part of the array: shapes of the operand codes, what one x is broadcast as, where the words of
    one product lie, and how many carry-save levels fit in a nanosecond behind the product, in 45 nm."""

    system: NumberSystem
    x_code: data.Layout | Shape
    w_code: data.Layout | Shape
    multiples: data.StructLayout
    words: tuple[Word, ...]
    levels_behind: int


def lane_of(config: ArrayConfig) -> Lane:
    """The lane of an array. Only HLog broadcasts `thrice`; only Booth's partial products are several words."""
    system = config.system
    bits = system.x.bits
    x_code, w_code = code_shape(system.x), code_shape(system.w)
    plain = data.StructLayout({"once": signed(bits)})
    match system.name:
        case "hlog":
            multiples = data.StructLayout({"once": signed(bits + 1), "thrice": signed(bits + 2)})
            return Lane(system, x_code, w_code, multiples, (Word(2 * bits),), levels_behind=5)
        case "aloc" | "pot":
            return Lane(system, x_code, w_code, plain, (Word(2 * bits - 1),), levels_behind=5)
    if config.booth:
        return Lane(system, x_code, w_code, plain, tuple(booth.words(bits)), levels_behind=6)
    return Lane(system, x_code, w_code, plain, (Word(2 * bits),), levels_behind=0 if bits > 4 else 3)


class Decoder(wiring.Component):
    """Multiples of an x code. Combinational; the code of zero gives zeros.

    Members: `i`: In, the lane's `x_code`; `o`: Out, its `multiples`.
    """

    def __init__(self, lane: Lane):
        self._lane = lane
        super().__init__({"i": In(lane.x_code), "o": Out(lane.multiples)})

    def elaborate(self, platform):
        m = Module()
        coding = self._lane.system.x
        match self._lane.system.name:
            case "hlog":
                m.submodules.multiples = unit = hlog.HLogMultiples(coding)
                m.d.comb += [unit.i.eq(self.i), self.o.once.eq(unit.once), self.o.thrice.eq(unit.thrice)]
            case "pot":
                # The top position is left out: -2^(n-1) is the sign bit alone, and +2^(n-1) is the code of zero.
                power, negative = Signal(coding.bits - 1), Signal(coding.bits - 1)
                m.d.comb += [
                    power.eq(Cat(self.i.position == k for k in range(coding.bits - 1))),
                    negative.eq(~power + 1),
                    self.o.once.eq(Cat(Mux(self.i.sign, negative, power), self.i.sign).as_signed()),
                ]
            case _:
                m.d.comb += self.o.once.eq(self.i)
        return m


class Product(wiring.Component):
    """Words of the product of a broadcast x and a stationary weight. Combinational.

    Members: `x`: In, the lane's `multiples`; `w`: In, its `w_code`; `o`: Out, one unsigned word per entry of `words`.
    """

    def __init__(self, lane: Lane):
        self._lane = lane
        super().__init__({"x": In(lane.multiples), "w": In(lane.w_code), "o": Out(words_layout(lane.words))})

    def elaborate(self, platform):
        m = Module()
        coding = self._lane.system.w
        match self._lane.system.name:
            case "hlog":
                words = [hlog.hlog_place(m, self.x.once, self.x.thrice, self.w, coding)]
            case "aloc" | "pot":
                words = [shift.leading_one_place(m, self.x.once, self.w, coding)]
            case _ if len(self._lane.words) > 1:
                words = booth.partials(m, self.x.once, self.w)
            case _:
                product = Signal(signed(2 * coding.bits))
                m.d.comb += product.eq(self.x.once * self.w)
                # The top bit inverted makes it an unsigned word, 2^(2n-1) too large whatever the weight.
                words = [product.as_unsigned() ^ (1 << (2 * coding.bits - 1))]
        m.d.comb += [self.o[str(i)].eq(word) for i, word in enumerate(words)]
        return m
