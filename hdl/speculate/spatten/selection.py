# SPDX-License-Identifier: Apache-2.0
"""Which tokens and heads are left, and which of them the next layer has.

attend ─► kept, a memory of chunks ─┬──────────────────────────► plan
sums ───► cut ─► kept ──────────────┘   tokens first, then heads
          ▲
count, share to drop ─► places
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.spatten import SpattenConfig
from hdl.arith.compare import less
from hdl.shared import share
from hdl.speculate.spatten.cut import Cut
from hdl.speculate.spatten.layouts import chunks_of, number_of, settings_layout
from hdl.speculate.spatten.places import Places
from hdl.store import Store


class Selection(wiring.Component):
    """What is left of tokens and heads. Equals what `golden.speculate.spatten.pruned` does with an encoder's.

    Parameters
    ----------
    config: `SpattenConfig`.

    Members
    -------
    settings: In, `settings_layout`; last_chunk, last_head_chunk: In; still while anything goes on.
    give: In, 1: of chunk `give_at` (In), `given` (In, rows) are all tokens that may be attended to; opens: In, 1,
    before the first of them: all heads are there.
    cut: In, 1, two cycles or more behind the last `give`: drops tokens and heads. done: Out, 1: they are dropped.
    read: Out, 1; read_at: Out; heads: Out, 1: those of heads; token_words, head_words: In: sums of that chunk, in the
    next cycle.
    show: In, 1; show_at: In; kept: Out, rows: of that chunk, in the next cycle; while nothing is dropped.
    kept_heads: Out, one bit for each head.

    `done` comes 2·(`Places.latency` + 1) cycles and those of both searches behind `cut`.
    """

    def __init__(self, config: SpattenConfig):
        self._config = config
        chunk = number_of(config.blocks)
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "last_chunk": In(chunk),
                "last_head_chunk": In(number_of(config.head_chunks)),
                "opens": In(1),
                "give": In(1),
                "give_at": In(chunk),
                "given": In(config.rows),
                "cut": In(1),
                "done": Out(1),
                "read": Out(1),
                "read_at": Out(number_of(chunks_of(config))),
                "heads": Out(1),
                "token_words": In(data.ArrayLayout(config.token_sum_bits, config.rows)),
                "head_words": In(data.ArrayLayout(config.head_sum_bits, config.rows)),
                "show": In(1),
                "show_at": In(chunk),
                "kept": Out(config.rows),
                "kept_heads": Out(config.heads),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        cut, places = Cut(config), Places(max(config.tokens, config.heads))
        m.submodules.cut = share(cut, "spatten_cut", platform)
        m.submodules.places = share(places, "spatten_places", platform)
        m.d.comb += [
            places.count.eq(Mux(self.heads, self.settings.heads, self._count(m))),
            places.drop.eq(Mux(self.heads, self.settings.drop_heads, self.settings.drop_tokens)),
            cut.start.eq(places.done),
            cut.places.eq(places.o),
            cut.last_chunk.eq(Mux(self.heads, self.last_head_chunk, self.last_chunk)),
            self.read.eq(cut.read),
            self.read_at.eq(cut.at),
            *(
                word.eq(Mux(self.heads, head, token))
                for word, head, token in zip(
                    *(map(Value.cast, words) for words in (cut.words, self.head_words, self.token_words)), strict=True
                )
            ),
        ]
        # Tokens, then heads.
        begins = Signal()
        m.d.sync += begins.eq(self.cut | (cut.done & ~self.heads))
        m.d.comb += [places.start.eq(begins), self.done.eq(cut.done & self.heads)]
        with m.If(self.cut):
            m.d.sync += self.heads.eq(0)
        with m.Elif(cut.done):
            m.d.sync += self.heads.eq(1)
        m.d.comb += cut.allowed.eq(Mux(self.heads, self._heads(m, cut), self._tokens(m, cut, platform)))
        return m

    def _count(self, m: Module) -> Signal:
        """Tokens that may be attended to."""
        count = Signal(range(self._config.tokens + 1), reset_less=True)
        more, adds = Signal(range(self._config.rows + 1), reset_less=True), Signal()
        m.d.sync += adds.eq(self.give)
        with m.If(self.give):
            m.d.sync += more.eq(_how_many(self.given))
        with m.If(self.opens):
            m.d.sync += count.eq(0)
        with m.Elif(adds):
            m.d.sync += count.eq(count + more)
        return count

    def _tokens(self, m: Module, cut: Cut, platform) -> Value:
        """The memory of those that are kept; returns what it shows."""
        store = Store(self._config.blocks, self._config.rows)
        m.submodules.kept = share(store, store.name, platform)
        m.d.comb += [
            store.write.eq(self.give | (cut.put & ~self.heads)),
            store.write_at.eq(Mux(self.give, self.give_at, cut.put_at)),
            store.word.eq(Mux(self.give, self.given, cut.kept)),
            store.read.eq(self.show | (cut.read & ~self.heads)),
            store.read_at.eq(Mux(self.show, self.show_at, cut.at)),
            self.kept.eq(store.stored),
        ]
        return store.stored

    def _heads(self, m: Module, cut: Cut) -> Value:
        """Those that are kept, in whole chunks; returns the chunk that was asked for."""
        rows = self._config.rows
        chunks = [Signal(rows, name=f"heads{i}", reset_less=True) for i in range(self._config.head_chunks)]
        shown = Signal(rows, reset_less=True)
        with m.If(cut.read & self.heads):
            m.d.sync += shown.eq(Array(chunks)[cut.at])
        for number, chunk in enumerate(chunks):
            with m.If(self.opens):
                # A head's number lies below how many there are.
                exist = [less(number * rows + place, self.settings.heads) for place in range(rows)]
                m.d.sync += chunk.eq(Cat(exist))
            with m.Elif(cut.put & self.heads & (cut.put_at == number)):
                m.d.sync += chunk.eq(cut.kept)
        m.d.comb += self.kept_heads.eq(Cat(chunks))
        return shown


def _how_many(flags: Value) -> Value:
    """Of the flags are set: a tree of adders."""
    half = len(flags) // 2
    return _how_many(flags[:half]) + _how_many(flags[half:]) if half else flags
