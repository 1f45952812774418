# SPDX-License-Identifier: Apache-2.0
"""Lets an engine read rows that are there already, and those that are not, when they are."""

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.system.layouts import count_shape, fetch_layout


class FetchGate(wiring.Component):
    """Words of tokens below the limit of their region pass. Parameters: `config`, a `SystemConfig`. Members: i: In,
    o: Out, streams of `fetch_layout`; limits: In, of each `Region`, which may only rise while something waits.
    Combinational."""

    def __init__(self, config: SystemConfig):
        fetch = stream.Signature(fetch_layout(config))
        super().__init__({"i": In(fetch), "o": Out(fetch), "limits": In(data.ArrayLayout(count_shape(config), 3))})

    def elaborate(self, platform):
        m = Module()
        wanted = self.i.payload
        there = wanted.token < self.limits[wanted.region.as_value()]
        m.d.comb += [
            self.o.valid.eq(self.i.valid & there),
            self.o.payload.eq(wanted),
            self.i.ready.eq(self.o.ready & there),
        ]
        return m
