# SPDX-License-Identifier: Apache-2.0
"""The SPLS back end, and FACT's: columns of scores in, decisions about rows out.

columns ─► ScoreRing ─► TopK ─┬─ keys that attention keeps ──────────────► RowQueue ─► rows
                              └─ scores compared ─► Similarity ─ reference ──▲
"""

from amaranth.hdl import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.shared import share
from hdl.speculate.socket import column_layout, row_layout, settings_layout
from hdl.speculate.spls.queue import RowQueue
from hdl.speculate.spls.ring import ScoreRing
from hdl.speculate.spls.select import TopK
from hdl.speculate.spls.similar import Similarity


class SplsSelection(wiring.Component):
    """Keeps the k largest scores of each row, and finds whether the row is similar to an earlier one of its window;
    with a `similarity_window` of 1, as in FACT, every row is critical. Equals `golden.speculate.spls`: `shifted`,
    `top`, `similar`.

    Parameters
    ----------
    config: `SpeculationConfig`, method spls or fact.

    Members
    -------
    settings: In, `settings_layout(config)`, still from before a layer's first column until its last row has left.
    columns: In, stream of `column_layout(config)`: for each block of `rows` queries in turn, block 0 of the next head
    behind the last of a head, keys rising from 0, `last` on the last; as many columns as there are tokens, or with
    `causal`, as there are up to the block's last row. One a cycle; `ready` is low only while 2·tokens columns wait.
    rows: Out, stream of `row_layout(config)`.

    A row takes as many cycles as it has chunks, or `pace` if that is more: what a row has fewer chunks, of causal
    layers' first blocks, is made up for by those that have more, and by what the ring takes meanwhile.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        shape = {"rows": config.rows, "chunks": config.blocks, "score_bits": config.score_bits}
        window = config.similarity_window
        self._similar = Similarity(**shape, window=window) if window > 1 else None
        # Nothing is compared, and so nothing selected for it, in windows of one row.
        self._topk = TopK(
            **shape,
            selections=2 if self._similar else 1,
            pace=self.pace,
        )
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "columns": In(stream.Signature(column_layout(config))),
                "rows": Out(stream.Signature(row_layout(config))),
            }
        )

    @property
    def pace(self) -> int:
        """Least number of cycles from row to row."""
        return self._similar.pace if self._similar else 1

    @property
    def stay(self) -> int:
        """Cycles from the start of a row of one chunk until it may be sent."""
        return self._topk.latency + (self._similar.latency if self._similar else 0) + 2

    @property
    def slots(self) -> int:
        """Rows that can be between their start and the output, so that none waits for room."""
        # A row of more chunks ends, and is sent, later, and so is the next one.
        return max(-(-(self.stay + 2 * n) // max(n, self.pace)) for n in range(1, self._config.blocks + 1))

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
            queue.claim.eq(topk.start),
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
