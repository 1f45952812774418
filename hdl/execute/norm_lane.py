# SPDX-License-Identifier: Apache-2.0
"""One lane of a LayerNorm behind the sums: a value of a row over the row's deviation.

r ─► D·r - Σr ─► down to the root's scale ─► · reciprocal ─► rounded ─► z
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.execute import ROOT_BITS, STREAM_BITS
from hdl.arith.multiply import MultiplyAdd
from hdl.execute.norm_widths import NormWidths
from hdl.shared import share

FINE_BITS = 3
"""Bits of `down` for the second of the two stages that shift."""


class NormLane(wiring.Component):
    """z of a value, `latency` stages later; one every cycle.

    Parameters: widths: of the numbers.

    Members
    -------
    width: In. A setting that stands.
    r: In, signed(16), and total: In, signed, that of its row. down: In, in step with stage `down_at`: by how much what
    is centred comes down; reciprocal: In, 17, in step with stage `reciprocal_at`.
    enable: In, `latency`: bit k, stage k takes what stands in front of it. z: Out, signed.
    """

    def __init__(self, widths: NormWidths):
        self._widths = widths
        self._centre = MultiplyAdd(
            a_bits=STREAM_BITS, b_bits=widths.count, addends=(widths.total,), constant=1, bits=widths.centred
        )
        half = 1 << (widths.dropped - 1)
        self._product = MultiplyAdd(a_bits=widths.scaled, b_bits=ROOT_BITS + 1, constant=half, bits=widths.product)
        super().__init__(
            {
                "width": In(range(widths.width + 1)),
                "r": In(signed(STREAM_BITS)),
                "total": In(signed(widths.total)),
                "down": In(widths.down),
                "reciprocal": In(ROOT_BITS + 1),
                "enable": In(self.latency),
                "z": Out(signed(widths.z)),
            }
        )

    @property
    def down_at(self) -> int:
        """The stage that begins to shift."""
        return self._centre.latency

    @property
    def reciprocal_at(self) -> int:
        """The stage that begins to multiply."""
        return self.down_at + 2

    @property
    def latency(self) -> int:
        """Register stages from `r` to `z`."""
        return self.reciprocal_at + self._product.latency

    def elaborate(self, platform):
        m = Module()
        widths, centre, product = self._widths, self._centre, self._product
        m.submodules.centre = share(centre, centre.kind, platform)
        m.submodules.product = share(product, product.kind, platform)
        m.d.comb += [
            centre.a.eq(self.r),
            centre.b.eq(self.width),
            # D·r - Σr is D·r + ~Σr + 1.
            centre.addend0.eq(~self.total),
            centre.enable.eq(self.enable[: self.down_at]),
            product.b.eq(self.reciprocal),
            product.enable.eq(self.enable[self.reciprocal_at :]),
            self.z.eq(product.o[widths.dropped :][: widths.z]),
        ]
        fine = Signal(FINE_BITS, reset_less=True)
        high = Cat(Const(0, widths.most_left), centre.o)
        near = self._down(m, "near", high, self.down, FINE_BITS, self.enable[self.down_at])
        with m.If(self.enable[self.down_at]):
            m.d.sync += fine.eq(self.down)
        m.d.comb += product.a.eq(self._down(m, "scaled", near, fine, 0, self.enable[self.down_at + 1]))
        return m

    def _down(self, m: Module, name: str, value: Value, by: Value, low: int, moves: Value) -> Value:
        """`value` down by the bits of `by` from `low` on, registered. What is kept is what the end can need: its own
        bits and those by which it is still to come down."""
        for bit in reversed(range(low, len(by))):
            value = value.as_signed()
            value = Mux(by[bit], value >> (1 << bit), value)[: self._widths.scaled + (1 << bit) - 1]
        held = Signal(signed(self._widths.scaled + (1 << low) - 1), name=name, reset_less=True)
        with m.If(moves):
            m.d.sync += held.eq(value.as_signed())
        return held
