# SPDX-License-Identifier: Apache-2.0
"""Softmax of rows of scores over their kept keys: codes, and what the row's sum makes of the multiplier behind V.

    i ─► rows wait until their largest is known ─► beat, largest ─► Power × lanes ─┬─► 255·power >> 21 ─► o
    row ─► … and their settings                                                    │
                                                              RowTotal ◄───────────┘
                                                                 └─► Divider ─► scale

One row is read while the next is written. Codes do not wait for the row's sum, so they may leave earlier than `scale`.
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import DIVISOR_BITS
from config.requantise import SHIFT_BITS
from config.units import MAX_SCORE_BITS, SoftmaxConfig
from hdl.arith.divide import Divider
from hdl.cover import corner
from hdl.execute.layouts import MULTIPLIER, ROW, codes_layout, scores_layout
from hdl.execute.power import Power, common_settings
from hdl.execute.total import RowTotal, along
from hdl.execute.waiting import WaitingRows
from hdl.shared import share


class SoftmaxUnit(wiring.Component):
    """Softmax of rows. A beat a cycle, if rows have at least `shortest` of them; shorter rows take as long as those.

    Parameters
    ----------
    Those of `SoftmaxConfig`; raises `Refusal` as it does.

    Members
    -------
    i: In, stream of `scores_layout(lanes, score_bits)`, signed scores; what is not kept may have any score.
    row: In, `ROW`, taken with the last beat of a row: the exponent, shift 1 to 40, and the context's multiplier.
    o: Out, stream of `codes_layout(lanes)`, unsigned, the beats of `i` in their order.
    scale: Out, stream of `MULTIPLIER`, one for each row: (mul << 15) // divisor, and shift + n, to 40 + 12, of its
    context. A sum of its codes times V is to be multiplied by it. A row without keys has mul << 15 >> 15.
    error: Out, 1: a row had more than `tokens` keys. Stays. Such a row is cut into several, and nothing hangs.

    `latency` cycles from a row's last beat to its first codes, and `scale_latency` from a row's last codes to its
    scale, if nothing rests; neither valid depends on any ready. A consumer may leave a row's scale until it has all its
    codes, and the next row's codes until it has the scale.
    """

    def __init__(self, *, lanes: int, score_bits: int = MAX_SCORE_BITS, tokens: int, shortest: int = 4):
        # Refuses what no unit can be.
        SoftmaxConfig(lanes, tokens, score_bits, shortest)
        self._lanes = lanes
        self._total = RowTotal(lanes, tokens)
        self._powers = [Power(score_bits) for _ in range(lanes)]
        beats = tokens // lanes
        # As many as there may be beats between the one that comes and the one whose row leaves, and the division's.
        depth = beats + self._powers[0].latency + self._total.latency + 16
        self._waiting = WaitingRows(lanes, score_bits, beats, max(2, -(-depth // shortest) + 2))
        self._divider = Divider(bits=DIVISOR_BITS, cycles=shortest, tag_bits=SHIFT_BITS)
        super().__init__(
            {
                "i": In(stream.Signature(scores_layout(lanes, score_bits))),
                "row": In(ROW),
                "o": Out(stream.Signature(codes_layout(lanes))),
                "scale": Out(stream.Signature(MULTIPLIER)),
                "error": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first codes: until it is complete, read, powers, codes."""
        return self._waiting.latency + 1 + self._powers[0].latency + 1

    @property
    def scale_latency(self) -> int:
        """Cycles from a row's last codes to its scale: less the codes' own register."""
        return self._total.latency - 1 + self._divider.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.waiting = waiting = self._waiting
        m.submodules.total = total = self._total
        m.submodules.divider = divider = self._divider
        advance = Signal()
        m.d.comb += [
            waiting.i.payload.eq(self.i.payload),
            waiting.i.valid.eq(self.i.valid),
            self.i.ready.eq(waiting.i.ready),
            waiting.row.eq(self.row),
            self.error.eq(waiting.error),
            # The total moves on while codes wait, so that the scale of a row that has left is never held back.
            advance.eq((~self.o.valid | self.o.ready) & total.advance),
            waiting.advance.eq(advance),
        ]
        valids, lasts = self._control(m, advance)
        enable = [advance & valid for valid in valids]
        powers = self._raise(m, enable, platform)
        m.d.comb += [
            total.enter.eq(enable[-1]),
            total.last.eq(lasts[-1]),
            Cat(total.powers).eq(Cat(powers)),
            waiting.leave.eq(total.leave),
            total.multiplier.eq(waiting.multiplier),
        ]
        self._offer(m, enable[-1], lasts[-1])
        self._divide(m, total, divider)
        self._count_corners(m, platform)
        return m

    def _control(self, m: Module, advance: Value) -> tuple[list[Value], list[Value]]:
        """For what stands in front of each register stage, that of the codes included: is there anything, is it the
        last beat of a row?"""
        waiting, latency = self._waiting, self._powers[0].latency
        return along(m, waiting.valid, waiting.beat.last, latency, advance=advance)

    def _raise(self, m: Module, enable: list[Value], platform) -> list[Value]:
        """The powers of a beat."""
        waiting, latency = self._waiting, self._powers[0].latency
        common = common_settings(m, self._powers[0], enable, waiting.exponent)
        for number, power in enumerate(self._powers):
            m.submodules[f"power{number}"] = share(power, "power", platform)
            m.d.comb += [
                power.enable.eq(Cat(enable[:latency])),
                power.kept.eq(waiting.beat.kept[number]),
                power.score.eq(waiting.beat.scores[number]),
                power.largest.eq(waiting.largest),
                *(getattr(power, name).eq(value) for name, value in common.items()),
            ]
        return [power.power for power in self._powers]

    def _offer(self, m: Module, takes: Value, last: Value) -> None:
        """Codes, which stand until they are taken."""
        beat = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(beat)
        with m.If(takes):
            m.d.sync += [
                self.o.valid.eq(1),
                Cat(beat.codes).eq(Cat(power.code for power in self._powers)),
                beat.last.eq(last),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

    def _divide(self, m: Module, total: RowTotal, divider: Divider) -> None:
        m.d.comb += [
            divider.i.payload.eq(total.o.payload),
            divider.i.valid.eq(total.o.valid),
            total.o.ready.eq(divider.i.ready),
            self.scale.payload.mul.eq(divider.o.payload.quotient),
            self.scale.payload.shift.eq(divider.o.payload.tag),
            self.scale.valid.eq(divider.o.valid),
            divider.o.ready.eq(self.scale.ready),
        ]

    def _count_corners(self, m: Module, platform) -> None:
        waiting = self._waiting
        takes = waiting.valid & waiting.advance
        corner(m, platform, "beat_without_keys", takes & ~waiting.beat.kept.any())
        corner(m, platform, "input_waits", self.i.valid & ~self.i.ready)
        corner(m, platform, "codes_wait", self.o.valid & ~self.o.ready)
        corner(m, platform, "scale_waits", self.scale.valid & ~self.scale.ready)
        corner(m, platform, "division_waits", self._total.o.valid & ~self._total.o.ready)
        corner(m, platform, "row_too_long", self.error)
