# SPDX-License-Identifier: Apache-2.0
"""Sanger's predictor, whole: from the exact Q and K of each head to the plan of a layer.

                  ┌───────────────────────────── SangerUnit ─────────────────────────────┐
q, k, int8 ──────►│ 4 bits ─► scorer ── columns ──► selection ── rows ──► recorder       │── records ──► o
exponent ────────►│                                    ▲                                 │
                  └──────────────────────────────────────────────────────────────────────┘

Blocks of a head, R queries each, on the way (T keys, C = T/R chunks):

 array       load 0 | keys, block 0 … | load 1 | keys, block 1 … | load 2 | keys, block 2 …
 selection                            | rows of block 0, C cycles each   | rows of block 1 …
 records                                   | rows of block 0 …                | rows of block 1 …

The array takes R/load + T cycles for a block, the selection R·C = T (T a multiple of R): it keeps up.
"""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.sanger import SangerConfig
from hdl.execute.layouts import MULTIPLIER
from hdl.speculate.record import Recorder
from hdl.speculate.sanger.layouts import key_layout, query_layout, settings_layout
from hdl.speculate.sanger.scorer import Scorer
from hdl.speculate.sanger.selection import SangerSelection
from hdl.speculate.socket import layer_under_way, record_layout


class SangerUnit(wiring.Component):
    """Sanger's mask: a softmax of the scores of 4-bit operands, and a threshold on its probabilities. Equals
    `golden.speculate.sanger.predict`, record by record. Layers come one after the other.

    Parameters
    ----------
    config: `config.sanger.SangerConfig`.

    Members
    -------
    settings: In, stream of `settings_layout`, one transfer starts a layer, taken when the one before is finished.
    k: In, stream of `key_layout`; q: In, stream of `query_layout`: the exact rows of the layer's heads, all tokens of
    one, then of the next. A head narrower than `head_width` has zeros beyond itself. K may be a head ahead of what is
    scored, Q a block.
    exponent: In, stream of `MULTIPLIER`: for each head, what takes an exact score to 64ths of an exponent of 2, as the
    layer's softmax has it; shift 1 to 40. One may be taken ahead of the layer's settings.
    o: Out, stream of `record_layout(config.plan)`, registered; `o.valid` does not depend on `o.ready`.
    busy: Out, 1: the array takes a beat.

    A head of T tokens takes ceil(T / rows) · head_slices · (rows / load + T) cycles, if nothing rests and T is a
    multiple of rows. A block's rows follow its last key, a row in T / rows cycles, each `SangerSelection.stay` later.
    """

    def __init__(self, config: SangerConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(stream.Signature(settings_layout(config))),
                "k": In(stream.Signature(key_layout(config))),
                "q": In(stream.Signature(query_layout(config))),
                "exponent": In(stream.Signature(MULTIPLIER)),
                "o": Out(stream.Signature(record_layout(config.plan))),
                "busy": Out(1),
            }
        )

    @property
    def config(self) -> SangerConfig:
        return self._config

    def elaborate(self, platform):
        m = Module()
        m.submodules.scorer = scorer = Scorer(self._config)
        m.submodules.selection = selection = SangerSelection(self._config)
        m.submodules.recorder = recorder = Recorder(self._config.plan)
        for name in ("q", "k"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(scorer, name))
        wiring.connect(m, wiring.flipped(self.exponent), selection.exponent)
        wiring.connect(m, scorer.o, selection.columns)
        wiring.connect(m, selection.rows, recorder.rows)
        wiring.connect(m, recorder.o, wiring.flipped(self.o))
        settings, start = layer_under_way(m, self.settings, self.o)
        m.d.comb += [
            scorer.settings.eq(settings),
            scorer.start.eq(start),
            selection.settings.eq(settings),
            *(getattr(recorder.settings, name).eq(settings[name]) for name in ("tokens", "heads", "causal")),
            self.busy.eq(scorer.busy),
        ]
        return m
