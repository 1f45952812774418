# SPDX-License-Identifier: Apache-2.0
"""Queues of the memory's port: words in a memory, and what is known of each burst under way in registers."""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.shared import share
from hdl.store import Store


class WordQueue(wiring.Component):
    """Words in the order in which they came, in a `Store`.

    Parameters: `depth`, words; one more stands at the output. `shape`, of a word.
    Members: `i`: In, stream, waits while `depth` words are in the memory. `o`: Out, stream: a word 2 cycles after it
    came, or later; a word a cycle. `clear`: In, 1: all words are dropped, those that come in this cycle as well.
    """

    def __init__(self, depth: int, shape: ShapeLike):
        self._depth, self._shape = depth, shape
        super().__init__(
            {"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "clear": In(1)},
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return f"words_{self._depth}x{len(Value.cast(self.i.payload))}"

    def elaborate(self, platform):
        m = Module()
        store = Store(self._depth, self._shape)
        m.submodules.store = share(store, store.name, platform)
        write_at, read_at = Signal(range(self._depth)), Signal(range(self._depth))
        # `any`, `full`: what is known of `there` without looking at it.
        there, any_, full = Signal(range(self._depth + 1)), Signal(), Signal()
        enters, moves = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            enters.eq(self.i.valid & ~full),
            moves.eq(any_ & (~self.o.valid | self.o.ready)),
            store.write.eq(enters),
            store.write_at.eq(write_at),
            store.word.eq(self.i.payload),
            store.read.eq(moves),
            store.read_at.eq(read_at),
            self.o.payload.eq(store.stored),
        ]
        m.d.sync += self.o.valid.eq(moves | (self.o.valid & ~self.o.ready))
        with m.If(enters & ~moves):
            m.d.sync += [there.eq(there + 1), any_.eq(1), full.eq(there == self._depth - 1)]
        with m.If(moves & ~enters):
            m.d.sync += [there.eq(there - 1), any_.eq(there != 1), full.eq(0)]
        for place, goes_on in ((write_at, enters), (read_at, moves)):
            with m.If(goes_on):
                m.d.sync += place.eq(Mux(place == self._depth - 1, 0, place + 1))
        with m.If(self.clear):
            m.d.sync += [there.eq(0), any_.eq(0), full.eq(0), self.o.valid.eq(0), write_at.eq(0), read_at.eq(0)]
        return m


class OrderQueue(wiring.Component):
    """What is known of each burst under way, the oldest in front, where no logic stands before it.

    Parameters: `places`; `shape`, of an entry.
    Members: `push`: In, 1; `entry`: In: it enters; only if not `full`: Out, 1. `pop`: In, 1: the oldest leaves; only if
    `there`: Out, 1. `oldest`: Out.
    """

    def __init__(self, places: int, shape: ShapeLike):
        self._places, self._shape = places, shape
        super().__init__(
            {
                "push": In(1),
                "entry": In(shape),
                "full": Out(1),
                "pop": In(1),
                "there": Out(1),
                "oldest": Out(shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entries = [Signal(self._shape, name=f"entry{n}", reset_less=True) for n in range(self._places)]
        used = Signal(self._places)
        kept = Signal(self._places)
        m.d.comb += [
            self.oldest.eq(entries[0]),
            self.there.eq(used[0]),
            self.full.eq(used[-1]),
            kept.eq(Mux(self.pop, used >> 1, used)),
        ]
        m.d.sync += used.eq(Mux(self.push, Cat(1, kept), kept))
        for n, entry in enumerate(entries):
            with m.If(~kept[n]):
                # Nobody looks at it unless it is pushed.
                m.d.sync += entry.eq(self.entry)
            with m.Elif(self.pop):
                m.d.sync += entry.eq(entries[min(n + 1, self._places - 1)])
        return m
