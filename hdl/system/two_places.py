# SPDX-License-Identifier: Apache-2.0
"""Two places for what a stream brings, so that neither side waits for the other in the same cycle.

i ─┬────────────► o
   └─► spare ─┘
"""

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class TwoPlaces(wiring.Component):
    """A stream a cycle later, with registers at both ends: no `ready` and no `valid` hangs on the other side.

    Parameter: `shape` of the payload.
    Members: `i`: In, `o`: Out, streams. `clear`: In, 1: what is here is gone, and what comes in this cycle; for streams
    that nobody takes any more. A payload a cycle. Empty after reset.
    """

    def __init__(self, shape: ShapeLike):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "clear": In(1)})

    def elaborate(self, platform):
        m = Module()
        shape = self.i.payload.shape()
        shown, spare = Signal(shape, reset_less=True), Signal(shape, reset_less=True)
        waits, comes = Signal(), Signal()
        m.d.comb += [self.i.ready.eq(~waits), comes.eq(self.i.valid | waits), self.o.payload.eq(shown)]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(comes), waits.eq(0)]
            with m.If(comes):
                m.d.sync += Value.cast(shown).eq(Mux(waits, Value.cast(spare), Value.cast(self.i.payload)))
        with m.Elif(self.i.valid & ~waits):
            m.d.sync += [Value.cast(spare).eq(Value.cast(self.i.payload)), waits.eq(1)]
        with m.If(self.clear):
            m.d.sync += [self.o.valid.eq(0), waits.eq(0)]
        return m


def reads(m: Module, places: TwoPlaces, more: Value, done: Value | int = 1) -> tuple[Value, Value]:
    """Reading a memory into `places`, a word a cycle. more: there is a word to be read; done: what goes into the places
    now is the last part of the word at the memory's output. Returns whether a word is read in this cycle, and whether
    one is at the output: then it is to be offered to the places. With `clear` it is gone."""
    there, free, read = Signal(), Signal(), Signal()
    m.d.comb += [free.eq(~there | (places.i.ready & done)), read.eq(free & more)]
    with m.If(free):
        m.d.sync += there.eq(read)
    with m.If(places.clear):
        m.d.sync += there.eq(0)
    return read, there
