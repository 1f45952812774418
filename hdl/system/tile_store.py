# SPDX-License-Identifier: Apache-2.0
"""A ring of tiles: their words come once, and leave once for each list of rows.

i ─► ring ─► o        turns: which tile leaves, for the first time, for the last time
"""

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.shared import share
from hdl.store import Store
from hdl.system.flow import Shown


def turn_layout(most: int) -> data.StructLayout:
    """A tile of `words` words, 1 to `most`, is to leave: for the `first` time; for the `last` time, then its words make
    room as they leave. `ends`: behind it all that were not here for the last time leave again, the oldest first."""
    return data.StructLayout({"words": range(most + 1), "first": 1, "last": 1, "ends": 1})


class TileStore(wiring.Component):
    """Tiles in a ring of `depth` words.

    Parameters
    ----------
    depth: words of `shape`, of all tiles between their first and last time. most: words of the longest tile.

    Members
    -------
    i: In, stream of `shape`: tile behind tile.
    turns: In, stream of `turn_layout(most)`, each taken when its last word is read: the tiles of a list in their order,
    then those of the next list. All of a list are for the first time or none, and for the last time or none.
    o: Out, stream of `word` and `last`, 1: of its tile; a word a cycle, if words are there; four cycles behind i.

    A word is read as soon as it is there, and has room for another one as soon as it is read for the last time. No
    `valid` depends on a `ready`, and no `ready` on the other side's.
    """

    def __init__(self, depth: int, shape: ShapeLike, most: int):
        self._depth, self._store = depth, Store(depth, shape)
        word = data.StructLayout({"word": shape, "last": 1})
        self._shown = Shown(word)
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "turns": In(stream.Signature(turn_layout(most))),
                "o": Out(stream.Signature(word)),
            }
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return f"tile_{self._store.name}"

    def elaborate(self, platform):
        m = Module()
        store, shown, turn = self._store, self._shown, self.turns.payload
        m.submodules.store = share(store, store.name, platform)
        m.submodules.shown = share(shown, shown.name, platform)
        room, ahead = Signal(range(self._depth + 1), init=self._depth), Signal(range(self._depth + 1))
        writes, reads, ends, last = Signal(), Signal(), Signal(), Signal(reset_less=True)
        following = Signal.like(turn.words, init=1)
        m.d.comb += [
            self.i.ready.eq(room.any()),
            writes.eq(self.i.valid & self.i.ready),
            reads.eq(shown.moves & self.turns.valid & (~turn.first | ahead.any())),
            ends.eq(following == turn.words),
            self.turns.ready.eq(reads & ends),
            shown.enters.eq(reads),
            shown.word.word.eq(store.stored),
            shown.word.last.eq(last),
        ]
        m.d.sync += [
            room.eq(room + (reads & turn.last) - writes),
            ahead.eq(ahead + writes - (reads & turn.first)),
        ]
        with m.If(reads):
            m.d.sync += [following.eq(Mux(ends, 1, following + 1)), last.eq(ends)]
        wiring.connect(m, shown.o, wiring.flipped(self.o))
        self._address(m, writes, reads, ends)
        return m

    def _address(self, m: Module, writes: Value, reads: Value, ends: Value) -> None:
        """Where words are written and read; where the oldest tile begins."""
        store, turn = self._store, self.turns.payload
        to, at, oldest = (Signal(range(max(self._depth, 2)), name=name) for name in ("to", "at", "oldest"))
        m.d.comb += [
            store.write.eq(writes),
            store.write_at.eq(to),
            store.word.eq(self.i.payload),
            store.read.eq(reads),
            store.read_at.eq(at),
        ]
        behind = Signal.like(at)
        m.d.comb += behind.eq(self._after(at))
        with m.If(writes):
            m.d.sync += to.eq(self._after(to))
        with m.If(reads):
            m.d.sync += at.eq(Mux(ends & turn.ends & ~turn.last, oldest, behind))
            with m.If(turn.last):
                m.d.sync += oldest.eq(behind)

    def _after(self, place: Value) -> Value:
        return Mux(place == self._depth - 1, 0, place + 1)
