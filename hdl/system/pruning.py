# SPDX-License-Identifier: Apache-2.0
"""A plan from what the layers before have made of their tokens, as an accelerator computes it: SpAtten's.

mask ─► chunks ──────────────────────────────► attend ─┐
told 0, 1, … ─► a line's row in turn ─┬─► totals ──────┼─► SpattenUnit ─┬─► alive
                                      └─► queue: codes ┤                └─► o
contexts, as they are written ─────────► context ──────┘
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.spatten import SpattenConfig
from config.system import SystemConfig
from hdl.cover import corner
from hdl.execute.query_feed import FairChoice
from hdl.execute.row_codes import told_layout
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.speculate.socket import record_layout, settings_layout
from hdl.speculate.spatten.scales import RowScales
from hdl.speculate.spatten.unit import SpattenUnit
from hdl.system.activations import told_layout as context_layout
from hdl.system.queues import WordQueue


class Pruning(wiring.Component):
    """The plans of a chain of layers.

    Parameters: `config`, a `SystemConfig` of a method in `config.speculate.CASCADES`.

    Members
    -------
    start: In, 1: a layer begins. predict: In, 1, behind it: `mask`, In, a bit for each token that may be attended to,
    is there. first: In, 1: it follows no other one, and nothing is dropped; settings: In,
    `settings_layout(config.speculation)`: they stand from `start` until it ends.
    total: In, how many items its plan has, once that is complete: before the first of what follows.
    told0, …: In, streams of `hdl.execute.row_codes.told_layout`, of each line. told: In, `told_layout` of
    `hdl.system.activations`: each context.
    alive: Out, stream of chunks of `rows` bits; o: Out, stream of `record_layout(config.speculation)`: as of
    `SpattenUnit`.

    A line's row takes a cycle more than it has chunks; whoever waits gets its turn before another one has had two.
    """

    def __init__(self, config: SystemConfig):
        self._config, self._unit = config, SpattenUnit(SpattenConfig.within(config.speculation))
        items = config.attention.items
        self._lines = range(items.lines)
        super().__init__(
            {
                "start": In(1),
                "predict": In(1),
                "first": In(1),
                "mask": In(config.tokens),
                "settings": In(settings_layout(config.speculation)),
                "total": In(range(config.heads * config.tokens + 1)),
                **{f"told{n}": In(stream.Signature(told_layout(items))) for n in self._lines},
                "told": In(context_layout(config)),
                "alive": Out(stream.Signature(config.speculation.rows)),
                "o": Out(stream.Signature(record_layout(config.speculation))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unit = self._unit
        m.submodules.unit = share(unit, "spatten", platform)
        wiring.connect(m, unit.alive, wiring.flipped(self.alive))
        wiring.connect(m, unit.o, wiring.flipped(self.o))
        self._begin(m)
        self._tell_rows(m, platform)
        self._tell_contexts(m)
        return m

    def _begin(self, m: Module) -> None:
        """Settings, and behind them the mask, chunk by chunk, as far as the unit takes it."""
        unit, asked, chunk = self._unit, Signal(), Signal(range(self._config.speculation.blocks))
        rows = self._config.speculation.rows
        with m.If(self.predict):
            m.d.sync += asked.eq(1)
        with m.Elif(unit.settings.ready):
            m.d.sync += asked.eq(0)
        m.d.comb += [
            unit.settings.valid.eq(asked),
            unit.settings.payload.first.eq(self.first),
            *(
                unit.settings.payload[name].eq(self.settings[name])
                for name in ("tokens", "heads", "drop_tokens", "drop_heads")
            ),
            unit.attend.valid.eq(1),
            unit.attend.payload.eq(Array(self.mask[n : n + rows] for n in range(0, len(self.mask), rows))[chunk]),
        ]
        with m.If(self.start):
            m.d.sync += chunk.eq(0)
        with m.Elif(unit.attend.ready):
            m.d.sync += chunk.eq(chunk + 1)

    def _tell_rows(self, m: Module, platform) -> None:
        """Of a line at a time, a row: its total at once, its codes through a queue, as the total is divided by."""
        unit, layout = self._unit, told_layout(self._config.attention.items)
        lines = [getattr(self, f"told{n}") for n in self._lines]
        choice, chosen = FairChoice(len(lines)), Signal(len(lines))
        m.submodules.choice = share(choice, choice.name, platform)
        m.submodules.codes = codes = WordQueue(RowScales.latency + 2, unit.codes.payload.shape())
        told = layout(one_of(chosen, [line.payload.as_value() for line in lines]))
        there, moves, totals = Signal(), Signal(), unit.totals
        m.d.comb += [
            there.eq((Cat(line.valid for line in lines) & chosen).any()),
            totals.valid.eq(there & told.first & codes.i.ready),
            totals.payload.total.eq(told.total),
            totals.payload.attend.eq(self._attends(m, told.row)),
            codes.i.valid.eq(there & (totals.ready | ~told.first)),
            codes.i.payload.as_value().eq(told.codes.as_value()),
            moves.eq(codes.i.valid & codes.i.ready),
            *(line.ready.eq(chosen[n] & moves) for n, line in enumerate(lines)),
            # The one that leaves is not asked for again.
            choice.asks.eq(Mux(chosen.any(), 0, Cat(line.valid for line in lines))),
        ]
        with m.If(~chosen.any()):
            m.d.sync += chosen.eq(choice.chosen)
        with m.Elif(moves & told.last):
            m.d.sync += chosen.eq(0)
        number = Signal.like(self.total)
        m.d.comb += totals.payload.last.eq(self._counts(m, number, totals.valid & totals.ready))
        wiring.connect(m, codes.o, unit.codes)
        corner(m, platform, "rows_of_lines_wait", (Cat(line.valid for line in lines) & ~chosen).any())

    def _tell_contexts(self, m: Module) -> None:
        given, context = self.told, self._unit.context
        number = Signal.like(self.total)
        m.d.comb += [
            context.valid.eq(given.valid),
            Value.cast(context.payload.value).eq(Value.cast(given.word)),
            context.payload.head.eq(given.name.head),
            context.payload.attend.eq(self._attends(m, given.name.row)),
            context.payload.last.eq(self._counts(m, number, given.valid)),
        ]

    def _attends(self, m: Module, row: Value) -> Value:
        """The row is no padding."""
        here = Signal.like(self.mask)
        m.d.comb += here.eq(self.mask >> row)
        return here[0]

    def _counts(self, m: Module, number: Signal, moves: Value) -> Value:
        """Whether what comes next is the layer's last."""
        with m.If(self.start):
            m.d.sync += number.eq(0)
        with m.Elif(moves):
            m.d.sync += number.eq(number + 1)
        return number + 1 == self.total
