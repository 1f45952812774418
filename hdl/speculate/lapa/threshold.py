# SPDX-License-Identifier: Apache-2.0
"""Threshold unit: how far below its maximum a row keeps keys, by shift and add.

    word ─► running max, min ─► range = max - min ─► s = ⌊s/2⌋ + bit of eta · range, bit by bit ─► max - s

With s = ⌊eta·range / 256⌋, A ≥ max - s says the same as 256·(max - A) ≤ eta·(max - min), as A is an integer. Halving
rounds down in every step; rounding down once in the end gives the same.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import UNITY, SpeculationConfig
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.lapa.layouts import job_layout, tag_layout, thresholds_layout, word_layout
from hdl.speculate.socket import settings_layout

FRACTION_BITS = UNITY.bit_length()

CONTROL = data.StructLayout({"take": 1, "restart": 1, "measure": 1, "shift": 1, "add": 1, "subtract": 1})
"""What all rows do in the next cycle: each keeps a copy of its own, so that no net has to drive the logic of them all.
`take`: a key comes, and with `restart` it is a round's first. `measure`: the round is over. `shift`: halve, and `add`
the range. `subtract`: from the maximum."""


class RowThreshold(wiring.Component):
    """Threshold of one row.

    Parameters
    ----------
    bits: width of `a` and `threshold`, signed.

    Members
    -------
    control: In, `CONTROL`, a cycle ahead. `survives`, `a`: In, the key taken.
    threshold: Out, once subtracted. flat: Out, 1, once measured: all keys that survived are equal, or there are none.

    A row in which nothing survives has no threshold, any number stands there.
    """

    def __init__(self, bits: int):
        self._bits = bits
        super().__init__(
            {
                "control": In(CONTROL),
                "survives": In(1),
                "a": In(signed(bits)),
                "threshold": Out(signed(bits)),
                "flat": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, control = self._bits, Signal(CONTROL)
        m.d.sync += control.eq(self.control)
        found = Signal(reset_less=True)
        highest, lowest = Signal(signed(bits), reset_less=True), Signal(signed(bits), reset_less=True)
        with m.If(control.take):
            m.d.sync += found.eq((found & ~control.restart) | self.survives)
            with m.If(self.survives):
                alone = control.restart | ~found
                with m.If(alone | (self.a > highest)):
                    m.d.sync += highest.eq(self.a)
                with m.If(alone | (self.a < lowest)):
                    m.d.sync += lowest.eq(self.a)
        some = Signal(reset_less=True)
        top, extent = Signal(signed(bits), reset_less=True), Signal(bits, reset_less=True)
        # Up to twice the extent on the way; in the end the threshold.
        share_ = Signal(bits + 1, reset_less=True)
        with m.If(control.measure):
            m.d.sync += [some.eq(found), top.eq(highest), extent.eq(highest - lowest), share_.eq(0)]
        with m.Elif(control.shift):
            m.d.sync += share_.eq(share_[1:] + Mux(control.add, extent, 0))
        with m.Elif(control.subtract):
            m.d.sync += share_.eq(top - share_)
        corner(m, platform, "constant_row", control.measure & found & (highest == lowest))
        m.d.comb += [self.threshold.eq(share_[:bits].as_signed()), self.flat.eq(~some | ~extent.any())]
        return m


class ThresholdUnit(wiring.Component):
    """Thresholds of all rows of a block, from the columns of a round as they pass.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`.

    Members
    -------
    settings: In, `settings_layout(config)`; only `eta` is used.
    coming, arriving, word: In, as of `Accumulator`. After a round's last column the next one's last may come only once
    `job` was taken; other columns may come at any time.
    job: Out, stream of `job_layout(config)`; with it goes `thresholds`: Out, `thresholds_layout(config)`.

    A job is offered 4 cycles after its last word, and one more for each bit of the round's eta above its lowest one.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "coming": In(1),
                "arriving": In(tag_layout(config)),
                "word": In(word_layout(config)),
                "job": Out(stream.Signature(job_layout(config))),
                "thresholds": Out(thresholds_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        control = Signal(CONTROL)
        restart = Signal(init=1)
        m.d.comb += [control.take.eq(self.coming), control.restart.eq(restart)]
        with m.If(self.coming):
            m.d.sync += restart.eq(self.arriving.last)
        job = Signal(job_layout(self._config), reset_less=True)
        m.d.comb += self.job.payload.eq(job)
        flats = []
        for i in range(self._config.rows):
            row = RowThreshold(self._config.sum_bits)
            m.submodules[f"row{i}"] = share(row, "lapa_row_threshold", platform)
            m.d.comb += [
                row.control.eq(control),
                row.survives.eq(self.word[i].survives),
                row.a.eq(self.word[i].a),
                self.thresholds[i].eq(row.threshold),
            ]
            flats.append(row.flat)
        self._steps(m, control, job, Cat(flats).all())
        return m

    def _steps(self, m: Module, control: data.View, job: data.View, flat: Value) -> None:
        eta, step = Signal(FRACTION_BITS), Signal(range(FRACTION_BITS), reset_less=True)
        m.d.comb += eta.eq(Array(self.settings.eta)[job.round])
        with m.FSM():
            with m.State("WATCH"):
                with m.If(self.coming & self.arriving.last):
                    m.d.sync += [job[name].eq(self.arriving[name]) for name, _ in job.shape() if name != "whole"]
                    m.next = "MEASURE"
            with m.State("MEASURE"):
                m.d.comb += control.measure.eq(1)
                m.d.sync += step.eq(FRACTION_BITS - 1)
                # Zero bits below the lowest one change nothing.
                for i in reversed(range(FRACTION_BITS)):
                    with m.If(eta[i]):
                        m.d.sync += step.eq(i)
                m.next = "SHIFT"
            with m.State("SHIFT"):
                m.d.comb += [control.shift.eq(1), control.add.eq(Array(eta)[step])]
                m.d.sync += step.eq(step + 1)
                with m.If(step == FRACTION_BITS - 1):
                    m.next = "SUBTRACT"
            with m.State("SUBTRACT"):
                m.d.comb += control.subtract.eq(1)
                m.next = "SETTLE"
            with m.State("SETTLE"):
                # The rows subtract. Only an eta of one reaches down to a minimum that is below the maximum.
                m.d.sync += job.whole.eq(flat | (eta == UNITY))
                m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.next = "WATCH"
