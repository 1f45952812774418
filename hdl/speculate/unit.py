# SPDX-License-Identifier: Apache-2.0
"""Dot-product unit: the array with an encoder for each lane in front, integers in, exact sums out.

x, integers ─► encoder per lane ─► code register ─► DotArray ─► o
w, codes (made offline) ──────────────────────────────┘
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import ArrayConfig
from hdl.shared import share
from hdl.speculate.array import DotArray
from hdl.speculate.encoder import Encoder
from hdl.speculate.layouts import beat_layout, integers_layout, totals_layout, weights_layout


class DotUnit(wiring.Component):
    """`DotArray` that takes x as integers. One beat a cycle, `latency` cycles from x to o.

    Parameters
    ----------
    config: `config.array.ArrayConfig`.

    Members
    -------
    w, o: as in `DotArray`.
    x: In, stream of `integers_layout(config)`.
    """

    def __init__(self, config: ArrayConfig):
        self._config = config
        self._array = DotArray(config)
        super().__init__(
            {
                "w": In(stream.Signature(weights_layout(config))),
                "x": In(stream.Signature(integers_layout(config))),
                "o": Out(stream.Signature(totals_layout(config))),
            }
        )

    @property
    def config(self) -> ArrayConfig:
        return self._config

    @property
    def latency(self) -> int:
        """Cycles from taking x to offering its totals, when nothing holds the pipeline."""
        return 1 + self._array.latency

    def elaborate(self, platform):
        m = Module()
        encode = EncoderBank(self._config)
        m.submodules.encode = share(encode, "encode", platform)
        m.submodules.array = share(self._array, "array", platform)
        wiring.connect(m, wiring.flipped(self.x), encode.i)
        wiring.connect(m, encode.o, self._array.x)
        wiring.connect(m, wiring.flipped(self.w), self._array.w)
        wiring.connect(m, self._array.o, wiring.flipped(self.o))
        return m


class EncoderBank(wiring.Component):
    """One encoder per lane and a register for their codes: a stream of integers to a stream of x beats, 1 cycle.

    Members: `i`: In, stream of `integers_layout(config)`; `o`: Out, stream of `beat_layout(config)`.
    """

    def __init__(self, config: ArrayConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(integers_layout(config))),
                "o": Out(stream.Signature(beat_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        codes = []
        for i, value in enumerate(self.i.payload.value):
            encoder = Encoder(self._config.system.x, self._config.system.bits)
            m.submodules[f"encoder{i}"] = share(encoder, "encoder", platform)
            m.d.comb += encoder.i.eq(value)
            codes.append(encoder.o)
        held = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += [self.o.payload.eq(held), self.i.ready.eq(~self.o.valid | self.o.ready)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += Cat(held.code).eq(Cat(codes))
                m.d.sync += [held[name].eq(self.i.payload[name]) for name in ("clear", "emit", "last")]
        return m
