# SPDX-License-Identifier: Apache-2.0
"""A PE line: a row of its own, scalar by scalar, against rows of operands; one sum in each lane.

    i.a ─► digits ──┬──────┬──── … ─┐
    i.b ─► … lane 0 ▼  lane 1 ▼     ▼ lane L-1: Σ a·b ─► held ─► choice of a group of lanes ─► sums
           BIAS of all products so far ────────────────► held ─────────────────────────────► offset

Sums move to where they are held when their last product is in, and wait there until all have been read: the next ones
are begun in the next cycle.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import require_range
from config.formats import OPERAND_BITS
from config.pe_arrays import PeArraysConfig
from hdl.behaviour import behavioural
from hdl.cover import corner
from hdl.execute.pe_lane import BIAS, BIAS_SHIFT, BUNDLE, CONTROL, SCALAR_BITS, PeBundle, recode, sum_layout
from hdl.shared import share

MAX_TAG_BITS = 64
LATENCY = 4
"""From an item's last beat to its sums: operands, sums, held, and their upper part."""


def row_layout(lanes: int) -> data.ArrayLayout:
    """A row of int8 operands, one for each lane."""
    return data.ArrayLayout(signed(OPERAND_BITS), lanes)


def beat_layout(config: PeArraysConfig, tag_bits: int) -> data.StructLayout:
    """A product in each lane: scalar `a`, -128 to 255, times row `b`; `first` and `last` of an item; `tag`, taken with
    its last beat."""
    return data.StructLayout(
        {"a": signed(SCALAR_BITS), "b": row_layout(config.lanes), "first": 1, "last": 1, "tag": tag_bits}
    )


def sums_layout(config: PeArraysConfig) -> data.StructLayout:
    """Of a group of lanes: pairs of words, and what has to be added to the sum of each, modulo 2^acc_bits."""
    pairs = data.ArrayLayout(sum_layout(config.acc_bits), config.scalers)
    return data.StructLayout({"pairs": pairs, "offset": config.acc_bits})


