# SPDX-License-Identifier: Apache-2.0
"""LayerNorm: rows of residual sums to int8, a beat a cycle. Exact mean and variance, one root and one reciprocal a row.

i ─┬─► beats ────────────────────────────────┬─► lanes: z ─► · gain + offset, >> shift, clip ─► o
   └─► row sums ─► root ─► reciprocal ─► row ┘                 ▲
       (pipeline)  (two parts each)                 channel ───┘

While a row's root and reciprocal are found, the rows behind it stream in, and the one before it leaves. So `beats`
holds a row and what comes in meanwhile.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.execute import EPS_BITS, GAIN_BITS, OFFSET_BITS, ROOT_BITS, STREAM_BITS
from config.formats import OPERAND_BITS
from config.requantise import SHIFT_BITS
from config.units import LayerNormConfig
from hdl.arith.compare import less
from hdl.arith.reciprocal import Reciprocal
from hdl.arith.requantise import Requantiser
from hdl.arith.root import Root
from hdl.cover import corner
from hdl.execute.norm_lane import NormLane
from hdl.execute.norm_widths import NormWidths
from hdl.execute.row_sums import RowSums
from hdl.shared import share
from hdl.store import Store

PARTS = 2
"""Of root and reciprocal: a row every 9 cycles."""


def channel_layout(lanes: int) -> data.ArrayLayout:
    """Of each of a beat's channels: `gain` and `offset`."""
    return data.ArrayLayout(data.StructLayout({"gain": signed(GAIN_BITS), "offset": signed(OFFSET_BITS)}), lanes)


def row_layout(widths: NormWidths) -> data.StructLayout:
    """What a row's values are scaled by, as a reciprocal leaves with its tag."""
    return data.StructLayout({"reciprocal": ROOT_BITS + 1, "down": widths.down, "total": signed(widths.total)})


