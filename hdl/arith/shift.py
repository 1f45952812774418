# SPDX-License-Identifier: Apache-2.0
"""Shift product: a word times ±2^k, the only multiplication of the log domain.

The weight's side of it (sign, shift, zero) changes rarely, the word changes every cycle. So the product is left in a
form that costs an XOR and a shift for the word, and everything that depends on the weight alone is an offset:

    ±word·2^k  =  place(word) - place(0)       place(word) = (word ^ sign, top bit inverted) << k, unsigned; 0 for zero

-word is ~word + 1, and inverting the top bit adds 2^(width-1): both are weight-only terms, times 2^k. An array sums
places and subtracts the sum of its offsets once, instead of a sign extension and a carry in every lane.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.formats import LeadingOneFormat
from hdl.arith import leading_one


def place(m: Module, word: Value, sign: Value, shift: Value, zero: Value, reach: int) -> Value:
    """(word ^ sign, top bit inverted) << shift, or 0 if `zero`; unsigned, len(word) + reach bits.

    `reach` is the largest value that `shift` takes.
    """
    current = Signal(len(word), name="flipped")
    m.d.comb += current.eq(word.as_unsigned() ^ Cat(sign.replicate(len(word) - 1), ~sign))
    for stage in range(len(shift) - 1):
        moved = Signal(len(current) + (1 << stage), name=f"moved{stage}")
        m.d.comb += moved.eq(Mux(shift[stage], Cat(Const(0, 1 << stage), current), current))
        current = moved
    # Zero closes both ways through the last stage: two gates a lane instead of one a bit.
    last = len(shift) - 1
    width = len(word) + reach
    near, far = Signal(width), Signal(width)
    m.d.comb += [
        near.eq(Mux(~shift[last] & ~zero, current, 0)),
        far.eq(Mux(shift[last] & ~zero, Cat(Const(0, 1 << last), current), 0)),
    ]
    return near | far


def leading_one_place(m: Module, word: Value, code: Value, coding: LeadingOneFormat) -> Value:
    """`place` of a signed word under a leading-one code: len(word) + n - 1 bits."""
    zero = code.as_value() == coding.zero_code
    return place(m, word, code.sign, code.position, zero, coding.bits - 1)


class ShiftProduct(wiring.Component):
    """x · sign · 2^position: a word times a leading-one code (LAPA's ALOC, eq. 4). Combinational.

    Parameters
    ----------
    coding: the format of w; its `bits` n is the width of x as well.

    Members
    -------
    x: In, signed(n). The word.
    w: In, `leading_one.code_layout(coding)`. The code.
    o: Out, signed(2n). The product; 0 for the zero code.
    """

    def __init__(self, coding: LeadingOneFormat):
        self._coding = coding
        super().__init__(
            {
                "x": In(signed(coding.bits)),
                "w": In(leading_one.code_layout(coding)),
                "o": Out(signed(2 * coding.bits)),
            }
        )

    @property
    def coding(self) -> LeadingOneFormat:
        return self._coding

    def elaborate(self, platform):
        m = Module()
        nothing = Const(0, self.x.shape())
        m.d.comb += self.o.eq(
            leading_one_place(m, self.x, self.w, self._coding) - leading_one_place(m, nothing, self.w, self._coding)
        )
        return m
