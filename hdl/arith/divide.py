# SPDX-License-Identifier: Apache-2.0
"""Division of a fraction's worth: (dividend << (bits-1)) // divisor, of a divisor whose top bit is set.

             ┌───────── remainder, quotient so far ◄──┐
             ▼                                        │
    i ─► ┌───────┐   remainder ≥ divisor?  one bit    │      ┌───────┐
         │ first │──►  take it off, double ───────────┴─►    │ next  │─► … ─► o
         └───────┘   `cycles` times                          └───────┘

The dividend is less than twice the divisor, and so is each remainder that is doubled. So the first bit needs no search,
each further one a subtraction, and a quotient never has more than `bits` bits.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from hdl.arith.larger import Larger
from hdl.shared import share


def operands_layout(bits: int, tag_bits: int = 0) -> data.StructLayout:
    """A division that is asked for, and what its quotient is handed back with."""
    return data.StructLayout({"dividend": bits, "divisor": bits, "tag": tag_bits})


def quotient_layout(bits: int, tag_bits: int = 0) -> data.StructLayout:
    """A division that is done."""
    return data.StructLayout({"quotient": bits, "tag": tag_bits})


def work_layout(bits: int, tag_bits: int) -> data.StructLayout:
    """A division under way: what is left, less than twice the divisor, and the bits found, the latest one lowest."""
    return data.StructLayout({"remainder": bits + 1, "divisor": bits, "quotient": bits, "tag": tag_bits})


class DivideStep(wiring.Component):
    """One bit of a quotient. Combinational.

    Parameters: `bits` of the divisor.
    Members: `remainder`: In, bits + 1, less than twice the divisor; `divisor`: In, bits. `bit`: Out, 1:
    remainder >= divisor; `rest`: Out, bits + 1: twice what is left of the remainder, less than twice the divisor.
    """

    def __init__(self, bits: int):
        super().__init__({"remainder": In(bits + 1), "divisor": In(bits), "bit": Out(1), "rest": Out(bits + 1)})

    def elaborate(self, platform):
        m = Module()
        # What is left is known later than whether it is taken, and is needed later.
        m.submodules.compare = compare = Larger(len(self.remainder))
        m.d.comb += [
            compare.a.eq(self.divisor),
            compare.b.eq(self.remainder),
            self.bit.eq(~compare.above),
            self.rest.eq(Cat(0, Mux(self.bit, (self.remainder - self.divisor)[:-2], self.remainder[:-1]))),
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
        m.submodules.step = step = DivideStep(self._bits)
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
        source = Signal(work.shape())
        m.d.comb += [
            # What comes is begun whether it is taken or not: only then do registers take it.
            source.eq(Mux(idle, self.i.payload, work)),
            step.remainder.eq(source.remainder),
            step.divisor.eq(source.divisor),
        ]
        with m.If(take):
            m.d.sync += [
                left.eq(self._steps - 1),
                idle.eq(self._steps == 1),
                busy.eq(1),
                work.divisor.eq(source.divisor),
                work.tag.eq(source.tag),
            ]
        with m.Elif(~idle):
            m.d.sync += [left.eq(left - 1), idle.eq(left == 1)]
        with m.Elif(self.o.ready):
            m.d.sync += busy.eq(0)
        with m.If(take | ~idle):
            m.d.sync += [
                work.remainder.eq(step.rest),
                work.quotient.eq(Cat(step.bit, source.quotient[:-1])),
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
        for number in range(self._bits // self._cycles):
            stage = DivideStage(self._bits, self._cycles, self._tag_bits)
            m.submodules[f"stage{number}"] = share(stage, f"divide_stage_{self._bits}", platform)
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
            begun.payload.remainder.eq(self.i.payload.dividend),
            begun.payload.divisor.eq(self.i.payload.divisor),
            begun.payload.quotient.eq(0),
            begun.payload.tag.eq(self.i.payload.tag),
            begun.valid.eq(self.i.valid),
            self.i.ready.eq(begun.ready),
        ]
        return begun
