# SPDX-License-Identifier: Apache-2.0
"""Results of an array to rows: collected until a tile is whole, through GELU where they are hidden values.

results ─┬─► GELU ─┬─► rows of a turn, twice ─► o
         └─────────┘                            ▲
choices ───┘                   turns, tokens ───┘
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from config.system import SystemConfig
from hdl.cover import corner
from hdl.execute.dense import half_of
from hdl.execute.gelu import ENTRY, GeluUnit
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.store import Store
from hdl.system.dense_layouts import Ports, choice_layout, leaving_layout, slot_layout, turn_layout
from hdl.system.flow import Shown, queue_of
from hdl.system.layouts import result_layout, token_shape
from hdl.system.row_lists import counts

CHOICES = 8
"""Groups of columns whose results are under way in the array."""


class ResultStage(wiring.Component):
    """Results behind GELU, if they are hidden values, else as they are, a cycle later.

    Parameters: `config`; `ports`, of the array.

    Members
    -------
    results: In, as the array gives them. choices: In, stream of `choice_layout(ports)`, each taken with the last
    results of its columns. gelu_write, gelu_entry: In, as `write` and `entry` of `GeluUnit`.
    o: Out, stream as `results`.
    """

    def __init__(self, config: SystemConfig, ports: Ports):
        self._ports = ports
        self._gelu = GeluUnit(lanes=config.attention.arrays.scalers)
        super().__init__(
            {
                "results": In(stream.Signature(ports.results_layout)),
                "choices": In(stream.Signature(choice_layout(ports))),
                "gelu_write": In(1),
                "gelu_entry": In(ENTRY),
                "o": Out(stream.Signature(ports.results_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gelu = gelu = share(self._gelu, "gelu", platform)
        gelu, given, choice = self._gelu, self.results, self.choices.payload
        step, takes, last = Signal.like(choice.last_step), Signal(), Signal()
        held, hidden = Signal(self._ports.results_layout, reset_less=True), Signal()
        m.d.comb += [
            given.ready.eq(self.choices.valid & (~self.o.valid | self.o.ready)),
            takes.eq(given.valid & given.ready),
            last.eq(step == choice.last_step),
            self.choices.ready.eq(takes & last),
            gelu.write.eq(self.gelu_write),
            gelu.entry.eq(self.gelu_entry),
            gelu.i.valid.eq(takes & choice.hidden),
            gelu.o.ready.eq(self.o.ready),
            self.o.payload.tag.eq(held.tag),
        ]
        # One table for all of them, where they are of one column.
        choices = [choice.choice[0 if self._ports.dot else n] for n in range(len(gelu.o.payload))]
        for n, (value, table) in enumerate(zip(given.payload.values, choices, strict=True)):
            m.d.comb += [
                gelu.i.payload.values[n].eq(value[:OPERAND_BITS].as_signed()),
                gelu.i.payload.choice[n].eq(table),
                self.o.payload.values[n].eq(Mux(hidden, gelu.o.payload[n], held.values[n])),
            ]
        m.d.sync += self.o.valid.eq(takes | (self.o.valid & ~self.o.ready))
        with m.If(takes):
            m.d.sync += [held.eq(given.payload), hidden.eq(choice.hidden), step.eq(Mux(last, 0, step + 1))]
        return m


class RowBanks(wiring.Component):
    """Rows of results of two turns, written in parts.

    Parameters: `config`; `ports`, of the array.

    Members
    -------
    write: In, 1: results, In, as the array gives them, for the rows of place `into`, In. read: In, 1: the row of
    `line`, In, of place `at`, In, is wanted: row: Out, 16 bits for each column, from the next cycle on, until the next
    read.
    """

    def __init__(self, config: SystemConfig, ports: Ports):
        self._ports, lines = ports, config.attention.arrays.lines
        self._row = data.ArrayLayout(signed(STREAM_BITS), config.lanes)
        # Lines side by side are in banks side by side.
        self._places = 2 << (-(-lines // ports.rows) - 1).bit_length()
        super().__init__(
            {
                "write": In(1),
                "into": In(1),
                "results": In(ports.results_layout),
                "read": In(1),
                "at": In(1),
                "line": In(range(lines)),
                "row": Out(self._row),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ports, bank_bits = self._ports, exact_log2(self._ports.rows)
        tag, values = data.View(ports.tag_layout, self.results.tag), self.results.values
        group = tag.column if ports.dot else tag.group
        chosen = Signal(ports.groups)
        m.d.comb += chosen.eq(Cat(self.write & (group == n) for n in range(ports.groups)))
        shown, which = [], Signal(ports.rows, init=1)
        wanted = Cat(self.line[:bank_bits] == bank for bank in range(ports.rows))
        with m.If(self.read):
            m.d.sync += which.eq(wanted)
        for bank in range(ports.rows):
            store = Store(self._places, self._row, ports.groups)
            m.submodules[f"bank{bank}"] = share(store, store.name, platform)
            part = Cat(values[bank]) if ports.dot else Cat(*values)
            m.d.comb += [
                store.write.eq(chosen),
                store.write_at.eq(Cat(tag.line[bank_bits:], self.into)),
                Value.cast(store.word).eq(part.replicate(ports.groups)),
                store.read.eq(self.read & wanted[bank]),
                store.read_at.eq(Cat(self.line[bank_bits:], self.at)),
            ]
            shown.append(Value.cast(store.stored))
        m.d.comb += Value.cast(self.row).eq(one_of(which, shown))
        return m


class ResultRows(wiring.Component):
    """Rows of finished tiles.

    Parameters: `config`; `ports`, of the array.

    Members
    -------
    results: In, as the array gives them; choices: In, stream of `choice_layout(ports)`; gelu_write, gelu_entry: In, as
    those of `ResultStage`.
    turns: In, stream of `turn_layout(config)`. write, write_at, token: In, as those of `RowLists`.
    o: Out, stream of `result_layout(config)`: of each tile its rows in the order of the list. left: Out, of
    `leaving_layout(config)`, all 0 but in the cycle in which something leaves.
    """

    def __init__(self, config: SystemConfig, ports: Ports):
        self._config, self._ports = config, ports
        self._stage, self._banks = ResultStage(config, ports), RowBanks(config, ports)
        members = self._stage.signature.members
        # A row with what its leaving means; or, of a job without rows, that alone.
        known = {name: shape for name, shape in result_layout(config).members.items() if name != "values"}
        leaving = {name: shape for name, shape in leaving_layout(config).members.items() if name != "token"}
        self._known = data.StructLayout({**known, **leaving, "none": 1})
        self._shown = Shown(data.StructLayout({**self._known.members, "values": self._banks.row.shape()}))
        super().__init__(
            {
                **{name: members[name] for name in ("results", "choices", "gelu_write", "gelu_entry")},
                "turns": In(stream.Signature(turn_layout(config))),
                "write": In(1),
                "write_at": In(slot_layout(config)),
                "token": In(token_shape(config)),
                "o": Out(stream.Signature(result_layout(config))),
                "left": Out(leaving_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.stage = stage = self._stage
        m.submodules.shown = share(self._shown, self._shown.name, platform)
        choices = queue_of(m, "choices", choice_layout(self._ports), CHOICES, platform)
        wiring.connect(m, wiring.flipped(self.results), stage.results)
        wiring.connect(m, wiring.flipped(self.choices), choices.i)
        wiring.connect(m, choices.o, stage.choices)
        m.d.comb += [stage.gelu_write.eq(self.gelu_write), stage.gelu_entry.eq(self.gelu_entry)]
        full, freed = Signal(2), Signal(2)
        m.d.sync += full.eq((full | self._collect(m, full, platform)) & ~freed)
        m.d.comb += freed.eq(self._read(m, full, platform))
        self._leave(m)
        return m

    def _collect(self, m: Module, full: Value, platform) -> Value:
        """Results to the place that is free; returns which one is full with this cycle."""
        m.submodules.banks = banks = self._banks
        o, into = self._stage.o, Signal()
        last = data.View(self._ports.tag_layout, o.payload.tag).last
        m.d.comb += [
            o.ready.eq(~Mux(into, full[1], full[0])),
            banks.write.eq(o.valid & o.ready),
            banks.into.eq(into),
            banks.results.eq(o.payload),
        ]
        with m.If(banks.write & last):
            m.d.sync += into.eq(~into)
        corner(m, platform, "results_wait_for_their_place", o.valid & ~o.ready)
        return Cat(banks.write & last & ~into, banks.write & last & into)

    def _read(self, m: Module, full: Value, platform) -> Value:
        """Rows of a turn; returns which place is free with this cycle."""
        config, turn, shown, banks = self._config, self.turns.payload, self._shown, self._banks
        tokens = Store(1 << slot_layout(config).size, token_shape(config))
        m.submodules.tokens = share(tokens, tokens.name, platform)
        out, upper, line = Signal(), Signal(), Signal.like(turn.last_line)
        known, held = Signal(self._known), Signal(self._known, reset_less=True)
        enters, last_line, last, at = Signal(), Signal(), Signal(), Signal(slot_layout(config))
        m.d.comb += [
            enters.eq(shown.moves & self.turns.valid & (turn.none | Mux(out, full[1], full[0]))),
            shown.enters.eq(enters),
            last_line.eq(line == turn.last_line),
            last.eq(turn.none | (last_line & (upper | ~turn.double))),
            self.turns.ready.eq(enters & last),
            banks.read.eq(enters & ~turn.none),
            banks.at.eq(out),
            banks.line.eq(Mux(upper, line + half_of(config.attention.arrays), line)),
            at.line.eq(line),
            at.slot.eq(turn.slot),
            tokens.read.eq(enters),
            tokens.read_at.eq(at),
            tokens.write.eq(self.write),
            tokens.write_at.eq(self.write_at),
            tokens.word.eq(self.token),
        ]
        self._know(m, known, upper, last)
        with m.If(enters):
            m.d.sync += held.eq(known)
            with m.If(~turn.none):
                m.d.sync += line.eq(Mux(last_line, 0, line + 1))
                with m.If(last_line):
                    m.d.sync += [upper.eq(turn.double & ~upper), out.eq(out ^ last)]
        m.d.comb += [shown.word[name].eq(held[name]) for name in self._known.members if name != "token"]
        m.d.comb += [shown.word.token.eq(tokens.stored), Value.cast(shown.word["values"]).eq(banks.row)]
        done = enters & last & ~turn.none
        return Cat(done & ~out, done & out)

    def _know(self, m: Module, known: data.View, upper: Value, last: Value) -> None:
        """What is to be known of a row when it leaves, but for its token."""
        turn = self.turns.payload
        m.d.comb += [
            known.sink.eq(turn.sink),
            known.index.eq(turn.index + (upper & counts(turn.sink))),
            known.value.eq(turn.value | (upper & ~counts(turn.sink))),
            known.none.eq(turn.none),
            known.row.eq(~turn.none & turn.whole & (upper | ~turn.double)),
            known.list.eq(~turn.none & turn.whole & last),
            known.job.eq(turn.none | (turn.whole & last & turn.last)),
            known.final.eq(turn.final),
        ]

    def _leave(self, m: Module) -> None:
        shown, word = self._shown.o, self._shown.o.payload
        fire = Signal()
        m.d.comb += [
            self.o.valid.eq(shown.valid & ~word.none),
            shown.ready.eq(self.o.ready | word.none),
            fire.eq(shown.valid & shown.ready),
            *(self.o.payload[name].eq(word[name]) for name in ("sink", "token", "index", "value")),
            Value.cast(self.o.payload["values"]).eq(Value.cast(word["values"])),
            *(self.left[name].eq(fire & word[name]) for name in ("row", "list", "job", "final")),
            self.left.token.eq(word.token),
        ]
