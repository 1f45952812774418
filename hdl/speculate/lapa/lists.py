# SPDX-License-Identifier: Apache-2.0
"""Lists of the keys that later rounds visit, and their way out.

    found ──► list of slot 0 made by round 0, round 1 ─┬─► walked by the next clip
              list of slot 1 made by round 0, round 1 ─┴─► visit, once per slice of the head's width

Even and odd places of a list are in two memories, so that two keys that are found together are written together. A list
is sent while it still grows. It is read in two places at once only for different rounds, which are different memories:
a clip walks a list after the columns that were visited for it.
"""

from types import SimpleNamespace

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.lapa.layouts import (
    PARITIES,
    SLOTS,
    chosen,
    entry_layout,
    opening_layout,
    span_layout,
    verdict_layout,
)
from hdl.speculate.socket import token_shape, visit_layout
from hdl.store import Store


class Visits(wiring.Component):
    """Sends the keys of a slot, `head_slices` times over. One key a cycle.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`.

    Members
    -------
    announce: In, 1, and `slot`: In: from the next cycle on, `spans` tells the slot's keys. A slot is announced again
    only after its keys were taken; slots are served in the order in which they were announced.
    spans: In, per slot `span_layout(config)`.
    entry: Out, `entry_layout(config)`; `key`: In, what is there, from the next cycle on until another one is read.
    visit: Out, stream of `visit_layout(config)`; `last` on the last key each time over.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "announce": In(1),
                "slot": In(1),
                "spans": In(data.ArrayLayout(span_layout(config), SLOTS)),
                "entry": Out(entry_layout(config)),
                "key": In(token_shape(config)),
                "visit": Out(stream.Signature(visit_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        active, slot, waiting = Signal(), Signal(), Signal(SLOTS)
        place = Signal(token_shape(self._config))
        span = data.View(span_layout(self._config), chosen(self.spans, slot))
        read, last = Signal(), Signal()
        end = place + 1 == span.count
        m.d.comb += [
            last.eq(span.complete & end),
            # Which key is the last one is known once there is a next one, or there will be none.
            read.eq(active & (~self.visit.valid | self.visit.ready) & (span.complete | less(place + 1, span.count))),
            self.entry.enable.eq(read & ~span.whole),
            self.entry.slot.eq(slot),
            self.entry.number.eq(span.number),
            self.entry.place.eq(place),
        ]
        corner(m, platform, "list_chased", read & ~span.complete)
        finished = self._count(m, read, last, place)
        with m.If(self.announce):
            m.d.sync += waiting.bit_select(self.slot, 1).eq(1)
        with m.If(~active | finished):
            # Both wait only behind a list that is being sent, and then the other slot's was announced first.
            turn = Mux(chosen(waiting, ~slot), ~slot, slot)
            m.d.sync += [active.eq(waiting.any()), slot.eq(turn)]
            with m.If(waiting.any()):
                m.d.sync += waiting.bit_select(turn, 1).eq(0)
        self._offer(m, read, last, span.whole, place)
        return m

    def _count(self, m: Module, read: Signal, last: Signal, place: Signal):
        """Places in turn, and times over; returns whether that ends in this cycle."""
        slices = self._config.head_slices
        time = Signal(range(slices))
        finished = read & last & (time == slices - 1)
        with m.If(read):
            m.d.sync += place.eq(place + 1)
            with m.If(last):
                m.d.sync += [place.eq(0), time.eq(time + 1)]
            with m.If(finished):
                m.d.sync += time.eq(0)
        return finished

    def _offer(self, m: Module, read: Signal, last: Signal, whole, place: Signal) -> None:
        counted, was_whole = Signal(place.shape(), reset_less=True), Signal(reset_less=True)
        was_last, valid = Signal(reset_less=True), Signal()
        m.d.comb += [
            self.visit.valid.eq(valid),
            self.visit.payload.key.eq(Mux(was_whole, counted, self.key)),
            self.visit.payload.last.eq(was_last),
        ]
        with m.If(read):
            m.d.sync += [valid.eq(1), was_whole.eq(whole), was_last.eq(last)]
            with m.If(whole):
                m.d.sync += counted.eq(place)
        with m.Elif(self.visit.ready):
            m.d.sync += valid.eq(0)


class Lists(wiring.Component):
    """Keeps the lists of both slots and sends them.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`, with two rounds or more.

    Members
    -------
    opening: In, `opening_layout(config)`. A slot is opened only after all of its keys before were taken and answered.
    verdict: In, `verdict_layout(config)`: those with `list` set go into the list that was opened last for their slot,
    no, one or two keys of each. One of a walk is always found, as a row's maximum is kept, and a round without any
    survivor is no walk.
    spans: Out, per slot `span_layout(config)`.
    entry: In, `entry_layout(config)`, read by a clip; `key`: Out, what is there, from the next cycle on.
    visit: Out, stream of `visit_layout(config)`: the lists in the order in which they were opened.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "opening": In(opening_layout(config)),
                "verdict": In(verdict_layout(config)),
                "spans": Out(data.ArrayLayout(span_layout(config), SLOTS)),
                "entry": In(entry_layout(config)),
                "key": Out(token_shape(config)),
                "visit": Out(stream.Signature(visit_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        visits = Visits(self._config)
        m.submodules.visits = share(visits, "lapa_visits", platform)
        wiring.connect(m, visits.visit, wiring.flipped(self.visit))
        m.d.comb += [
            visits.announce.eq(self.opening.enable),
            visits.slot.eq(self.opening.slot),
            visits.spans.eq(self.spans),
        ]
        for slot in range(SLOTS):
            self._follow(m, slot)
        self._memories(m, visits, platform)
        return m

    def _follow(self, m: Module, slot: int) -> None:
        """What becomes of a slot's span."""
        opening, verdict = self.opening, self.verdict
        fields = {name: field.shape for name, field in self.spans[slot].shape()}
        span = SimpleNamespace(
            **{name: Signal(shape, name=f"{name}{slot}", reset_less=True) for name, shape in fields.items()}
        )
        m.d.comb += [self.spans[slot][name].eq(register) for name, register in vars(span).items()]
        with m.If(opening.enable & (opening.slot == slot)):
            with m.If(opening.fresh):
                m.d.sync += [span.whole.eq(0), span.number.eq(opening.number), span.count.eq(0), span.complete.eq(0)]
            with m.Elif(opening.first):
                m.d.sync += [span.whole.eq(1), span.count.eq(opening.key + 1), span.complete.eq(1)]
        with m.If(verdict["list"] & (verdict.slot == slot)):
            m.d.sync += span.count.eq(span.count + verdict.found[0] + verdict.found[1])
            with m.If(verdict.last):
                m.d.sync += span.complete.eq(1)

    def _memories(self, m: Module, visits: Visits, platform) -> None:
        numbers = self._config.rounds - 1
        keys = []
        for slot in range(SLOTS):
            for number in range(numbers):
                for parity in range(PARITIES):
                    memory = Store(self._config.tokens // PARITIES, token_shape(self._config))
                    m.submodules[f"list{slot}_{number}_{parity}"] = share(memory, "lapa_list", platform)
                    walks, sends = (
                        e.enable & (e.slot == slot) & (e.number == number) & (e.place[0] == parity)
                        for e in (self.entry, visits.entry)
                    )
                    m.d.comb += [
                        memory.read.eq(walks | sends),
                        memory.read_at.eq(Mux(walks, self.entry.place[1:], visits.entry.place[1:])),
                    ]
                    self._write(m, memory, slot, number, parity)
                    keys.append(memory.stored)
        for entry, key in ((self.entry, self.key), (visits.entry, visits.key)):
            # From which memory stays known until another one is read.
            source = Signal(range(len(keys)), reset_less=True)
            with m.If(entry.enable):
                m.d.sync += source.eq(Cat(entry.place[0], entry.slot * Const(numbers) + entry.number))
            m.d.comb += key.eq(Array(keys)[source])

    def _write(self, m: Module, memory: Store, slot: int, number: int, parity: int) -> None:
        """Of the keys found, the one whose place has this parity: the first one's place is the count."""
        verdict, span = self.verdict, self.spans[slot]
        found, first = verdict.found, span.count[0] == parity
        comes = verdict["list"] & (verdict.slot == slot) & (span.number == number)
        m.d.comb += [
            memory.write.eq(comes & Mux(first, found.any(), found.all())),
            memory.write_at.eq(span.count[1:] + (~first & span.count[0])),
            memory.word.eq(Cat(~(first & found[0]), verdict.key[1:])),
        ]
