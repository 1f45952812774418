# SPDX-License-Identifier: Apache-2.0
"""Sanger's selection: columns of scores in, rows of kept keys out.

columns ─┬─► BlockRing ─── chunks of rows ──► Power × rows ─┬─► delay ─────────► power > bound? ─► KeptQueue ─► rows
         └─► RowMaxima ─── largest of the row ──▲           │                      ▲
exponent ─► Exponents ─── of the row's head ────┘           └─► Bound ─► FIFO ─────┘

  cycle          0      1      2     …    p     p+1    …                    p+w            p+w+1
  a chunk     start  words  powers' stages      delay ………………………………………   compared       kept
  the row's last chunk, n - 1 cycles later      Bound ……………… FIFO …… bound  ┘
                                                p = 1 + latency of Power, w = blocks + latency of Bound + 1
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.sanger import SangerConfig
from hdl.arith.larger import Larger
from hdl.cover import corner
from hdl.execute.layouts import MULTIPLIER
from hdl.execute.power import Power, common_settings
from hdl.execute.total import along
from hdl.shared import share
from hdl.speculate.sanger.bound import Bound
from hdl.speculate.sanger.exponents import LARGEST_SHIFT, Exponents
from hdl.speculate.sanger.layouts import (
    BOUND_BITS,
    column_layout,
    powers_layout,
    settings_layout,
    waiting_layout,
)
from hdl.speculate.sanger.maxima import RowMaxima, ordered
from hdl.speculate.sanger.queue import KeptQueue
from hdl.speculate.socket import row_layout, token_shape
from hdl.speculate.spls.ring import BlockRing
from hdl.speculate.spls.select import Delay


class Verdict(wiring.Component):
    """Which powers of a chunk are kept: those above the bound and those of 2^21. Combinational.

    Members: `powers`: In, `powers_layout`; `bound`: In, 21; `kept`: Out, rows.
    """

    def __init__(self, config: SangerConfig):
        super().__init__({"powers": In(powers_layout(config)), "bound": In(BOUND_BITS), "kept": Out(config.rows)})

    def elaborate(self, platform):
        m = Module()
        for i, power in enumerate(self.powers):
            larger = Larger(BOUND_BITS)
            m.submodules[f"larger{i}"] = share(larger, "larger_power", platform)
            m.d.comb += [larger.a.eq(power), larger.b.eq(self.bound), self.kept[i].eq(power[-1] | larger.above)]
        return m


class SangerSelection(wiring.Component):
    """Keeps the keys whose share of the row's powers is above the threshold, and those that have its largest power.
    Equals `golden.speculate.sanger.likely`.

    Parameters
    ----------
    config: `SangerConfig`.

    Members
    -------
    settings: In, `settings_layout(config)`, still from before a layer's first column until its last row has left.
    columns: In, stream of `column_layout(config)`: for each block of `rows` queries in turn, block 0 of the next head
    behind the last of a head, keys rising from 0, `last` on the last; as many columns as there are tokens, or with
    `causal`, as there are up to the block's last row. One a cycle; `ready` is low only while 2·tokens columns wait.
    exponent: In, stream of `MULTIPLIER`, one for each head, as `golden.speculate.sanger` is given them.
    rows: Out, stream of `row_layout(config.plan)`.

    A row takes as many cycles as it has chunks, and may be sent `stay` cycles behind the start of its first. Nothing
    moves where nothing comes.
    """

    def __init__(self, config: SangerConfig):
        self._config = config
        self._powers = [Power(config.sum_bits, coded=False, max_shift=LARGEST_SHIFT) for _ in range(config.rows)]
        self._power = self._powers[0]
        self._bound = Bound(config)
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "columns": In(stream.Signature(column_layout(config))),
                "exponent": In(stream.Signature(MULTIPLIER)),
                "rows": Out(stream.Signature(row_layout(config.plan))),
            }
        )

    @property
    def _wait(self) -> int:
        """Cycles that a chunk's powers wait, until the bound of the longest row they can belong to is there, by way of
        a FIFO."""
        return self._config.blocks + self._bound.latency + 1

    @property
    def stay(self) -> int:
        """Cycles from the read of a chunk until what is kept of it is known."""
        return 1 + self._power.latency + self._wait + 1

    def elaborate(self, platform):
        m = Module()
        config = self._config
        ring, queue = BlockRing(config.plan, column_layout(config), config.sum_bits), KeptQueue(config, delay=self.stay)
        maxima, exponents, verdict = RowMaxima(config), Exponents(), Verdict(config)
        delay = Delay(waiting_layout(config), cycles=self._wait)
        parts = {"ring": ring, "queue": queue, "maxima": maxima, "exponents": exponents, "verdict": verdict}
        for name, part in (parts | {"bound": self._bound, "delay": delay}).items():
            m.submodules[name] = share(part, f"sanger_{name}", platform)
        wiring.connect(m, wiring.flipped(self.columns), ring.columns)
        wiring.connect(m, wiring.flipped(self.exponent), exponents.i)
        wiring.connect(m, queue.rows, wiring.flipped(self.rows))
        m.d.comb += [
            *(getattr(ring.settings, name).eq(getattr(self.settings, name)) for name in ("tokens", "heads", "causal")),
            queue.settings.eq(self.settings),
            maxima.takes.eq(self.columns.valid & self.columns.ready),
            maxima.column.eq(self.columns.payload),
        ]
        chunk = self._fetch(m, ring, maxima, exponents, queue)
        valid, last, powers = self._raise(m, chunk, ring, maxima, exponents, platform)
        self._weigh(m, (valid, last, powers), delay, verdict, queue, platform)
        return m

    def _fetch(
        self, m: Module, ring: BlockRing, maxima: RowMaxima, exponents: Exponents, queue: KeptQueue
    ) -> data.View:
        """Starts rows and reads their chunks. Returns what is known of the chunk whose words stand: `valid`, `last` of
        its row, `place` of that row in its block, `first` of its head's."""
        fields = {"last": 1, "first": 1, "place": range(self._config.rows)}
        chunk = Signal(data.StructLayout(fields), reset_less=True)
        comes, reading, number = Signal(), Signal(), Signal.like(ring.ticket.last_chunk, reset_less=True)
        last_chunk = Signal.like(number, reset_less=True)
        last_token, row = (Signal(token_shape(self._config.plan), name=name) for name in ("last_token", "row"))
        # The row that may start is its head's first.
        opens, ends, reads = Signal(init=1), Signal(), Signal()
        m.d.sync += [last_token.eq(self.settings.tokens - 1), comes.eq(reads)]
        m.d.comb += [
            ring.start.eq(~reading & ring.available & queue.room & (exponents.known | ~opens)),
            ring.step.eq(reading),
            reads.eq(ring.start | reading),
            ends.eq(Mux(reading, number == last_chunk, ring.ticket.last_chunk == 0)),
            queue.claim.eq(reads),
            exponents.turn.eq(ring.start & opens),
            maxima.read.eq(ring.start & (ring.ticket.place == 0)),
        ]
        with m.If(ring.start):
            m.d.sync += [
                last_chunk.eq(ring.ticket.last_chunk),
                chunk.place.eq(ring.ticket.place),
                opens.eq(row == last_token),
                row.eq(Mux(row == last_token, 0, row + 1)),
            ]
        with m.If(reads):
            m.d.sync += [
                number.eq(Mux(reading, number + 1, 1)),
                reading.eq(~ends),
                chunk.last.eq(ends),
                chunk.first.eq(ring.start & opens),
            ]
        shown = Signal(data.StructLayout({"valid": 1, **fields}))
        m.d.comb += [shown.valid.eq(comes), *(shown[name].eq(chunk[name]) for name in fields)]
        return shown

    def _raise(
        self, m: Module, chunk: data.View, ring: BlockRing, maxima: RowMaxima, exponents: Exponents, platform
    ) -> tuple[Value, Value, Value]:
        """The powers of the chunk; whether they stand, and are those of a row's last chunk."""
        power = self._power
        largest = Signal(self._config.sum_bits, reset_less=True)
        valids, lasts = along(m, chunk.valid, chunk.last, power.latency)
        with m.If(chunk.valid):
            m.d.sync += largest.eq(Array(map(Value.cast, maxima.o))[chunk.place])
        m.d.comb += exponents.load.eq(chunk.valid & chunk.first)
        common, powers = common_settings(m, power, valids, exponents.o), []
        for number, (lane, word) in enumerate(zip(self._powers, ring.words, strict=True)):
            m.submodules[f"power{number}"] = share(lane, "sanger_power", platform)
            m.d.comb += [
                lane.enable.eq(Cat(valids[:-1])),
                lane.kept.eq(word.valid),
                lane.score.eq(ordered(word.score)),
                lane.largest.eq(largest),
                *(getattr(lane, name).eq(value) for name, value in common.items()),
            ]
            powers.append(lane.power)
        kept = Cat(word.valid for word in ring.words)
        corner(m, platform, "chunk_without_keys", chunk.valid & ~kept.any())
        return valids[-1], lasts[-1], Cat(powers)

    def _weigh(
        self, m: Module, chunk: tuple[Value, Value, Value], delay: Delay, verdict: Verdict, queue: KeptQueue, platform
    ) -> None:
        """Powers wait for their row's bound, and are compared with it."""
        bound, (valid, last, powers) = self._bound, chunk
        # Bounds of rows between `done` and their last chunk's comparison: as many as can start meanwhile.
        m.submodules.bounds = fifo = SyncFIFOBuffered(width=BOUND_BITS, depth=self._config.blocks + 3)
        waits, put = delay.o.tag, Signal()
        kept = Signal(self._config.rows, reset_less=True)
        m.d.comb += [
            bound.threshold.eq(self.settings.threshold),
            bound.enter.eq(valid),
            bound.last.eq(last),
            bound.powers.as_value().eq(powers),
            delay.i.tag.valid.eq(valid),
            delay.i.tag.last.eq(last),
            delay.i.powers.as_value().eq(powers),
            fifo.w_en.eq(bound.done),
            fifo.w_data.eq(bound.bound),
            fifo.r_en.eq(waits.valid & waits.last),
            verdict.powers.eq(delay.o.powers),
            verdict.bound.eq(fifo.r_data),
            queue.put.eq(put),
            queue.kept.eq(kept),
        ]
        m.d.sync += put.eq(waits.valid)
        with m.If(waits.valid):
            m.d.sync += kept.eq(verdict.kept)
        self._count_corners(m, waits.valid, verdict, platform)

    def _count_corners(self, m: Module, compares: Value, verdict: Verdict, platform) -> None:
        below = [~power[-1] & power.any() for power in verdict.powers]
        same = Cat(low & (power == verdict.bound) for low, power in zip(below, verdict.powers, strict=True))
        corner(m, platform, "power_at_the_bound", compares & same.any())
        corner(m, platform, "flat_row", compares & verdict.bound.all() & Cat(p[-1] for p in verdict.powers).any())
        corner(m, platform, "key_dropped", compares & (Cat(below) & ~verdict.kept).any())
        corner(m, platform, "kept_below_the_largest", compares & (Cat(below) & verdict.kept).any())
