# SPDX-License-Identifier: Apache-2.0
"""What keeps dot lines busy with dense tiles, and takes their sums away.

x ─► a store for each line: its row of the list, twice ─► L bytes of each row ─┐
                                                                              ├─► lines ─► sums ─► one of two places ─┐
w ─► L weights of a column ─┤reg├──────────────────────────────────────────────┘                                      │
                                              o ◄─ scalers ◄─ column by column, some lines in each cycle ◄────────────┘
                                                      ▲ column
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import require_range
from config.execute import STREAM_BITS
from config.pe_arrays import PeArraysConfig
from hdl.cover import corner
from hdl.execute.dense import active_lines, clip_results, half_of, storing_lines, tile_layout, weights_layout
from hdl.execute.dot_line import untimed
from hdl.execute.line import row_layout
from hdl.execute.scaler import COLUMN, Scaler, results_layout
from hdl.shared import share
from hdl.store import Store

PLACES = 2
"""Columns whose sums may be under way or wait, at most."""


def words(config: PeArraysConfig) -> int:
    """Of `lanes` bytes, in the longest row."""
    return -(-config.terms // config.lanes)


def rows_layout(config: PeArraysConfig) -> data.StructLayout:
    """A list of rows: how many, 1 to `lines`, and of how many words each."""
    return data.StructLayout({"count": range(config.lines + 1), "words": range(words(config) + 1)})


def list_layout(config: PeArraysConfig) -> data.StructLayout:
    """A list that is there: the last of its lines, and the last word of its rows."""
    return data.StructLayout({"last_line": range(config.lines), "last_word": range(words(config))})


def info_layout(config: PeArraysConfig) -> data.StructLayout:
    """Of a column: its number in its tile, whether that is the `last` one; the last of its lines, or of those of a half
    if there are two columns, of `double` tiles; whether results are `wide`."""
    return data.StructLayout(
        {"column": range(config.lanes), "last": 1, "last_line": range(config.lines), "wide": 1, "double": 1}
    )


def beat_layout(config: PeArraysConfig) -> data.StructLayout:
    """`a`: for each line that is `active`, `lanes` bytes of its row; `b`: as many weights, for each half of the
    lines; `first`, `last` of a column."""
    rows = data.ArrayLayout(row_layout(config.lanes), config.lines)
    b = weights_layout(config.lanes)
    return data.StructLayout({"a": rows, "b": b, "active": config.lines, "first": 1, "last": 1})


def result_tag_layout(config: PeArraysConfig) -> data.StructLayout:
    """Of results of a column: the first of their `scalers` lines, the column's number in its tile, whether they are
    `wide`, and the tile's `last` ones."""
    return data.StructLayout({"line": range(config.lines), "column": range(config.lanes), "wide": 1, "last": 1})


