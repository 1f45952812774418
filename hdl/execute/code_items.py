# SPDX-License-Identifier: Apache-2.0
"""Codes of a line's items, and the items that are left of them: the keys whose code is not 0.

i ─┬─► entries of codes, one for each item ─┬─► code
   │                         coming: key ───┘
   └─► keys so far ─► item ─► give
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from config.execute import PROBABILITY_BITS
from config.items import ItemsConfig
from hdl.cover import corner
from hdl.execute.dot_line import untimed
from hdl.execute.gather_lines import tag_layout
from hdl.execute.items import item_layout
from hdl.execute.line_powers import code_layout
from hdl.shared import share
from hdl.store import Store

MOST_AHEAD = 2
"""Items that have begun and are not given: one whose keys are collected, one that is offered."""


class CodeItems(wiring.Component):
    """Holds the codes of items until their rows come, and gives `GatherLines` what there is to bring. Codes of 0 add
    nothing to a context: their rows are not asked for.

    Parameters
    ----------
    config: `ItemsConfig` of one chunk. entries: items whose codes are held, a power of two from 2.
    Raises `Refusal` for anything else.

    Members
    -------
    begins: In, 1: an item begins whose codes will come; only if it opens: Out, 1, of registers.
    i: In, `untimed(code_layout(config))`; an item's first code comes 2 cycles or more after it began.
    give, item, room, advance: as those of `GatherLines` for one line; an item is given 2 cycles or more behind its last
    code.
    coming: In, `tag_layout(config)`; code: Out, 8, for the row that `o` offers behind it.
    read: Out, 1: with `advance`, the last code of an item is read in this cycle.
    """

    def __init__(self, config: ItemsConfig, *, entries: int):
        require(
            isinstance(entries, int) and entries >= 2 and entries & (entries - 1) == 0,
            f"entries must be a power of two from 2, not {entries!r}; choose one.",
        )
        self._config, self._entries = config, entries
        super().__init__(
            {
                "begins": In(1),
                "opens": Out(1),
                "i": In(untimed(code_layout(config))),
                "advance": In(1),
                "room": In(1),
                "give": Out(1),
                "item": Out(item_layout(config)),
                "coming": In(tag_layout(config)),
                "code": Out(PROBABILITY_BITS),
                "read": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entries = self._entries
        ahead, used = Signal(range(MOST_AHEAD + 1)), Signal(range(entries + 1))
        gives = self.give & self.advance
        m.d.comb += [
            self.opens.eq((ahead != MOST_AHEAD) & (used != entries)),
            self.read.eq(self.coming.valid & self.coming.last),
        ]
        m.d.sync += [
            ahead.eq(ahead + self.begins - gives),
            used.eq(used + self.begins - (self.read & self.advance)),
        ]
        self._keep(m, platform)
        self._give(m, self._collect(m), gives)
        corner(m, platform, "code_of_nothing", self.i.valid & ~self.i.payload.code.any())
        corner(m, platform, "codes_fill_the_entries", used == entries)
        corner(m, platform, "item_waits_for_the_line", self.give & ~self.room)
        return m

    def _keep(self, m: Module, platform) -> None:
        """Codes by entry and key."""
        code, coming = self.i.payload, self.coming
        store = Store(self._entries * self._config.chunk, PROBABILITY_BITS)
        m.submodules.store = share(store, "code_store", platform)
        places = [Signal(range(self._entries), name=name) for name in ("written", "reading")]
        for place, moves in zip(places, (self.i.valid & code.last, self.read & self.advance), strict=True):
            with m.If(moves):
                m.d.sync += place.eq(place + 1)
        m.d.comb += [
            store.write.eq(self.i.valid),
            store.write_at.eq(Cat(code.key, places[0])),
            store.word.eq(code.code),
            store.read.eq(coming.valid & self.advance),
            store.read_at.eq(Cat(coming.key, places[1])),
            self.code.eq(store.stored),
        ]

    def _collect(self, m: Module) -> tuple[Value, Value]:
        """The keys so far, as an item, and whether it is whole."""
        code, chunk = self.i.payload, self._config.chunk
        so_far, whole = Signal(self.item.shape(), reset_less=True), Signal()
        counts = code.code.any()
        here = Cat(counts & (code.key == key) for key in range(chunk))
        m.d.sync += whole.eq(self.i.valid & code.last)
        with m.If(self.i.valid):
            m.d.sync += [
                so_far.keys.eq(Mux(code.first, 0, so_far.keys) | here),
                so_far.count.eq(Mux(code.first, 0, so_far.count) + counts),
            ]
            with m.If(code.last):
                m.d.sync += [so_far.head.eq(code.head), so_far.row.eq(code.row), so_far.chunk.eq(Const(0))]
        return so_far, whole

    def _give(self, m: Module, collected: tuple[Value, Value], gives: Value) -> None:
        """An item is offered as soon as the one before is given."""
        so_far, whole = collected
        waits, offered, offers = Signal(), Signal(self.item.shape(), reset_less=True), Signal()
        free = ~offers | gives
        m.d.comb += [self.item.eq(offered), self.give.eq(offers & self.room)]
        m.d.sync += waits.eq((whole | waits) & ~free)
        with m.If(free):
            m.d.sync += offers.eq(whole | waits)
            with m.If(whole | waits):
                m.d.sync += offered.eq(so_far)
