# SPDX-License-Identifier: Apache-2.0
"""The SPLS back end: columns of scores in, decisions about rows out.

columns ─► ScoreRing ─► TopK ─┬─ keys that attention keeps ──────────────► RowQueue ─► rows
                              └─ scores compared ─► Similarity ─ reference ──▲
"""

from amaranth.hdl import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.shared import share
from hdl.speculate.socket import column_layout, row_layout, settings_layout
from hdl.speculate.spls.keep import Keeper
from hdl.speculate.spls.queue import RowQueue
from hdl.speculate.spls.ring import ScoreRing
from hdl.speculate.spls.select import TopK
from hdl.speculate.spls.similar import Similarity


class SplsSelection(wiring.Component):
    """Keeps the k largest scores of each row, and finds whether the row is similar to an earlier one of its window.
    Equals `golden.speculate.spls`: `shifted`, `top`, `similar`.

    Parameters
    ----------
    config: `SpeculationConfig`, method spls.

    Members
    -------
    settings: In, `settings_layout(config)`, still from before a layer's first column until its last row has left.
    columns: In, stream of `column_layout(config)`: for each block of `rows` queries in turn, block 0 of the next head
    behind the last of a head, keys rising from 0, `last` on the last; as many columns as there are tokens, or with
    `causal`, as there are up to the block's last row. One a cycle; `ready` is low only while 2·tokens columns wait.
    rows: Out, stream of `row_layout(config)`.

    A row takes `period` cycles at most, so that a block of full length takes max(tokens, rows·period).
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        shape = {"rows": config.rows, "chunks": config.blocks, "score_bits": config.score_bits}
        self._similar = Similarity(**shape, window=config.window) if config.window > 1 else None
        # Nothing is compared, and so nothing selected for it, in windows of one row.
        self._topk = TopK(
            **shape,
            selections=2 if self._similar else 1,
            pace=self._similar.pace if self._similar else 1,
        )
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "columns": In(stream.Signature(column_layout(config))),
                "rows": Out(stream.Signature(row_layout(config))),
            }
        )

    @property
    def period(self) -> int:
        """Cycles that a row of the longest sequence takes."""
        return self._topk.period

    @property
    def slots(self) -> int:
        """Rows that can be between the register they are selected in and the output, so that none waits for room."""
        decision = 1 + self._similar.latency if self._similar else 1
        stay = self._config.blocks + Keeper.latency + decision + self._config.blocks
        return -(-stay // self.period)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        ring, queue, topk = ScoreRing(config), RowQueue(config, slots=self.slots), self._topk
        m.submodules.ring = share(ring, "spls_ring", platform)
        m.submodules.topk = share(topk, "spls_topk", platform)
        m.submodules.queue = share(queue, "spls_queue", platform)
        wiring.connect(m, wiring.flipped(self.columns), ring.columns)
        wiring.connect(m, queue.rows, wiring.flipped(self.rows))
        tag = topk.o.tag
        m.d.comb += [
            ring.settings.eq(self.settings),
            queue.settings.eq(self.settings),
            topk.k[0].eq(self.settings.k),
            topk.available.eq(ring.available),
            topk.ticket.eq(ring.ticket),
            topk.words.eq(ring.words),
            ring.start.eq(topk.start),
            ring.step.eq(topk.step),
            topk.room.eq(queue.room),
            queue.claim.eq(topk.claim),
            queue.tag.eq(tag),
            queue.kept.eq(topk.o.kept[0]),
        ]
        if self._similar is None:
            m.d.comb += queue.decided.eq(tag.valid & tag.last)
        else:
            self._compare(m, queue, platform)
        return m

    def _compare(self, m: Module, queue: RowQueue, platform) -> None:
        """Scores outside the selection for comparison count as zero."""
        similar, topk = self._similar, self._topk
        m.submodules.similar = share(similar, "spls_similar", platform)
        m.d.comb += [
            topk.k[1].eq(self.settings.k_similarity),
            similar.s.eq(self.settings.s),
            similar.early.eq(topk.early),
            similar.tag.eq(topk.o.tag),
            queue.decided.eq(similar.decided),
            queue.reference.eq(similar.reference),
        ]
        for value, score, kept in zip(similar.values, topk.o.score, topk.o.kept[1], strict=True):
            m.d.comb += value.eq(Mux(kept, score, 0))