class DotTiles(wiring.Component):
    """Rows of a list, each in the store of its line, while the next list's come in; and the beats of their tiles.

    Parameters: `config`, of at least 2 `lines`.

    Members
    -------
    rows: In, stream of `rows_layout(config)`: a list, taken when its last word has come.
    x: In, stream of `row_layout(lanes)`: the words of each row, row after row of the list. Rows of a list that has no
    more than half of the lines are stored in both halves.
    tile: In, stream of `tile_layout()`: tiles of `lanes` columns for the list that came first; a list has at least one.
    w: In, stream of `weights_layout(lanes)`: of each column of a tile, as many words of weights, and beside them, of
    two tiles at once, those of the second one's. Where rows end within a word, what is left of it is 0 in `w`.
    waits: Out, 1: a tile is under way, or might be. go: In, 1: its beats may be taken. room: In, 1: a column may end.
    ends: Out, 1: one does, with the next beat; info: Out, `info_layout(config)`, its own.
    o: Out, `untimed(beat_layout(config))`: a cycle behind `w`.

    A beat a cycle, without a gap between columns, tiles and lists that are there.
    """

    def __init__(self, config: PeArraysConfig):
        require_range("lines", config.lines, 2, 1024)
        self._config, self._words = config, words(config)
        self._stores = [Store(2 * self._words, row_layout(config.lanes)) for _ in range(config.lines)]
        super().__init__(
            {
                "rows": In(stream.Signature(rows_layout(config))),
                "x": In(stream.Signature(row_layout(config.lanes))),
                "tile": In(stream.Signature(tile_layout())),
                "w": In(stream.Signature(weights_layout(config.lanes))),
                "waits": Out(1),
                "go": In(1),
                "room": In(1),
                "ends": Out(1),
                "info": Out(info_layout(config)),
                "o": Out(untimed(beat_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for number, store in enumerate(self._stores):
            m.submodules[f"store{number}"] = share(store, store.name, platform)
        lists = [Signal(list_layout(self._config), name=f"list{half}", reset_less=True) for half in range(2)]
        filled, comes, goes = Signal(2), Signal(2), Signal(2)
        m.d.sync += filled.eq((filled | comes) & ~goes)
        m.d.comb += [comes.eq(self._fill(m, lists, filled)), goes.eq(self._read(m, lists, filled))]
        return m

    def _fill(self, m: Module, lists: list[data.View], filled: Value) -> Value:
        """Words into the half that is free; returns which one is full with this cycle."""
        rows, half, given = self.rows.payload, Signal(), Signal(list_layout(self._config))
        line, word = Signal(range(self._config.lines)), Signal(range(self._words))
        fire, last_word, last_line = Signal(), Signal(), Signal()
        m.d.comb += [
            given.last_line.eq(rows.count - 1),
            given.last_word.eq(rows.words - 1),
            self.x.ready.eq(self.rows.valid & ~Mux(half, filled[1], filled[0])),
            fire.eq(self.x.valid & self.x.ready),
            last_word.eq(word == given.last_word),
            last_line.eq(line == given.last_line),
            self.rows.ready.eq(fire & last_word & last_line),
        ]
        takes = storing_lines(self._config, line, given.last_line)
        for number, store in enumerate(self._stores):
            m.d.comb += [
                store.write.eq(fire & takes[number]),
                store.write_at.eq(Mux(half, word + self._words, word)),
                store.word.eq(self.x.payload),
            ]
        with m.If(fire):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))
            with m.If(last_word):
                m.d.sync += line.eq(Mux(last_line, 0, line + 1))
        with m.If(self.rows.ready):
            m.d.sync += half.eq(~half)
            for number, each in enumerate(lists):
                with m.If(half == number):
                    m.d.sync += each.eq(given)
        return Cat(self.rows.ready & ~half, self.rows.ready & half)

    def _read(self, m: Module, lists: list[data.View], filled: Value) -> Value:
        """A word of all rows with each word of weights; returns which half is done with."""
        config, half, tile = self._config, Signal(), self.tile.payload
        rows = Signal(list_layout(config))
        word, column = Signal(range(self._words)), Signal(range(config.lanes))
        last_word, last_column, can, fire, ready = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            rows.eq(Mux(half, lists[1].as_value(), lists[0].as_value())),
            last_word.eq(word == rows.last_word),
            last_column.eq(column == config.lanes - 1),
            self.waits.eq(self.tile.valid & Mux(half, filled[1], filled[0])),
            can.eq(self.waits & self.go & (self.room | ~last_word)),
            self.w.ready.eq(can),
            fire.eq(can & self.w.valid),
            self.ends.eq(fire & last_word),
            ready.eq(self.ends & last_column),
            self.tile.ready.eq(ready),
            self.info.column.eq(column),
            self.info.last.eq(last_column),
            self.info.last_line.eq(rows.last_line),
            self.info.wide.eq(tile.wide),
            self.info.double.eq(tile.double),
        ]
        with m.If(fire):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))
        with m.If(self.ends):
            m.d.sync += column.eq(Mux(last_column, 0, column + 1))
        with m.If(ready & tile.last):
            m.d.sync += half.eq(~half)
        self._show(m, fire, rows, Mux(half, word + self._words, word), word == 0, last_word)
        return Cat(ready & tile.last & ~half, ready & tile.last & half)

    def _show(self, m: Module, fire: Value, rows: data.View, at: Value, first: Value, last: Value) -> None:
        """The beat: what the stores show, and the rest from registers."""
        config, beat = self._config, self.o.payload
        shown = Signal(data.StructLayout({"b": beat.b.shape(), "first": 1, "last": 1}), reset_less=True)
        active = active_lines(config, rows.last_line, self.tile.payload.double)
        lower, upper = (Value.cast(given) for given in self.w.payload)
        m.d.sync += self.o.valid.eq(fire)
        with m.If(fire):
            m.d.sync += [Value.cast(shown.b).eq(Cat(lower, Mux(self.tile.payload.double, upper, lower)))]
            m.d.sync += [shown.first.eq(first), shown.last.eq(last)]
            m.d.sync += beat.active.eq(active)
        m.d.comb += [beat[name].eq(shown[name]) for name in ("b", "first", "last")]
        for line, store in enumerate(self._stores):
            m.d.comb += [
                store.read.eq(fire & active[line]),
                store.read_at.eq(at),
                beat.a[line].eq(store.stored),
            ]


