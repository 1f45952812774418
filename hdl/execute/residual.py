# SPDX-License-Identifier: Apache-2.0
"""Residual sums: what came in beside what was computed of it, brought to the same units, a beat a cycle.

i, scale ─► requantise to 16 bits ─┐
                                   ├─► + ─► clip to 16 bits ─► o
result ────────────────────────────┘
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import STREAM_BITS
from config.requantise import MUL_BITS, SHIFT_BITS
from config.units import ResidualConfig
from hdl.arith.adder import SHORT_SLICE, SlicedAdder
from hdl.arith.requantise import Requantiser
from hdl.cover import corner
from hdl.shared import share


def scale_layout(lanes: int) -> data.ArrayLayout:
    """Of each of a beat's channels: `mul` and `shift`, as a requantiser takes them."""
    return data.ArrayLayout(data.StructLayout({"mul": MUL_BITS, "shift": SHIFT_BITS}), lanes)


def values_layout(lanes: int) -> data.ArrayLayout:
    """A beat of values of the residual stream."""
    return data.ArrayLayout(signed(STREAM_BITS), lanes)


class ResidualUnit(wiring.Component):
    """golden.execute.layer.add: clip(requantise(i) + result) to 16 bits, beat by beat; `lanes` values a cycle.

    Parameters
    ----------
    That of `ResidualConfig`; raises `Refusal` as it does.

    Members
    -------
    i: In, stream of `lanes` signed(16): int8 or a residual sum. scale: In, stream of `scale_layout`; a beat of either
    is taken with one of the other.
    result: In, stream of `lanes` signed(16). A beat is taken where a beat of `i` has come to it, `latency` - 2 cycles
    behind that: who offers both must not wait with the next of `i` for a result to be taken.
    o: Out, stream of `lanes` signed(16), in order.

    A beat a cycle, `latency` cycles from i to o. No `valid` depends on a `ready` of its own stream. Empty after reset.
    """

    def __init__(self, *, lanes: int):
        # Refuses what no unit can be.
        ResidualConfig(lanes)
        self._scalers = [Requantiser(acc_bits=STREAM_BITS, out_bits=STREAM_BITS) for _ in range(lanes)]
        super().__init__(
            {
                "i": In(stream.Signature(values_layout(lanes))),
                "scale": In(stream.Signature(scale_layout(lanes))),
                "result": In(stream.Signature(values_layout(lanes))),
                "o": Out(stream.Signature(values_layout(lanes))),
            }
        )

    @property
    def latency(self) -> int:
        """Register stages from i to o: the requantiser's, the sum, and its clipping."""
        return self._scalers[0].latency + 2

    def elaborate(self, platform):
        m = Module()
        # All requantisers go together.
        ready, scaled = self._scalers[0].i.ready, self._scalers[0].o.valid
        takes, joins, added = Signal(), Signal(), Signal()
        output = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += [
            self.i.ready.eq(ready & self.scale.valid),
            self.scale.ready.eq(ready & self.i.valid),
            takes.eq(~self.o.valid | self.o.ready),
            self.result.ready.eq(takes & scaled),
            joins.eq(takes & self.result.valid),
            self.o.payload.eq(output),
        ]
        with m.If(takes):
            m.d.sync += [added.eq(scaled & self.result.valid), self.o.valid.eq(added)]
        for i, scaler in enumerate(self._scalers):
            adder = SlicedAdder(STREAM_BITS, STREAM_BITS, SHORT_SLICE)
            total = Signal(adder.o.shape(), name=f"sum{i}", reset_less=True)
            m.submodules[f"scaler{i}"] = share(scaler, "residual_scaler", platform)
            m.submodules[f"adder{i}"] = share(adder, "residual_adder", platform)
            m.d.comb += [
                scaler.i.payload.eq(self.i.payload[i]),
                scaler.i.valid.eq(self.i.valid & self.scale.valid),
                scaler.mul.eq(self.scale.payload[i].mul),
                scaler.shift.eq(self.scale.payload[i].shift),
                scaler.o.ready.eq(joins),
                adder.a.eq(scaler.o.payload),
                adder.b.eq(self.result.payload[i]),
            ]
            negative = total[-1]
            limit = Cat((~negative).replicate(STREAM_BITS - 1), negative)
            with m.If(joins & scaled):
                m.d.sync += total.eq(adder.o)
            with m.If(takes & added):
                m.d.sync += output[i].eq(Mux(negative ^ total[-2], limit, total[:STREAM_BITS]))
            corner(m, platform, f"residual_clips{i}", takes & added & (negative ^ total[-2]))
        corner(m, platform, "residual_waits_for_result", scaled & ~self.result.valid)
        corner(m, platform, "residual_result_waits", self.result.valid & ~scaled)
        return m
