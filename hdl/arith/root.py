# SPDX-License-Identifier: Apache-2.0
"""Square root, rounded down, of a normalised number: the schoolbook method, one bit of the root a cycle.

remainder, two more bits of the number ─► − (4·root + 1) ─┬─► not negative? the root's next bit is 1
                                                          └─► and this is the next remainder
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hdl.arith.adder import SHORT_SLICE, SlicedAdder
from hdl.arith.digits import Digits, State
from hdl.shared import share


class Root(Digits):
    """floor(√i), for i with one of its top two bits set. Smaller numbers have exact roots too, of fewer bits.

    Parameters
    ----------
    bits: of the root, at least 2. parts: a divisor of `bits`, less than that. tag: bits of what accompanies a number.
    Raises `Refusal` for anything else.

    Members
    -------
    i: In, stream of `numbered(2·bits, tag)`. o: Out, stream of `numbered(bits, tag)`, in the order of `i`.

    `latency` cycles from i to o, a number every `period` = bits / parts + 1 cycles.
    """

    def __init__(self, *, bits: int = 16, parts: int = 1, tag: int = 0):
        super().__init__(bits=bits, parts=parts, tag=tag, in_bits=2 * bits, out_bits=bits)

    def _widths(self, first: int, last: int) -> dict[str, int]:
        # With n bits of the root, the remainder is at most twice the root; two bits of the number go with each step.
        return {"remainder": last + 1, "root": last, "rest": 2 * (self._bits - first)}

    def _begin(self, number: Value) -> State:
        return {"remainder": Const(0, 1), "root": Const(0, 1), "rest": number}

    def _step(self, m: Module, state: State, name: str, platform) -> State:
        remainder, root, rest = state["remainder"], state["root"], state["rest"]
        before = Cat(rest[-2:], remainder, Const(0, 1))
        adder = SlicedAdder(len(before), len(before), SHORT_SLICE)
        m.submodules[name] = share(adder, f"short_adder_{len(before)}", platform)
        # -(4·root + 1): its complement and 1, which goes no further than the two lowest bits.
        m.d.comb += [adder.a.eq(before), adder.b.eq(Cat(Const(3, 2), ~Cat(root, Const(0, len(before) - 2))))]
        fits = ~adder.o[-1]
        return {
            "remainder": Mux(fits, adder.o[: len(remainder)], before[: len(remainder)]),
            "root": Cat(fits, root)[: len(root)],
            "rest": Cat(Const(0, 2), rest)[: len(rest)],
        }

    def _result(self, state: State) -> Value:
        return state["root"]
