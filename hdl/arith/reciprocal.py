# SPDX-License-Identifier: Apache-2.0
"""Reciprocal, rounded down, of a normalised number: long division of a power of two, one bit a cycle.

twice the remainder ─► − divisor ─┬─► not negative? the quotient's next bit is 1
                                  └─► and this is the next remainder
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hdl.arith.adder import SHORT_SLICE, SlicedAdder
from hdl.arith.digits import Digits, State
from hdl.shared import share


class Reciprocal(Digits):
    """2^(2·bits - 1) // i, for i with its top bit set: from 2^(bits-1) to 2^bits, the latter for i = 2^(bits-1) alone.

    Parameters
    ----------
    bits: of the divisor, at least 2. parts: a divisor of `bits`, less than that. tag: bits of what accompanies a
    number. Raises `Refusal` for anything else.

    Members
    -------
    i: In, stream of `numbered(bits, tag)`; without its top bit, the result means nothing, and comes all the same.
    o: Out, stream of `numbered(bits + 1, tag)`, in the order of `i`.

    `latency` cycles from i to o, a number every `period` = bits / parts + 1 cycles.
    """

    def __init__(self, *, bits: int = 16, parts: int = 1, tag: int = 0):
        super().__init__(bits=bits, parts=parts, tag=tag, in_bits=bits, out_bits=bits + 1)

    def _widths(self, first: int, last: int) -> dict[str, int]:
        return {"remainder": self._bits, "divisor": self._bits, "quotient": last + 1}

    def _begin(self, number: Value) -> State:
        # The quotient's top bit: 2^(bits-1) fits once into itself, and into nothing that is larger.
        once = ~number[:-1].any()
        return {"remainder": Cat(Const(0, self._bits - 1), ~once), "divisor": number, "quotient": once}

    def _step(self, m: Module, state: State, name: str, platform) -> State:
        remainder, divisor, quotient = state["remainder"], state["divisor"], state["quotient"]
        width = self._bits + 2
        adder = SlicedAdder(width, width, SHORT_SLICE)
        m.submodules[name] = share(adder, f"short_adder_{width}", platform)
        # A difference is a sum with the complement, and 1, which has the place that doubling leaves.
        m.d.comb += [adder.a.eq(Cat(Const(1, 1), remainder, Const(0, 1))), adder.b.eq(~Cat(divisor, Const(0, 2)))]
        fits = ~adder.o[-1]
        return {
            "remainder": Mux(fits, adder.o[: self._bits], Cat(Const(0, 1), remainder)[: self._bits]),
            "divisor": divisor,
            "quotient": Cat(fits, quotient)[: len(quotient)],
        }

    def _result(self, state: State) -> Value:
        return state["quotient"]
