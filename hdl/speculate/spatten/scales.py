# SPDX-License-Identifier: Apache-2.0
"""One division a row, so that its codes become shares by a product each.

i ─► top 16 bits, bits over 22 ─► register ─► 2^30 / ─► register ─► o        a row waits there, not in the division
"""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import DIVISOR_BITS, POWER_BITS
from config.spatten import SpattenConfig
from hdl.arith.divide import Divider
from hdl.arith.leading_one import binary, one_hot_leading
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.spatten.layouts import scale_layout, total_layout


class RowScales(wiring.Component):
    """Totals of rows in, their scales out, in the order of `i`. As few subtractors as keep up with rows of the longest
    sequence.

    Parameters: config: `SpattenConfig`.
    Members: i: In, stream of `total_layout`. o: Out, stream of `scale_layout`; the scale of a row that does not count
    means nothing. `o.valid` does not depend on `o.ready`.

    `latency` cycles from i to o.
    """

    latency = 2 + DIVISOR_BITS

    def __init__(self, config: SpattenConfig):
        self._config = config
        cycles = max(n for n in range(1, DIVISOR_BITS + 1) if DIVISOR_BITS % n == 0 and n <= config.blocks)
        self._tag = data.StructLayout({name: scale_layout(config)[name].shape for name in ("over", "counts", "last")})
        self._divider = Divider(bits=DIVISOR_BITS, cycles=cycles, tag_bits=self._tag.size)
        super().__init__(
            {"i": In(stream.Signature(total_layout(config))), "o": Out(stream.Signature(scale_layout(config)))}
        )

    def elaborate(self, platform):
        m = Module()
        divider = self._divider
        m.submodules.divider = share(divider, "spatten_divider", platform)
        held, divisor, valid = Signal(self._tag, reset_less=True), Signal(DIVISOR_BITS, reset_less=True), Signal()
        m.d.comb += [
            self.i.ready.eq(~valid | divider.i.ready),
            divider.i.valid.eq(valid),
            divider.i.payload.dividend.eq(1 << (DIVISOR_BITS - 1)),
            divider.i.payload.divisor.eq(divisor),
            divider.i.payload.tag.eq(held),
            divider.o.ready.eq(~self.o.valid | self.o.ready),
        ]
        scale, found = Signal.like(self.o.payload, reset_less=True), data.View(self._tag, divider.o.payload.tag)
        m.d.comb += self.o.payload.eq(scale)
        with m.If(divider.o.ready):
            m.d.sync += self.o.valid.eq(divider.o.valid)
            with m.If(divider.o.valid):
                m.d.sync += [
                    scale.reciprocal.eq(divider.o.payload.quotient),
                    *(scale[name].eq(found[name]) for name, _ in self._tag),
                ]
        with m.If(self.i.ready):
            m.d.sync += valid.eq(self.i.valid)
            with m.If(self.i.valid):
                self._normalise(m, divisor, held)
        takes = self.i.valid & self.i.ready
        corner(m, platform, "row_without_keys", takes & (self.i.payload.total == 0))
        corner(m, platform, "row_of_padding", takes & ~self.i.payload.attend)
        return m

    def _normalise(self, m: Module, divisor: Signal, held: data.View) -> None:
        total = self.i.payload.total
        leading = one_hot_leading(total[POWER_BITS:])
        low = POWER_BITS + 1 - DIVISOR_BITS
        windows = [
            total[low + n :][: DIVISOR_BITS - 1] & bit.replicate(DIVISOR_BITS - 1) for n, bit in enumerate(leading)
        ]
        m.d.sync += [
            # The top bit is the leading one.
            divisor.eq(
                Cat(*(Cat(window[b] for window in windows).any() for b in range(DIVISOR_BITS - 1)), Const(1, 1))
            ),
            held.over.eq(binary(leading, len(held.over))),
            held.counts.eq(self.i.payload.attend & total[POWER_BITS:].any()),
            held.last.eq(self.i.payload.last),
        ]
