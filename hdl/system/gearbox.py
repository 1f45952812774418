# SPDX-License-Identifier: Apache-2.0
"""Words of one width to words of another: between the memory's port and what the parts of an accelerator take.

wide ─► Split ─► narrow ─► Join ─► wide            bus words ─► Unpack ─► payloads of any width
bus words ─► RowLoader ─► beats of rows ─► RowPacker ─► bus words

The lowest bits come first, as the lowest addresses do. Each holds one wide word, and none makes a pause: the next wide
word begins to come as the one before leaves, so that `i.ready` hangs on `o.ready`. No `valid` depends on a `ready` of
its own stream. Empty after reset.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.errors import require
from config.formats import OPERAND_BITS
from config.system import SystemConfig
from hdl.system.layouts import bus_shape, values_layout


class Split(wiring.Component):
    """A word of `in_bits` as `in_bits` / `out_bits` words, lowest bits first, one a cycle.

    Parameters
    ----------
    in_bits: a multiple of out_bits. pairs: o has twice `out_bits`, and `wide` says whether two parts leave at once.
    Raises `Refusal` for anything else.

    Members
    -------
    i: In, stream of in_bits. o: Out, stream of out_bits, or of twice as many with `pairs`; the first a cycle behind i.
    ends: In, 1: what stands at o is the last of its word, and the rest is dropped; of no account while `o.valid` is
    low. Left open, words leave whole.
    wide: In, 1: of each two parts, both leave at once; stands while a word is here. Absent without `pairs`.
    """

    def __init__(self, in_bits: int, out_bits: int, *, pairs: bool = False):
        self._parts, self._pairs, self._out_bits = _parts(in_bits, out_bits, pairs), pairs, out_bits
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(in_bits))),
                "o": Out(stream.Signature(unsigned(out_bits << pairs))),
                "ends": In(1),
                **({"wide": In(1)} if pairs else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = self._out_bits
        at, held = Signal(range(self._parts)), Signal(self.i.payload.shape(), reset_less=True)
        takes, last = Signal(), Signal()
        m.d.comb += [
            last.eq(_is_last(at, self._parts, self) | self.ends),
            takes.eq(~self.o.valid | (self.o.ready & last)),
            self.i.ready.eq(takes),
            self.o.payload.eq(held[: len(self.o.payload)]),
        ]
        with m.If(takes):
            m.d.sync += [self.o.valid.eq(self.i.valid), at.eq(0)]
            with m.If(self.i.valid):
                m.d.sync += held.eq(self.i.payload)
        with m.Elif(self.o.ready):
            m.d.sync += [at.eq(_next(at, self)), held.eq(held >> bits)]
            if self._pairs:
                with m.If(self.wide):
                    m.d.sync += held.eq(held >> 2 * bits)
        return m


class Unpack(wiring.Component):
    """As many words of `in_bits` as `out_bits` need become one of these, the first lowest. What the last one has above
    is dropped: every payload begins with a word of its own.

    A word a cycle; the payload is offered a cycle after its last word. Parameters: widths, from 1. Members: i: In,
    stream of in_bits; o: Out, stream of out_bits.
    """

    def __init__(self, in_bits: int, out_bits: int):
        self._words = -(-out_bits // in_bits)
        super().__init__({"i": In(stream.Signature(unsigned(in_bits))), "o": Out(stream.Signature(unsigned(out_bits)))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.gear = join = Join(len(self.i.payload), len(self.i.payload) * self._words)
        wiring.connect(m, wiring.flipped(self.i), join.i)
        m.d.comb += [
            self.o.valid.eq(join.o.valid),
            self.o.payload.eq(join.o.payload),
            join.o.ready.eq(self.o.ready),
        ]
        return m


class Join(wiring.Component):
    """`out_bits` / `in_bits` words as one of `out_bits`, the first lowest: one is taken each cycle.

    Parameters
    ----------
    out_bits: a multiple of in_bits. pairs: i has twice `in_bits`, and `wide` says whether two parts come at once.
    Raises `Refusal` for anything else.

    Members
    -------
    i: In, stream of in_bits, or of twice as many with `pairs`. o: Out, stream of out_bits, a cycle after the last part.
    ends: In, 1: with what stands at i its word ends, and zeros fill it up. Left open, words are full.
    wide: In, 1: two parts come at once; stands while a word is here. Absent without `pairs`.
    """

    def __init__(self, in_bits: int, out_bits: int, *, pairs: bool = False):
        self._parts, self._pairs, self._in_bits = _parts(out_bits, in_bits, pairs), pairs, in_bits
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(in_bits << pairs))),
                "o": Out(stream.Signature(unsigned(out_bits))),
                "ends": In(1),
                **({"wide": In(1)} if pairs else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        at, held = Signal(range(self._parts)), Signal(self.o.payload.shape(), reset_less=True)
        takes, last = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            takes.eq(self.i.valid & self.i.ready),
            last.eq(_is_last(at, self._parts, self) | self.ends),
            self.o.payload.eq(held),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(takes & last)
        with m.If(takes):
            m.d.sync += at.eq(Mux(last, 0, _next(at, self)))
            self._put(m, held, at)
        return m

    def _put(self, m: Module, held: Signal, at: Value) -> None:
        """The first part empties all places but its own, in which a word that ends early has zeros."""
        bits = self._in_bits
        for place in range(self._parts):
            there = held.word_select(place, bits)
            with m.If(at == place):
                m.d.sync += there.eq(self.i.payload[:bits])
            with m.Elif(at == 0):
                m.d.sync += there.eq(0)
            if self._pairs and place % 2:
                with m.If(self.wide & (at == place - 1)):
                    m.d.sync += there.eq(self.i.payload[bits:])


def _parts(whole: int, part: int, pairs: bool) -> int:
    require(
        part >= 1 and whole % (part << pairs) == 0,
        f"The wider of both words must be a multiple of {part << pairs} bits, not of {whole}; fill it up.",
    )
    return whole // part


def _is_last(at: Value, parts: int, box: Split | Join) -> Value:
    """Is this the last part, or, of two at once, the last but one?"""
    return (at == parts - 1) | ((at == parts - 2) & box.wide) if box._pairs else at == parts - 1


def _next(at: Value, box: Split | Join) -> Value:
    return at + Mux(box.wide, 2, 1) if box._pairs else at + 1


class _Rows(wiring.Component):
    """What the loader and the packer of rows have in common: where a row, or a beat, ends."""

    def __init__(self, config: SystemConfig, members: dict[str, wiring.Member]):
        self._narrow = OPERAND_BITS * config.values
        self._short = config.bus_bits > self._narrow
        """A beat is shorter than a word of the bus: of 16 bits, no longer than it."""
        self._config = config
        super().__init__({"width": In(range(config.speculation.width + 1)), "wide": In(1), **members})

    def _ends(self, m: Module, moves: Value) -> Value:
        """Of beats that are shorter than a word of the bus, the last one of a row; else the last word of a beat."""
        words = self._narrow // self._config.bus_bits
        beats = self._config.speculation.width // self._config.values
        last = Signal(range(beats if self._short else 2 * words), reset_less=True)
        at, ends = Signal.like(last, reset_less=False), Signal()
        per_beat = Mux(self.wide, 2 * words - 1, words - 1)
        m.d.sync += last.eq((self.width >> exact_log2(self._config.values)) - 1 if self._short else per_beat)
        m.d.comb += ends.eq(at == last)
        with m.If(moves):
            m.d.sync += at.eq(Mux(ends, 0, at + 1))
        return ends


class RowLoader(_Rows):
    """Rows as they lie in memory, as beats of the residual stream. A row begins with a word of the bus; what its last
    one has beyond the row is dropped.

    Parameters
    ----------
    config: `SystemConfig`, of `values` that are a power of two.

    Members
    -------
    width: In: values of a row, a multiple of lanes. wide: In, 1: they have 16 bits in memory, and not 8, signed. Both
    stand from a cycle before a row's first word is offered until its last beat has left.
    i: In, stream of `bus_shape`. o: Out, stream of `values_layout`, a beat a cycle, or as many as the bus brings.
    """

    def __init__(self, config: SystemConfig):
        super().__init__(
            config,
            {"i": In(stream.Signature(bus_shape(config))), "o": Out(stream.Signature(values_layout(config)))},
        )

    def elaborate(self, platform):
        m = Module()
        bus, narrow = self._config.bus_bits, self._narrow
        m.submodules.box = box = Split(bus, narrow, pairs=True) if self._short else Join(bus, 2 * narrow)
        side = self.o if self._short else self.i
        if self._short:
            m.d.comb += box.wide.eq(self.wide)
        wiring.connect(m, wiring.flipped(self.i), box.i)
        m.d.comb += [
            box.ends.eq(self._ends(m, side.valid & side.ready)),
            self.o.valid.eq(box.o.valid),
            box.o.ready.eq(self.o.ready),
        ]
        for n, value in enumerate(self.o.payload):
            wide, byte = (box.o.payload.word_select(n, bits) for bits in (len(value), OPERAND_BITS))
            m.d.comb += value.eq(Mux(self.wide, wide.as_signed(), byte.as_signed()))
        return m


class RowPacker(_Rows):
    """Beats of the residual stream as rows in memory: what `RowLoader` takes. Zeros fill a row's last word up.

    Parameters
    ----------
    config: `SystemConfig`, of `values` that are a power of two.

    Members
    -------
    width, wide: In, as those of `RowLoader`; they stand from a cycle before a row's first beat is offered until its
    last word has left. Without `wide`, values are within int8.
    i: In, stream of `values_layout`, a beat a cycle, or as many as the bus takes. o: Out, stream of `bus_shape`.
    """

    def __init__(self, config: SystemConfig):
        super().__init__(
            config,
            {"i": In(stream.Signature(values_layout(config))), "o": Out(stream.Signature(bus_shape(config)))},
        )

    def elaborate(self, platform):
        m = Module()
        bus, narrow = self._config.bus_bits, self._narrow
        m.submodules.box = box = Join(narrow, bus, pairs=True) if self._short else Split(2 * narrow, bus)
        side = self.i if self._short else self.o
        if self._short:
            m.d.comb += box.wide.eq(self.wide)
        wiring.connect(m, wiring.flipped(self.o), box.o)
        m.d.comb += [
            box.ends.eq(self._ends(m, side.valid & side.ready)),
            box.i.valid.eq(self.i.valid),
            self.i.ready.eq(box.i.ready),
            box.i.payload.eq(Mux(self.wide, self.i.payload.as_value(), Cat(v[:OPERAND_BITS] for v in self.i.payload))),
        ]
        return m
