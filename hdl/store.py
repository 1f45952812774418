# SPDX-License-Identifier: Apache-2.0
"""A memory: words behind one write and one read port, as SRAM macros and block RAMs have them."""

from amaranth.hdl import Module, ShapeLike, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Store(wiring.Component):
    """A memory with one write and one read port.

    Parameters: `depth` words of `shape`, written whole, or, if it is an array layout, in `parts` equal parts.
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
        m.submodules.memory = memory = Memory(shape=self._shape, depth=self._depth, init=[])
        part = None if self._parts == 1 else self._shape.length // self._parts
        write, read = memory.write_port(granularity=part), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.write_at),
            write.data.eq(self.word),
            write.en.eq(self.write),
            read.addr.eq(self.read_at),
            read.en.eq(self.read),
            self.stored.eq(read.data),
        ]
        return m
