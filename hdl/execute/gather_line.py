# SPDX-License-Identifier: Apache-2.0
"""A line's place in the wave of a slot: the item that it works on, the next one, and the choice of a bank.

                    item ─► next ─► current: open keys
                                       │
i: free, busy, reads ─► a bank that reads a row that is wanted anyway, else a free one ─┬─► o: free, busy, reads
                                                                                        └─► pick
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.items import PATIENCE, ItemsConfig
from hdl.execute.banks import read_layout
from hdl.execute.items import item_layout

GROUP = 4
"""Bits whose lowest one is found by gates side by side."""


def wave_layout(config: ItemsConfig) -> data.StructLayout:
    """A slot's banks on their way past the lines: `free`: may be taken; `busy`: reads what `reads` says. Neither: it is
    kept for a line that has waited."""
    return data.StructLayout(
        {"free": config.banks, "busy": config.banks, "reads": data.ArrayLayout(read_layout(config), config.banks)}
    )


def pick_layout(config: ItemsConfig) -> data.StructLayout:
    """What a line takes: `bank`, one bit set, or none if `valid` is not; `first`, `last` key of its item."""
    return data.StructLayout(
        {
            "valid": 1,
            "bank": config.banks,
            "first": 1,
            "last": 1,
            "head": range(config.heads),
            "row": range(config.tokens),
        }
    )


def lowest(bits: Value, enable: Value | None = None) -> Value:
    """The lowest one of the bits, alone, or nothing unless `enable`. Two levels: in groups of `GROUP` bits, and among
    groups, where `enable` comes in, as it may be late and has few of them to reach."""
    groups = [bits[n : n + GROUP] for n in range(0, len(bits), GROUP)]
    filled = Cat(group.any() for group in groups)
    first = _lowest_of_few(filled) if len(groups) <= 2 * GROUP else lowest(filled)
    if enable is not None:
        first = first & enable.replicate(len(first))
    return Cat(_lowest_of_few(group) & one.replicate(len(group)) for group, one in zip(groups, first, strict=True))


def _lowest_of_few(bits: Value) -> Value:
    return Cat(bit & ~bits[:n].any() if n else bit for n, bit in enumerate(bits))


class GatherLine(wiring.Component):
    """Takes a key of its item in each slot, if a bank can be had.

    Parameters
    ----------
    config: `ItemsConfig`. Banks are numbered from the line's own start; so all lines are equal.

    Members
    -------
    advance: In, 1: everything moves at the end of this cycle, else nothing does.
    give: In, 1, with advance, if room: `item`: In, `item_layout`, is the line's next one.
    room: Out, 1: there is no next item. idle: Out, 1: nor a current one. Both registered.
    opens: In, 1: the next item may become the current one. Looked at while there is a next item.
    i: In, `wave_layout`: the slot that passes in this cycle. own: In, banks, one bit set: the bank that is kept for
    this line if it has to wait.
    o: Out, `wave_layout`; pick: Out, `pick_layout`: the slot behind this line, and what it takes. Registered.
    waits: Out, 1: no key in `PATIENCE` slots. Registered.

    The next item is the current one from the slot on behind that of a last key, if it opens: so no slot is lost.
    """

    def __init__(self, config: ItemsConfig):
        self._config = config
        super().__init__(
            {
                "advance": In(1),
                "give": In(1),
                "item": In(item_layout(config)),
                "room": Out(1, init=1),
                "idle": Out(1, init=1),
                "opens": In(1),
                "i": In(wave_layout(config)),
                "own": In(config.banks),
                "o": Out(wave_layout(config), init={"free": (1 << config.banks) - 1}),
                "pick": Out(pick_layout(config)),
                "waits": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        keys = data.ArrayLayout(config.places, config.banks)
        open_, left, fresh = Signal(keys), Signal(range(config.chunk + 1), reset_less=True), Signal(reset_less=True)
        here = Signal(item_layout(config), reset_less=True)
        following = Signal(item_layout(config), reset_less=True)
        pick, joins, cans = self._choose(m, open_, here)
        takes, last, moves, follows = Signal(), Signal(), Signal(), Signal()
        m.d.comb += follows.eq(~self.room & self.opens)
        m.d.comb += [last.eq(left == 1), moves.eq(self.idle | (takes & last)), takes.eq(joins | cans)]
        after = self._update(m, open_, here, pick)
        with m.If(self.advance):
            with m.If(moves):
                m.d.sync += [self.idle.eq(~follows), self.room.eq(self.room | follows)]
                with m.If(follows):
                    m.d.sync += [here.eq(following), fresh.eq(1), left.eq(following.count)]
                # While there is nothing to do, nothing toggles.
                with m.If(follows | ~self.idle):
                    m.d.sync += open_.eq(_by_bank(following.keys, config) & follows.replicate(config.chunk))
            with m.Elif(takes):
                m.d.sync += [open_.eq(after), left.eq(left - 1), fresh.eq(0)]
            with m.If(self.give):
                m.d.sync += [following.eq(self.item), self.room.eq(0)]
            m.d.sync += [self.pick.valid.eq(takes), self.pick.bank.eq(pick)]
            with m.If(takes):
                m.d.sync += [self.pick.first.eq(fresh), self.pick.last.eq(last)]
                m.d.sync += [self.pick.head.eq(here.head), self.pick.row.eq(here.row)]
        self._wait(m, takes)
        return m

    def _choose(self, m: Module, open_: data.View, here: data.View) -> tuple[Value, Value, Value]:
        """The bank to take from; whether there is one that reads its row anyway, and whether there is a free one."""
        config = self._config
        join, can = Signal(config.banks), Signal(config.banks)
        for bank, read in enumerate(self.i.reads):
            same = (read.set == here.head[: len(read.set)]) & (read.chunk == here.chunk)
            wanted = (open_[bank] & _one_hot(read.place, config.places)).any()
            available = (self.i.free[bank] | self.own[bank]) & ~self.i.busy[bank]
            m.d.comb += [
                join[bank].eq(self.i.busy[bank] & same & wanted),
                can[bank].eq(available & open_[bank].any()),
            ]
        joins, pick = join.any(), Signal(config.banks)
        m.d.comb += pick.eq(lowest(join) | lowest(can, ~joins))
        return pick, joins, can.any()

    def _update(self, m: Module, open_: data.View, here: data.View, pick: Value) -> Value:
        """Hands the slot on; returns the keys that stay open."""
        config, after = self._config, []
        available = (self.i.free | self.own) & ~self.i.busy
        with m.If(self.advance):
            m.d.sync += [self.o.free.eq(available & ~pick), self.o.busy.eq(self.i.busy | pick)]
        for bank, read in enumerate(self.i.reads):
            first = lowest(open_[bank])
            mine = Signal(read_layout(config), name=f"mine{bank}")
            m.d.comb += [mine.place.eq(number_of(first)), mine.chunk.eq(here.chunk), mine.set.eq(here.head)]
            joined = _one_hot(read.place, config.places)
            after.append(open_[bank] & ~(Mux(self.i.busy[bank], joined, first) & pick[bank].replicate(config.places)))
            with m.If(self.advance & (self.i.busy[bank] | pick[bank])):
                m.d.sync += self.o.reads[bank].eq(Mux(self.i.busy[bank], read, mine))
        return Cat(after)

    def _wait(self, m: Module, takes: Value) -> None:
        failed = Signal(range(PATIENCE + 1))
        m.d.comb += self.waits.eq(failed == PATIENCE)
        with m.If(self.advance & ~self.idle):
            m.d.sync += failed.eq(Mux(takes, 0, Mux(self.waits, failed, failed + 1)))


def _by_bank(keys: Value, config: ItemsConfig) -> Value:
    """Key n of a chunk lies in bank n mod banks."""
    return Cat(keys[place * config.banks + bank] for bank in range(config.banks) for place in range(config.places))


def _one_hot(number: Value, count: int) -> Value:
    return Cat(number == n for n in range(count)) if count > 1 else Const(1)


def number_of(bits: Value) -> Value:
    """Where the only one of the bits is; of a single bit, nothing."""
    digits = range((len(bits) - 1).bit_length())
    return Cat(Cat(bits[n] for n in range(len(bits)) if n >> digit & 1).any() for digit in digits)
