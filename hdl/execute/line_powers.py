# SPDX-License-Identifier: Apache-2.0
"""Softmax of a line's items, key by key: codes first, then what the item's total makes of the context's multiplier.

                         ┌─► code ─► o
i ─► largest, exponent ─► Power ─► KeyTotal ─► Divider ─► queue ─► scale
         table of heads ──┴─ context's multiplier ──▲
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.execute import DIVISOR_BITS, POWER_BITS, PROBABILITY_BITS
from config.items import ItemsConfig
from config.requantise import SHIFT_BITS
from hdl.arith.divide import Divider
from hdl.cover import corner
from hdl.execute.dot_line import untimed
from hdl.execute.layouts import MULTIPLIER, ROW
from hdl.execute.power import Power, common_settings
from hdl.execute.score_queue import ranked_layout
from hdl.execute.scores import score_bits
from hdl.execute.total import KeyTotal
from hdl.shared import share
from hdl.store import Store

UNDER_WAY = 4
"""Items between the first score and the division, at the most: a power of two."""


def settings_layout(config: ItemsConfig) -> data.StructLayout:
    """What softmax does with the rows of a head."""
    return data.StructLayout({"head": range(config.heads), "row": ROW})


def code_layout(config: ItemsConfig) -> data.StructLayout:
    """The code of a key; `first`, `last` of its item, whose `head` and `row` are there with the last one."""
    return data.StructLayout(
        {
            "code": PROBABILITY_BITS,
            "key": range(config.tokens),
            "first": 1,
            "last": 1,
            "head": range(config.heads),
            "row": range(config.tokens),
        }
    )


class LinePowers(wiring.Component):
    """Codes and scales of items, as golden.execute.softmax says; a key a cycle.

    Parameters
    ----------
    config: `ItemsConfig`. cycles: between two divisions, a divisor of 16. scales: that wait. tells: there is `total`.

    Members
    -------
    settings: In, `untimed(settings_layout)`: a head's exponent, shift 1 to 40, and context's multiplier; before its
    items come.
    i: In, stream of `ranked_layout(config)`. opens: In, 1: an item may begin. begins: Out, 1: one does.
    o: Out, `untimed(code_layout(config))`, in the order of `i`.
    total: Out, `untimed`: the sum of each item's powers, in their order, behind its last code.
    scale: Out, stream of `MULTIPLIER`, one for each item, in their order. scaled: Out, 1: one more will be there within
    two cycles, if those before it are taken.

    `latency` cycles from a score to its code, and at least `scale_latency` from an item's last code to its scale. All
    scores wait while there are `scales` of them, and no valid depends on a ready.
    """

    def __init__(self, config: ItemsConfig, *, cycles: int, scales: int, tells: bool = False):
        self._config, self._scales, self._tells = config, scales, tells
        self._power, self._total = Power(score_bits(config.lanes)), KeyTotal(config.chunk, tells=tells)
        self._divider = Divider(bits=DIVISOR_BITS, cycles=cycles, tag_bits=SHIFT_BITS)
        super().__init__(
            {
                "settings": In(untimed(settings_layout(config))),
                "i": In(stream.Signature(ranked_layout(config))),
                "opens": In(1),
                "begins": Out(1),
                "o": Out(untimed(code_layout(config))),
                "scale": Out(stream.Signature(MULTIPLIER)),
                "scaled": Out(1),
                **({"total": Out(untimed(POWER_BITS + config.chunk.bit_length()))} if tells else {}),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a score to its code: its power's, and a register for the code."""
        return self._power.latency + 1

    @property
    def scale_latency(self) -> int:
        """Cycles from an item's last code to its scale: the total's, less the code's register; division; the queue."""
        return self._total.latency - 1 + self._divider.latency + 2

    def elaborate(self, platform):
        m = Module()
        m.submodules.power = share(self._power, "power", platform)
        m.submodules.total = share(self._total, "key_total", platform)
        total, advance, entering = self._total, Signal(), self.i.payload
        room = self._count(m)
        m.d.comb += [
            advance.eq(total.advance),
            self.i.ready.eq(advance & ((self.opens & room) | ~entering.first)),
            self.begins.eq(self.i.valid & self.i.ready & entering.first),
        ]
        tag = Cat(entering.key, entering.first, entering.last)
        tags, enable = self._control(m, tag, advance)
        firsts, lasts = [tag[-2] for tag in tags], [tag[-1] for tag in tags]
        table = self._table(m, platform)
        self._raise(m, enable, firsts[0], table)
        ends = enable[-1] & lasts[-1]
        names = self._ring(m, "names", (self.begins, Cat(entering.head, entering.row)), ends, platform)
        multiplier = self._ring(m, "contexts", (enable[1] & firsts[1], table.context.as_value()), total.leave, platform)
        m.d.comb += [
            total.enter.eq(enable[-1]),
            total.last.eq(lasts[-1]),
            total.power.eq(self._power.power),
            total.multiplier.eq(multiplier),
        ]
        self._tell(m, enable[-1], tags[-1], names)
        self._divide(m, platform)
        if self._tells:
            m.d.comb += [self.total.valid.eq(total.told), self.total.payload.eq(total.total)]
        corner(m, platform, "scores_wait_for_codes", self.i.valid & entering.first & ~self.opens)
        corner(m, platform, "powers_wait", ~advance)
        return m

    def _count(self, m: Module) -> Value:
        """Whether less than `UNDER_WAY` items are between their first score and their division."""
        under_way = Signal(range(UNDER_WAY + 1))
        m.d.sync += under_way.eq(under_way + self.begins - self._total.leave)
        return under_way != UNDER_WAY

    def _control(self, m: Module, tag: Value, advance: Value) -> tuple[list[Value], list[Value]]:
        """Of what stands in front of each register stage, that of the code included: its tag; whether it goes on."""
        valids, tags = [self.i.valid & self.i.ready], [tag]
        for stage in range(self._power.latency):
            valid, after = Signal(name=f"valid{stage}"), Signal(len(tag), name=f"tag{stage}", reset_less=True)
            with m.If(advance):
                m.d.sync += valid.eq(valids[stage])
                with m.If(valids[stage]):
                    m.d.sync += after.eq(tags[stage])
            valids.append(valid)
            tags.append(after)
        return tags, [advance & valid for valid in valids]

    def _table(self, m: Module, platform) -> data.View:
        """Settings of the head whose item has begun: there in front of stage 1."""
        table, write = Store(self._config.heads, ROW), self.settings
        m.submodules.settings = share(table, "settings", platform)
        m.d.comb += [
            table.write.eq(write.valid),
            table.write_at.eq(write.payload.head),
            table.word.eq(write.payload.row),
            table.read.eq(self.begins),
            table.read_at.eq(self.i.payload.head),
        ]
        return table.stored

    def _raise(self, m: Module, enable: list[Value], first: Value, table: data.View) -> None:
        power, entering = self._power, self.i.payload
        largest = Signal.like(entering.largest, reset_less=True)
        with m.If(enable[0] & first):
            m.d.sync += largest.eq(entering.largest)
        m.d.comb += [
            power.enable.eq(Cat(enable[: power.latency])),
            power.kept.eq(1),
            power.score.eq(entering.score),
            power.largest.eq(largest),
        ]
        for name, value in common_settings(m, power, enable, table.exponent).items():
            m.d.comb += getattr(power, name).eq(value)

    def _ring(self, m: Module, name: str, write: tuple[Value, Value], read: Value, platform) -> Value:
        """A word for each item under way, written when the first of `write` says so; shown from the cycle behind
        `read` on."""
        store = Store(UNDER_WAY, len(write[1]))
        m.submodules[name] = share(store, f"ring_{len(write[1])}", platform)
        places = [Signal(range(UNDER_WAY), name=f"{name}_{end}") for end in ("written", "read")]
        for place, moves in zip(places, (write[0], read), strict=True):
            with m.If(moves):
                m.d.sync += place.eq(place + 1)
        m.d.comb += [
            store.write.eq(write[0]),
            store.write_at.eq(places[0]),
            store.word.eq(write[1]),
            store.read.eq(read),
            store.read_at.eq(places[1]),
        ]
        return store.stored

    def _tell(self, m: Module, takes: Value, tag: Value, names: Value) -> None:
        code = Signal(self._power.code.shape(), reset_less=True)
        known = Signal(len(tag), name="code_tag", reset_less=True)
        m.d.sync += self.o.valid.eq(takes)
        with m.If(takes):
            m.d.sync += [code.eq(self._power.code), known.eq(tag)]
        told = self.o.payload
        m.d.comb += [
            told.code.eq(code),
            Cat(told.key, told.first, told.last).eq(known),
            Cat(told.head, told.row).eq(names),
        ]

    def _divide(self, m: Module, platform) -> None:
        total, divider = self._total, self._divider
        m.submodules.divider = share(divider, "divider", platform)
        m.submodules.scales = scales = SyncFIFOBuffered(width=len(self.scale.payload.as_value()), depth=self._scales)
        m.d.comb += [
            divider.i.payload.eq(total.o.payload),
            divider.i.valid.eq(total.o.valid),
            total.o.ready.eq(divider.i.ready),
            scales.w_data.eq(Cat(divider.o.payload.quotient, divider.o.payload.tag)),
            scales.w_en.eq(divider.o.valid),
            divider.o.ready.eq(scales.w_rdy),
            self.scaled.eq(divider.o.valid & scales.w_rdy),
            self.scale.payload.as_value().eq(scales.r_data),
            self.scale.valid.eq(scales.r_rdy),
            scales.r_en.eq(self.scale.ready),
        ]
