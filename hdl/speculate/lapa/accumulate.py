# SPDX-License-Identifier: Apache-2.0
"""Accumulation: every column's sums are added to what earlier rounds left, and written back.

              ┌────── sums of slot 0, slot 1: a word per key ◄─────────────┐
              ▼ old word                                                   │
    columns ─► register ─► old A ≥ threshold ? survives, old A + sum ─► register ─► word

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
    the word is written at the end of this cycle.
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
        m.d.sync += [entered.eq(fire), enable.eq(entered)]
        with m.If(fire):
            m.d.sync += column.eq(self.columns.payload)
        self._admit(m)
        words = self._memories(m, fire, platform)
        self._fetch(m, words)
        self._add(m, entered, column, self._old(m, words, fire), platform)
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

    def _old(self, m: Module, words: list[data.View], fire: Signal) -> data.View:
        """The word of a column, in the cycle after it fired."""
        source, word = Signal(range(len(words)), reset_less=True), Signal(words[0].shape())
        with m.If(fire):
            m.d.sync += source.eq(Cat(self.columns.payload.key[0], self.columns.payload.slot))
        m.d.comb += word.eq(Array(map(Value.cast, words))[source])
        return word

    def _fetch(self, m: Module, words: list[data.View]) -> None:
        slot = Signal(reset_less=True)
        with m.If(self.fetch.enable):
            m.d.sync += slot.eq(self.fetch.slot)
        for parity in range(PARITIES):
            m.d.comb += self.fetched[parity].eq(chosen(words[parity::PARITIES], slot))

    def _add(self, m: Module, entered: Signal, column: data.View, old: data.View, platform) -> None:
        thresholds = Signal(thresholds_layout(self._config))
        m.d.comb += thresholds.eq(chosen(self.thresholds, column.slot))
        word = Signal(word_layout(self._config), reset_less=True)
        tag = Signal(tag_layout(self._config), reset_less=True)
        m.d.comb += [self.word.eq(word), self.tag.eq(tag)]
        kept = []
        for row in range(self._config.rows):
            judge = Judge(self._config.sum_bits)
            m.submodules[f"judge{row}"] = share(judge, "lapa_judge", platform)
            m.d.comb += [
                judge.survives.eq(old[row].survives),
                judge.a.eq(old[row].a),
                judge.threshold.eq(thresholds[row]),
            ]
            kept.append(judge.kept)
        survives = Mux(column.first, column.valid, Cat(kept))
        with m.If(entered):
            m.d.sync += [tag[name].eq(column[name]) for name, _ in tag.shape()]
            for row in range(self._config.rows):
                # Cannot overflow: the upper slices of a key alone are a key, so their sum is a score as well.
                before = Mux(column.first, 0, old[row].a)
                m.d.sync += [word[row].survives.eq(survives[row]), word[row].a.eq(before + column["sum"][row])]
