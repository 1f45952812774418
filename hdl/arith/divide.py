# SPDX-License-Identifier: Apache-2.0
"""Division of a fraction's worth: (dividend << (bits-1)) // divisor, of a divisor whose top bit is set.

             ┌───────── excess, quotient so far ◄─────┐
             ▼                                        │
    i ─► ┌───────┐   double; ± divisor, towards 0     │      ┌───────┐
         │ first │──►  one bit: not negative? ────────┴─►    │ next  │─► … ─► o
         └───────┘   `cycles` times                          └───────┘

The dividend is less than twice the divisor, and so is each remainder that is doubled. So the first bit needs no search,
each further one a subtraction, and a quotient never has more than `bits` bits.

A subtraction is not taken back where it was one too much: the next one is an addition instead, as 2·(x + d) - d is
2·x + d. So nothing waits for the sign of a difference. What is kept is that difference, the excess of the remainder
over the divisor.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from hdl.arith.adder import SHORT_SLICE, add_in_slices
from hdl.shared import share


def operands_layout(bits: int, tag_bits: int = 0) -> data.StructLayout:
    """A division that is asked for, and what its quotient is handed back with."""
    return data.StructLayout({"dividend": bits, "divisor": bits, "tag": tag_bits})


def quotient_layout(bits: int, tag_bits: int = 0) -> data.StructLayout:
    """A division that is done."""
    return data.StructLayout({"quotient": bits, "tag": tag_bits})


def excess_layout(bits: int) -> data.StructLayout:
    """Twice the excess, from -2·divisor to 2·divisor - 1, as its lowest bits and its sign; and the divisor."""
    return data.StructLayout({"doubled": bits + 1, "negative": 1, "divisor": bits})


def work_layout(bits: int, tag_bits: int) -> data.StructLayout:
    """A division under way, and the bits found, the latest one lowest."""
    return data.StructLayout({"excess": excess_layout(bits), "quotient": bits, "tag": tag_bits})


class DivideStep(wiring.Component):
    """One bit of a quotient. Combinational, and a module of its own, as synthesis maps it for speed.

    Parameters: `bits` of the divisor.
    Members: `begins`: In, 1: of `given`, and not of `held`; both In, `excess_layout`. `excess`: Out, bits + 1, two's
    complement, from -divisor to divisor - 1; `quotient_bit`: Out, 1: it is not negative.
    """

    def __init__(self, bits: int):
        layout = excess_layout(bits)
        super().__init__(
            {"begins": In(1), "given": In(layout), "held": In(layout), "excess": Out(bits + 1), "quotient_bit": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        source = Signal(self.held.shape())
        doubled, divisor = source.doubled, Cat(source.divisor, Const(0, 1))
        # A difference is a sum with the complement, and 1.
        less = ~source.negative
        excess = add_in_slices(doubled, divisor ^ less.replicate(len(divisor)), less, longest=SHORT_SLICE)
        m.d.comb += [
            source.eq(Mux(self.begins, self.given, self.held)),
            self.excess.eq(excess[:-1]),
            self.quotient_bit.eq(~self.excess[-1]),
        ]
        return m


class DivideStage(wiring.Component):
    """`steps` bits of a quotient, one a cycle, in one set of registers.

    Members: `i`: In, stream of `work_layout(bits, tag_bits)`; `o`: Out, likewise, `steps` cycles later; one transfer
    every `steps` cycles. `o.valid` does not depend on `o.ready`.
    """

    def __init__(self, bits: int, steps: int, tag_bits: int):
        self._bits, self._steps = bits, steps
        signature = stream.Signature(work_layout(bits, tag_bits))
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        step = DivideStep(self._bits)
        m.submodules.step = share(step, f"divide_step_{self._bits}", platform)
        work = Signal(self.o.payload.shape(), reset_less=True)
        left, busy = Signal(range(max(self._steps, 2))), Signal()
        idle = Signal(init=1)
        take = Signal()
        m.d.comb += [
            self.o.payload.eq(work),
            self.o.valid.eq(busy & idle),
            self.i.ready.eq(~busy | (idle & self.o.ready)),
            take.eq(self.i.valid & self.i.ready),
        ]
        excess, quotient = work.excess, Mux(idle, self.i.payload.quotient, work.quotient)
        m.d.comb += [
            # What comes is begun whether it is taken or not: only then do registers take it.
            step.begins.eq(idle),
            step.given.eq(self.i.payload.excess),
            step.held.eq(excess),
        ]
        with m.If(take):
            m.d.sync += [
                left.eq(self._steps - 1),
                idle.eq(self._steps == 1),
                busy.eq(1),
                excess.divisor.eq(self.i.payload.excess.divisor),
                work.tag.eq(self.i.payload.tag),
            ]
        with m.Elif(~idle):
            m.d.sync += [left.eq(left - 1), idle.eq(left == 1)]
        with m.Elif(self.o.ready):
            m.d.sync += busy.eq(0)
        with m.If(take | ~idle):
            m.d.sync += [
                excess.doubled.eq(Cat(Const(0, 1), step.excess)),
                excess.negative.eq(~step.quotient_bit),
                work.quotient.eq(Cat(step.quotient_bit, quotient[:-1])),
            ]
        return m


class Divider(wiring.Component):
    """(dividend << (bits-1)) // divisor. A result every `cycles` cycles, `bits` cycles from i to o.

    Parameters
    ----------
    bits: of the dividend, the divisor and the quotient, at least 2.
    cycles: between results, a divisor of `bits`: with `bits` there is a single subtractor, with 1 there are `bits`.
    tag_bits: of what accompanies a division.
    Raises `Refusal` for anything else.

    Members
    -------
    i: In, stream of `operands_layout(bits, tag_bits)`, unsigned. Of a divisor whose top bit is 0, quotients mean
    nothing.
    o: Out, stream of `quotient_layout(bits, tag_bits)`, in the order of `i`.

    `o.valid` does not depend on `o.ready`; `i.ready` does. Registers keep their content but for divisions under way.
    """

    def __init__(self, *, bits: int, cycles: int, tag_bits: int = 0):
        require(isinstance(bits, int) and bits >= 2, f"bits must be an integer from 2, not {bits!r}; raise it.")
        require(
            isinstance(cycles, int) and cycles >= 1 and bits % cycles == 0,
            f"cycles must divide the {bits} bits, not be {cycles!r}; set cycles to 1, {bits}, or one between.",
        )
        self._bits, self._cycles, self._tag_bits = bits, cycles, tag_bits
        super().__init__(
            {
                "i": In(stream.Signature(operands_layout(bits, tag_bits))),
                "o": Out(stream.Signature(quotient_layout(bits, tag_bits))),
            }
        )

    @property
    def cycles(self) -> int:
        return self._cycles

    @property
    def latency(self) -> int:
        """Cycles from i to o."""
        return self._bits

    def elaborate(self, platform):
        m = Module()
        offered = self._begun(m)
        name = f"divide_stage_{self._bits}_{self._cycles}_{self._tag_bits}"
        for number in range(self._bits // self._cycles):
            stage = DivideStage(self._bits, self._cycles, self._tag_bits)
            m.submodules[f"stage{number}"] = share(stage, name, platform)
            m.d.comb += [
                Value.cast(stage.i.payload).eq(offered.payload),
                stage.i.valid.eq(offered.valid),
                offered.ready.eq(stage.i.ready),
            ]
            offered = stage.o
        m.d.comb += [
            self.o.payload.quotient.eq(offered.payload.quotient),
            self.o.payload.tag.eq(offered.payload.tag),
            self.o.valid.eq(offered.valid),
            offered.ready.eq(self.o.ready),
        ]
        return m

    def _begun(self, m: Module):
        """The stream of operands as divisions of which nothing is done."""
        begun = stream.Signature(work_layout(self._bits, self._tag_bits)).create()
        m.d.comb += [
            begun.payload.excess.doubled.eq(self.i.payload.dividend),
            begun.payload.excess.negative.eq(0),
            begun.payload.excess.divisor.eq(self.i.payload.divisor),
            begun.payload.quotient.eq(0),
            begun.payload.tag.eq(self.i.payload.tag),
            begun.valid.eq(self.i.valid),
            self.i.ready.eq(begun.ready),
        ]
        return begun
