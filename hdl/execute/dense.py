# SPDX-License-Identifier: Apache-2.0
"""What keeps the lines of an array busy with dense tiles, and takes their sums away.

x ─► a store for each line: its row of the list, twice ─► a byte for each line ─┐
                                                                               ├─► lines ─► held sums ─┐
w ─► a row of weights for all lines ───────────────────────────────────────────┘                       │
                                              o ◄─ scalers ◄─ line by line, group by group ────────────┘
                                                      ▲ column
"""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import require_range
from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from config.pe_arrays import PeArraysConfig
from hdl.arith.compare import less
from hdl.execute.line import row_layout, sums_layout
from hdl.execute.scaler import Scaler, columns_layout, results_layout
from hdl.shared import share
from hdl.store import Store

WORD = 16
"""Bytes of a row that come in a cycle, and that a line's store has in a word."""


def rows_layout(config: PeArraysConfig) -> data.StructLayout:
    """A list of rows: how many, 1 to `lines`, and their depth, 1 to `terms`."""
    return data.StructLayout({"count": range(config.lines + 1), "depth": range(max(config.terms, WORD) + 1)})


def list_layout(config: PeArraysConfig) -> data.StructLayout:
    """A list that is there: the last of its lines, and the last place of its rows."""
    return data.StructLayout({"last_line": range(config.lines), "last_at": range(max(config.terms, 2 * WORD))})


def half_of(config: PeArraysConfig) -> int:
    """Lines of a half of the array."""
    return config.lines // 2


