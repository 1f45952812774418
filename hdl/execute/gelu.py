# SPDX-License-Identifier: Apache-2.0
"""GELU: each lane looks its operand up in the table that its channel has chosen.

    write ─────────┬────────────┬── …
                   ▼            ▼
              ┌─────────┐  ┌─────────┐
    i 0 ─────►│ tables  │  │ tables  │◄───── i 1
              └────┬────┘  └────┬────┘
                   ▼            ▼
                  o 0          o 1

Every lane has a memory of its own with a copy of all tables, as each needs a read port: 512 bytes are a small memory,
where one set of registers for all lanes would need a multiplexer of 4096 bits to 8 in each.
"""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import GELU_TABLES
from config.formats import OPERAND_BITS
from config.units import GeluConfig
from hdl.cover import corner
from hdl.shared import share
from hdl.store import Store

CHOICE_BITS = (GELU_TABLES - 1).bit_length()
ENTRIES = 1 << OPERAND_BITS


def operands_layout(lanes: int) -> data.StructLayout:
    """A beat of operands, and the table of each."""
    return data.StructLayout(
        {"values": data.ArrayLayout(signed(OPERAND_BITS), lanes), "choice": data.ArrayLayout(CHOICE_BITS, lanes)}
    )


ENTRY = data.StructLayout({"code": signed(OPERAND_BITS), "table": CHOICE_BITS, "entry": signed(OPERAND_BITS)})
"""What to store: the entry of a code in a table."""


class GeluUnit(wiring.Component):
    """Looks up `lanes` operands. A beat a cycle, `latency` cycles from i to o.

    Parameters
    ----------
    That of `GeluConfig`; raises `Refusal` as it does.

    Members
    -------
    write: In, 1: `entry`, In, `ENTRY`, is stored at the end of the cycle, for all lanes. Beats that are taken in later
    cycles find it. What was never written means nothing.
    i: In, stream of `operands_layout(lanes)`: signed operands, and for each the table, 0 or 1.
    o: Out, stream of lanes signed(8), in the order of `i`.

    `o.ready` low holds what stands there; `o.valid` does not depend on it. Memories are read for beats that are taken,
    and rest otherwise.
    """

    latency = 1

    def __init__(self, *, lanes: int):
        # Refuses what no unit can be.
        GeluConfig(lanes)
        self._lanes = lanes
        super().__init__(
            {
                "write": In(1),
                "entry": In(ENTRY),
                "i": In(stream.Signature(operands_layout(lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(signed(OPERAND_BITS), lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        takes = Signal()
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), takes.eq(self.i.valid & self.i.ready)]
        m.d.sync += self.o.valid.eq(takes | (self.o.valid & ~self.o.ready))
        given, entry = self.i.payload, self.entry
        for lane in range(self._lanes):
            tables = Store(GELU_TABLES * ENTRIES, signed(OPERAND_BITS))
            m.submodules[f"tables{lane}"] = share(tables, "tables", platform)
            m.d.comb += [
                tables.write.eq(self.write),
                tables.write_at.eq(Cat(entry.code, entry.table)),
                tables.word.eq(entry.entry),
                tables.read.eq(takes),
                tables.read_at.eq(Cat(given.values[lane], given.choice[lane])),
                self.o.payload[lane].eq(tables.stored),
            ]
        corner(m, platform, "gelu_waits", self.o.valid & ~self.o.ready)
        corner(m, platform, "written_while_looking_up", self.write & takes)
        return m
