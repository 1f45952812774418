# SPDX-License-Identifier: Apache-2.0
"""Multiplier of two numbers with summands, in a pipeline: one carry-save tree and one carry chain for all of it.

a under each bit of b ─┐        ┌──────┐   ┌──────────┐   ┌───┐
addends ───────────────┼─ CSA ─►│ s, c │──►│ two sums │──►│ o │
a constant ────────────┘        └──────┘   │ a slice  │   └───┘
                                           └──────────┘
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.adder import add_in_two
from hdl.arith.compress import CarrySaveTree, Word, cuts
from hdl.behaviour import behavioural
from hdl.delay import delayed
from hdl.shared import share

FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS = 4, 7
"""Carry-save levels that fit a nanosecond in 45 nm, behind the rows and between registers."""


class MultiplyAdd(wiring.Component):
    """o = a·b + Σ addends + constant, modulo 2^bits. `latency` enabled cycles from the inputs to o; one every cycle.

    Parameters
    ----------
    a_bits: of a, at least 2. b_bits: of b, at least 1, or 2 if `signed_b`. addends: bits of each, at least 2.
    constant: any integer. bits: of the result, no less than of any input.

    Members
    -------
    a: In, signed(a_bits). b: In, unsigned(b_bits), or signed(b_bits). addend0, addend1, …: In, signed.
    enable: In, `latency`: bit i lets stage i take what stands in front of it. o: Out, signed(bits).
    """

    def __init__(
        self,
        *,
        a_bits: int,
        b_bits: int,
        bits: int,
        signed_b: bool = False,
        addends: Sequence[int] = (),
        constant: int = 0,
    ):
        self._signed_b, self._addends, self._constant = signed_b, tuple(addends), constant
        words = [Word(a_bits, i) for i in range(b_bits)] + [Word(1, b_bits - 1)] * signed_b
        words += [*(Word(width) for width in addends), Word(bits)]
        self._tree = CarrySaveTree(
            words=words, bits=bits, cuts=cuts(len(words), FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS)
        )
        super().__init__(
            {
                "a": In(signed(a_bits)),
                "b": In(signed(b_bits) if signed_b else unsigned(b_bits)),
                **{f"addend{i}": In(signed(width)) for i, width in enumerate(addends)},
                "enable": In(self._tree.latency + 2),
                "o": Out(signed(bits)),
            }
        )

    @property
    def latency(self) -> int:
        """Register stages: the tree's, and two for the sum."""
        return self._tree.latency + 2

    @property
    def kind(self) -> str:
        """A name that only equal ones have."""
        shape = [len(self.a), len(self.b), len(self.o), *self._addends, self._constant % (1 << len(self.o))]
        return "multiply_add_" + "s" * self._signed_b + "_".join(map(str, shape))

    def elaborate(self, platform):
        m = Module()
        tree, a, b = self._tree, self.a.as_unsigned(), self.b
        bits, a_bits = tree.bits, len(self.a)
        if behavioural(platform, tree):
            found = self.a * b + self._constant
            for i in range(len(self._addends)):
                found = found + getattr(self, f"addend{i}")
            m.d.comb += self.o.eq(delayed(m, found[:bits].as_signed(), "found", self.enable))
            return m
        m.submodules.tree = share(tree, f"{self.kind}_tree", platform)
        # A signed word is its pattern with the top bit inverted, less 2^(width-1); the constant takes up all of those.
        inverted = 1 << (a_bits - 1)
        rows = [(a & bit.replicate(a_bits)) ^ inverted for bit in b]
        constant, more = self._constant - inverted * ((1 << len(b)) - 1), []
        if self._signed_b:
            # The top row counts negative: its complement, and 1.
            rows[-1] = (~a & b[-1].replicate(a_bits)) ^ inverted
            more.append(b[-1])
        for i, width in enumerate(self._addends):
            more.append(getattr(self, f"addend{i}").as_unsigned() ^ (1 << (width - 1)))
            constant -= 1 << (width - 1)
        words = [*rows, *more, Const(constant % (1 << bits), bits)]
        stages = tree.latency
        m.d.comb += [tree.i.eq(Cat(words)), tree.enable.eq(self.enable[:stages])]
        m.d.comb += self.o.eq(add_in_two(m, list(tree.o), self.enable[stages], self.enable[stages + 1]).as_signed())
        return m
