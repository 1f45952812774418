# SPDX-License-Identifier: Apache-2.0
"""Sparse items: what they look like, and how records of the plan become some; a plan that breaks its rules is told.

records ─┤register├─┬─► expected? allowed? ─┤register├─► error
                    └──────────────────────┤register├─┬─► KEYS: chunk so far, count so far ─► item ─► o
                                                      └─► COPY, LEADER ─► others
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from config.items import ItemsConfig
from config.speculate import Kind
from hdl.cover import corner
from hdl.shared import share
from hdl.store import Store


class Broken(enum.Enum, shape=3):
    """The rule that a plan was the first to break."""

    NONE = 0
    ORDER = 1
    """Heads, rows and chunks follow each other."""
    COPY = 2
    """A copy refers to an earlier critical row of its head."""
    EMPTY = 3
    """A critical row keeps a key."""
    BEYOND = 4
    """Keys are below the length of the sequence."""
    LEADER = 5
    """A token takes the result of no later one."""


def item_layout(config: ItemsConfig) -> data.StructLayout:
    """The kept keys of a critical row that lie in one chunk: bit n of `keys` is key chunk·`config.chunk` + n, `count`
    how many there are, 1 or more."""
    return data.StructLayout(
        {
            "head": range(config.heads),
            "row": range(config.tokens),
            "chunk": range(config.chunks),
            "keys": config.chunk,
            "count": range(config.chunk + 1),
        }
    )


def record_layout(config: ItemsConfig) -> data.StructLayout:
    """`record_layout` of hdl/speculate/socket.py for the heads, tokens and record of this configuration."""
    return data.StructLayout(
        {
            "kind": Kind,
            "head": range(config.heads),
            "row": range(config.tokens),
            "reference": range(config.tokens),
            "chunk": range(config.tokens // config.record),
            "keys": config.record,
            "fresh": config.record,
            "agreed": 1,
            "end": 1,
            "last": 1,
        }
    )


class ItemReader(wiring.Component):
    """Records of a plan in, items out; a record a cycle.

    Parameters
    ----------
    config: `ItemsConfig`. keyless: critical rows may keep no key: they are items of `count` 0.

    Members
    -------
    tokens: In, length of the sequence, heads: In, how many, 1 or more each, held still during a layer.
    clear: In, 1: all is as after reset from the next cycle on; a record that is taken now is dropped.
    i: In, stream of `record_layout(config)`: all records of a layer, in order.
    o: Out, stream of `item_layout(config)`: one for each chunk in which a critical row keeps a key, in order.
    others: Out, stream of `record_layout(config)`: COPY and LEADER records, as they came.
    error: Out, 1: a record broke a rule; broken: Out, `Broken`, which. They stay until `clear`. Nothing of that record
    nor of what follows goes out, and all that comes is taken.

    Outputs are registered, 3 cycles behind the record; no `valid` depends on a `ready`. A layer needs no reset.
    """

    latency = 3

    def __init__(self, config: ItemsConfig, *, keyless: bool = False):
        self._config, self._keyless = config, keyless
        super().__init__(
            {
                "tokens": In(range(config.tokens + 1)),
                "heads": In(range(config.heads + 1)),
                "clear": In(1),
                "i": In(stream.Signature(record_layout(config))),
                "o": Out(stream.Signature(item_layout(config))),
                "others": Out(stream.Signature(record_layout(config))),
                "error": Out(1),
                "broken": Out(Broken),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layout = record_layout(self._config)
        checked, judged = (Signal(layout, name=name, reset_less=True) for name in ("checked", "judged"))
        advance, takes, steps, good = (Signal(name=name) for name in ("advance", "takes", "steps", "good"))
        valid = Signal(2)
        m.d.comb += [
            advance.eq((~self.o.valid | self.o.ready) & (~self.others.valid | self.others.ready)),
            self.i.ready.eq(advance | self.error),
            takes.eq(self.i.valid & advance),
            steps.eq(valid[0] & advance),
        ]
        with m.If(advance):
            m.d.sync += valid.eq(Cat(self.i.valid, valid[0]))
        for after, before, moves in ((checked, self.i.payload, takes), (judged, checked, steps)):
            with m.If(moves):
                m.d.sync += after.eq(before)
        broken = self._judge(m, self._check(m, checked, takes, steps, platform), steps)
        m.d.comb += good.eq(valid[1] & advance & ~self.error & (broken == Broken.NONE))
        with m.If(valid[1] & advance & ~self.error):
            m.d.sync += [self.error.eq(broken != Broken.NONE), self.broken.eq(broken)]
        self._collect(m, judged, self._count(m, checked, takes, steps), good)
        with m.If(good & (judged.kind != Kind.KEYS)):
            m.d.sync += [self.others.valid.eq(1), self.others.payload.eq(judged)]
        with m.Elif(self.others.ready):
            m.d.sync += self.others.valid.eq(0)
        corner(m, platform, "plan_refused", self.error)
        corner(m, platform, "items_wait", self.o.valid & ~self.o.ready)
        corner(m, platform, "others_wait", self.others.valid & ~self.others.ready)
        return ResetInserter(self.clear)(m)

    def _check(self, m: Module, record: data.View, takes: Value, steps: Value, platform) -> dict[Broken, Value]:
        """For each rule, whether the record breaks it."""
        kind = {each: record.kind == each for each in Kind}
        some, in_order = self._follow(m, record, kind, steps)
        critical = self._criticals(m, record, takes, steps, platform)
        empty = kind[Kind.KEYS] & record.end & ~some & ~record.keys.any()
        return {
            Broken.ORDER: ~in_order,
            Broken.COPY: kind[Kind.COPY] & ((record.reference >= record.row) | ~critical),
            Broken.BEYOND: kind[Kind.KEYS] & self._beyond(m, record),
            **({} if self._keyless else {Broken.EMPTY: empty}),
            Broken.LEADER: kind[Kind.LEADER] & (record.reference > record.row),
        }

    def _judge(self, m: Module, breaks: dict[Broken, Value], steps: Value) -> Value:
        """The first rule that was broken, a step later."""
        flags, broken = Signal(len(breaks), reset_less=True), Signal(Broken)
        with m.If(steps):
            m.d.sync += flags.eq(Cat(breaks.values()))
        for number, rule in reversed(list(enumerate(breaks))):
            with m.If(flags[number]):
                m.d.comb += broken.eq(rule)
        return broken

    def _beyond(self, m: Module, record: data.View) -> Value:
        """Does the record keep a key behind the sequence's end?"""
        config, low = self._config, (self._config.record - 1).bit_length()
        # The record in which the end lies, and where in it.
        end, chunk = Signal.like(self.tokens[low:]), Signal.like(self.tokens[low:])
        m.d.comb += [end.eq(self.tokens[low:]), chunk.eq(record.chunk)]
        ends = [self.tokens[:low] == n for n in range(config.record)] if low else [Const(1)]
        behind = Cat(Cat(ends[: n + 1]).any() for n in range(config.record))
        later = (end - chunk)[-1]
        return Mux(later, record.keys, Mux(chunk == end, record.keys & behind, 0)).any()

    def _follow(self, m: Module, record: data.View, kind: dict[Kind, Value], steps: Value) -> tuple[Value, Value]:
        """Whether the row has had a key so far, and whether the record is one that may come now."""
        config = self._config
        head, row, led = Signal(range(config.heads)), Signal(range(config.tokens)), Signal(range(config.tokens))
        chunk, some, over = Signal.like(record.chunk), Signal(), Signal()
        # They stand still when the first record is there.
        last_row, highest = Signal.like(row, reset_less=True), Signal.like(head, reset_less=True)
        m.d.sync += [last_row.eq(self.tokens - 1), highest.eq(self.heads - 1)]
        final, last_head = row == last_row, head == highest
        # `over`: all rows of the layer have come. In the last head, leaders are those of rows that came before.
        leads = (record.head == head) & last_head & (record.row == led)
        leads &= (over | (led < row)) & (chunk == 0)
        tells = ~over & (record.head == head) & (record.row == row) & ~record.last
        chunks = Mux(kind[Kind.KEYS], record.chunk == chunk, record.end & (chunk == 0))
        in_order = Mux(kind[Kind.LEADER], leads & record.end, tells & chunks & (kind[Kind.KEYS] | kind[Kind.COPY]))
        in_order &= ~kind[Kind.LEADER] | (record.last == (led == last_row))
        with m.If(steps & kind[Kind.LEADER]):
            m.d.sync += led.eq(Mux(record.last, 0, led + 1))
            with m.If(record.last):
                m.d.sync += [head.eq(0), over.eq(0)]
        with m.Elif(steps):
            m.d.sync += [chunk.eq(Mux(record.end, 0, chunk + 1)), some.eq(~record.end & (some | record.keys.any()))]
            with m.If(record.end):
                m.d.sync += row.eq(Mux(final, 0, row + 1))
                with m.If(final):
                    m.d.sync += [over.eq(last_head), head.eq(Mux(last_head, head, head + 1))]
        return some, in_order

    def _criticals(self, m: Module, record: data.View, takes: Value, steps: Value, platform) -> Value:
        """Is the row that the record refers to critical? Rows come in order, so what an earlier head left is behind."""
        store = Store(self._config.tokens, 1)
        m.submodules.criticals = share(store, "criticals", platform)
        reference = self.i.payload.reference
        # The word may be on its way into the memory in the cycle in which it is read.
        again, was = Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            store.write.eq(steps & (record.kind != Kind.LEADER)),
            store.write_at.eq(record.row),
            store.word.eq(record.kind == Kind.KEYS),
            store.read.eq(takes),
            store.read_at.eq(reference),
        ]
        with m.If(takes):
            m.d.sync += [again.eq(store.write & (record.row == reference)), was.eq(store.word)]
        return Mux(again, was, store.stored)

    def _count(self, m: Module, checked: data.View, takes: Value, steps: Value) -> Value:
        """How many keys the judged record has: by fours when it comes, all of them a step later."""
        keys = self.i.payload.keys
        fours = [_added(keys[low : low + 4]) for low in range(0, len(keys), 4)]
        parts = [Signal.like(four, name=f"four{n}", reset_less=True) for n, four in enumerate(fours)]
        count = Signal(range(len(keys) + 1), reset_less=True)
        with m.If(takes):
            m.d.sync += [part.eq(four) for part, four in zip(parts, fours, strict=True)]
        with m.If(steps):
            m.d.sync += count.eq(_added(parts))
        return count

    def _collect(self, m: Module, record: data.View, keys: Value, good: Value) -> None:
        """Keys of a chunk, record after record; the item leaves with the last of them, if there are any."""
        config = self._config
        parts = config.chunk // config.record
        part = record.chunk[: (parts - 1).bit_length()]
        so_far, count = Signal(config.chunk, reset_less=True), Signal(range(config.chunk + 1), reset_less=True)
        new_keys, new_count = Signal(config.chunk), Signal(range(config.chunk + 1))
        first = part == 0
        here = Cat(record.keys & (part == n).replicate(config.record) for n in range(parts))
        m.d.comb += [
            new_keys.eq(Mux(first, 0, so_far) | here),
            new_count.eq(Mux(first, 0, count) + keys),
        ]
        is_keys = good & (record.kind == Kind.KEYS)
        with m.If(is_keys):
            m.d.sync += [so_far.eq(new_keys), count.eq(new_count)]
        any_keys = (keys != 0) | (~first & (count != 0)) | (record.end if self._keyless else 0)
        with m.If(is_keys & (record.end | (part == parts - 1)) & any_keys):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.head.eq(record.head),
                self.o.payload.row.eq(record.row),
                self.o.payload.chunk.eq(record.chunk >> (parts - 1).bit_length()),
                self.o.payload.keys.eq(new_keys),
                self.o.payload.count.eq(new_count),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)


def _added(words: Sequence[Value]) -> Value:
    """The sum of few words, in pairs."""
    words = list(words)
    while len(words) > 1:
        words = [*(a + b for a, b in zip(words[::2], words[1::2], strict=False)), *words[len(words) & ~1 :]]
    return words[0]
