# SPDX-License-Identifier: Apache-2.0
"""Accumulation: every column's sums are added to what earlier rounds left, and written back.

              ┌────── sums of slot 0, slot 1: a word per key ◄─────────────┐
              ▼ old word                                                   │
    columns ─► register ─► old A ≥ threshold ? survives, old A + sum ─► register ─► word
                           └──────────────── a SumRow each ────────────────┘

Even and odd keys are in two memories, so that a clip can read two keys at once, or one while columns of the slot's next
round already come.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.shared import share
from hdl.speculate.lapa.layouts import (
    PARITIES,
    SLOTS,
    chosen,
    fence_layout,
    fetch_layout,
    pair_layout,
    tag_layout,
    thresholds_layout,
    word_layout,
)
from hdl.speculate.socket import column_layout
from hdl.store import Store

WHICH = data.StructLayout({"first": 1, "slot": 1, "odd": 1, "fetched": 1})
"""Of a column: its round is the first, its slot, its key is odd; and the slot of the fetch."""


class Judge(wiring.Component):
    """Whether a key that survived until now is kept: `kept` = `survives` and `a` ≥ `threshold`. Combinational.

    Parameters
    ----------
    bits: width of `a` and `threshold`, signed.
    """

    def __init__(self, bits: int):
        super().__init__({"survives": In(1), "a": In(signed(bits)), "threshold": In(signed(bits)), "kept": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.kept.eq(self.survives & (self.a >= self.threshold))
        return m


class SumRow(wiring.Component):
    """A row of the words: adds, judges, and says what the memories show. 2 cycles from column to word.

    It keeps copies of what chooses among memories, so that no net has to drive the logic of all rows.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`.

    Members
    -------
    olds: In, the row's words in the memories, slot 0's for even and odd keys first.
    which: In, `WHICH`: the column that comes, and what is fetched; in the next cycle, `olds` are those words.
    entered: In, 1: in the cycle before, a column came. `sum`, signed, `valid`: In, of it.
    thresholds: In, per slot.
    word: Out, of the column, in the cycle after `entered`. `fetched`: Out, of an even and an odd key.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        self._word = word_layout(config).elem_shape
        super().__init__(
            {
                "olds": In(data.ArrayLayout(self._word, SLOTS * PARITIES)),
                "which": In(WHICH),
                "entered": In(1),
                "sum": In(signed(config.sum_bits)),
                "valid": In(1),
                "thresholds": In(data.ArrayLayout(signed(config.sum_bits), SLOTS)),
                "word": Out(self._word),
                "fetched": Out(data.ArrayLayout(self._word, PARITIES)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        which, word = Signal(WHICH, reset_less=True), Signal(self._word, reset_less=True)
        old = Signal(self._word)
        m.d.sync += which.eq(self.which)
        m.submodules.judge = judge = Judge(self._config.sum_bits)
        m.d.comb += [
            old.eq(Array(map(Value.cast, self.olds))[Cat(which.odd, which.slot)]),
            judge.survives.eq(old.survives),
            judge.a.eq(old.a),
            judge.threshold.eq(chosen(self.thresholds, which.slot).as_signed()),
            self.word.eq(word),
        ]
        with m.If(self.entered):
            # Cannot overflow: the upper slices of a key alone are a key, so their sum is a score as well.
            m.d.sync += [
                word.survives.eq(Mux(which.first, self.valid, judge.kept)),
                word.a.eq(Mux(which.first, 0, old.a) + self.sum),
            ]
        for parity in range(PARITIES):
            pair = [self.olds[slot * PARITIES + parity] for slot in range(SLOTS)]
            m.d.comb += self.fetched[parity].eq(chosen(pair, which.fetched))
        return m


class Accumulator(wiring.Component):
    """Takes columns, one a cycle, and keeps their sums; 2 cycles from column to word.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`.

    Members
    -------
    columns: In, stream of `column_layout(config)`. No key twice within three transfers of a slot.
    hold_last: In, 1. No column that is the last of its round may come.
    fence: In, `fence_layout(config)`: which first columns may not come yet.
    thresholds: In, per slot `thresholds_layout(config)`, of the round before.
    enable: Out, 1: `tag` (Out, `tag_layout(config)`) and `word` (Out, `word_layout(config)`) are those of a column;
    the word is written at the end of this cycle. `coming`: Out, 1, and `arriving`: Out, `tag_layout(config)`: `enable`
    and `tag` of the next cycle.
    fetch: In, `fetch_layout(config)`; `fetched`: Out, `pair_layout(config)`, in the next cycle: of the pair that the
    key is of, the words that were asked for. Columns wait for it.
    wanted: Out, per slot: in the cycle before, a column was there that must read the slot's sums.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "columns": In(stream.Signature(column_layout(config))),
                "hold_last": In(1),
                "fence": In(fence_layout(config)),
                "thresholds": In(data.ArrayLayout(thresholds_layout(config), SLOTS)),
                "enable": Out(1),
                "tag": Out(tag_layout(config)),
                "word": Out(word_layout(config)),
                "coming": Out(1),
                "arriving": Out(tag_layout(config)),
                "fetch": In(fetch_layout(config)),
                "fetched": Out(pair_layout(config)),
                "wanted": Out(SLOTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        column = Signal(column_layout(self._config), reset_less=True)
        entered, enable = Signal(), Signal()
        fire = Signal()
        m.d.comb += [fire.eq(self.columns.valid & self.columns.ready), self.enable.eq(enable)]
        m.d.comb += [self.coming.eq(entered), *(self.arriving[name].eq(column[name]) for name, _ in self.tag.shape())]
        m.d.sync += [entered.eq(fire), enable.eq(entered)]
        with m.If(fire):
            m.d.sync += column.eq(self.columns.payload)
        self._admit(m)
        words = self._memories(m, fire, platform)
        self._add(m, entered, column, words, platform)
        return m

    def _admit(self, m: Module) -> None:
        offered, fence, fetch = self.columns.payload, self.fence, self.fetch
        overtakes = chosen(fence.reading, offered.slot) & (offered.key < fence.key)
        overwrites = offered.first & chosen(fence.closed, offered.slot) & ~overtakes
        collides = ~offered.first & fetch.enable & (fetch.slot == offered.slot) & self._touches(offered.key[0])
        m.d.comb += self.columns.ready.eq(~overwrites & ~collides & ~(offered.last & self.hold_last))
        wants = self.columns.valid & ~offered.first
        m.d.sync += self.wanted.eq(Cat(wants & (offered.slot == slot) for slot in range(SLOTS)))

    def _touches(self, parity: Value | int) -> Value:
        """Whether the fetch reads the memory of keys of this parity."""
        return self.fetch.pair | (self.fetch.key[0] == parity)

    def _memories(self, m: Module, fire: Signal, platform) -> list[data.View]:
        """The memories, slot 0's for even and odd keys first; returns what they show."""
        offered, fetch, words = self.columns.payload, self.fetch, []
        for slot in range(SLOTS):
            for parity in range(PARITIES):
                memory = Store(self._config.tokens // PARITIES, word_layout(self._config))
                m.submodules[f"sums{slot}_{parity}"] = share(memory, "lapa_sums", platform)
                asked = fetch.enable & (fetch.slot == slot) & self._touches(parity)
                comes = fire & ~offered.first & (offered.slot == slot) & (offered.key[0] == parity)
                m.d.comb += [
                    memory.read.eq(asked | comes),
                    memory.read_at.eq(Mux(asked, fetch.key[1:], offered.key[1:])),
                    memory.write.eq(self.enable & (self.tag.slot == slot) & (self.tag.key[0] == parity)),
                    memory.write_at.eq(self.tag.key[1:]),
                    memory.word.eq(self.word),
                ]
                words.append(memory.stored)
        return words

    def _add(self, m: Module, entered: Signal, column: data.View, words: list[data.View], platform) -> None:
        offered = self.columns.payload
        tag = Signal(tag_layout(self._config), reset_less=True)
        m.d.comb += self.tag.eq(tag)
        with m.If(entered):
            m.d.sync += tag.eq(self.arriving)
        for i in range(self._config.rows):
            row = SumRow(self._config)
            m.submodules[f"row{i}"] = share(row, "lapa_sum_row", platform)
            m.d.comb += [
                row.which.first.eq(offered.first),
                row.which.slot.eq(offered.slot),
                row.which.odd.eq(offered.key[0]),
                row.which.fetched.eq(self.fetch.slot),
                row.entered.eq(entered),
                row.sum.eq(column["sum"][i]),
                row.valid.eq(column.valid[i]),
                self.word[i].eq(row.word),
                *(old.eq(word[i]) for old, word in zip(row.olds, words, strict=True)),
                *(row.thresholds[slot].eq(self.thresholds[slot][i]) for slot in range(SLOTS)),
                *(self.fetched[parity][i].eq(row.fetched[parity]) for parity in range(PARITIES)),
            ]