def active_lines(config: PeArraysConfig, last_line: Value, double: Value) -> Value:
    """The lines of a list's rows; for two tiles at once, also those above by half of the lines."""
    half = half_of(config)
    has = [~less(last_line, Const(line, len(last_line))) for line in range(config.lines)]
    return Cat(own | (double & has[n - half] if n // half == 1 else 0) for n, own in enumerate(has))


def storing_lines(config: PeArraysConfig, line: Value, last_line: Value) -> Value:
    """The lines that store the row of `line`: of a list in the lower half, also that above it by half."""
    half = half_of(config)
    short = less(last_line, Const(half, len(last_line)))
    return Cat((line == n) | (short & (line == n - half) if n // half == 1 else 0) for n in range(config.lines))


def tile_layout() -> data.StructLayout:
    """A tile of `lanes` columns for the rows of a list: results have 16 bits if `wide`, else 8; `last`: the list's.
    `double`: this tile and the next one at once, each on one half of the lines, of a list of no more rows than that."""
    return data.StructLayout({"wide": 1, "last": 1, "double": 1})


def weights_layout(lanes: int) -> data.ArrayLayout:
    """Rows of weights for the lower and, of two tiles at once, for the upper half of the lines."""
    return data.ArrayLayout(row_layout(lanes), 2)


def word_layout() -> data.ArrayLayout:
    """Neighbours of a row."""
    return data.ArrayLayout(signed(OPERAND_BITS), WORD)


def info_layout(config: PeArraysConfig) -> data.StructLayout:
    """What is to be known of a tile when its sums leave: the last of its lines, or of those of a half; whether it is
    `double`; whether results are `wide`."""
    return data.StructLayout({"last_line": range(config.lines), "wide": 1, "double": 1})


def marks_layout(config: PeArraysConfig) -> data.StructLayout:
    """Of a beat of a tile: which lines are `active`; whether it is the `first` or the `last` one; the tile's `info`."""
    return data.StructLayout({"active": config.lines, "first": 1, "last": 1, "info": info_layout(config)})


def scalars_layout(config: PeArraysConfig) -> data.StructLayout:
    """For each line a scalar `a`, and the marks of the beat."""
    bytes_ = data.ArrayLayout(signed(OPERAND_BITS), config.lines)
    return data.StructLayout({"a": bytes_, **marks_layout(config).members})


def result_tag_layout(config: PeArraysConfig) -> data.StructLayout:
    """Of a group of results: its line, `group` of columns, whether it is `wide`, and the tile's `last` one."""
    return data.StructLayout({"line": range(config.lines), "group": range(config.groups), "wide": 1, "last": 1})


class RowStores(wiring.Component):
    """Rows of a list, each in the store of its line, while the next list's come in.

    Parameters: `config`.

    Members
    -------
    rows: In, stream of `rows_layout(config)`: a list, taken when its last word has come.
    x: In, stream of `word_layout()`: ceil(depth / `WORD`) words of each row, row after row of the list. Rows of a list
    that has no more than half of the lines are stored in both halves.
    tile: In, stream of `tile_layout()`: tiles of the list that came first; a list has at least one.
    o: Out, stream of `scalars_layout(config)`: `depth` beats a tile, byte d of each row in beat d.

    A beat a cycle, without a gap between tiles and between lists that are there. A list is taken in
    count·ceil(depth/`WORD`) cycles, so it is there in time if the one before has at least count / `WORD` tiles.
    """

    def __init__(self, config: PeArraysConfig):
        require_range("lines", config.lines, 2, 1024)
        self._config = config
        self._words = -(-config.terms // WORD)
        self._stores = [Store(2 * self._words, word_layout()) for _ in range(config.lines)]
        super().__init__(
            {
                "rows": In(stream.Signature(rows_layout(config))),
                "x": In(stream.Signature(word_layout())),
                "tile": In(stream.Signature(tile_layout())),
                "o": Out(stream.Signature(scalars_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for number, store in enumerate(self._stores):
            m.submodules[f"store{number}"] = share(store, "row_store", platform)
        lists = [Signal(list_layout(self._config), name=f"list{half}", reset_less=True) for half in range(2)]
        filled, used = Signal(2), Signal(2)
        self._fill(m, lists, filled, used)
        self._read(m, lists, filled, used)
        m.d.sync += filled.eq((filled | self._begun) & ~used)
        return m

    def _fill(self, m: Module, lists: list[data.View], filled: Value, used: Value) -> None:
        """Words into the half that is free."""
        rows, half = self.rows.payload, Signal()
        line, word = Signal(range(self._config.lines)), Signal(range(self._words))
        byte_bits = WORD.bit_length() - 1
        whole, words = Signal(), Signal.like(rows.depth[byte_bits:])
        following = Signal.like(words, init=1)
        self._begun = begun = Signal(2)
        x_fire, last_word, last_line, given = Signal(), Signal(), Signal(), Signal(list_layout(self._config))
        m.d.comb += [
            given.last_line.eq(rows.count - 1),
            given.last_at.eq(rows.depth - 1),
            self.x.ready.eq(self.rows.valid & ~Mux(half, filled[1], filled[0])),
            x_fire.eq(self.x.valid & self.x.ready),
            whole.eq(rows.depth[:byte_bits] == 0),
            words.eq(rows.depth[byte_bits:]),
            # word == last_at // WORD, without the borrow of depth - 1 in front of it; following is word + 1.
            last_word.eq(Mux(whole, following == words, word == words)),
            last_line.eq(line == given.last_line),
            self.rows.ready.eq(x_fire & last_word & last_line),
            begun.eq(Cat(self.rows.ready & ~half, self.rows.ready & half)),
        ]
        takes = storing_lines(self._config, line, given.last_line)
        for number, store in enumerate(self._stores):
            m.d.comb += [
                store.write.eq(x_fire & takes[number]),
                store.write_at.eq(Mux(half, word + self._words, word)),
                store.word.eq(self.x.payload),
            ]
        with m.If(x_fire):
            m.d.sync += [word.eq(Mux(last_word, 0, following)), following.eq(Mux(last_word, 1, following + 1))]
            with m.If(last_word):
                m.d.sync += line.eq(Mux(last_line, 0, line + 1))
        with m.If(self.rows.ready):
            m.d.sync += half.eq(~half)
            for number, each in enumerate(lists):
                with m.If(half == number):
                    m.d.sync += each.eq(given)

    def _read(self, m: Module, lists: list[data.View], filled: Value, used: Value) -> None:
        """A word every `WORD` beats, and a byte of it in the next stage."""
        config, half = self._config, Signal()
        rows = Signal(list_layout(config))
        m.d.comb += rows.eq(Mux(half, lists[1].as_value(), lists[0].as_value()))
        # `half`, one-hot, for what has less time.
        turn = Signal(2, init=1)
        at = Signal.like(rows.last_at)
        active = active_lines(config, rows.last_line, self.tile.payload.double)
        enters, ends, moves = Signal(), Signal(), Signal()
        byte_bits = WORD.bit_length() - 1
        m.d.comb += [
            ends.eq(at == rows.last_at),
            enters.eq(moves & self.tile.valid & (filled & turn).any()),
            self.tile.ready.eq(enters & ends),
            used.eq(Cat(ends & enters & self.tile.payload.last & (half == each) for each in range(2))),
        ]
        chosen = Signal(WORD, reset_less=True)
        stage = Signal(marks_layout(config), reset_less=True)
        held = Signal()
        with m.If(moves):
            m.d.sync += held.eq(enters)
        with m.If(enters):
            m.d.sync += [
                at.eq(Mux(ends, 0, at + 1)),
                chosen.eq(Cat(at[:byte_bits] == byte for byte in range(WORD))),
                stage.active.eq(active),
                stage.first.eq(at == 0),
                stage.last.eq(ends),
                stage.info.last_line.eq(rows.last_line),
                stage.info.wide.eq(self.tile.payload.wide),
                stage.info.double.eq(self.tile.payload.double),
            ]
        with m.If(self.tile.ready & self.tile.payload.last):
            m.d.sync += [half.eq(~half), turn.eq(~turn)]
        word = Mux(half, at[byte_bits:] + self._words, at[byte_bits:])
        scalars = Signal(scalars_layout(config))
        m.d.comb += [scalars[name].eq(stage[name]) for name in marks_layout(config).members]
        for line, store in enumerate(self._stores):
            bytes_ = [byte.as_unsigned() & chosen[n].replicate(OPERAND_BITS) for n, byte in enumerate(store.stored)]
            m.d.comb += [
                store.read.eq(enters & (at[:byte_bits] == 0) & active[line]),
                store.read_at.eq(word),
                scalars.a[line].eq(reduce(or_, bytes_)),
            ]
        m.d.comb += moves.eq(self._offer(m, scalars, held))

    def _offer(self, m: Module, scalars: data.View, comes: Value) -> Value:
        """Scalars that come go to the output, or to a second place if it is taken; whether that one is free, which
        hangs on no `ready`: that of all lines would not reach the stores' addresses in time. A line that is not active
        keeps its byte."""
        output, second = (Signal.like(scalars, name=name, reset_less=True) for name in ("output", "second"))
        waits, leaves = Signal(), Signal()
        m.d.comb += [leaves.eq(~self.o.valid | self.o.ready), self.o.payload.eq(output)]
        with m.If(leaves):
            m.d.sync += [self.o.valid.eq(comes | waits), waits.eq(0)]
        with m.Elif(comes):
            m.d.sync += waits.eq(1)
        source = Signal.like(scalars, name="source")
        m.d.comb += source.eq(Mux(waits, second.as_value(), scalars.as_value()))
        places = ((output, source, leaves & (comes | waits)), (second, scalars, comes & ~waits & ~leaves))
        for place, given, enters in places:
            with m.If(enters):
                m.d.sync += [place[name].eq(given[name]) for name in marks_layout(self._config).members]
            for line, byte in enumerate(given.a):
                with m.If(enters & given.active[line]):
                    m.d.sync += place.a[line].eq(byte)
        return ~waits


class DenseReader(wiring.Component):
    """Results of a tile, from the sums of its lines: golden.execute.linear.

    Parameters: `config`.

    Members
    -------
    done: In, of each line; info: In, `info_layout(config)`, of line 0's sums. line: Out, one-hot: whose `sums`, In, are
    to be shown; select: Out, one-hot, the group; consumed: Out, of each line.
    column: In, stream of `columns_layout(config)`: of the columns of each group, for each tile; of two tiles at once,
    of each group the first tile's and then the second's.
    o: Out, stream of `results_layout` of 16 bits with `result_tag_layout`: group by group, in each line by line.

    A group of a line a cycle: a tile takes count·`groups` cycles.
    """

    def __init__(self, config: PeArraysConfig):
        self._config = config
        tag = data.Layout.cast(result_tag_layout(config)).size
        self._scaler = Scaler(config, dense=True, tag_bits=tag)
        super().__init__(
            {
                "done": In(config.lines),
                "info": In(info_layout(config)),
                "line": Out(config.lines),
                "sums": In(sums_layout(config)),
                "select": Out(config.groups),
                "consumed": Out(config.lines),
                "column": In(stream.Signature(columns_layout(config))),
                "o": Out(stream.Signature(results_layout(config, STREAM_BITS, tag))),
            }
        )

    @property
    def latency(self) -> int:
        return self._scaler.latency

    def elaborate(self, platform):
        m = Module()
        config = self._config
        scaler = self._scaler
        # That of the other array is the same if its tags are as wide.
        m.submodules.scaler = share(scaler, f"dense_scaler{len(scaler.o.payload.tag)}", platform)
        line, group = Signal(config.lines, init=1), Signal(config.groups, init=1)
        number, column = Signal(range(config.lines)), Signal(range(config.groups))
        # Within the half, of two tiles at once; and whether it is the upper one.
        place, upper, half = Signal(range(config.lines)), Signal(), half_of(config)
        # Line 0 has its next sums while those of the others are still read: what is known of a tile is kept.
        info = Signal(info_layout(config), reset_less=True)
        begins = (number == 0) & group[0]
        known = Signal.like(info)
        last_place, last_line, last_group, enters = Signal(), Signal(), group[-1], Signal()
        tag = Signal(result_tag_layout(config))
        m.d.comb += [
            known.eq(Mux(begins, self.info.as_value(), info.as_value())),
            last_place.eq(place == known.last_line),
            last_line.eq(last_place & (upper | ~known.double)),
            self.line.eq(line),
            self.select.eq(group),
            scaler.i.valid.eq((self.done & line).any() & self.column.valid),
            enters.eq(scaler.i.valid & scaler.i.ready),
            self.column.ready.eq(enters & last_place),
            self.consumed.eq(line & (enters & last_group).replicate(config.lines)),
            scaler.i.payload.sums.eq(self.sums),
            scaler.i.payload.by.eq(self.column.payload),
            tag.line.eq(number),
            tag.group.eq(column),
            tag.wide.eq(known.wide),
            tag.last.eq(last_line & last_group),
            scaler.i.payload.tag.eq(tag),
        ]
        with m.If(enters):
            with m.If(last_place):
                m.d.sync += [
                    line.eq(Mux(last_line, 1, 1 << half)),
                    number.eq(Mux(last_line, 0, half)),
                    upper.eq(~last_line),
                    place.eq(0),
                ]
            with m.Else():
                m.d.sync += [line.eq(line << 1), number.eq(number + 1), place.eq(place + 1)]
            with m.If(begins):
                m.d.sync += info.eq(self.info)
            with m.If(last_line):
                m.d.sync += [
                    group.eq(Mux(last_group, 1, group << 1)),
                    column.eq(Mux(last_group, 0, column + 1)),
                ]
        clip_results(m, scaler.o, self.o, data.View(result_tag_layout(config), scaler.o.payload.tag).wide)
        return m


def clip_results(m: Module, scaled, o, wide: Value) -> None:
    """Results of a scaler on a stream `o`: of 8 bits, unless they are wide."""
    m.d.comb += [o.valid.eq(scaled.valid), scaled.ready.eq(o.ready), o.payload.tag.eq(scaled.payload.tag)]
    for value, result in zip(scaled.payload.values, o.payload.values, strict=True):
        above, limit = value.as_unsigned()[OPERAND_BITS - 1 :], (1 << (OPERAND_BITS - 1)) - 1
        exceeds = above.any() & ~above.all() & ~wide
        m.d.comb += result.eq(Mux(exceeds, value[-1].replicate(STREAM_BITS) ^ limit, value))
