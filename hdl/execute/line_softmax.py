# SPDX-License-Identifier: Apache-2.0
"""Softmax at a line, between the line that brings scores and the one of the same number that multiplies with V.

scores ─► ScoreQueue ─► LinePowers ─┬─► CodeItems ─► items without codes of 0, codes
given ──────┘                       └─► scale        SumsAhead: when the line may begin one
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import DIVISOR_BITS, PROBABILITY_BITS
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.code_items import CodeItems
from hdl.execute.dot_line import untimed
from hdl.execute.gather_lines import tag_layout
from hdl.execute.items import item_layout
from hdl.execute.layouts import MULTIPLIER
from hdl.execute.line_powers import LinePowers, settings_layout
from hdl.execute.row_codes import RowCodes, told_members
from hdl.execute.score_queue import ScoreQueue
from hdl.execute.scores import score_layout
from hdl.execute.sums_ahead import SumsAhead
from hdl.shared import share

FLIGHT = 16
"""Cycles from a row of K at a line until the ring has passed on its score, if nothing waits; and some to spare."""


class LineSoftmax(wiring.Component):
    """Scores of a line's items in; the same items with what is left of their keys, their codes and scales out.

    Parameters
    ----------
    config: `ItemsConfig` of one chunk. arrays: of the array that multiplies with V.
    tells: there are `told` and `last_chunk`.
    words: scores that wait; by default, as many as keep up with rows of all keys. entries: items whose codes wait, from
    their first code until their last row, a power of two.
    Raises `Refusal` as its parts do.

    Members
    -------
    settings: In, as that of `LinePowers`. scores: In, `untimed(score_layout)`; given, count: In; accepts: Out, for the
    `opens` of the `Gather` that brings them: as those of `ScoreQueue`.
    enable: In, 1: items of V may begin. busy: Out, 1: one has, in an earlier cycle, and has rows to come.
    advance, room, ended, coming: In, give, item, opens: Out: of `GatherLines`, for the line of the same number. Items
    are given in the order in which they came.
    told: Out, stream of `hdl.execute.row_codes.told_layout`, last_chunk: In: `o` and that of `RowCodes`.
    code: Out, 8: of the row that `GatherLines` offers. scale: Out, stream of `MULTIPLIER`, one for each item.

    A key a cycle on both sides. If contexts are always taken, a PE line takes each of an item's beats at once.
    """

    def __init__(
        self,
        config: ItemsConfig,
        arrays: PeArraysConfig,
        *,
        words: int | None = None,
        entries: int = 4,
        tells: bool = False,
    ):
        # A row that comes, one that is under way, and what was not read yet of the one that leaves.
        words = 2 * config.chunk + config.latency + FLIGHT if words is None else words
        scales = 2 * entries
        # As few subtractors as keep up with the contexts' reader.
        cycles = max(n for n in range(1, min(DIVISOR_BITS, arrays.groups + 2) + 1) if DIVISOR_BITS % n == 0)
        self._queue = ScoreQueue(config, words=words, items=scales)
        self._powers = LinePowers(config, cycles=cycles, scales=scales, tells=tells)
        self._rows = RowCodes(config) if tells else None
        self._codes = CodeItems(config, entries=entries)
        self._ahead, self._entries = SumsAhead(arrays, scales=scales), entries
        super().__init__(
            {
                "settings": In(untimed(settings_layout(config))),
                "scores": In(untimed(score_layout(config))),
                "given": In(1),
                "count": In(range(config.chunk + 1)),
                "accepts": Out(1),
                "enable": In(1),
                "busy": Out(1),
                **{name: In(1) for name in ("advance", "room", "ended")},
                "coming": In(tag_layout(config)),
                "give": Out(1),
                "item": Out(item_layout(config)),
                "opens": Out(1),
                "code": Out(PROBABILITY_BITS),
                "scale": Out(stream.Signature(MULTIPLIER)),
                **(told_members(config) if tells else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        queue, powers, codes, ahead = self._queue, self._powers, self._codes, self._ahead
        for name in ("queue", "powers", "codes", "ahead"):
            m.submodules[name] = share(getattr(self, f"_{name}"), name, platform)
        wiring.connect(m, wiring.flipped(self.settings), powers.settings)
        wiring.connect(m, wiring.flipped(self.scores), queue.i)
        wiring.connect(m, queue.o, powers.i)
        wiring.connect(m, powers.o, codes.i)
        wiring.connect(m, powers.scale, wiring.flipped(self.scale))
        m.d.comb += [
            queue.given.eq(self.given),
            queue.count.eq(self.count),
            self.accepts.eq(queue.opens),
            powers.opens.eq(codes.opens),
            codes.begins.eq(powers.begins),
            codes.coming.eq(self.coming),
            self.code.eq(codes.code),
            self.give.eq(codes.give),
            self.item.eq(codes.item),
            ahead.ended.eq(self.ended),
            ahead.scaled.eq(powers.scaled),
            self.opens.eq(ahead.opens & self.enable),
        ]
        if self._rows:
            rows = self._rows
            m.submodules.rows = share(rows, "row_codes", platform)
            m.d.comb += [
                powers.opens.eq(codes.opens & rows.opens),
                rows.begins.eq(powers.begins),
                rows.last_chunk.eq(self.last_chunk),
                rows.i.valid.eq(powers.o.valid),
                rows.i.payload.eq(powers.o.payload),
            ]
            wiring.connect(m, powers.total, rows.total)
            wiring.connect(m, rows.o, wiring.flipped(self.told))
        for part in (codes, ahead):
            m.d.comb += [part.advance.eq(self.advance), part.room.eq(self.room)]
        under_way = Signal(range(self._entries + 1))
        m.d.sync += under_way.eq(under_way + ahead.begins - (codes.read & self.advance))
        m.d.comb += self.busy.eq((under_way != 0) | ahead.begins)
        return m