class PeLine(wiring.Component):
    """Σ a·b over the beats of an item, in each lane; a beat a cycle, whatever the lengths of items, as long as sums are
    read in time.

    Parameters
    ----------
    config: `lanes`, `scalers` lanes of a group, and the widths. tag_bits: of what accompanies an item, 1 to 64.

    Members
    -------
    i: In, stream of `beat_layout(config, tag_bits)`. Items may follow each other without a gap.
    select: In, `groups`, one-hot: the group of lanes that `sums` shows.
    sums: Out, `sums_layout(config)`, in the same cycle. Lane g·scalers + k of group g is pair k.
    tag: Out, `tag_bits`, of the item whose sums these are. done: Out, 1: they are there, and stay until released.
    consumed: In, 1, only where `done`: these sums have been read, and the next ones may take their place.

    An item's sums are there `latency` cycles behind its last beat, if those before have been released. A beat waits at
    `i` only if the sums of two items wait already. `i.ready` depends on no input.
    A beat with a = 0 moves no operand, and nothing at all between an item's first and last one. Without beats nothing
    toggles. Empty after reset.
    """

    def __init__(self, config: PeArraysConfig, *, tag_bits: int = 1):
        require_range("tag_bits", tag_bits, 1, MAX_TAG_BITS)
        self._config, self._tag_bits = config, tag_bits
        self._bundles = [
            PeBundle(min(BUNDLE, config.lanes - lane), config.acc_bits) for lane in range(0, config.lanes, BUNDLE)
        ]
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(config, tag_bits))),
                "select": In(config.groups),
                "sums": Out(sums_layout(config)),
                "tag": Out(tag_bits),
                "done": Out(1),
                "consumed": In(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an item's last beat to its sums."""
        return LATENCY

    def elaborate(self, platform):
        m = Module()
        control, enter, first = Signal(CONTROL), Signal(), Signal(reset_less=True)
        if behavioural(platform, *self._bundles):
            self._move(m, control, enter, first, platform)
            self._choose(m, self._behave(m, control, enter, first))
            return m
        held = self._multiply(m, control, enter, platform)
        self._move(m, control, enter, first, platform)
        self._offset(m, control, first)
        self._choose(m, held)
        return m

    def _multiply(self, m: Module, control: data.View, enter: Value, platform) -> list[Value]:
        """The pairs of all lanes that are held."""
        beat, held = self.i.payload, []
        for number, bundle in enumerate(self._bundles):
            lanes = len(bundle.held)
            m.submodules[f"bundle{number}"] = share(bundle, f"pe_bundle{lanes}", platform)
            m.d.comb += [
                Cat(bundle.b).eq(Cat(beat.b[BUNDLE * number + lane] for lane in range(lanes))),
                bundle.digits.as_value().eq(recode(beat.a)),
                bundle.first.eq(beat.first),
                bundle.enter.eq(enter),
                bundle.control.eq(control),
            ]
            held += [lane.as_value() for lane in bundle.held]
        return held

    def _behave(self, m: Module, control: data.View, enter: Value, first: Value) -> list[Value]:
        """What `_multiply` comes to with the offset: whole sums, each beside carries that are all 0."""
        beat, held = self.i.payload, []
        a, b = Signal.like(beat.a, name="a", reset_less=True), Signal(beat.b.shape(), name="b", reset_less=True)
        with m.If(enter):
            m.d.sync += a.eq(beat.a)
        with m.If(control.take):
            m.d.sync += b.eq(beat.b)
        for lane, operand in enumerate(b):
            total, kept = (
                Signal(self._config.acc_bits, name=f"{name}{lane}", reset_less=True) for name in ("total", "kept")
            )
            with m.If(control.update):
                m.d.sync += total.eq(a * operand + Mux(first, 0, total))
            with m.If(control.keep):
                m.d.sync += kept.eq(total)
            held.append(kept)
        return held

    def _move(self, m: Module, control: data.View, enter: Value, first: Value, platform) -> None:
        """A beat's operands wait for their turn; a whole sum, in the accumulators, until the held one may go."""
        beat = self.i.payload
        waits, last = Signal(), Signal(reset_less=True)
        whole, held = Signal(), Signal()
        update, keep, settle, settle_first, keep_high = Signal(), Signal(), Signal(), Signal(), Signal()
        tags = [Signal(self._tag_bits, name=f"tag{stage}", reset_less=True) for stage in range(3)]
        i_fire = Signal()
        m.d.comb += [
            # Not in the cycle in which sums are consumed: nothing that moves operands is to hang on who reads.
            keep.eq(whole & ~held),
            update.eq(waits & (~whole | keep)),
            # update or nothing waits, written so that it hangs on no load of theirs.
            self.i.ready.eq(~(waits & whole & held)),
            i_fire.eq(self.i.valid & self.i.ready),
            # What is neither first nor last, and adds nothing, is as good as done.
            enter.eq(i_fire & (beat.a.any() | beat.first | beat.last)),
            control.take.eq(i_fire & beat.a.any()),
            control.update.eq(update),
            control.keep.eq(keep),
            control.settle.eq(settle),
            control.settle_first.eq(settle_first),
            control.keep_high.eq(keep_high),
            self.done.eq(held & ~keep_high),
            self.tag.eq(tags[2]),
        ]
        with m.If(self.i.ready):
            m.d.sync += waits.eq(enter)
        with m.If(enter):
            m.d.sync += [first.eq(beat.first), last.eq(beat.last)]
            with m.If(beat.last):
                m.d.sync += tags[0].eq(beat.tag)
        m.d.sync += [settle.eq(update), keep_high.eq(keep)]
        with m.If(update):
            m.d.sync += [whole.eq(last), settle_first.eq(first)]
            with m.If(last):
                m.d.sync += tags[1].eq(tags[0])
        with m.Elif(keep):
            m.d.sync += whole.eq(0)
        with m.If(keep):
            m.d.sync += [held.eq(1), tags[2].eq(tags[1])]
        with m.Elif(self.consumed):
            m.d.sync += held.eq(0)
        corner(m, platform, "line_waits", waits & ~update)
        corner(m, platform, "line_adds_nothing", i_fire & ~enter)

    def _offset(self, m: Module, control: data.View, first: Value) -> None:
        """-BIAS for each product that the sums have."""
        bits = self._config.acc_bits - BIAS_SHIFT
        bias = Const(-(BIAS >> BIAS_SHIFT) % (1 << bits), bits)
        offset, held = Signal(bits, reset_less=True), Signal(bits, reset_less=True)
        with m.If(control.update):
            m.d.sync += offset.eq(Mux(first, 0, offset) + bias)
        with m.If(control.keep):
            m.d.sync += held.eq(offset)
        m.d.comb += self.sums.offset.eq(Cat(Const(0, BIAS_SHIFT), held))

    def _choose(self, m: Module, held: list[Value]) -> None:
        for k, pair in enumerate(self.sums.pairs):
            shown: Value = Const(0, len(pair.as_value()))
            for group, lane in enumerate(held[k :: self._config.scalers]):
                shown |= lane & self.select[group].replicate(len(lane))
            m.d.comb += pair.as_value().eq(shown)
