# SPDX-License-Identifier: Apache-2.0
"""Rows of lists from where activations are to an array.

lists ─┬─► tokens ─► fetch ┄► fetched ─► words that wait ─► words of the array ─► x
       └──────────────────────────────────────────────────────────────────────► rows
"""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.formats import OPERAND_BITS
from config.system import SystemConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.store import Store
from hdl.system.dense_layouts import SLOTS, Ports, list_layout, part_of, slot_layout
from hdl.system.flow import queue_of
from hdl.system.layouts import Region, fetch_layout, limits_layout, token_shape, word_layout
from hdl.system.queues import WordQueue
from hdl.system.weight_store import geared

ROOM = 8
"""Words that are asked for, or wait."""


class RowFeed(wiring.Component):
    """Brings the rows of lists, one list behind the other.

    Parameters: `config`; `ports`, of the array.

    Members
    -------
    lists: In, stream of `list_layout(config)`, none with `none`: up to `SLOTS` are taken at once. write, write_at,
    token: In, as those of `RowLists`.
    limit: In, `limits_layout(config)`: rows of tokens below it may be asked for; of a region, it does not fall while
    lists of it are here.
    fetch: Out, stream of `fetch_layout(config)`; fetched: In, stream of `word_layout(config)`, in the same order. What
    is asked for finds room.
    rows, x: Out, as the array takes them.

    A word a cycle, if it comes within `ROOM` - 3 cycles, but a row takes two cycles at least.
    """

    def __init__(self, config: SystemConfig, ports: Ports):
        self._config, self._ports = config, ports
        super().__init__(
            {
                "lists": In(stream.Signature(list_layout(config))),
                "write": In(1),
                "write_at": In(slot_layout(config)),
                "token": In(token_shape(config)),
                "limit": In(limits_layout(config)),
                "fetch": Out(stream.Signature(fetch_layout(config))),
                "fetched": In(stream.Signature(word_layout(config))),
                "rows": Out(stream.Signature(ports.rows_layout)),
                "x": Out(stream.Signature(ports.word_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given = self.lists.payload
        # Words, until they leave for the array; whether there is no room for more, which much hangs on.
        self._asked, self._full = Signal(range(ROOM + 1)), Signal()
        rows = queue_of(m, "rows_queue", self.rows.payload.shape(), SLOTS, platform)
        wanted = part_of(list_layout(self._config), "slot", "last_line", "region", "words")
        lists = queue_of(m, "lists", wanted, SLOTS, platform)
        size = {"words": given.words} if self._ports.dot else {"depth": given.words << exact_log2(self._config.lanes)}
        m.d.comb += [
            self.lists.ready.eq(rows.i.ready & lists.i.ready),
            rows.i.valid.eq(self.lists.valid & self.lists.ready),
            lists.i.valid.eq(self.lists.valid & self.lists.ready),
            *(lists.i.payload[name].eq(given[name]) for name in wanted.members),
            rows.i.payload.count.eq(given.last_line + 1),
            *(rows.i.payload[name].eq(value) for name, value in size.items()),
        ]
        wiring.connect(m, rows.o, wiring.flipped(self.rows))
        self._bring(m, self._ask(m, lists.o, platform), platform)
        return m

    def _ask(self, m: Module, lists, platform) -> tuple[Value, Value]:
        """Word by word of a row, while the next row's token is looked up. Returns whether one is, and is its last."""
        following, allowed, takes = self._look_up(m, lists, platform)
        row, word = Signal.like(following, name="row"), Signal.like(self.fetch.payload.word)
        active, fire, last = Signal(), Signal(), Signal()
        m.d.comb += [
            self.fetch.valid.eq(active & ~self._full),
            self.fetch.payload.region.eq(row.region),
            self.fetch.payload.token.eq(row.token),
            self.fetch.payload.word.eq(word),
            fire.eq(self.fetch.valid & self.fetch.ready),
            last.eq(word + 1 == row.words),
            takes.eq(allowed & (~active | (fire & last))),
        ]
        with m.If(fire):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        with m.If(takes):
            m.d.sync += [active.eq(1), row.eq(following)]
        with m.Elif(fire & last):
            m.d.sync += active.eq(0)
        corner(m, platform, "rows_wait_for_room", active & self._full)
        return fire, last

    def _look_up(self, m: Module, lists, platform) -> tuple[data.View, Value, Signal]:
        """The next row; whether it may be asked for; and, to be driven: it is taken."""
        given, tokens = lists.payload, Store(1 << slot_layout(self._config).size, token_shape(self._config))
        m.submodules.tokens = share(tokens, tokens.name, platform)
        words = data.StructLayout({"region": Region, "words": given.words.shape()})
        following = Signal(data.StructLayout({**words.members, "token": token_shape(self._config)}))
        held, line = Signal(words, reset_less=True), Signal.like(given.last_line)
        reads, shown, allowed, takes, last = Signal(), Signal(), Signal(), Signal(), Signal()
        at = Signal(slot_layout(self._config))
        m.d.comb += [
            reads.eq(lists.valid & (~shown | takes)),
            last.eq(line == given.last_line),
            lists.ready.eq(reads & last),
            at.line.eq(line),
            at.slot.eq(given.slot),
            tokens.read.eq(reads),
            tokens.read_at.eq(at),
            tokens.write.eq(self.write),
            tokens.write_at.eq(self.write_at),
            tokens.word.eq(self.token),
            following.region.eq(held.region),
            following.words.eq(held.words),
            following.token.eq(tokens.stored),
        ]
        below = Signal()
        with m.Switch(held.region):
            for region in Region:
                with m.Case(region):
                    m.d.comb += below.eq(less(tokens.stored, self.limit[region.value]))
        m.d.sync += allowed.eq(shown & ~takes & below)
        with m.If(reads):
            m.d.sync += [shown.eq(1), line.eq(Mux(last, 0, line + 1)), held.region.eq(given.region)]
            m.d.sync += held.words.eq(given.words)
        with m.Elif(takes):
            m.d.sync += shown.eq(0)
        corner(m, platform, "rows_wait_for_their_maker", shown & ~below)
        return following, allowed, takes

    def _bring(self, m: Module, asked: tuple[Value, Value], platform) -> None:
        """What comes waits, and goes to the array in words of its own; a row begins with one."""
        ask, last = asked
        bits = OPERAND_BITS * self._config.lanes
        waiting = WordQueue(ROOM, unsigned(bits))
        m.submodules.waiting = share(waiting, waiting.name, platform)
        words, leaves = stream.Signature(word_layout(self._config)).create(path=("words",)), Signal()
        m.d.comb += [
            waiting.i.payload.eq(self.fetched.payload),
            waiting.i.valid.eq(self.fetched.valid),
            self.fetched.ready.eq(waiting.i.ready),
            Value.cast(words.payload).eq(waiting.o.payload),
            words.valid.eq(waiting.o.valid),
            waiting.o.ready.eq(words.ready),
            leaves.eq(words.valid & words.ready),
        ]
        m.d.sync += self._asked.eq(self._asked + ask - leaves)
        with m.If(ask & ~leaves):
            m.d.sync += self._full.eq(self._asked == ROOM - 1)
        with m.Elif(leaves & ~ask):
            m.d.sync += self._full.eq(0)
        x, end = geared(m, "gear", words, OPERAND_BITS * self._ports.word, platform)
        m.d.comb += [self.x.valid.eq(x.valid), Value.cast(self.x.payload).eq(x.payload), x.ready.eq(self.x.ready)]
        if bits < OPERAND_BITS * self._ports.word:
            marks = queue_of(m, "marks", 1, ROOM, platform)
            m.d.comb += [
                marks.i.valid.eq(ask),
                marks.i.payload.eq(last),
                marks.o.ready.eq(leaves),
                end.eq(marks.o.payload),
            ]
