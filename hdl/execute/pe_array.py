# SPDX-License-Identifier: Apache-2.0
"""A PE array: lines that work on dense tiles together, and on items each for itself.

rows, x, tile ─► RowStores ─┐
w ──────────────────────────┴─► all lines ─► DenseReader ─► o
                                  ▲     └──► ContextReader of each line ─► context
item, of each line ───────────────┘

A tile has lines that stand between two items, all of them at once; no item begins while one is under way. Lines are
lent to tiles by a register for each: what a beat of a tile hangs on would not reach the operands of all lines in time.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from config.pe_arrays import PeArraysConfig
from hdl.cover import corner
from hdl.execute.context import ContextReader
from hdl.execute.dense import (
    DenseReader,
    RowStores,
    half_of,
    info_layout,
    result_tag_layout,
    rows_layout,
    tile_layout,
    weights_layout,
    word_layout,
)
from hdl.execute.layouts import MULTIPLIER
from hdl.execute.line import PeLine, beat_layout, row_layout
from hdl.execute.scaler import columns_layout, results_layout
from hdl.shared import share


class PeArray(wiring.Component):
    """Dense products of int8 rows and weights, and probabilities times V; `lines` · `lanes` products a cycle.

    Parameters
    ----------
    config: at least 2 `lines`. tag_bits: of an item's tag. items: with streams of items and their contexts, or without.

    Members
    -------
    rows, x, tile: In, as those of `RowStores`. w: In, stream of `weights_layout(lanes)`: of each tile, for each term of
    its depth, the weights of the tile's columns, and beside them, of two tiles at once, those of the second one's.
    column: In; o: Out, as those of `DenseReader`.
    item0, …: In, stream of `beat_layout(config, tag_bits)`; scale0, …: In; context0, …: Out, as those of a
    `ContextReader`.
    calls: Out, 1: a tile waits or is under way, so items that do not begin now need not wait at a line. hold: In, 1: a
    tile does not begin; for whoever cannot stop items between their begin and their beats. 0, if there is no such.

    A tile takes `depth` cycles, if depth is at least count·`groups` + 2, so that its results leave in the meantime; an
    item as many as it has beats, if these are at least `groups` + 2. No `valid` depends on a `ready` of its own stream.
    Without work nothing toggles. Empty after reset.
    """

    def __init__(self, config: PeArraysConfig, *, tag_bits: int = 1, items: bool = True):
        self._config, self._items, self._item_bits = config, items, tag_bits
        # A tag's lowest bit says whether sums are a tile's.
        info_bits = data.Layout.cast(info_layout(config)).size
        self._tag_bits = 1 + max(tag_bits if items else 0, info_bits)
        self._lines = [PeLine(config, tag_bits=self._tag_bits) for _ in range(config.lines)]
        self._readers = [ContextReader(config, tag_bits=tag_bits) for _ in range(config.lines if items else 0)]
        self._stores, self._dense = RowStores(config), DenseReader(config)
        each = {}
        for n in range(len(self._readers)):
            each[f"item{n}"] = In(stream.Signature(beat_layout(config, tag_bits)))
            each[f"scale{n}"] = In(stream.Signature(MULTIPLIER))
            each[f"context{n}"] = Out(stream.Signature(results_layout(config, OPERAND_BITS, tag_bits + 1)))
        if items:
            each |= {"calls": Out(1), "hold": In(1)}
        result_tag = data.Layout.cast(result_tag_layout(config)).size
        super().__init__(
            {
                "rows": In(stream.Signature(rows_layout(config))),
                "x": In(stream.Signature(word_layout())),
                "tile": In(stream.Signature(tile_layout())),
                "w": In(stream.Signature(weights_layout(config.lanes))),
                "column": In(stream.Signature(columns_layout(config))),
                "o": Out(stream.Signature(results_layout(config, STREAM_BITS, result_tag))),
                **each,
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.stores = stores = share(self._stores, "row_stores", platform)
        m.submodules.dense = share(self._dense, "dense_reader", platform)
        stores, dense = self._stores, self._dense
        for name in ("rows", "x", "tile"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(stores, name))
        wiring.connect(m, wiring.flipped(self.column), dense.column)
        wiring.connect(m, dense.o, wiring.flipped(self.o))
        for number, line in enumerate(self._lines):
            m.submodules[f"line{number}"] = share(line, "pe_line", platform)
        fires = self._feed(m, platform)
        for number, reader in enumerate(self._readers):
            m.submodules[f"reader{number}"] = share(reader, "context_reader", platform)
        self._enter(m, fires)
        self._leave(m)
        return m

    def _feed(self, m: Module, platform) -> Value:
        """Whether all lines of a tile take a beat."""
        scalars, config = self._stores.o, self._config
        under_way, fires, idle = Signal(), Signal(), Signal()
        # Lines that items may not use. Without items, all for ever.
        self._lent = Signal(config.lines, init=0 if self._readers else -1)
        ready = Cat(line.i.ready for line in self._lines) & self._lent
        m.d.comb += [
            idle.eq((ready | ~scalars.payload.active).all()),
            fires.eq(scalars.valid & self.w.valid & idle),
            scalars.ready.eq(self.w.valid & idle),
            self.w.ready.eq(scalars.valid & idle),
        ]
        with m.If(fires):
            m.d.sync += under_way.eq(~scalars.payload.last)
        if self._readers:
            m.d.comb += self.calls.eq(scalars.valid | under_way)
        within_item = Signal(config.lines)
        for number in range(len(self._readers)):
            item, goes_on = getattr(self, f"item{number}"), Signal(name=f"goes_on{number}")
            m.d.comb += goes_on.eq(Mux(item.valid & item.ready, ~item.payload.last, within_item[number]))
            m.d.sync += [
                within_item[number].eq(goes_on),
                self._lent[number].eq(self.calls & ~goes_on & (under_way | ~self.hold)),
            ]
        corner(m, platform, "tile_waits_for_items", scalars.valid & within_item.any())
        return fires

    def _enter(self, m: Module, fires: Value) -> None:
        """Beats to the lines: of a tile to those that are lent, else of the line's items."""
        scalars, given = self._stores.o.payload, self.w.payload
        lower, upper = (Signal(row_layout(self._config.lanes), name=name) for name in ("lower", "upper"))
        m.d.comb += [
            lower.as_value().eq(given[0].as_value()),
            upper.as_value().eq(Mux(scalars.info.double, given[1].as_value(), given[0].as_value())),
        ]
        for number, line in enumerate(self._lines):
            beat, w = line.i.payload, upper if number // half_of(self._config) == 1 else lower
            tag = Cat(1, scalars.info.as_value())
            of_tile = fires & scalars.active[number]
            if not self._readers:
                m.d.comb += [
                    line.i.valid.eq(of_tile),
                    beat.a.eq(scalars.a[number]),
                    beat.b.eq(w),
                    beat.first.eq(scalars.first),
                    beat.last.eq(scalars.last),
                    beat.tag.eq(tag),
                ]
                continue
            item = getattr(self, f"item{number}")
            goes, given = ~self._lent[number], item.payload
            m.d.comb += [
                item.ready.eq(line.i.ready & goes),
                line.i.valid.eq(Mux(goes, item.valid, of_tile)),
                beat.a.eq(Mux(goes, given.a, scalars.a[number])),
                beat.b.as_value().eq(Mux(goes, given.b.as_value(), w.as_value())),
                beat.first.eq(Mux(goes, given.first, scalars.first)),
                beat.last.eq(Mux(goes, given.last, scalars.last)),
                beat.tag.eq(Mux(goes, Cat(0, given.tag), tag)),
            ]

    def _leave(self, m: Module) -> None:
        """Sums to whom they are for."""
        dense, lines = self._dense, self._lines
        shown: Value = Const(0, len(dense.sums.as_value()))
        for number, line in enumerate(lines):
            shown |= line.sums.as_value() & dense.line[number].replicate(len(shown))
        m.d.comb += [
            dense.sums.as_value().eq(shown),
            dense.info.as_value().eq(lines[0].tag[1:]),
        ]
        for number, line in enumerate(lines):
            if not self._readers:
                m.d.comb += [
                    line.select.eq(dense.select),
                    line.consumed.eq(dense.consumed[number]),
                    dense.done[number].eq(line.done),
                ]
                continue
            reader, of_tile = self._readers[number], Signal(name=f"of_tile{number}")
            # A tag comes a cycle before its sums are done: what chooses among them begins at a register of its own.
            m.d.sync += of_tile.eq(line.tag[0])
            m.d.comb += [
                reader.sums.eq(line.sums),
                reader.tag.eq(line.tag[1 : 1 + self._item_bits]),
                dense.done[number].eq(line.done & of_tile),
                reader.done.eq(line.done & ~of_tile),
                line.select.eq(Mux(of_tile, dense.select, reader.select)),
                line.consumed.eq(dense.consumed[number] | reader.consumed),
            ]
            wiring.connect(m, wiring.flipped(getattr(self, f"scale{number}")), reader.scale)
            wiring.connect(m, reader.o, wiring.flipped(getattr(self, f"context{number}")))
