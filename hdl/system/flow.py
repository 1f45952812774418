# SPDX-License-Identifier: Apache-2.0
"""What keeps readiness short between parts: a queue in registers, and what a memory shows as a stream.

i ─► place n … place 0 ─► o              memory ─► second place ─► output ─► o
"""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from hdl.shared import share


def queue_of(m: Module, name: str, shape: ShapeLike, depth: int, platform) -> "Queue":
    """A queue as submodule `name`."""
    queue = Queue(shape, depth)
    m.submodules[name] = share(queue, queue.name, platform)
    return queue


class Queue(wiring.Component):
    """Up to `depth` words of `shape`, from 2, that wait in registers.

    Members: `i`: In, stream; `o`: Out, stream, a cycle behind `i`. A word a cycle. `i.ready` depends on no input, so
    neither side's flow reaches the other in the same cycle. Empty after reset.
    """

    def __init__(self, shape: ShapeLike, depth: int):
        require(isinstance(depth, int) and depth >= 2, f"depth must be an integer from 2, not {depth!r}; raise it.")
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return f"queue_{self._depth}x{len(Value.cast(self.i.payload))}"

    def elaborate(self, platform):
        m = Module()
        places = [Signal(self.i.payload.shape(), name=f"place{n}", reset_less=True) for n in range(self._depth)]
        used, puts, takes = Signal(self._depth), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~used[-1]),
            self.o.valid.eq(used[0]),
            self.o.payload.eq(places[0]),
            puts.eq(self.i.valid & self.i.ready),
            takes.eq(self.o.valid & self.o.ready),
        ]
        with m.If(puts & ~takes):
            m.d.sync += used.eq(Cat(1, used))
        with m.Elif(takes & ~puts):
            m.d.sync += used.eq(used[1:])
        for n, place in enumerate(places):
            follows = used[n + 1] if n + 1 < self._depth else 0
            behind = places[n + 1] if n + 1 < self._depth else self.i.payload
            with m.If(takes):
                with m.If(follows):
                    m.d.sync += place.eq(behind)
                with m.Elif(puts & used[n]):
                    m.d.sync += place.eq(self.i.payload)
            with m.Elif(puts & ~used[n] & (used[n - 1] if n else 1)):
                m.d.sync += place.eq(self.i.payload)
        return m


class Shown(wiring.Component):
    """Words that a memory shows, as a stream.

    Parameters: `shape`.

    Members
    -------
    moves: Out, 1, a register's: the memory may be read. enters: In, 1, only where `moves`: it is, in this cycle. word:
    In, `shape`, what it shows from the next cycle on, until it is read again.
    o: Out, stream of `shape`, two cycles behind `enters`. A word a cycle. Empty after reset.

    Two words have places here; a third one may wait in the memory's own register. So no `ready` reaches the address.
    """

    def __init__(self, shape: ShapeLike):
        super().__init__(
            {"moves": Out(1), "enters": In(1), "word": In(shape), "o": Out(stream.Signature(shape))},
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return f"shown_{len(Value.cast(self.word))}"

    def elaborate(self, platform):
        m = Module()
        second = Signal(self.word.shape(), reset_less=True)
        output = Signal(self.word.shape(), reset_less=True)
        shown, waits, leaves = Signal(), Signal(), Signal()
        m.d.comb += [
            self.moves.eq(~waits),
            leaves.eq(~self.o.valid | self.o.ready),
            self.o.payload.eq(output),
        ]
        with m.If(~waits):
            m.d.sync += shown.eq(self.enters)
        with m.If(leaves):
            m.d.sync += [self.o.valid.eq(shown | waits), waits.eq(0)]
            with m.If(shown | waits):
                m.d.sync += output.eq(Mux(waits, second, self.word))
        with m.Elif(shown):
            m.d.sync += waits.eq(1)
            with m.If(~waits):
                m.d.sync += second.eq(self.word)
        return m
