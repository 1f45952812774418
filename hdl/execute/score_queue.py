# SPDX-License-Identifier: Apache-2.0
"""A line's scores, which wait until the largest of their item is known.

i ─┬─► ring of scores ───────────────────────────────┬─► o
   └─► largest so far ─► queue: largest, head, row ──┘   of items whose scores are all there
given, count ─► words and places that are promised ─► opens
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.errors import require
from config.items import ItemsConfig
from hdl.arith.compare import less
from hdl.arith.larger import Larger
from hdl.cover import corner
from hdl.execute.dot_line import untimed
from hdl.execute.scores import score_bits, score_layout
from hdl.execute.waiting import next_place, place_in_ring
from hdl.shared import share
from hdl.store import Store


def ranked_layout(config: ItemsConfig) -> data.StructLayout:
    """`score_layout` with the item's `largest` score. Both are unsigned here, more by what makes the least one 0."""
    bits = score_bits(config.lanes)
    return data.StructLayout({**score_layout(config).members, "score": bits, "largest": bits})


class ScoreQueue(wiring.Component):
    """Holds the scores of a line's items until the last one of an item has come.

    Parameters
    ----------
    config: `ItemsConfig` of one chunk.
    words: scores that are held, from `chunk`. items: that are held, from 2.
    Raises `Refusal` for anything else.

    Members
    -------
    given: In, 1: the line gets an item of `count` keys, In, with this cycle, as its next one; `Gather`'s `given` and
    `advance`.
    opens: Out, 1, registered: there is room for the scores of all items that were given; for `Gather`. 0 in the cycle
    behind `given`.
    i: In, `untimed(score_layout)`: of the items in their order, those of one item in any order.
    o: Out, stream of `ranked_layout(config)`: the same in the same order, an item's first one at least
    4 cycles behind its last one at `i`. A score a cycle; `o.valid` does not depend on `o.ready`.
    """

    def __init__(self, config: ItemsConfig, *, words: int, items: int):
        require(config.chunks == 1, f"chunk must be tokens = {config.tokens}, not {config.chunk}; set it to that.")
        require(
            isinstance(words, int) and words >= config.chunk,
            f"words must be an integer from chunk = {config.chunk}, not {words!r}; raise it.",
        )
        require(isinstance(items, int) and items >= 2, f"items must be an integer from 2, not {items!r}; raise it.")
        self._config, self._words, self._items = config, words, items
        self._score_bits = score_bits(config.lanes)
        super().__init__(
            {
                "given": In(1),
                "count": In(range(config.chunk + 1)),
                "opens": Out(1),
                "i": In(untimed(score_layout(config))),
                "o": Out(stream.Signature(ranked_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, entering = self._config, self.i.payload
        score = Signal(self._score_bits)
        m.d.comb += score.eq(entering.score.as_unsigned() ^ 1 << (self._score_bits - 1))
        known = self._find_largest(m, score, platform)
        reads = self._ring(m, score, known.r_rdy, platform)
        leaves = self.o.valid & self.o.ready & self.o.payload.last
        m.d.comb += [
            Cat(self.o.payload.largest, self.o.payload.head, self.o.payload.row).eq(known.r_data),
            known.r_en.eq(leaves),
        ]
        used, held = Signal(range(self._words + config.chunk + 1)), Signal(range(self._items + 2))
        m.d.sync += [
            used.eq(used + Mux(self.given, self.count, 0) - reads),
            held.eq(held + self.given - leaves),
            self.opens.eq(~self.given & ~less(self._words, used) & ~less(self._items, held)),
        ]
        corner(m, platform, "scores_fill_the_ring", used > self._words)
        corner(m, platform, "items_fill_the_queue", held > self._items)
        return m

    def _find_largest(self, m: Module, score: Value, platform) -> SyncFIFOBuffered:
        """The queue of what is known of an item as soon as all of its scores have come."""
        entering, larger = self.i.payload, Larger(self._score_bits + 1)
        m.submodules.larger = share(larger, "larger", platform)
        largest, ends = Signal(self._score_bits, reset_less=True), Signal()
        head, row = Signal.like(entering.head, reset_less=True), Signal.like(entering.row, reset_less=True)
        # The first score of an item is above all that came before.
        m.d.comb += [larger.a.eq(Cat(score, entering.first)), larger.b.eq(largest)]
        m.d.sync += ends.eq(self.i.valid & entering.last)
        with m.If(self.i.valid):
            with m.If(larger.above):
                m.d.sync += largest.eq(score)
            with m.If(entering.last):
                m.d.sync += [head.eq(entering.head), row.eq(entering.row)]
        word = Cat(largest, head, row)
        # A place more than items, as one is a register.
        m.submodules.known = known = SyncFIFOBuffered(width=len(word), depth=self._items + 1)
        m.d.comb += [known.w_data.eq(word), known.w_en.eq(ends)]
        return known

    def _ring(self, m: Module, score: Value, known: Value, platform) -> Value:
        """Scores in the order in which they come, read as soon as their item is complete. Returns whether one is."""
        entering, words = self.i.payload, self._words
        layout = data.StructLayout({"score": self._score_bits, "key": entering.key.shape(), "first": 1, "last": 1})
        ring = Store(words, layout)
        m.submodules.ring = share(ring, "score_ring", platform)
        write, complete, read = (place_in_ring(words, name) for name in ("write", "complete", "read"))
        shown, reads = Signal(), Signal()
        m.d.comb += [
            ring.write.eq(self.i.valid),
            ring.write_at.eq(write.index),
            ring.word.score.eq(score),
            *(ring.word[name].eq(entering[name]) for name in ("key", "first", "last")),
            reads.eq((complete.as_value() != read.as_value()) & (~shown | (self.o.valid & self.o.ready))),
            ring.read.eq(reads),
            ring.read_at.eq(read.index),
            *(self.o.payload[name].eq(ring.stored[name]) for name, _ in layout),
            self.o.valid.eq(shown & known),
        ]
        m.d.sync += shown.eq(reads | (shown & ~(self.o.valid & self.o.ready)))
        with m.If(self.i.valid):
            m.d.sync += write.eq(next_place(write, words))
            with m.If(entering.last):
                m.d.sync += complete.eq(next_place(write, words))
        with m.If(reads):
            m.d.sync += read.eq(next_place(read, words))
        return reads
