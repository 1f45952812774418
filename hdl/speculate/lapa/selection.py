# SPDX-License-Identifier: Apache-2.0
"""LAPA's selection: columns of bit-slice sums in, row decisions out, and the keys that the next rounds visit.

columns ─► accumulate ──► thresholds ──► clip ─┬─► lists ─► visit
              sums ◄──────────────────────┘    └─► masks ─► rows
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.shared import share
from hdl.speculate.lapa.accumulate import Accumulator
from hdl.speculate.lapa.clip import Clip
from hdl.speculate.lapa.layouts import SLOTS
from hdl.speculate.lapa.lists import Lists
from hdl.speculate.lapa.masks import Masks
from hdl.speculate.lapa.threshold import ThresholdUnit
from hdl.speculate.socket import column_layout, row_layout, settings_layout, visit_layout


class LapaSelection(wiring.Component):
    """Drops keys round by round, each time those too far below their row's maximum. A column in a cycle.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`, with method "lapa".

    Members
    -------
    settings: In, `settings_layout(config)`, stable while a layer is under way.
    columns: In, stream of `column_layout(config)`. Blocks go in pairs, the first in slot 0, the second in slot 1, the
    last of a head maybe alone: round 0 of the first, of the second, round 1 of the first, and so on to the final round;
    then the next pair. Round 0 brings keys from 0 on, all that any row may attend to; a later round those that `visit`
    gave.
    visit: Out, stream of `visit_layout(config)`: the keys of round 1 of the first block, of the second, of round 2 of
    the first, and so on; each list `head_slices` times over, with `last` each time, and never empty.
    rows: Out, stream of `row_layout(config)`: all rows below `tokens`, each its own reference.

    `columns` waits for no one to take `visit`; for `rows` it waits once two blocks are ready to leave.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "columns": In(stream.Signature(column_layout(config))),
                "visit": Out(stream.Signature(visit_layout(config))),
                "rows": Out(stream.Signature(row_layout(config))),
            }
        )

    @property
    def config(self) -> SpeculationConfig:
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self._config
        parts = {
            "accumulate": Accumulator(config),
            "measure": ThresholdUnit(config),
            "clip": Clip(config),
            "masks": Masks(config),
        }
        for name, part in parts.items():
            m.submodules[name] = share(part, f"lapa_{name}", platform)
        accumulate, threshold, clip, masks = parts.values()
        wiring.connect(m, wiring.flipped(self.columns), accumulate.columns)
        wiring.connect(m, threshold.job, clip.job)
        wiring.connect(m, masks.rows, wiring.flipped(self.rows))
        m.d.comb += [
            threshold.settings.eq(self.settings),
            threshold.coming.eq(accumulate.coming),
            threshold.arriving.eq(accumulate.arriving),
            threshold.word.eq(accumulate.word),
            clip.limits.eq(threshold.thresholds),
            accumulate.thresholds.eq(clip.thresholds),
            accumulate.fetch.eq(clip.fetch),
            clip.fetched.eq(accumulate.fetched),
            clip.wanted.eq(accumulate.wanted),
            masks.settings.eq(self.settings),
            clip.mask_free.eq(masks.free),
            clip.buffer.eq(masks.buffer),
            masks.block.eq(clip.mask),
            masks.verdict.eq(clip.verdict),
        ]
        self._guard(m, accumulate, threshold, clip)
        if config.rounds > 1:
            self._lists(m, clip, platform)
        return m

    def _guard(self, m: Module, accumulate: Accumulator, threshold: ThresholdUnit, clip: Clip) -> None:
        """What may not come yet: another round's last column while the thresholds of one are not handed over; a block's
        first columns while the sums of the one before are still read."""
        measuring, closed = Signal(), Signal(SLOTS)
        column = self.columns.payload
        fire = self.columns.valid & self.columns.ready
        with m.If(fire & column.last):
            m.d.sync += measuring.eq(1)
        with m.Elif(threshold.job.valid & threshold.job.ready):
            m.d.sync += measuring.eq(0)
        closes = Cat(fire & column.last & column.final & (column.slot == slot) for slot in range(SLOTS))
        m.d.sync += closed.eq((closed & ~clip.done) | closes)
        m.d.comb += [
            accumulate.hold_last.eq(measuring),
            accumulate.fence.closed.eq(closed),
            accumulate.fence.reading.eq(clip.reading),
            accumulate.fence.key.eq(clip.key),
        ]

    def _lists(self, m: Module, clip: Clip, platform) -> None:
        lists = Lists(self._config)
        m.submodules.lists = share(lists, "lapa_lists", platform)
        wiring.connect(m, lists.visit, wiring.flipped(self.visit))
        m.d.comb += [
            lists.opening.eq(clip.opening),
            lists.verdict.eq(clip.verdict),
            clip.spans.eq(lists.spans),
            lists.entry.eq(clip.entry),
            clip.listed.eq(lists.key),
        ]
