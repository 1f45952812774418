# SPDX-License-Identifier: Apache-2.0
"""What a speculation unit is given of a layer beside X, as it comes from memory: of each head, operand and group of
outputs its scale, then its codes."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.speculate.socket import scale_layout, weights_layout
from hdl.system.gearbox import Unpack
from hdl.system.layouts import bus_shape

SCALES = 2
"""That wait for the unit: it asks for the next group's codes before it is done with this one's sums."""


class PredictorWeights(wiring.Component):
    """Words of the bus to scales and codes.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    words: In: of a row of x; stands during a layer. i: In, stream of `bus_shape`. scale: Out, stream of `scale_layout`,
    w: Out, stream of `weights_layout`, as the speculation unit takes them.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        unit = config.speculation
        super().__init__(
            {
                "words": In(range(config.row_words + 1)),
                "i": In(stream.Signature(bus_shape(config))),
                "scale": Out(stream.Signature(scale_layout(unit))),
                "w": Out(stream.Signature(weights_layout(unit))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unit, bus = self._config.speculation, self._config.bus_bits
        scale_bits, code_bits = len(self.scale.payload.as_value()), len(self.w.payload.as_value())
        m.submodules.scales = scales = Unpack(bus, scale_bits)
        m.submodules.codes = codes = Unpack(bus, code_bits)
        m.submodules.waiting = waiting = SyncFIFOBuffered(width=scale_bits, depth=SCALES)
        parts = unit.rows // unit.load
        scale_words, code_words = -(-scale_bits // bus), -(-code_bits // bus)
        word = Signal(range(max(scale_words, code_words)))
        part, slice_ = Signal(range(parts)), Signal(range(unit.width_slices))
        of_codes, last, fire = Signal(), Signal(), Signal()
        m.d.comb += [
            scales.i.payload.eq(self.i.payload),
            codes.i.payload.eq(self.i.payload),
            scales.i.valid.eq(self.i.valid & ~of_codes),
            codes.i.valid.eq(self.i.valid & of_codes),
            self.i.ready.eq((codes.i.ready & of_codes) | (scales.i.ready & ~of_codes)),
            fire.eq(self.i.valid & self.i.ready),
            last.eq((word == code_words - 1) & of_codes | (word == scale_words - 1) & ~of_codes),
            waiting.w_data.eq(scales.o.payload),
            waiting.w_en.eq(scales.o.valid),
            scales.o.ready.eq(waiting.w_rdy),
            self.scale.valid.eq(waiting.r_rdy),
            self.scale.payload.eq(waiting.r_data),
            waiting.r_en.eq(self.scale.ready),
            self.w.valid.eq(codes.o.valid),
            self.w.payload.eq(codes.o.payload),
            codes.o.ready.eq(self.w.ready),
        ]
        with m.If(fire):
            m.d.sync += word.eq(word + 1)
            with m.If(last):
                m.d.sync += word.eq(0)
                with m.If(~of_codes):
                    m.d.sync += of_codes.eq(1)
                with m.Else():
                    m.d.sync += part.eq(part + 1)
                    with m.If(part == parts - 1):
                        m.d.sync += [part.eq(0), slice_.eq(slice_ + 1)]
                        with m.If(slice_ == self.words - 1):
                            m.d.sync += [slice_.eq(0), of_codes.eq(0)]
        return m
