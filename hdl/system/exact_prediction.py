# SPDX-License-Identifier: Apache-2.0
"""Prediction from the exact Q and K of a layer, as an accelerator makes and keeps them: Sanger's.

written ─► RowWalk: K ─► look_keys ────► attend? ─┐
written ─► RowWalk: Q ─► look_queries ────────────┼─► SangerUnit ─► o
exponents of the heads' softmax ─► queue ─────────┘
"""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.sanger import SangerConfig
from config.system import SystemConfig
from hdl.execute.banks import look_signature
from hdl.execute.layouts import MULTIPLIER
from hdl.shared import share
from hdl.speculate.sanger.unit import SangerUnit
from hdl.speculate.socket import record_layout, settings_layout
from hdl.system.queues import WordQueue
from hdl.system.row_walk import RowWalk, written_layout


class ExactPrediction(wiring.Component):
    """The plan of a layer from its own Q and K.

    Parameters: `config`, a `SystemConfig` of a method in `config.speculate.LATE`.

    Members
    -------
    start: In, 1: a layer begins. predict: In, 1, behind it: `mask`, In, a bit for each token that may be attended to,
    and all exponents are there. settings: In, `settings_layout(config.speculation)`, of the layer: they stand from
    `start` until its last record has been taken.
    exponent_write: In, 1: `exponent`, In, `MULTIPLIER`, of the next head's softmax, from head 0 on, behind `start`.
    key_written, query_written: In, `written_layout`, as of `RowWalk`. hold: In, 1: no row is read.
    look_keys, look_queries: Out, `look_signature` of the items.
    works: Out, 1: from the first row that the unit takes until the last record has been taken. fed: Out, 1: all rows
    have been taken, and none is read from now on.
    o: Out, stream of `record_layout(config.speculation)`.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        self._unit = SangerUnit(SangerConfig.within(config.speculation))
        look, written = look_signature(config.attention.items), written_layout(config)
        super().__init__(
            {
                "start": In(1),
                "predict": In(1),
                "mask": In(config.tokens),
                "settings": In(settings_layout(config.speculation)),
                "exponent_write": In(1),
                "exponent": In(MULTIPLIER),
                "key_written": In(written),
                "query_written": In(written),
                "hold": In(1),
                "look_keys": Out(look),
                "look_queries": Out(look),
                "works": Out(1),
                "fed": Out(1),
                "o": Out(stream.Signature(record_layout(config.speculation))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, unit = self._config, self._unit
        m.submodules.unit = share(unit, "sanger", platform)
        m.submodules.exponents = exponents = WordQueue(max(config.heads, 2), MULTIPLIER)
        keys, queries = (self._walk(m, name, platform) for name in ("key", "query"))
        given, asked, attend = self.settings, Signal(), Signal.like(self.mask)
        with m.If(self.predict):
            m.d.sync += asked.eq(1)
        with m.Elif(unit.settings.ready):
            m.d.sync += asked.eq(0)
        m.d.comb += [
            unit.settings.valid.eq(asked),
            *(unit.settings.payload[name].eq(given[name]) for name in ("tokens", "heads", "causal", "threshold")),
            exponents.clear.eq(self.start),
            exponents.i.valid.eq(self.exponent_write),
            exponents.i.payload.eq(self.exponent),
            attend.eq(self.mask >> keys.o.payload.token),
            unit.k.payload.attend.eq(attend[0]),
            self.fed.eq(keys.done & queries.done),
        ]
        for walk, row in ((keys, unit.k), (queries, unit.q)):
            m.d.comb += [
                row.valid.eq(walk.o.valid),
                Value.cast(row.payload.value).eq(walk.o.payload.row.as_value()),
                walk.o.ready.eq(row.ready),
            ]
        wiring.connect(m, exponents.o, unit.exponent)
        wiring.connect(m, unit.o, wiring.flipped(self.o))
        with m.If(self.o.valid & self.o.ready & self.o.payload.last):
            m.d.sync += self.works.eq(0)
        with m.Elif(unit.k.valid & unit.k.ready):
            m.d.sync += self.works.eq(1)
        return m

    def _walk(self, m: Module, name: str, platform) -> RowWalk:
        walk = RowWalk(self._config)
        m.submodules[f"{name}_walk"] = share(walk, "row_walk", platform)
        m.d.comb += [
            walk.start.eq(self.start),
            walk.tokens.eq(self.settings.tokens),
            walk.heads.eq(self.settings.heads),
            walk.written.eq(getattr(self, f"{name}_written")),
            walk.hold.eq(self.hold),
        ]
        wiring.connect(m, walk.look, wiring.flipped(getattr(self, f"look_{'keys' if name == 'key' else 'queries'}")))
        return walk
