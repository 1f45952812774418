# SPDX-License-Identifier: Apache-2.0
"""GatherLines: lines with items, a wave that gives them banks, and the rows that come of it.

items ─► line 0, line 1, …: open keys
                    │
slot: free banks ─► line 0 ─┤reg├─► line 1 ─┤reg├─ … ─┤reg├─► banks ─► crossbar ─┤reg├─► o[0], o[1], …
                    └─ pick ─┤reg├─ … as many as the slot needs ─ … ─┤reg├──────────┘
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.items import ItemsConfig
from hdl.cover import corner
from hdl.execute.banks import Banks, bytes_layout, read_layout, write_layout
from hdl.execute.gather_line import GatherLine, number_of, wave_layout
from hdl.execute.items import item_layout
from hdl.one_hot import one_of
from hdl.shared import share


def row_layout(config: ItemsConfig) -> data.StructLayout:
    """A row for a line: `b`, its bytes; of which key of which row of which head; `first`, `last` of its item."""
    return data.StructLayout(
        {
            "b": bytes_layout(config),
            "head": range(config.heads),
            "row": range(config.tokens),
            "key": range(config.tokens),
            "first": 1,
            "last": 1,
        }
    )


def tag_layout(config: ItemsConfig) -> data.StructLayout:
    """`row_layout` without the bytes, and whether there is one."""
    fields = {name: field.shape for name, field in row_layout(config) if name != "b"}
    return data.StructLayout(fields | {"valid": 1})


class GatherLines(wiring.Component):
    """Brings the kept keys' rows of each line's items to it.

    Parameters
    ----------
    config: `ItemsConfig`. looks: there is `look`.

    Members
    -------
    give: In, lines: with `advance` the line gets, as its next item, its own one of `items`, `item_layout(config)`; only
    if it has `room`. Rows of its keys must be in the banks when it begins with it.
    room: Out, lines: the line has no next item; idle: Out, lines: nor a current one. Registered.
    opens: In, lines: the line may begin with its next item; looked at until `room`.
    write: In, stream of `write_layout(config)`, a row for the banks, taken at once: `ready` is 1. Head h has the place
    of heads h ± sets, whose items must be over.
    ended: Out, lines: with `advance`: in the cycle before, the line took the last key of an item. Registered.
    coming: Out, for each line `tag_layout(config)`: what `o` offers behind this cycle, if `advance`.
    o: Out, for each line a stream of `row_layout(config)`. An item's keys come without those of others between them, in
    any order, each once.
    advance: Out, 1: no line has a row that is not taken; else all stand still.
    look: In, `look_signature(config)`, as of `Banks`: only while no line has an item.

    A row a cycle for each line. Rows of a slot come `latency` cycles after it has begun, together; from the cycle in
    which line n takes a key to that of its row there are `latency` - n, whatever the line takes.
    """

    def __init__(self, config: ItemsConfig, *, looks: bool = False):
        self._config = config
        self._banks = Banks(config, looks=looks)
        super().__init__(
            {
                "give": In(config.lines),
                "items": In(item_layout(config)).array(config.lines),
                "room": Out(config.lines),
                "idle": Out(config.lines),
                "opens": In(config.lines),
                "write": In(stream.Signature(write_layout(config))),
                "ended": Out(config.lines),
                "coming": Out(tag_layout(config)).array(config.lines),
                "o": Out(stream.Signature(row_layout(config))).array(config.lines),
                "advance": Out(1),
                **({"look": self._banks.signature.members["look"]} if looks else {}),
            }
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return "lines_that_show" if "look" in self.signature.members else "lines"

    @property
    def latency(self) -> int:
        """That of the configuration."""
        return self._config.latency

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.d.comb += self.advance.eq(Cat(~o.valid | o.ready for o in self.o).all())
        lines = [GatherLine(config) for _ in range(config.lines)]
        for number, line in enumerate(lines):
            m.submodules[f"line{number}"] = share(line, "line", platform)
        self._enter(m, lines)
        self._wave(m, lines)
        self._read(m, lines, platform)
        waits = Cat(o.valid & ~o.ready for o in self.o).any()
        corner(m, platform, "line_rests", waits)
        corner(m, platform, "bank_reserved", self.advance & Cat(line.waits for line in lines).any())
        return m

    def _enter(self, m: Module, lines: list[GatherLine]) -> None:
        config = self._config
        m.d.comb += [
            self.room.eq(Cat(line.room for line in lines)),
            self.idle.eq(Cat(line.idle for line in lines)),
            self.ended.eq(Cat(line.pick.valid & line.pick.last for line in lines)),
        ]
        for number, line in enumerate(lines):
            m.d.comb += [
                line.advance.eq(self.advance),
                line.opens.eq(self.opens[number]),
                line.give.eq(self.give[number]),
                line.item.eq(self.items[number]),
            ]
            # Keys in the line's own order of banks.
            start, keys = number * config.stride, self.items[number].keys
            for place in range(config.places):
                part = slice(place * config.banks, (place + 1) * config.banks)
                m.d.comb += line.item.keys[part].eq(keys[part].rotate_right(start))

    def _wave(self, m: Module, lines: list[GatherLine]) -> None:
        """A slot begins in each cycle and passes the lines one after the other."""
        config, stride = self._config, self._config.stride
        # The bank that line 0 may count on in the slot that passes it.
        turn = Signal(config.banks, init=1)
        entering = Signal(wave_layout(config), init={"free": (1 << config.banks) - 1})
        reserved = [line.waits.replicate(config.banks) & turn.rotate_left(number * stride + 1)
                    for number, line in enumerate(lines)]  # fmt: skip
        kept = Signal(config.banks)
        m.d.comb += kept.eq(Cat(Cat(each[bank] for each in reserved).any() for bank in range(config.banks)))
        with m.If(self.advance):
            m.d.sync += [turn.eq(turn.rotate_left(1)), entering.free.eq(~kept)]
        before = entering
        for number, line in enumerate(lines):
            # From here on in the line's own order: the slot is `number` behind.
            m.d.comb += line.own.eq(turn.rotate_right(number))
            step = 0 if number == 0 else stride
            for name in ("free", "busy"):
                m.d.comb += line.i[name].eq(before[name].rotate_right(step))
            for bank in range(config.banks):
                m.d.comb += line.i.reads[bank].eq(before.reads[(bank + step) % config.banks])
            before = line.o

    def _read(self, m: Module, lines: list[GatherLine], platform) -> None:
        """Reads what a slot says when it has passed all lines, and offers the rows."""
        config, slot = self._config, lines[-1].o
        banks = self._banks
        m.submodules.banks = share(banks, banks.name, platform)
        if "look" in self.signature.members:
            wiring.connect(m, wiring.flipped(self.look), banks.look)
        # The last line's order of banks.
        start = (config.lines - 1) * config.stride
        m.d.comb += [
            banks.write.payload.eq(self.write.payload),
            banks.write.valid.eq(self.write.valid),
            self.write.ready.eq(banks.write.ready),
            banks.read.eq(slot.busy.rotate_left(start) & self.advance.replicate(config.banks)),
            *(banks.read_at[(n + start) % config.banks].eq(read) for n, read in enumerate(slot.reads)),
        ]
        for number, line in enumerate(lines):
            tag, select = self._align(m, number, line)
            m.d.comb += [banks.select[number].eq(select), self.coming[number].eq(tag)]
            self._offer(m, number, tag, banks.rows[number])

    def _align(self, m: Module, number: int, line: GatherLine) -> tuple[data.View, Value]:
        """The line's pick, when the rows of its slot are there: the tag, and the bank, one bit set."""
        config, low = self._config, self._config.banks.bit_length() - 1
        pick, start = line.pick, number * config.stride
        bank = pick.bank.rotate_left(start)
        read = data.View(read_layout(config), one_of(pick.bank, [each.as_value() for each in line.o.reads]))
        tag = Signal(tag_layout(config), name=f"tag{number}")
        m.d.comb += [tag[name].eq(pick[name]) for name in ("valid", "head", "row", "first", "last")]
        m.d.comb += tag.key.eq(Cat(number_of(bank), read.place, read.chunk))
        # Registers from the pick's own until the banks show the rows.
        for stage in range(config.lines - number):
            later = Signal(tag_layout(config), name=f"tag{number}_{stage}", reset_less=True)
            valid = Signal(name=f"valid{number}_{stage}")
            select = bank if stage == 0 else Cat(tag.key[:low] == n for n in range(config.banks))
            with m.If(self.advance):
                m.d.sync += valid.eq(tag.valid)
                with m.If(tag.valid):
                    m.d.sync += later.eq(tag)
            tag = Signal(tag_layout(config), name=f"tag{number}_{stage}_valid")
            m.d.comb += [tag.eq(later), tag.valid.eq(valid)]
        selected = Signal(config.banks, name=f"select{number}", reset_less=True)
        with m.If(self.advance):
            m.d.sync += selected.eq(select)
        return tag, selected

    def _offer(self, m: Module, number: int, tag: data.View, row: Value) -> None:
        """The row and its tag, which stand until they are taken."""
        o = self.o[number]
        shown = Signal(row_layout(self._config), name=f"row{number}", reset_less=True)
        m.d.comb += o.payload.eq(shown)
        with m.If(self.advance):
            m.d.sync += o.valid.eq(tag.valid)
            with m.If(tag.valid):
                m.d.sync += shown.b.eq(row)
                m.d.sync += [shown[name].eq(tag[name]) for name in ("head", "row", "key", "first", "last")]
        with m.Elif(o.ready):
            m.d.sync += o.valid.eq(0)