class DotReader(wiring.Component):
    """Results of the columns of tiles, from the sums of all lines: golden.execute.linear.

    Parameters: `config`. latency: cycles from a column's end until `sums` are there.

    Members
    -------
    ends: In, 1, if `room`: Out, 1: a column ends; info: In, `info_layout(config)`, its own. sums: In, of each line.
    column: In, stream of `COLUMN`, of each column of each tile; of two tiles at once, of the first's column and then of
    the second's.
    o: Out, stream of `results_layout` of 16 bits with `result_tag_layout`: column by column, of `scalers` lines in each
    cycle; values of lines beyond the list's mean nothing.

    A column's results leave in ceil(count / `scalers`) cycles. Two columns, or two pairs of them, are under way at
    most.
    Two tiles at once ask for a half of lines that is a multiple of `scalers`.
    """

    def __init__(self, config: PeArraysConfig, *, latency: int):
        self._config, self._latency = config, latency
        tag = data.Layout.cast(result_tag_layout(config)).size
        self._scaler = Scaler(config, dense=True, tag_bits=tag)
        super().__init__(
            {
                "ends": In(1),
                "info": In(info_layout(config)),
                "room": Out(1),
                "sums": In(data.ArrayLayout(signed(config.acc_bits), config.lines)),
                "column": In(stream.Signature(COLUMN)),
                "o": Out(stream.Signature(results_layout(config, STREAM_BITS, tag))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        scaler = self._scaler
        # That of the other array is the same if its tags are as wide.
        m.submodules.scaler = share(scaler, f"dense_scaler{len(scaler.o.payload.tag)}", platform)
        places = [Signal(self.sums.shape(), name=f"place{n}", reset_less=True) for n in range(PLACES)]
        infos = [Signal(info_layout(self._config), name=f"info{n}", reset_less=True) for n in range(PLACES)]
        pending, there = Signal(range(PLACES + 1)), Signal(PLACES)
        into, done = Signal(), Signal()
        comes = self._come(m, places)
        m.d.comb += self.room.eq(pending != PLACES)
        m.d.sync += pending.eq(pending + self.ends - done)
        with m.If(self.ends):
            m.d.sync += into.eq(~into)
            for number, info in enumerate(infos):
                with m.If(into == number):
                    m.d.sync += info.eq(self.info)
        taken = self._take(m, places, infos, there)
        m.d.comb += done.eq(taken.any())
        m.d.sync += there.eq((there | comes) & ~taken)
        clip_results(m, scaler.o, self.o, data.View(result_tag_layout(self._config), scaler.o.payload.tag).wide)
        corner(m, platform, "columns_wait_for_results", ~self.room)
        return m

    def _come(self, m: Module, places: list[data.View]) -> Value:
        """Sums to their place; returns to which one in this cycle."""
        under_way, into, come = Signal(self._latency), Signal(), Signal()
        m.d.sync += under_way.eq(Cat(self.ends, under_way))
        m.d.comb += come.eq(under_way[-1])
        with m.If(come):
            m.d.sync += into.eq(~into)
            for number, place in enumerate(places):
                with m.If(into == number):
                    m.d.sync += place.eq(self.sums)
        return Cat(come & ~into, come & into)

    def _take(self, m: Module, places: list[data.View], infos: list[data.View], there: Value) -> Value:
        """Sums of some lines to the scalers, in turn; returns which place is done with."""
        config, scaler, out = self._config, self._scaler, Signal()
        starts, half = range(0, config.lines, config.scalers), half_of(config)
        group, line, upper = Signal(len(starts), init=1), Signal(range(config.lines)), Signal()
        info, tag = Signal(info_layout(config)), Signal(result_tag_layout(config))
        enters, last, last_here = Signal(), Signal(), Signal()
        # Lines of the next group are the list's; in the upper one of two tiles, those below them by half.
        active = active_lines(config, info.last_line, info.double)
        follows = Cat(active[start] & (upper | ~info.double | (start < half)) for start in starts[1:])
        m.d.comb += [
            info.eq(Mux(out, infos[1].as_value(), infos[0].as_value())),
            last_here.eq((group[:-1] & follows) == 0),
            last.eq(last_here & (upper | ~info.double)),
            scaler.i.valid.eq(Mux(out, there[1], there[0]) & self.column.valid),
            enters.eq(scaler.i.valid & scaler.i.ready),
            self.column.ready.eq(Mux(out, there[1], there[0]) & scaler.i.ready & last_here),
            tag.line.eq(line),
            tag.column.eq(info.column),
            tag.wide.eq(info.wide),
            tag.last.eq(info.last & last),
            scaler.i.payload.tag.eq(tag),
        ]
        for k, pair in enumerate(scaler.i.payload.sums.pairs):
            shown: Value = Const(0, config.acc_bits)
            for which, place in enumerate(places):
                for number, start in enumerate(starts):
                    if start + k < config.lines:
                        chosen = group[number] & (out == which)
                        shown |= place[start + k].as_unsigned() & chosen.replicate(config.acc_bits)
            # A sum in one word: nothing is carried, nothing too much.
            m.d.comb += [pair.sum.eq(shown), scaler.i.payload.by[k].eq(self.column.payload)]
        with m.If(enters):
            m.d.sync += [group.eq(group << 1), line.eq(line + config.scalers)]
            with m.If(last_here):
                above = 1 << half // config.scalers
                m.d.sync += [group.eq(Mux(last, 1, above)), line.eq(Mux(last, 0, half)), upper.eq(~last)]
            with m.If(last):
                m.d.sync += out.eq(~out)
        return Cat(enters & last & ~out, enters & last & out)
