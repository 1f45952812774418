# SPDX-License-Identifier: Apache-2.0
"""Encoder of an operand in any of the number systems."""

from amaranth.hdl import Module, Shape, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.formats import Format, HLogFormat, IntegerFormat, LeadingOneFormat
from hdl.arith import hlog, leading_one
from hdl.arith.hlog import HLogEncoder
from hdl.arith.integer import IntegerEncoder
from hdl.arith.leading_one import LeadingOneEncoder


def code_shape(coding: Format) -> data.Layout | Shape:
    """Shape of a code."""
    match coding:
        case HLogFormat():
            return hlog.code_layout(coding)
        case LeadingOneFormat():
            return leading_one.code_layout(coding)
        case _:
            return signed(coding.code_bits)


def module_of(coding: Format) -> str:
    """The name that encoders into one format share."""
    names = {HLogFormat: "hlog", LeadingOneFormat: "leading_one", IntegerFormat: "integer"}
    return names.get(type(coding), "raw") + "_encoder"


class Encoder(wiring.Component):
    """Codes an integer operand. Combinational.

    Parameters: `coding`, one of the formats of `config.formats`; `bits`, width of the operand before coding.
    Members: `i`: In, signed(bits); `o`: Out, `code_shape(coding)`.
    """

    def __init__(self, coding: Format, bits: int):
        self._coding = coding
        super().__init__({"i": In(signed(bits)), "o": Out(code_shape(coding))})

    def elaborate(self, platform):
        m = Module()
        match self._coding:
            case HLogFormat():
                m.submodules.encoder = encoder = HLogEncoder(self._coding)
            case LeadingOneFormat():
                m.submodules.encoder = encoder = LeadingOneEncoder(self._coding)
            case IntegerFormat():
                m.submodules.encoder = encoder = IntegerEncoder(self._coding)
            case _:
                m.d.comb += self.o.eq(self.i)
                return m
        m.d.comb += [encoder.i.eq(self.i), self.o.eq(encoder.o)]
        return m