class LayerNormUnit(wiring.Component):
    """golden.execute.layer_norm.layer_norm of each row, in order; `lanes` values a cycle.

    Parameters
    ----------
    Those of `LayerNormConfig`; raises `Refusal` as it does.

    Members
    -------
    width: In, 1 to the built width; eps: In, 40, unsigned; shift: In, 6, 1 to 40. Settings that stand from a cycle
    before the first beat enters until the last one has left.
    i: In, stream of `lanes` signed(16). A row has ceil(width / lanes) beats; in its last one, values beyond the width
    count for nothing, whatever they are.
    channel: In, stream of `channel_layout`: gain and offset of the channels of each beat, over again for each row. A
    beat is taken where a beat of values has come to it: there may be one on offer before.
    o: Out, stream of `lanes` signed(8), in the order of `i`. Beyond the width of a row, values mean nothing.

    A beat a cycle for rows from `period` = 9 beats on, and a row every `period` cycles below that. A row's first beat
    is on offer `latency` cycles after its last one has come, if nothing holds it. No `valid` depends on a `ready` of
    its own stream. Without work nothing toggles. Empty after reset.
    """

    def __init__(self, *, lanes: int, width: int):
        # Refuses what no unit can be.
        LayerNormConfig(lanes, width)
        self._lanes, self._widths = lanes, NormWidths(width)
        self._sums = RowSums(lanes, self._widths)
        tag = self._widths.total + self._widths.down
        self._root = Root(bits=ROOT_BITS, parts=PARTS, tag=tag)
        self._reciprocal = Reciprocal(bits=ROOT_BITS, parts=PARTS, tag=tag)
        self._lane, self._scaler = self._pair()
        values = data.ArrayLayout(signed(STREAM_BITS), lanes)
        self._store = Store(self.depth, values)
        self._full = Signal()
        super().__init__(
            {
                "width": In(range(width + 1)),
                "eps": In(EPS_BITS),
                "shift": In(SHIFT_BITS),
                "i": In(stream.Signature(values)),
                "channel": In(stream.Signature(channel_layout(lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(signed(OPERAND_BITS), lanes))),
            }
        )

    def _pair(self) -> tuple[NormLane, Requantiser]:
        """What each lane has."""
        return NormLane(self._widths), Requantiser(acc_bits=self._widths.z, signed_mul=True, offset_bits=OFFSET_BITS)

    @property
    def beats(self) -> int:
        """Of the longest row."""
        return -(-self._widths.width // self._lanes)

    @property
    def period(self) -> int:
        """Cycles from one row to the next at the least."""
        return max(self._root.period, self._reciprocal.period)

    @property
    def row_latency(self) -> int:
        """Cycles from a row's last beat to when its first one is read again: sums, root, reciprocal, and a register."""
        return self._sums.latency + self._root.latency + self._reciprocal.latency + 1

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to when its first one is offered."""
        return self.row_latency + 1 + self._lane.latency + self._scaler.latency

    @property
    def depth(self) -> int:
        """Beats that are kept: a row, and those that come until it is read."""
        return self.beats + self.row_latency + 2

    def elaborate(self, platform):
        m = Module()
        m.submodules.row_sums = share(self._sums, "norm_sums", platform)
        m.submodules.root = share(self._root, "norm_root", platform)
        m.submodules.reciprocal = share(self._reciprocal, "norm_reciprocal", platform)
        m.submodules.store = share(self._store, "norm_store", platform)
        last_beat = Signal(range(self.beats), reset_less=True)
        m.d.sync += last_beat.eq((self.width - 1) >> exact_log2(self._lanes))
        accepted = self._enter(m, last_beat)
        row, known, begins = self._find(m)
        issued = self._leave(m, row, known, begins, last_beat, platform)

        kept = Signal(range(self.depth + 1))
        m.d.sync += kept.eq(kept + accepted - issued)
        m.d.comb += self._full.eq(kept == self.depth)
        corner(m, platform, "norm_full", self._full & self.i.valid)
        corner(m, platform, "norm_row_waits", known & ~begins)
        corner(m, platform, "norm_sums_wait", self._sums.o.valid & ~self._root.i.ready)
        return m

    def _enter(self, m: Module, last_beat: Value) -> Value:
        """Beats into the store and, without what lies beyond the row, to the sums. Returns whether one is taken."""
        sums, store, beat = self._sums, self._store, Signal(last_beat.shape())
        accepted, at = Signal(), Signal(range(self.depth))
        end = Cat(self.width[: exact_log2(self._lanes)], Const(0, 1))
        keep = Signal(self._lanes, reset_less=True)
        m.d.sync += keep.eq(Cat((end == 0) | less(Const(lane, len(end)), end) for lane in range(self._lanes)))
        is_last = beat == last_beat
        m.d.comb += [
            accepted.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(sums.i.ready & ~self._full),
            sums.i.valid.eq(self.i.valid & ~self._full),
            sums.first.eq(beat == 0),
            sums.last.eq(is_last),
            sums.width.eq(self.width),
            sums.eps.eq(self.eps),
            store.write.eq(accepted),
            store.write_at.eq(at),
            store.word.eq(self.i.payload),
        ]
        for lane, value in enumerate(self.i.payload):
            m.d.comb += sums.i.payload[lane].eq(Mux(keep[lane] | ~is_last, value, 0))
        with m.If(accepted):
            m.d.sync += [beat.eq(Mux(is_last, 0, beat + 1)), at.eq(Mux(at == self.depth - 1, 0, at + 1))]
        return accepted

    def _find(self, m: Module) -> tuple[data.View, Value, Signal]:
        """From a row's sums to what its beats are to be scaled by. Returns that of the row to be read next, whether it
        is known, and a signal by which the reader says that it has begun."""
        sums, root, reciprocal = self._sums, self._root, self._reciprocal
        row = Signal(row_layout(self._widths), reset_less=True)
        known, begins = Signal(), Signal()
        m.d.comb += [
            root.i.valid.eq(sums.o.valid),
            sums.o.ready.eq(root.i.ready),
            root.i.payload.number.eq(sums.o.payload.v),
            root.i.payload.tag.eq(Cat(sums.o.payload.down, sums.o.payload.total)),
            reciprocal.i.valid.eq(root.o.valid),
            root.o.ready.eq(reciprocal.i.ready),
            reciprocal.i.payload.eq(root.o.payload),
            reciprocal.o.ready.eq(~known),
        ]
        with m.If(begins):
            m.d.sync += known.eq(0)
        with m.If(reciprocal.o.valid & ~known):
            m.d.sync += [known.eq(1), row.as_value().eq(reciprocal.o.payload.as_value())]
        return row, known, begins

    def _leave(self, m: Module, row, known: Value, begins: Value, last_beat: Value, platform) -> Value:
        """Beats from the store through the lanes. Returns whether one is read."""
        lane_of, scaler_of, store = self._lane, self._scaler, self._store
        busy, beat, at = Signal(), Signal(last_beat.shape()), Signal(range(self.depth))
        advance, issued, ready = Signal(), Signal(), Signal()
        m.d.comb += [issued.eq(advance & (busy | known)), begins.eq(issued & ~busy)]
        m.d.comb += [store.read.eq(issued), store.read_at.eq(at)]
        with m.If(issued):
            is_last = beat == last_beat
            m.d.sync += [busy.eq(~is_last), beat.eq(Mux(is_last, 0, beat + 1))]
            m.d.sync += at.eq(Mux(at == self.depth - 1, 0, at + 1))

        # Beats in the lanes, and beside the first of each row what it is scaled by, as far as that is needed.
        valid, first, rows = [issued], [begins], [row]
        for stage in range(lane_of.latency + 1):
            chain = Signal(name=f"valid{stage}"), Signal(name=f"first{stage}", reset_less=True)
            with m.If(advance):
                m.d.sync += chain[0].eq(valid[-1])
                with m.If(valid[-1]):
                    m.d.sync += chain[1].eq(first[-1])
            if stage <= lane_of.reciprocal_at:
                held = Signal(row.shape(), name=f"row{stage}", reset_less=True)
                with m.If(advance & valid[-1] & first[-1]):
                    m.d.sync += held.eq(rows[-1])
                rows.append(held)
            valid.append(chain[0])
            first.append(chain[1])
        valid, rows = valid[1:], rows[1:]
        m.d.comb += [
            advance.eq(~valid[-1] | (self.channel.valid & ready)),
            self.channel.ready.eq(valid[-1] & ready),
        ]
        enable = Cat(advance & each for each in valid[:-1])
        for i, value in enumerate(store.stored):
            lane, scaler = (lane_of, scaler_of) if i == 0 else self._pair()
            m.submodules[f"lane{i}"] = share(lane, "norm_lane", platform)
            m.submodules[f"scaler{i}"] = share(scaler, "norm_scaler", platform)
            m.d.comb += [
                lane.width.eq(self.width),
                lane.r.eq(value),
                lane.total.eq(rows[0].total),
                lane.down.eq(rows[lane.down_at].down),
                lane.reciprocal.eq(rows[lane.reciprocal_at].reciprocal),
                lane.enable.eq(enable),
                scaler.i.payload.eq(lane.z),
                scaler.i.valid.eq(valid[-1] & self.channel.valid),
                scaler.mul.eq(self.channel.payload[i].gain),
                scaler.offset.eq(self.channel.payload[i].offset),
                scaler.shift.eq(self.shift),
                scaler.o.ready.eq(self.o.ready),
                self.o.payload[i].eq(scaler.o.payload),
            ]
        m.d.comb += [ready.eq(scaler_of.i.ready), self.o.valid.eq(scaler_of.o.valid)]
        corner(m, platform, "norm_channel_late", valid[-1] & ~self.channel.valid)
        return issued
