# SPDX-License-Identifier: Apache-2.0
"""Q for the lines that score: each gets the row of Q of its next item, before the first row of K comes.

write ─► store of Q ─── a row a cycle ───┬─► waiting rows of line 0 ─► a[0]
            ▲                            ├─► waiting rows of line 1 ─► a[1]
given ─► wanted row of each line ─► fair choice of a line
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from config.items import ItemsConfig
from hdl.cover import corner
from hdl.execute.banks import bytes_layout, look_signature
from hdl.execute.gather_line import GROUP, lowest
from hdl.execute.items import item_layout
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.store import Store

PLACES = 2
"""Rows of Q that wait for a line, beside the one that is shown and the one that the line has taken."""


def query_layout(config: ItemsConfig) -> data.StructLayout:
    """A row of Q of a head."""
    return data.StructLayout({"b": bytes_layout(config), "head": range(config.heads), "row": range(config.tokens)})


def wanted_layout(config: ItemsConfig) -> data.StructLayout:
    """Whose row a line wants, of the heads that are there."""
    return data.StructLayout({"row": range(config.tokens), "set": range(config.sets)})


class FairChoice(wiring.Component):
    """One of those who ask, in turn: whoever asks is chosen before another one has been chosen twice.

    Members: `asks`: In, width; `chosen`: Out, width, one bit set if anyone asks; combinational.
    """

    def __init__(self, width: int):
        super().__init__({"asks": In(width), "chosen": Out(width)})

    @property
    def name(self) -> str:
        """Of a module of all its equals, wherever they are."""
        return f"choice_of_{len(self.asks)}"

    def elaborate(self, platform):
        m = Module()
        width = len(self.asks)
        # Behind the one that was chosen last.
        behind = Signal(width)
        later = self.asks & behind
        m.d.comb += self.chosen.eq(lowest(later) | lowest(self.asks, ~later.any()))
        with m.If(self.asks.any()):
            m.d.sync += behind.eq(Mux(later.any(), _above_lowest(later), _above_lowest(self.asks)))
        return m


def _above_lowest(bits: Value) -> Value:
    """All places above that of the lowest one, found in groups of `GROUP` side by side."""
    groups = [bits[low : low + GROUP] for low in range(0, len(bits), GROUP)]
    filled = Cat(group.any() for group in groups)
    return Cat(filled[:g].any() | group[:n].any() for g, group in enumerate(groups) for n in range(len(group)))


class WaitingQueries(wiring.Component):
    """A line's rows of Q: one is shown, up to `PLACES` wait behind it.

    Members: `write`: In, 1; `word`: In: a row comes. `free`: Out, 1: there is a place for one more. `take`: In, 1:
    the row that is shown, `a`: Out, is taken. A row is shown from the second cycle behind its `write` on, or from the
    one behind the `take` before.
    """

    def __init__(self, config: ItemsConfig):
        row = bytes_layout(config)
        self._store = Store(PLACES, row)
        super().__init__({"write": In(1), "word": In(row), "free": Out(1), "take": In(1), "a": Out(row)})

    def elaborate(self, platform):
        m = Module()
        store = self._store
        m.submodules.store = share(store, store.name, platform)
        write_at, read_at = Signal(range(PLACES)), Signal(range(PLACES))
        there, shown, moves = Signal(range(PLACES + 1)), Signal(), Signal()
        m.d.comb += [
            moves.eq((there != 0) & (~shown | self.take)),
            self.free.eq(there != PLACES),
            store.write.eq(self.write),
            store.write_at.eq(write_at),
            store.word.eq(self.word),
            store.read.eq(moves),
            store.read_at.eq(read_at),
            self.a.eq(store.stored),
        ]
        m.d.sync += there.eq(there + self.write - moves)
        with m.If(self.write):
            m.d.sync += write_at.eq(Mux(write_at == PLACES - 1, 0, write_at + 1))
        with m.If(moves):
            m.d.sync += [shown.eq(1), read_at.eq(Mux(read_at == PLACES - 1, 0, read_at + 1))]
        with m.Elif(self.take):
            m.d.sync += shown.eq(0)
        corner(m, platform, "queries_full", ~self.free)
        return m


class QueryFeed(wiring.Component):
    """Fetches the row of Q of each item that a line is given, in the order of its items.

    Parameters
    ----------
    config: `ItemsConfig`. stores: copies of Q, each for as many of the lines; divides them. Each brings a row a cycle,
    so items of fewer than `lines` / `stores` keys in the mean wait for their rows. looks: there is `look`.

    Members
    -------
    given: In, lines; items: In, `item_layout` for each of `queues` groups; advance: In: as `Gather` shows them.
    write: In, stream of `query_layout(config)`, always taken. Head h has the place of heads h ± sets.
    there: Out, lines, registered: the row for the item that the line was given last is on its way; two cycles behind
    `given`, if no other line wants one. begins: In, lines: the line takes `a`: Out, for each line, the row of Q of its
    next item, in this cycle: two cycles after it was `there`, or later.
    look: In, `look_signature(config)`: only while no line has an item.
    """

    def __init__(self, config: ItemsConfig, *, stores: int = 1, looks: bool = False):
        require(
            isinstance(stores, int) and stores >= 1 and config.lines % stores == 0,
            f"stores must be a divisor of lines = {config.lines}, not {stores!r}; choose 1, or another divisor.",
        )
        self._config, self._stores, self._looks = config, stores, looks
        super().__init__(
            {
                "given": In(config.lines),
                "items": In(item_layout(config)).array(config.queues),
                "advance": In(1),
                "write": In(stream.Signature(query_layout(config))),
                "there": Out(config.lines),
                "begins": In(config.lines),
                "a": Out(data.ArrayLayout(bytes_layout(config), config.lines)),
                **({"look": In(look_signature(config))} if looks else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.d.comb += self.write.ready.eq(1)
        wants = Signal(config.lines)
        wanted = Signal(data.ArrayLayout(wanted_layout(config), config.lines), reset_less=True)
        gets = self.given & self.advance.replicate(config.lines)
        for number in range(config.lines):
            item = self.items[number // config.group]
            with m.If(gets[number]):
                m.d.sync += [wanted[number].row.eq(item.row), wanted[number].set.eq(item.head)]
        fetched = Signal(config.lines)
        each = config.lines // self._stores
        for number in range(self._stores):
            lines = range(number * each, (number + 1) * each)
            m.d.comb += fetched[lines.start : lines.stop].eq(self._fetch(m, number, lines, wants, wanted, platform))
        m.d.sync += [wants.eq((wants | gets) & ~fetched), self.there.eq((self.there & ~gets) | fetched)]
        corner(m, platform, "lines_want_rows_at_once", (wants & ~fetched).any())
        return m

    def _fetch(self, m: Module, number: int, lines: range, wants: Value, wanted: data.View, platform) -> Value:
        """A row from a store to one of the lines that want one and have a place for it; returns which."""
        config, row = self._config, bytes_layout(self._config)
        store, choice = Store(1 << data.Layout.cast(wanted_layout(config)).size, row), FairChoice(len(lines))
        m.submodules[f"store{number}"] = share(store, store.name, platform)
        m.submodules[f"choice{number}"] = share(choice, choice.name, platform)
        chosen, comes = choice.chosen, Signal(len(lines), name=f"comes{number}")
        queues = [WaitingQueries(config) for _ in lines]
        asked = data.View(wanted_layout(config), one_of(chosen, [wanted[line].as_value() for line in lines]))
        m.d.comb += [
            choice.asks.eq(Cat(wants[line] & queue.free for line, queue in zip(lines, queues, strict=True))),
            store.write.eq(self.write.valid),
            store.write_at.eq(Cat(self.write.payload.row, self.write.payload.head[: len(asked.set)])),
            store.word.eq(self.write.payload.b),
        ]
        reads, at = chosen.any(), asked.as_value()
        if self._looks and number == 0:
            look, wanted_there = self.look, Signal(wanted_layout(config))
            m.d.comb += [
                wanted_there.row.eq(look.of.token),
                wanted_there.set.eq(look.of.head),
                look.row.eq(store.stored),
            ]
            reads, at = reads | look.read, Mux(look.read, wanted_there.as_value(), at)
        m.d.comb += [store.read.eq(reads), store.read_at.eq(at)]
        # A line that was chosen cannot ask again before its row has come, so `free` need not count what is on its way.
        m.d.sync += comes.eq(chosen)
        for place, (line, queue) in enumerate(zip(lines, queues, strict=True)):
            m.submodules[f"queue{line}"] = share(queue, "queries", platform)
            m.d.comb += [
                queue.write.eq(comes[place]),
                queue.word.eq(store.stored),
                queue.take.eq(self.begins[line]),
                self.a[line].eq(queue.a),
            ]
        return chosen
