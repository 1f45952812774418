# SPDX-License-Identifier: Apache-2.0
"""Leading-one encoder (LAPA): sign and position of the leading one of a two's complement operand."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.formats import LeadingOneFormat


def code_layout(coding: LeadingOneFormat) -> data.StructLayout:
    """Fields of a leading-one code, the lowest first."""
    return data.StructLayout({"position": coding.position_bits, "sign": 1})


def magnitude(value: Value, bits: int) -> Value:
    """|value| of a `bits`-bit two's complement value, `bits` bits unsigned: 2^(bits-1) is reached."""
    negative = value[-1]
    return ((value.as_unsigned() ^ negative.replicate(bits)) + negative)[:bits]


def one_hot_leading(value: Value) -> list[Value]:
    """For each bit of `value`, lowest first: is it the leading one?"""
    bits = [value[i] for i in range(len(value))]
    return [bit & ~Cat(bits[i + 1 :]).any() for i, bit in enumerate(bits)]


def binary(one_hot: list[Value], width: int) -> Value:
    """Index of the one that is set among `one_hot`; 0 if none is."""
    return Cat(Cat(bit for i, bit in enumerate(one_hot) if i >> b & 1).any() for b in range(width))


class LeadingOneEncoder(wiring.Component):
    """Codes an operand as sign and position of its leading one. Combinational.

    Parameters
    ----------
    coding: the format; its `bits` n is the operand's width.

    Members
    -------
    i: In, signed(n). The operand.
    o: Out, `code_layout(coding)`. Its code; the format's zero code for 0.
    """

    def __init__(self, coding: LeadingOneFormat):
        self._coding = coding
        super().__init__({"i": In(signed(coding.bits)), "o": Out(code_layout(coding))})

    @property
    def coding(self) -> LeadingOneFormat:
        return self._coding

    def elaborate(self, platform):
        m = Module()
        bits, position_bits = self._coding.bits, self._coding.position_bits
        size = Signal(bits)
        zero = Signal()
        m.d.comb += [
            size.eq(magnitude(self.i, bits)),
            zero.eq(size == 0),
            self.o.position.eq(Mux(zero, self._coding.zero_code, binary(one_hot_leading(size), position_bits))),
            self.o.sign.eq(self.i[-1]),
        ]
        return m
