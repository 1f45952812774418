# SPDX-License-Identifier: Apache-2.0
"""From a line's sums of codes times V to the row's context: group by group through the line's own scalers.

line: done, sums ─► Scaler ─► o
scale ────────────────▲          one for each item, from the softmax; it waits for the sums, and they for it
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.pe_arrays import PeArraysConfig
from hdl.execute.layouts import MULTIPLIER
from hdl.execute.line import PeLine, sums_layout
from hdl.execute.scaler import Scaler, results_layout
from hdl.shared import share


def part_layout(tag_bits: int) -> data.StructLayout:
    """Of a group: is it the item's `last` one; the item's `tag`."""
    return data.StructLayout({"last": 1, "tag": tag_bits})


class ContextReader(wiring.Component):
    """Σ codes·V of each item of a line, requantised by the item's scale: golden.execute.softmax.context.

    Parameters: `config`; `tag_bits` of an item's tag.

    Members
    -------
    sums, tag, done: In; select, consumed: Out: a line's.
    scale: In, stream of `MULTIPLIER`, one for each item, in their order; taken with the item's last group.
    o: Out, stream of `results_layout` of int8 with `part_layout(tag_bits)` as tag, `groups`
    beats an item, lane 0 first.

    A group a cycle, and two cycles from an item's last group to the next one's first: an item each `groups` + 2 cycles.
    """

    def __init__(self, config: PeArraysConfig, *, tag_bits: int = 1):
        self._config = config
        self._scaler = Scaler(config, dense=False, tag_bits=tag_bits + 1)
        super().__init__(
            {
                "sums": In(sums_layout(config)),
                "tag": In(tag_bits),
                "done": In(1),
                "select": Out(config.groups),
                "consumed": Out(1),
                "scale": In(stream.Signature(MULTIPLIER)),
                "o": Out(stream.Signature(results_layout(config, OPERAND_BITS, tag_bits + 1))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an item's sums to its first results, if its scale is there."""
        return self._scaler.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.scaler = scaler = self._scaler
        group, groups = Signal(self._config.groups, init=1), self._config.groups
        enters = Signal()
        m.d.comb += [
            self.select.eq(group),
            scaler.i.valid.eq(self.done & self.scale.valid),
            enters.eq(scaler.i.valid & scaler.i.ready),
            self.consumed.eq(enters & group[-1]),
            self.scale.ready.eq(self.done & scaler.i.ready & group[-1]),
            scaler.i.payload.sums.eq(self.sums),
            scaler.i.payload.by.eq(self.scale.payload),
            scaler.i.payload.tag.eq(Cat(group[-1], self.tag)),
        ]
        with m.If(enters):
            m.d.sync += group.eq(group.rotate_left(1) if groups > 1 else group)
        wiring.connect(m, scaler.o, wiring.flipped(self.o))
        return m


class ContextLine(wiring.Component):
    """A PE line with its reader, on its own.

    Members: `i`: In, as a line's. `scale`: In; `o`: Out, as a reader's.
    """

    def __init__(self, config: PeArraysConfig, *, tag_bits: int = 1):
        self._line, self._reader = PeLine(config, tag_bits=tag_bits), ContextReader(config, tag_bits=tag_bits)
        members = self._line.signature.members, self._reader.signature.members
        super().__init__({"i": members[0]["i"], "scale": members[1]["scale"], "o": members[1]["o"]})

    def elaborate(self, platform):
        m = Module()
        line, reader = self._line, self._reader
        m.submodules.line = share(line, "pe_line", platform)
        m.submodules.reader = share(reader, "context_reader", platform)
        read_by(m, line, reader)
        wiring.connect(m, wiring.flipped(self.i), line.i)
        wiring.connect(m, wiring.flipped(self.scale), reader.scale)
        wiring.connect(m, reader.o, wiring.flipped(self.o))
        return m


def read_by(m: Module, line, reader) -> None:
    """The line's sums are this reader's."""
    m.d.comb += [
        reader.sums.eq(line.sums),
        reader.tag.eq(line.tag),
        reader.done.eq(line.done),
        line.select.eq(reader.select),
        line.consumed.eq(reader.consumed),
    ]
