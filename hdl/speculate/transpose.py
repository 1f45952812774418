# SPDX-License-Identifier: Apache-2.0
"""Columns in, rows out: a buffer whose words lie askew, so that both are one access to each of its memories.

          bank 0   bank 1   bank 2   bank 3
key 0     row 0    row 1    row 2    row 3      a column, R rows of one key: one address, turned by the key
key 1     row 3    row 0    row 1    row 2      a chunk, R keys of one row: an address per bank, turned by the row
key 2     row 2    row 3    row 0    row 1
key 3     row 1    row 2    row 3    row 0
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.shared import share
from hdl.store import Store


class SkewedBuffer(wiring.Component):
    """Holds `depth` columns of `rows` words; takes a column and gives a chunk in every cycle.

    Parameters
    ----------
    rows: a power of two, 2 or more: words of a column, and of a chunk. bits: of a word. depth: columns, a multiple of
    `rows`.

    Members
    -------
    write: In, 1; position: In, range(depth); column: In, `rows` words. The column is stored at the end of the cycle.
    read: In, 1; row: In, range(rows); chunk: In, range(depth / rows); words: Out, `rows` words: those of columns
    chunk·rows onwards, of that row, from the next cycle on until the next read. What is written in the cycle of a read
    does not show in it.
    """

    def __init__(self, *, rows: int, bits: int, depth: int):
        self._rows, self._bits, self._depth = rows, bits, depth
        words = data.ArrayLayout(bits, rows)
        super().__init__(
            {
                "write": In(1),
                "position": In(range(depth)),
                "column": In(words),
                "read": In(1),
                "row": In(range(rows)),
                "chunk": In(range(depth // rows)),
                "words": Out(words),
            }
        )

    def elaborate(self, platform):
        m = Module()
        index_bits = len(self.row)
        turned = self._turn(m, "turned", Value.cast(self.column), self.position[:index_bits])
        stored = []
        for i in range(self._rows):
            bank = Store(self._depth, self._bits)
            m.submodules[f"bank{i}"] = share(bank, bank.name, platform)
            low = (i - self.row)[:index_bits]
            m.d.comb += [
                bank.write.eq(self.write),
                bank.write_at.eq(self.position),
                bank.word.eq(turned.word_select(i, self._bits)),
                bank.read.eq(self.read),
                bank.read_at.eq(Cat(low, self.chunk)),
            ]
            stored.append(bank.stored)
        read_row = Signal.like(self.row, reset_less=True)
        with m.If(self.read):
            m.d.sync += read_row.eq(self.row)
        back = (-read_row)[:index_bits]
        m.d.comb += Value.cast(self.words).eq(self._turn(m, "straight", Cat(stored), back))
        return m

    def _turn(self, m: Module, name: str, words: Value, places: Value) -> Value:
        """The words moved up by `places`, those at the top coming in again below."""
        for i, bit in enumerate(places):
            moved = Signal(len(words), name=f"{name}{i}")
            m.d.comb += moved.eq(Mux(bit, words.rotate_left(self._bits << i), words))
            words = moved
        return words
