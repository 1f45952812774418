# SPDX-License-Identifier: Apache-2.0
"""Which keys of a row are kept, chunk by chunk: those above the threshold, and of those equal to it the lowest.

chunk ─► register ─► above? equal? ─► equal ones before each in the chunk ─► fewer than are left? ─► kept
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.compare import less
from hdl.cover import corner
from hdl.speculate.spls.layouts import chunk_layout, tag_layout, word_layout


class Keeper(wiring.Component):
    """Takes a chunk a cycle; `latency` cycles later it tells what is kept of it. Nothing holds it up.

    Parameters
    ----------
    rows: words of a chunk. chunks: of a row. score_bits: of a score. selections: made side by side.

    Members
    -------
    tag: In, `tag_layout`; words: In, `rows` words; the chunks of a row in rising order.
    threshold: In, per selection, the score with its sign bit inverted; left: In, per selection, how many scores equal
    to it are kept, 1 or more; both are taken with a row's first chunk.
    early: Out, `tag_layout`: that of `o` in the next cycle. o: Out, `chunk_layout`.
    """

    latency = 4

    def __init__(self, *, rows: int, chunks: int, score_bits: int, selections: int):
        self._rows, self._score_bits, self._selections = rows, score_bits, selections
        self._left = range(rows * chunks + 1)
        tag = tag_layout(rows, chunks)
        super().__init__(
            {
                "tag": In(tag),
                "words": In(data.ArrayLayout(word_layout(score_bits), rows)),
                "threshold": In(data.ArrayLayout(score_bits, selections)),
                "left": In(data.ArrayLayout(self._left, selections)),
                "early": Out(tag),
                "o": Out(chunk_layout(rows, chunks, score_bits, selections)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        tags = self._tags(m)
        words = Signal.like(self.words, reset_less=True)
        with m.If(self.tag.valid):
            m.d.sync += words.eq(self.words)
        scores = [words[i].score for i in range(self._rows)]
        for stage in range(1, 4):
            held = [Signal.like(score, name=f"score{stage}_{i}", reset_less=True) for i, score in enumerate(scores)]
            with m.If(tags[stage - 1].valid):
                m.d.sync += [register.eq(score) for register, score in zip(held, scores, strict=True)]
            scores = held
        m.d.comb += [self.early.eq(tags[2]), self.o.tag.eq(tags[3])]
        m.d.comb += [o.eq(score) for o, score in zip(self.o.score, scores, strict=True)]
        for s in range(self._selections):
            self._select(m, s, tags, words, platform)
        return m

    def _tags(self, m: Module) -> list[data.View]:
        """tags[i] describes register stage i."""
        tags, before = [], self.tag
        for i in range(4):
            valid = Signal(name=f"valid{i}")
            held = Signal(self.tag.shape(), name=f"held_tag{i}", reset_less=True)
            tag = Signal(self.tag.shape(), name=f"tag{i}")
            m.d.sync += valid.eq(before.valid)
            with m.If(before.valid):
                m.d.sync += held.eq(before)
            m.d.comb += [tag.eq(held), tag.valid.eq(valid)]
            tags.append(tag)
            before = tag
        return tags

    def _select(self, m: Module, s: int, tags: list[data.View], words: data.View, platform) -> None:
        """One selection: three stages behind the register of the words."""
        threshold = Signal(self._score_bits, name=f"threshold{s}", reset_less=True)
        lefts = [Signal(self._left, name=f"left{s}_{i}", reset_less=True) for i in range(3)]
        for left, before, tag in zip(lefts, [self.left[s], *lefts], [self.tag, *tags], strict=False):
            with m.If(tag.valid & tag.first):
                m.d.sync += left.eq(before)
        with m.If(self.tag.valid & self.tag.first):
            m.d.sync += threshold.eq(self.threshold[s])
        above, equal = self._compare(m, s, tags[0], words, threshold)
        self._keep(m, s, tags, (above, equal), lefts[2], platform)

    def _compare(self, m: Module, s: int, tag: data.View, words: data.View, threshold: Signal) -> tuple[Signal, Signal]:
        above, equal = (Signal(self._rows, name=f"{name}{s}", reset_less=True) for name in ("above", "equal"))
        keys = [Cat(word.score[:-1], ~word.score[-1]) for word in words]
        with m.If(tag.valid):
            m.d.sync += [
                above.eq(Cat(word.valid & less(threshold, key) for word, key in zip(words, keys, strict=True))),
                equal.eq(Cat(word.valid & (key == threshold) for word, key in zip(words, keys, strict=True))),
            ]
        return above, equal

    def _keep(
        self, m: Module, s: int, tags: list[data.View], compared: tuple[Signal, Signal], given: Signal, platform
    ) -> None:
        above, equal = (Signal.like(flags, name=f"{flags.name}_counted", reset_less=True) for flags in compared)
        counts = [Signal(range(i + 1), name=f"before{s}_{i}", reset_less=True) for i in range(self._rows + 1)]
        with m.If(tags[1].valid):
            m.d.sync += [above.eq(compared[0]), equal.eq(compared[1])]
            m.d.sync += [count.eq(total) for count, total in zip(counts, _running(compared[1]), strict=True)]
        remaining = Signal.like(given, name=f"remaining{s}", reset_less=True)
        left = Mux(tags[2].first, given, remaining)
        kept = Signal(self._rows, name=f"kept{s}", reset_less=True)
        with m.If(tags[2].valid):
            m.d.sync += remaining.eq(Mux(less(counts[-1], left), left - counts[-1], 0))
            m.d.sync += kept.eq(Cat(a | e & less(n, left) for a, e, n in zip(above, equal, counts, strict=False)))
        m.d.comb += self.o.kept[s].eq(kept)
        if s == 0:
            more = less(counts[-1], left)
            corner(m, platform, "tie_at_the_cut", tags[2].valid & less(left, counts[-1]))
            corner(m, platform, "k_beyond_the_keys", tags[2].valid & tags[2].last & more)


def _running(flags: Signal) -> list:
    """How many of the flags below each place are set, for all places from none to all: a tree of log2 levels."""
    counts = list(flags)
    distance = 1
    while distance < len(counts):
        counts = [c if i < distance else counts[i - distance] + c for i, c in enumerate(counts)]
        distance *= 2
    return [0, *counts]
