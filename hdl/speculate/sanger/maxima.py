# SPDX-License-Identifier: Apache-2.0
"""The largest score of each row, found while the columns of its block pass.

column ─► larger of it and of those before, per row ─► register ─► a word for each block ─► o
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.sanger import SangerConfig
from hdl.arith.larger import Larger
from hdl.shared import share
from hdl.speculate.sanger.layouts import column_layout
from hdl.store import Store


def ordered(score):
    """A signed score as an unsigned word of the same order."""
    return Cat(score[:-1], ~score[-1])


class RowMaxima(wiring.Component):
    """Largest scores of the rows of blocks. Takes a column in any cycle.

    Parameters: config: `SangerConfig`.

    Members
    -------
    takes: In, 1: `column` (In, `column_layout`) is taken.
    read: In, 1: the next block is turned to; two cycles or more behind its last column. No more blocks may be between
    that and this than have room in a ring of 2·tokens columns.
    o: Out, per row of the block, as `ordered` has it, from the next cycle on until the next `read`; anything for a row
    without a key.
    """

    def __init__(self, config: SangerConfig):
        self._config = config
        super().__init__(
            {
                "takes": In(1),
                "column": In(column_layout(config)),
                "read": In(1),
                "o": Out(data.ArrayLayout(config.sum_bits, config.rows)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, bits = self._config, self._config.sum_bits
        within, ends, words = Signal(), Signal(), []
        store = Store(2 * config.blocks, self.o.shape())
        m.submodules.store = share(store, store.name, platform)
        for i, (score, valid) in enumerate(zip(self.column.sum, self.column.valid, strict=True)):
            # What is valid is above all else: no score has to be cleared first.
            word, so_far = Cat(ordered(score), valid), Signal(bits + 1, name=f"largest{i}", reset_less=True)
            larger = Larger(bits + 1)
            m.submodules[f"larger{i}"] = share(larger, "sanger_larger", platform)
            m.d.comb += [larger.a.eq(word), larger.b.eq(so_far), store.word[i].eq(so_far[:bits])]
            with m.If(self.takes & (~within | larger.above)):
                m.d.sync += so_far.eq(word)
            words.append(so_far)
        with m.If(self.takes):
            m.d.sync += within.eq(~self.column.last)
        m.d.sync += ends.eq(self.takes & self.column.last)
        m.d.comb += [store.write.eq(ends), store.read.eq(self.read), self.o.eq(store.stored)]
        for moves, place in ((store.write, store.write_at), (store.read, store.read_at)):
            following = Signal.like(place, name=f"{place.name}_next")
            m.d.comb += place.eq(following)
            with m.If(moves):
                m.d.sync += following.eq(Mux(following == 2 * config.blocks - 1, 0, following + 1))
        return m
