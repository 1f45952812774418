# SPDX-License-Identifier: Apache-2.0
"""When a line may begin an item so that its sums find a place when they come: an image of their reader, ahead of it.

room ─► items begun ─────────────────────┬─► opens
ended ─► read one after the other, ─► over ─┘
         groups + 2 cycles each
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.pe_arrays import PeArraysConfig
from hdl.cover import corner

PLACES = 2
"""For sums of items, at a PE line."""


class SumsAhead(wiring.Component):
    """Lets a line of `GatherLines` begin items so that its PE line takes each beat in the cycle in which it comes.

    A beat comes a constant number of cycles behind the one in which its key was taken, and a reader takes
    `groups` + 2 cycles for each item. So when sums will have been read is known when the item's last key is taken, and
    an item need not wait until it has happened.

    Parameters
    ----------
    config: of the PE array, whose contexts are always taken.

    Members
    -------
    advance: In, 1: as that of `GatherLines`; room, ended: In, 1: of the line. scaled: In, 1: an item's scale will be
    there when its sums are. opens: Out, 1, of registers: the line may begin an item. begins: Out, 1: it did, a cycle
    ago.

    An item that is begun has its scale, and finds a place for its sums.
    """

    def __init__(self, config: PeArraysConfig, *, scales: int):
        self._groups, self._scales = config.groups, scales
        super().__init__(
            {name: In(1) for name in ("advance", "room", "ended", "scaled")}
            | {name: Out(1) for name in ("opens", "begins")}
        )

    def elaborate(self, platform):
        m = Module()
        taken, left, queued = Signal(range(PLACES + 1)), Signal(range(self._groups + 2)), Signal()
        had_room, starts, leaves = Signal(init=1), Signal(), Signal()
        m.d.sync += had_room.eq(self.room)
        m.d.comb += [
            self.begins.eq(self.room & ~had_room),
            starts.eq(self.advance & (left == 0) & (self.ended | queued)),
            # The line's first key is taken in the cycle behind that in which it begins.
            leaves.eq(self.advance & (left == 2)),
        ]
        with m.If(self.advance):
            m.d.sync += [
                left.eq(left - 1),
                queued.eq(Mux(left == 0, queued & self.ended, queued | self.ended)),
            ]
            with m.If(left == 0):
                m.d.sync += left.eq(0)
        with m.If(starts):
            m.d.sync += left.eq(self._groups + 1)
        scales = Signal(range(self._scales + 1))
        m.d.sync += [
            taken.eq(taken + self.begins - leaves),
            scales.eq(scales + self.scaled - self.begins),
        ]
        m.d.comb += self.opens.eq((taken != PLACES) & (scales != 0))
        corner(m, platform, "no_place_for_sums", ~self.room & (taken == PLACES))
        corner(m, platform, "item_waits_for_its_scale", ~self.room & (scales == 0))
        return m
