# SPDX-License-Identifier: Apache-2.0
"""A memory: words behind one write and one read port, as SRAM macros and block RAMs have them.

write_at, read_at ─┬─ upper bits ─► which bank
                   └─ lower bits ─► bank 0 … n ─► the one that was read ─► stored
"""

from amaranth.hdl import Cat, Module, ShapeLike, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from hdl.one_hot import one_of

BANK_WORDS, MOST_BANKS = 512, 16
"""A word of a deep memory takes several times the energy of one of a shallow one; as deep are block RAMs of 36 bits.
With more banks than that the choice among them would take more."""


def bank_words(depth: int) -> int:
    """Words in a bank of a memory of so many."""
    return max(BANK_WORDS, 1 << ceil_log2(-(-depth // MOST_BANKS)))


class Store(wiring.Component):
    """A memory with one write and one read port.

    Parameters: `depth` words of `shape`, written whole, or, if it is an array layout, in `parts` equal parts; of
    `BANK_WORDS` words at the most in one memory, several of them if there are more, but no more than
    `MOST_BANKS`.
    Members: `write`: In, parts; `write_at`: In; `word`: In; the parts asked for are stored at the end of the cycle.
    `read`: In, 1; `read_at`: In; `stored`: Out, that word from the next cycle on, until the next read.
    """

    def __init__(self, depth: int, shape: ShapeLike, parts: int = 1):
        # One word would need no address, which memories do not have.
        depth = max(depth, 2)
        self._depth, self._shape, self._parts = depth, shape, parts
        super().__init__(
            {
                "write": In(parts),
                "write_at": In(range(depth)),
                "word": In(shape),
                "read": In(1),
                "read_at": In(range(depth)),
                "stored": Out(shape),
            }
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals, wherever they are."""
        parts = f"_in_{self._parts}" if self._parts > 1 else ""
        return f"store_{self._depth}x{len(Value.cast(self.word))}{parts}"

    def elaborate(self, platform):
        m = Module()
        if self._depth <= BANK_WORDS:
            m.d.comb += self.stored.eq(self._memory(m, "memory", self._depth, self.write, self.read))
            return m
        words = bank_words(self._depth)
        lower, banks = exact_log2(words), range(-(-self._depth // words))
        read = Signal(banks, reset_less=True)
        with m.If(self.read):
            m.d.sync += read.eq(self.read_at[lower:])
        shown = [
            self._memory(
                m,
                f"memory{bank}",
                min(words, self._depth - bank * words),
                self.write & (self.write_at[lower:] == bank).replicate(self._parts),
                self.read & (self.read_at[lower:] == bank),
            )
            for bank in banks
        ]
        chosen = Cat(read == bank for bank in banks)
        m.d.comb += Value.cast(self.stored).eq(one_of(chosen, [Value.cast(word) for word in shown]))
        return m

    def _memory(self, m: Module, name: str, depth: int, writes: Value, reads: Value) -> ValueLike:
        """So many words, written and read at the lower bits of the addresses; returns the word that was read."""
        m.submodules[name] = memory = Memory(shape=self._shape, depth=max(depth, 2), init=[])
        part = None if self._parts == 1 else self._shape.length // self._parts
        write, read = memory.write_port(granularity=part), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.write_at),
            write.data.eq(self.word),
            write.en.eq(writes),
            read.addr.eq(self.read_at),
            read.en.eq(reads),
        ]
        return read.data
