# SPDX-License-Identifier: Apache-2.0
"""A pass over the residual stream: each row is read, results are added to it, it is normed, and goes to where the next
product reads it.

x ──────────┐                 ┌── without `add` ──┐             ┌───── without `normalise` ─────┐
stream ─────┴─► value ────────┴─► + ──────────────┴─► sum ─┬────┴─► LayerNorm ─► norm ──────────┴─► input
results ───────────────────────────▲                       │          ▲            │
scale 1, 2 ────────────────────────┘                       │   norm 1, 2           │
                                                           └────────── kept ◄──────┘ with `keep_norm`
                                                                       kept ─► stream, y
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.execute import EPS_BITS, STREAM_BITS
from config.formats import OPERAND_BITS
from config.requantise import MUL_BITS, SHIFT_BITS, Multiplier
from config.system import SystemConfig
from hdl.cover import corner
from hdl.execute.layer_norm import LayerNormUnit, channel_layout
from hdl.execute.residual import ResidualUnit, scale_layout
from hdl.shared import share
from hdl.store import Store
from hdl.system.channels import Channels
from hdl.system.layouts import (
    Parameter,
    copy_layout,
    count_shape,
    parameter_layout,
    part_layout,
    pass_layout,
    result_layout,
    token_shape,
    values_layout,
)
from hdl.system.row_results import RowResults
from hdl.system.two_places import TwoPlaces, reads

ONE = Multiplier(1 << (MUL_BITS - 1), MUL_BITS - 1)
"""Leaves a value of 16 bits as it is."""
NORMS = 2
"""Of a layer."""
START = 5
"""Cycles from a job until a row leaves that is read and nothing else: two to begin, the memory, and places for two."""


class RowPass(wiring.Component):
    """Residual stream, results, sums and norms of a layer: golden.system.row_pass, pass by pass.

    Parameters
    ----------
    config: `SystemConfig`.

    Members
    -------
    tokens: In, 1 or more; width: In, of a row, a multiple of lanes; eps, norm_shift: In, of either norm, as those of
    `LayerNormUnit`. They stand from the cycle before a pass is offered until it is over.
    parameter: In, stream of `parameter_layout`, always taken: those of both scales and norms are stored, by channel.
    None of a kind comes while a pass uses it.
    job: In, stream of `pass_layout`: taken as the pass begins, so not while another one is `busy`: Out, 1.
    limit: In: results of tokens below it were taken, in the cycle before at the latest. A pass that adds begins with a
    row when the result that this takes, which is none of a later token's, is below. The limit may rise during a pass.
    finished: Out: rows below it have left to `input`, or, in a pass without, to the stream. 0 from the cycle after the
    pass was taken on, and `tokens` from its end until the next one.
    copy_read: Out, 1; copy_at: Out, token; copy: In, `copy_layout`, of that token, in the next cycle. Asked for in
    passes with `copies`.
    result: In, stream of `result_layout`, always taken: words of rows of results. A result may be replaced when no pass
    will read it any more.
    x: In, stream of `values_layout`: a beat for each of the rows of a pass with `load`, row after row.
    alive: In, where tokens may be dropped, a bit for each, 0 if it is: it stands during passes. The stream holds on to
    a row of such a token, but in passes with `load` or `skip`; what leaves to `input` and `y` means nothing for it, but
    in these.
    input: Out, stream of `part_layout`: rows of `Region.INPUT`, in order. y: Out, stream of `values_layout`: what the
    stream then holds, in passes with `send`.

    A beat a cycle in rows of nine beats and more, without a pause between rows; rows of fewer take nine cycles with a
    norm, and without one no more than four. No `valid` hangs on a `ready`. Empty after reset, but for what is stored.
    """

    def __init__(self, config: SystemConfig):
        self._config, lanes, width = config, config.values, config.speculation.width
        values = values_layout(config)
        self._beats = width // lanes
        self._add, self._norm = ResidualUnit(lanes=lanes), LayerNormUnit(lanes=lanes, width=width)
        self._results = RowResults(config)
        self._prunes = config.speculation.prunes
        self._scales = Channels(config, scale_layout(lanes).elem_shape, sets=3 if self._prunes else 2)
        self._channels = Channels(config, channel_layout(lanes).elem_shape)
        self._stream = Store(config.tokens * self._beats, values)
        self._value, self._sent = TwoPlaces(values), TwoPlaces(values)
        self._given = TwoPlaces(data.ArrayLayout(signed(OPERAND_BITS), lanes))
        super().__init__(
            {
                "tokens": In(count_shape(config)),
                "width": In(range(width + 1)),
                "eps": In(data.ArrayLayout(EPS_BITS, NORMS)),
                "norm_shift": In(data.ArrayLayout(SHIFT_BITS, NORMS)),
                "parameter": In(stream.Signature(parameter_layout(config))),
                "job": In(stream.Signature(pass_layout(config))),
                "busy": Out(1),
                "limit": In(count_shape(config)),
                "finished": Out(count_shape(config)),
                "copy_read": Out(1),
                "copy_at": Out(token_shape(config)),
                "copy": In(copy_layout(config)),
                "result": In(stream.Signature(result_layout(config))),
                "x": In(stream.Signature(values)),
                **({"alive": In(config.tokens)} if self._prunes else {}),
                "input": Out(stream.Signature(part_layout(config))),
                "y": Out(stream.Signature(values)),
            }
        )

    def latency(self, beats: int, *, add: bool, normalise: bool) -> int:
        """Cycles from a job to the first beat that leaves, for rows of so many beats; one fewer if they are loaded."""
        norm = beats - 1 + self._norm.latency if normalise else 0
        return START + (self._add.latency if add else 0) + norm

    def elaborate(self, platform):
        m = Module()
        self._place(m, platform)
        self._keep_parameters(m)
        job, run, last_beat = self._control(m)
        self._read(m, job, run, last_beat)
        self._find_beside(m, job, run, last_beat)
        moves = self._spread(m, job, self._sum(m, job))
        self._store_rows(m, job, run, last_beat, moves)
        self._finish(m, job, last_beat, moves)
        corner(m, platform, "pass_input_waits", self.input.valid & ~self.input.ready)
        corner(m, platform, "pass_y_waits", self.y.valid & ~self.y.ready)
        return m

    def _place(self, m: Module, platform) -> None:
        m.submodules.add = share(self._add, "residual", platform)
        m.submodules.norm = share(self._norm, "layer_norm", platform)
        m.submodules.results = share(self._results, "results", platform)
        m.submodules.scales = share(self._scales, "scales", platform)
        m.submodules.channels = share(self._channels, "norm_channels", platform)
        m.submodules.stream = share(self._stream, self._stream.name, platform)
        for name in ("value", "sent", "given"):
            places = getattr(self, f"_{name}")
            m.submodules[name] = share(places, f"places_{len(places.i.payload.as_value())}", platform)

    def _keep_parameters(self, m: Module) -> None:
        given, valid = self.parameter.payload, self.parameter.valid
        m.d.comb += self.parameter.ready.eq(1)
        for channels, first, second in (
            (self._scales, Parameter.STREAM1, Parameter.STREAM2),
            (self._channels, Parameter.NORM1, Parameter.NORM2),
        ):
            m.d.comb += [
                channels.write.eq(valid & ((given.kind == first) | (given.kind == second))),
                channels.write_second.eq(given.kind == second),
                channels.index.eq(given.index),
                channels.entry.as_value().eq(given.entry),
            ]
        if self._prunes:
            # Of the set that is written, its number alone says which.
            skips = given.kind == Parameter.SKIP
            with m.If(skips):
                m.d.comb += [self._scales.write.eq(valid), self._scales.write_third.eq(1)]

    def _control(self, m: Module) -> tuple[data.View, Signal, Signal]:
        """The pass, whether it runs, which is from two cycles behind its job on, and the last beat of a row."""
        job, run = Signal(pass_layout(self._config), reset_less=True), Signal()
        last_beat = Signal(range(self._beats), reset_less=True)
        over = (self.finished == self.tokens) & ~self.y.valid
        m.d.comb += self.job.ready.eq(~self.busy)
        m.d.sync += [
            last_beat.eq((self.width >> exact_log2(self._config.values)) - 1),
            self.busy.eq(Mux(self.busy, ~over, self.job.valid)),
            run.eq(self.busy & ~over),
        ]
        with m.If(self.job.valid & ~self.busy):
            m.d.sync += job.eq(self.job.payload)
        return job, run, last_beat

    def _read(self, m: Module, job: data.View, run: Value, last_beat: Value) -> None:
        """Rows of x or of the stream, as many as there are tokens."""
        value, store = self._value, self._stream
        beat = Signal(range(self._beats))
        row, last_row = Signal(self.tokens.shape()), Signal(self.tokens.shape(), reset_less=True)
        ended, more, moves = Signal(), Signal(), Signal()
        m.d.sync += last_row.eq(self.tokens - 1)
        m.d.comb += more.eq(run & ~ended)
        read, there = reads(m, value, more & ~job.load)
        m.d.comb += [
            store.read.eq(read),
            store.read_at.eq(_counter(m, len(store.read_at), moves, ~run)),
            self.x.ready.eq(more & job.load & value.i.ready),
            value.i.valid.eq(there | (more & job.load & self.x.valid)),
            value.i.payload.eq(Mux(job.load, self.x.payload.as_value(), store.stored.as_value())),
            moves.eq(read | (self.x.valid & self.x.ready)),
        ]
        with m.If(~run):
            m.d.sync += [beat.eq(0), row.eq(0), ended.eq(0)]
        with m.Elif(moves):
            ends = beat == last_beat
            m.d.sync += [
                beat.eq(Mux(ends, 0, beat + 1)),
                row.eq(row + ends),
                ended.eq(ends & (row == last_row)),
            ]

    def _find_beside(self, m: Module, job: data.View, run: Value, last_beat: Value) -> None:
        """What comes beside the values: results, scales, gains and offsets; and the settings of the norm."""
        results, scales, channels, add, norm = self._results, self._scales, self._channels, self._add, self._norm
        for name in ("tokens", "limit", "copy"):
            m.d.comb += Value.cast(getattr(results, name)).eq(Value.cast(getattr(self, name)))
        m.d.comb += [
            self.copy_read.eq(results.copy_read),
            self.copy_at.eq(results.copy_at),
            results.copies.eq(job.copies),
            results.run.eq(run & job.add),
            scales.run.eq(run & job.add),
            scales.second.eq(job.second_scale),
            channels.run.eq(run & job.normalise),
            channels.second.eq(job.second_norm),
            *(part.last_beat.eq(last_beat) for part in (results, scales, channels)),
            norm.width.eq(self.width),
        ]
        # Known before `run`, so that no choice stands in front of the lanes.
        for setting, pair in ((norm.eps, self.eps), (norm.shift, self.norm_shift)):
            held = Signal(setting.shape(), reset_less=True)
            m.d.sync += held.eq(Mux(job.second_norm, pair[1], pair[0]))
            m.d.comb += setting.eq(held)
        wiring.connect(m, wiring.flipped(self.result), results.result)
        if self._prunes:
            m.d.comb += [scales.third.eq(job.skip), scales.second.eq(job.second_scale & ~job.skip)]
            self._skip(m, job, run, last_beat)
        else:
            wiring.connect(m, results.o, add.result)
            wiring.connect(m, scales.o, add.scale)
        wiring.connect(m, channels.o, norm.channel)

    def _skip(self, m: Module, job: data.View, run: Value, last_beat: Value) -> None:
        """Results and scales to the sum. In a pass that skips, rows of tokens that are left meet a factor of 1, and
        there are no results."""
        results, scale, add = self._results.o, self._scales.o, self._add
        kept = self._of_row(m, add.scale.valid & add.scale.ready, last_beat, ~run)
        m.d.comb += [
            add.result.valid.eq(results.valid),
            results.ready.eq(add.result.ready),
            add.result.payload.as_value().eq(Mux(job.skip, 0, results.payload.as_value())),
            add.scale.valid.eq(scale.valid),
            scale.ready.eq(add.scale.ready),
        ]
        for given, found in zip(add.scale.payload, scale.payload, strict=True):
            one = job.skip & kept
            m.d.comb += [given.mul.eq(Mux(one, ONE.mul, found.mul)), given.shift.eq(Mux(one, ONE.shift, found.shift))]

    def _of_row(self, m: Module, moves: Value, last_beat: Value, clear: Value) -> Value:
        """Whether the row is alive whose beats move, counted from `clear` on."""
        beat, row, here = Signal(range(self._beats)), Signal(self.tokens.shape()), Signal.like(self.alive)
        m.d.comb += here.eq(self.alive >> row)
        with m.If(clear):
            m.d.sync += [beat.eq(0), row.eq(0)]
        with m.Elif(moves):
            ends = beat == last_beat
            m.d.sync += [beat.eq(Mux(ends, 0, beat + 1)), row.eq(row + ends)]
        return here[0]

    def _sum(self, m: Module, job: data.View) -> stream.Interface:
        """Sums, or what was read."""
        value, add = self._value.o, self._add
        total = stream.Signature(values_layout(self._config)).create()
        m.d.comb += [
            add.i.payload.eq(value.payload),
            add.i.valid.eq(value.valid & job.add),
            value.ready.eq(Mux(job.add, add.i.ready, total.ready)),
            add.o.ready.eq(total.ready & job.add),
            total.valid.eq(Mux(job.add, add.o.valid, value.valid)),
        ]
        for found, kept, added in zip(total.payload, value.payload, add.o.payload, strict=True):
            m.d.comb += found.eq(Mux(job.add, self._clipped(job, added) if self._prunes else added, kept))
        return total

    @staticmethod
    def _clipped(job: data.View, value: Value) -> Value:
        """To int8, in a pass that skips and is narrow."""
        low = value[: OPERAND_BITS - 1]
        beyond = (value[OPERAND_BITS - 1 :] ^ value[-1].replicate(STREAM_BITS - OPERAND_BITS + 1)).any()
        limit = Cat((~value[-1]).replicate(OPERAND_BITS - 1), value[-1])
        narrow = Mux(beyond, limit, Cat(low, value[-1])).as_signed()
        return Mux(job.skip & job.narrow, narrow, value)

    def _spread(self, m: Module, job: data.View, total: stream.Interface) -> data.View:
        """Sums to the norm, sums or norms to y and to `input`, to all of them at once. Returns the beat that the stream
        then holds, and whether it comes."""
        norm, sent, given = self._norm, self._sent, self._given
        kept = Signal(data.StructLayout({"comes": 1, "values": values_layout(self._config)}))
        sums, norms, low = Signal(), Signal(), OPERAND_BITS
        m.d.comb += [
            # Whether y has room is of no account where it gets the other of both.
            total.ready.eq(
                Mux(job.normalise, norm.i.ready, given.i.ready | ~job.narrow)
                & (sent.i.ready | ~job.send | job.keep_norm)
            ),
            norm.i.payload.eq(total.payload),
            norm.i.valid.eq(sums & job.normalise),
            norm.o.ready.eq(given.i.ready & (sent.i.ready | ~job.send | ~job.keep_norm)),
            sums.eq(total.valid & total.ready),
            norms.eq(norm.o.valid & norm.o.ready),
            given.i.valid.eq(Mux(job.normalise, norms, sums & job.narrow)),
            kept.comes.eq(Mux(job.keep_norm, norms, sums)),
            sent.i.valid.eq(kept.comes & job.send),
            sent.i.payload.eq(kept.values),
        ]
        for n, value in enumerate(kept.values):
            m.d.comb += [
                value.eq(Mux(job.keep_norm, norm.o.payload[n], total.payload[n])),
                given.i.payload[n].eq(Mux(job.normalise, norm.o.payload[n], total.payload[n][:low].as_signed())),
            ]
        return kept

    def _store_rows(self, m: Module, job: data.View, run: Value, last_beat: Value, kept: data.View) -> None:
        """Behind the reading: what is written belongs to a row that has been read."""
        store, writes = self._stream, kept.comes & (job.load | job.add | job.keep_norm)
        if self._prunes:
            writes &= job.load | job.skip | self._of_row(m, kept.comes, last_beat, ~run)
        m.d.comb += [
            store.write.eq(writes),
            store.write_at.eq(_counter(m, len(store.write_at), kept.comes, ~run)),
            store.word.eq(kept.values),
        ]

    def _finish(self, m: Module, job: data.View, last_beat: Value, kept: data.View) -> None:
        """Beats to `input`, and whole rows counted there, or else where they are kept."""
        given, sent, beat, counts = self._given.o, self._sent.o, Signal(range(self._beats)), Signal()
        wiring.connect(m, sent, wiring.flipped(self.y))
        m.d.comb += [
            self.input.valid.eq(given.valid),
            given.ready.eq(self.input.ready),
            self.input.payload.token.eq(self.finished),
            self.input.payload.beat.eq(beat),
            self.input.payload.values.eq(given.payload),
            counts.eq(Mux(job.normalise | job.narrow, given.valid & given.ready, kept.comes)),
        ]
        ends = beat == last_beat
        begins = self.job.valid & ~self.busy
        m.d.comb += self.finished.eq(_counter(m, len(self.finished), counts & ends, begins))
        with m.If(counts):
            m.d.sync += beat.eq(Mux(ends, 0, beat + 1))


def _counter(m: Module, bits: int, counts: Value, clear: Value) -> Value:
    """0 behind `clear`, then one more behind each cycle with `counts`. That comes late, so there are two halves, and it
    is known beforehand that the lower one is full."""
    low, high, full = Signal((bits + 1) // 2), Signal(bits // 2), Signal()
    with m.If(clear):
        m.d.sync += [low.eq(0), high.eq(0), full.eq(0)]
    with m.Elif(counts):
        m.d.sync += [low.eq(low + 1), high.eq(high + full), full.eq(low == (1 << len(low)) - 2)]
    return Cat(low, high)
