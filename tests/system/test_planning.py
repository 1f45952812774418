# SPDX-License-Identifier: Apache-2.0
"""Speculation units with what keeps their plans behind them, in Verilator: from operands to items and references."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.presets import systems
from config.system import SystemConfig
from hdl.execute.items import item_layout
from hdl.speculate.socket import socket
from hdl.speculate.speculation import SpeculationUnit
from hdl.system.layouts import reference_layout
from hdl.system.plan_store import PlanStore
from sim import replay
from sim.layer import payloads
from sim.speculation import golden_plan
from tests.speculate import layers
from tests.system.plans import layer_of
from tests.system.test_plan_store import CHOSEN, due


class Planning(wiring.Component):
    """A layer begins when its settings are taken."""

    def __init__(self, config: SystemConfig):
        self._config = config
        members = {name: member for name, member in socket(config.speculation).members.items() if name != "o"}
        outs = {"items": item_layout(config.attention.items), "references": reference_layout(config)}
        super().__init__(members | {name: Out(stream.Signature(layout)) for name, layout in outs.items()})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = SpeculationUnit(self._config.speculation)
        m.submodules.store = store = PlanStore(self._config)
        for name, member in socket(self._config.speculation).members.items():
            if name != "o":
                mine, theirs = wiring.flipped(getattr(self, name)), getattr(unit, name)
                wiring.connect(m, *((mine, theirs) if member.flow == In else (theirs, mine)))
        for name in ("items", "references"):
            wiring.connect(m, getattr(store, name), wiring.flipped(getattr(self, name)))
        wiring.connect(m, unit.o, store.records)
        begins = Signal()
        m.d.comb += [
            begins.eq(self.settings.valid & self.settings.ready),
            store.heads.eq(self._config.heads),
        ]
        m.d.sync += store.start.eq(begins)
        with m.If(begins):
            m.d.sync += store.tokens.eq(self.settings.payload.tokens)
        return m


@pytest.mark.parametrize(
    "method", ["spls", *(pytest.param(name, marks=pytest.mark.long) for name in ("lapa", "dense", "fact"))]
)
def test_plans_come_through(method: str) -> None:
    config = systems("tiny")[method]
    model = replay.build(Planning(config), f"planning_{method}")
    for seed, (tokens, causal) in enumerate([(13, False), (13, True), (16, False), (1, False)]):
        layer = layers.layer(config.speculation, seed, tokens, causal=causal, **CHOSEN[method])
        given = payloads(config.speculation, layer)
        wanted = due(config, layer_of(config, golden_plan(config.speculation, layer), causal))
        # Weights in answer to addresses that are those of the golden order; dense asks for none.
        words = {
            name: getattr(given, name) for name in ("settings", "x", *(("w", "scale") if method != "dense" else ()))
        }
        expected = {"items": wanted.items, "references": wanted.references}
        expected["address"] = given.addresses if method != "dense" else []
        flow = {"idle": 0.3, "stall": 0.3} if seed % 2 else {}
        due_ = {name: len(payload) for name, payload in expected.items()}
        run = replay.run(model, replay.Job(words, due_, limit=20_000, **flow))
        assert {name: record.payloads for name, record in run.sinks.items()} == expected
