# SPDX-License-Identifier: Apache-2.0
"""Jobs' rows in lists of as many as an array has lines, and the lists' tiles in turns.

jobs ─► RowLists ─┬─► lists ─► RowTurns ─► turns
                  └─► tokens of each list
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.arith.compare import less
from hdl.execute.dense import half_of
from hdl.execute.gather_line import lowest
from hdl.system.dense_layouts import SLOTS, Ports, list_layout, slot_layout, turn_layout
from hdl.system.layouts import Sink, job_layout, token_shape

SCAN_BITS = 3
SCAN = 1 << SCAN_BITS
"""Tokens that are looked at in a cycle."""


class RowLists(wiring.Component):
    """Finds the rows of a job, lower tokens first.

    Parameters: `config`.

    Members
    -------
    jobs: In, stream of `job_layout(config)`, each taken with its last list. lists: Out, stream of
    `list_layout(config)`: one at least for each job. left: In, 1: all results of the list that came first have left;
    `SLOTS` lists at the most are under way.
    write: Out, 1: `token`, Out, is that of the row at `write_at`, Out, `slot_layout(config)`, of the next list.

    A row a cycle, or `SCAN` tokens without any.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "lists": Out(stream.Signature(list_layout(config))),
                "left": In(1),
                "write": Out(1),
                "write_at": Out(slot_layout(config)),
                "token": Out(token_shape(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lines, job = self._config.attention.arrays.lines, self.jobs.payload
        # Tokens from `base` on, that are still to be found.
        groups = -(-self._config.tokens // SCAN)
        bits, base = Signal(groups * SCAN), Signal(range(groups + 1))
        count, slot, under_way = Signal(range(lines + 1)), Signal(range(SLOTS)), Signal(range(SLOTS + 1))
        works, first, none, room = Signal(), Signal(), Signal(), Signal()
        given, fire = self.lists.payload, Signal()
        m.d.comb += [
            none.eq(bits == 0),
            room.eq(under_way != SLOTS),
            self.lists.valid.eq(works & room & (none | (count == lines))),
            fire.eq(self.lists.valid & self.lists.ready),
            given.slot.eq(slot),
            given.last_line.eq(count - 1),
            given.first.eq(first),
            given.last.eq(none),
            given.none.eq(count == 0),
            *(given[name].eq(job[name]) for name in ("region", "words", "tiles", "sink", "index")),
            given.final.eq(job.last),
            self.jobs.ready.eq(fire & none),
        ]
        m.d.sync += under_way.eq(under_way + (fire & ~given.none) - self.left)
        found = self._find(m, bits, works & room & ~self.lists.valid)
        m.d.comb += [self.write_at.line.eq(count), self.write_at.slot.eq(slot), self.token.eq(Cat(found, base))]
        with m.If(self.write):
            m.d.sync += count.eq(count + 1)
        with m.Elif(works & room & ~self.lists.valid):
            m.d.sync += [bits.eq(bits >> SCAN), base.eq(base + 1)]
        with m.If(fire):
            m.d.sync += [count.eq(0), first.eq(0), slot.eq(slot + ~given.none), works.eq(~none)]
        with m.If(~works & self.jobs.valid):
            m.d.sync += [works.eq(1), first.eq(1), bits.eq(job.rows), base.eq(0)]
        return m

    def _find(self, m: Module, bits: Signal, looks: Value) -> Value:
        """The lowest of the tokens that are looked at, which is written and taken away if there is one."""
        one, number = Signal(SCAN), Signal(SCAN_BITS)
        m.d.comb += [one.eq(lowest(bits[:SCAN])), self.write.eq(looks & bits[:SCAN].any())]
        m.d.comb += number.eq(Cat(Cat(bit for n, bit in enumerate(one) if n >> k & 1).any() for k in range(SCAN_BITS)))
        with m.If(self.write):
            m.d.sync += bits[:SCAN].eq(bits[:SCAN] & ~one)
        return number


class RowTurns(wiring.Component):
    """The tiles of lists, one or two in a turn.

    Parameters: `config`; `ports`, of the array.
    Members: `lists`: In, stream of `list_layout(config)`. `turns`: Out, stream of `turn_layout(config)`: of each list,
    its tiles in order; of a job without rows likewise, with `none`.
    """

    def __init__(self, config: SystemConfig, ports: Ports):
        self._config, self._ports = config, ports
        super().__init__(
            {
                "lists": In(stream.Signature(list_layout(config))),
                "turns": Out(stream.Signature(turn_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows, turn, half = self.lists.payload, self.turns.payload, half_of(self._config.attention.arrays)
        # Without a carry, for up to two more than there are.
        tile, upper = (Signal(len(rows.tiles) + 1, name=name) for name in ("tile", "upper"))
        tiles, behind = Signal.like(tile), Signal.like(tile)
        short, double = Signal(), Signal()
        m.d.comb += [
            short.eq(less(rows.last_line, Const(half, len(rows.last_line))) if self._ports.pairs else 0),
            turn.half.eq(tile[0]),
            tiles.eq(rows.tiles),
            double.eq(short & less((tile + 1)[: len(tile)], tiles)),
            turn.double.eq(double),
            # The tile in the second half.
            upper.eq(tile | double),
            turn.ends.eq(Cat(~less((at + 2)[: len(tile)], tiles) for at in (tile, upper))),
            behind.eq(upper + 1),
            turn.whole.eq(behind == tiles),
            turn.value.eq((rows.sink == Sink.KEY_VALUE) & tile[0]),
            turn.index.eq(Mux(counts(rows.sink), rows.index + tile, rows.index)),
            *(turn[name].eq(rows[name]) for name in ("slot", "last_line", "first", "last", "none")),
            *(turn[name].eq(rows[name]) for name in ("words", "sink", "final")),
            self.turns.valid.eq(self.lists.valid),
            self.lists.ready.eq(self.turns.ready & turn.whole),
        ]
        with m.If(self.turns.valid & self.turns.ready):
            m.d.sync += tile.eq(Mux(self.lists.ready, 0, behind))
        return m


def counts(sink: Value) -> Value:
    """Tiles of a job have an index each."""
    return (sink == Sink.HIDDEN) | (sink == Sink.WIDE)
