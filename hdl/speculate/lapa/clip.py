# SPDX-License-Identifier: Apache-2.0
"""Clip: walks the keys that a round visited, once its thresholds are known, and says which rows keep them.

    job ─► walk ─► list ─► key ─► sums of a pair ─► A ≥ threshold ? ─► kept ─► verdict
          (count)  (read) │reg│      (read)         A ≥ threshold ?    │reg│

A job for which nothing is dropped and that is not a block's last needs no walk. A walk of all keys whose list the next
round waits for takes two keys a cycle: the round may be half as long as the walk.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.lapa.accumulate import Judge
from hdl.speculate.lapa.layouts import (
    PARITIES,
    SLOTS,
    block_layout,
    chosen,
    entry_layout,
    fetch_layout,
    job_layout,
    list_shape,
    opening_layout,
    pair_layout,
    span_layout,
    thresholds_layout,
    verdict_layout,
)
from hdl.speculate.socket import token_shape


class Clip(wiring.Component):
    """One key a cycle, or an even one and the odd one behind it, where keys 0 to n - 1 are walked to make a list and no
    column wants the same slot's sums; without a pause between jobs; 4 cycles from a job to its first verdict.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`.

    Members
    -------
    job: In, stream of `job_layout(config)`; `limits`: In, `thresholds_layout(config)`, goes with it.
    thresholds: Out, per slot `thresholds_layout(config)`: of the slot's job taken last.
    spans: In, per slot `span_layout(config)`: the keys visited; of no concern in a block's first round.
    opening: Out, `opening_layout(config)`: as a job is taken that is not a block's last.
    entry: Out, `entry_layout(config)`; `listed`: In, the key that is there, from the next cycle on.
    wanted: In, per slot: columns that must read its sums come.
    fetch: Out, `fetch_layout(config)`; `fetched`: In, `pair_layout(config)`, in the next cycle: what was asked for.
    reading: Out, per slot: `key` (Out) is being fetched for the block's last round, smaller ones were before.
    done: Out, per slot: in this cycle, the last of them is.
    mask_free: In, 1, and `buffer`: In: where a mask can go. `mask`: Out, `block_layout(config)`: it is taken for this
    block.
    verdict: Out, `verdict_layout(config)`.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        self._walk = {"slot": 1, "final": 1, "buffer": 1, "whole": 1, "number": list_shape(config)}
        self._tag = data.StructLayout(self._walk | {"pair": 1, "last": 1})
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(config))),
                "limits": In(thresholds_layout(config)),
                "thresholds": Out(data.ArrayLayout(thresholds_layout(config), SLOTS)),
                "spans": In(data.ArrayLayout(span_layout(config), SLOTS)),
                "opening": Out(opening_layout(config)),
                "entry": Out(entry_layout(config)),
                "listed": In(token_shape(config)),
                "wanted": In(SLOTS),
                "fetch": Out(fetch_layout(config)),
                "fetched": In(pair_layout(config)),
                "reading": Out(SLOTS),
                "key": Out(token_shape(config)),
                "done": Out(SLOTS),
                "mask_free": In(1),
                "buffer": In(1),
                "mask": Out(block_layout(config)),
                "verdict": Out(verdict_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # walk counts; stage 1 has the list's key, 2 fetches its word, 3 compares, 4 is the verdict.
        walking, walk = Signal(), Signal(data.StructLayout(self._walk), reset_less=True)
        valids = Signal(4)
        tags = [Signal(self._tag, name=f"tag{i}", reset_less=True) for i in range(1, 5)]
        under_way = [(walking, walk), *zip(valids[:3], tags[:3], strict=True)]
        flight = Cat(Cat(valid & (tag.slot == slot) for valid, tag in under_way).any() for slot in range(SLOTS))
        place = Signal(token_shape(self._config), reset_less=True)
        pair, end = self._start(m, walking, walk, place, flight, platform)
        m.d.sync += valids.eq(Cat(walking, valids))
        with m.If(walking):
            m.d.sync += tags[0].eq(Cat(walk, pair, end))
        for valid, tag, following in zip(valids, tags, tags[1:], strict=False):
            with m.If(valid):
                m.d.sync += following.eq(tag)
        self._read(m, walking, walk, place, valids, tags)
        self._judge(m, valids, tags, platform)
        return m

    def _start(self, m: Module, walking: Signal, walk: data.View, place: Signal, flight: Value, platform):
        """Takes jobs; returns whether the place behind `place` is walked with it, and whether that ends the walk."""
        job, span = self.job.payload, data.View(span_layout(self._config), chosen(self.spans, self.job.payload.slot))
        last = Signal(place.shape(), reset_less=True)
        pair = walk.whole & ~walk.final & ~place[0] & (place != last) & ~chosen(self.wanted, walk.slot)
        end = (place[1:] == last[1:]) & (pair | (place[0] == last[0]))
        skips, fire = Signal(), Signal()
        free = (~walking | end) & (~job.final | self.mask_free)
        m.d.comb += [
            skips.eq(job.whole & ~job.final),
            # A walk under way in the same slot, of the block before, still needs the slot's thresholds.
            self.job.ready.eq(~chosen(flight, job.slot) & (skips | free)),
            fire.eq(self.job.valid & self.job.ready),
        ]
        with m.If(walking):
            m.d.sync += [place.eq(place + 1 + pair), walking.eq(~end)]
        with m.If(fire & ~skips):
            m.d.sync += [
                walking.eq(1),
                place.eq(0),
                last.eq(Mux(job.first, job.key, span.count - 1)),
                walk.slot.eq(job.slot),
                walk.final.eq(job.final),
                walk.buffer.eq(self.buffer),
                walk.whole.eq(job.first | span.whole),
                walk.number.eq(span.number),
            ]
        for slot in range(SLOTS):
            thresholds = Signal(self.limits.shape(), name=f"thresholds{slot}", reset_less=True)
            m.d.comb += self.thresholds[slot].eq(thresholds)
            with m.If(fire & (job.slot == slot)):
                m.d.sync += thresholds.eq(self.limits)
        self._announce(m, fire, skips)
        corner(m, platform, "walk_skipped", fire & skips)
        corner(m, platform, "nothing_dropped", fire & job.whole & job.final)
        corner(m, platform, "pair_walked", walking & pair)
        return pair, end

    def _announce(self, m: Module, fire: Signal, skips: Signal) -> None:
        """Tells the lists and the masks which job was taken."""
        job, chunk_bit = self.job.payload, (self._config.rows - 1).bit_length()
        chunks = [Signal(self.mask.chunk.shape(), name=f"chunk{slot}", reset_less=True) for slot in range(SLOTS)]
        chunk = job.key[chunk_bit:]
        for slot in range(SLOTS):
            with m.If(fire & job.first & (job.slot == slot)):
                m.d.sync += chunks[slot].eq(chunk)
        m.d.comb += [
            self.opening.enable.eq(fire & ~job.final),
            self.opening.slot.eq(job.slot),
            self.opening.fresh.eq(~skips),
            self.opening.number.eq(job.round),
            self.opening.first.eq(job.first),
            self.opening.key.eq(job.key),
            self.mask.enable.eq(fire & job.final),
            self.mask.block.eq(job.block),
            self.mask.chunk.eq(Mux(job.first, chunk, chosen(chunks, job.slot))),
        ]

    def _read(self, m: Module, walking: Signal, walk: data.View, place: Signal, valids, tags) -> None:
        counted, key = Signal(place.shape(), reset_less=True), Signal(place.shape(), reset_less=True)
        fetching, tag = valids[1], tags[1]
        with m.If(walking):
            m.d.sync += counted.eq(place)
        with m.If(valids[0]):
            m.d.sync += key.eq(Mux(tags[0].whole, counted, self.listed))
        m.d.comb += [
            self.entry.enable.eq(walking & ~walk.whole),
            self.entry.slot.eq(walk.slot),
            self.entry.number.eq(walk.number),
            self.entry.place.eq(place),
            self.fetch.enable.eq(fetching),
            self.fetch.slot.eq(tag.slot),
            self.fetch.key.eq(key),
            self.fetch.pair.eq(tag.pair),
            self.key.eq(key),
            self.reading.eq(Cat(fetching & tag.final & (tag.slot == slot) for slot in range(SLOTS))),
            self.done.eq(self.reading & tag.last.replicate(SLOTS)),
        ]

    def _judge(self, m: Module, valids: Signal, tags: list, platform) -> None:
        fetching, comparing, verdict = valids[1], valids[2], self.verdict
        keys = [Signal(self.key.shape(), name=f"key{i}", reset_less=True) for i in (3, 4)]
        with m.If(fetching):
            m.d.sync += keys[0].eq(self.key)
        thresholds = Signal(self.limits.shape())
        m.d.comb += thresholds.eq(chosen(self.thresholds, tags[2].slot))
        kept = [Signal(self._config.rows, name=f"kept{parity}", reset_less=True) for parity in range(PARITIES)]
        asked = [tags[2].pair | ~keys[0][0], tags[2].pair | keys[0][0]]
        for parity, word in enumerate(self.fetched):
            for row in range(self._config.rows):
                judge = Judge(self._config.sum_bits)
                m.submodules[f"judge{row}_{parity}"] = share(judge, "lapa_judge", platform)
                m.d.comb += [
                    judge.survives.eq(word[row].survives),
                    judge.a.eq(word[row].a),
                    judge.threshold.eq(thresholds[row]),
                ]
                with m.If(comparing):
                    m.d.sync += kept[parity][row].eq(judge.kept & asked[parity])
        with m.If(comparing):
            m.d.sync += keys[1].eq(keys[0])
        m.d.comb += [
            verdict["list"].eq(valids[3] & ~tags[3].final),
            verdict.mask.eq(valids[3] & tags[3].final),
            verdict.slot.eq(tags[3].slot),
            verdict.buffer.eq(tags[3].buffer),
            verdict.key.eq(keys[1]),
            # Of the key that was not asked for, no row keeps any.
            verdict.kept.eq(kept[0] | kept[1]),
            verdict.found.eq(Cat(of_parity.any() for of_parity in kept)),
            verdict.last.eq(tags[3].last),
        ]
