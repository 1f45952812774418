# SPDX-License-Identifier: Apache-2.0
"""An array of dot lines: they work on dense tiles together, or on items, each for itself.

rows, x, tile, w ─► DotTiles ─► all lines ─► DotReader ─► o
                                  ▲    └───► sum, of each line
beat, of each line ───────────────┘
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.pe_arrays import PeArraysConfig
from hdl.cover import corner
from hdl.execute.dense import half_of
from hdl.execute.dot_line import DotLine, beat_layout, sum_layout, untimed
from hdl.execute.dot_tiles import DotReader, DotTiles
from hdl.shared import share


class DotArray(wiring.Component):
    """Dense products of int8 rows and weights, and dot products of each line's own; `lines` · `lanes` products a cycle.

    Parameters
    ----------
    config: at least 2 `lines`. tag_bits: of an item's tag. items: with streams of items, or without.

    Members
    -------
    rows, x, tile, w: In, as those of `DotTiles`. column: In; o: Out, as those of `DotReader`.
    beat0, …: In, stream of `beat_layout(config, tag_bits)`; sum0, …: Out, `untimed(sum_layout(config, tag_bits))`: as
    a line's. goes_on: In, of each line: the next beat is to hold this one's `a`.
    calls: Out, 1: a tile waits or is under way. Lines are lent to tiles when none of them is within an item or is to
    hold a row, all at once, until no tile waits; their beats wait in the meantime. Whoever begins items is to rest
    while it calls, or else that time may never come.

    A tile takes `lanes`·words cycles, if a column has at least max(r, (r + latency + 2) / 2) words, for r =
    ceil(count / `scalers`). No `valid` depends on a `ready` of its own stream. Without work nothing toggles. Empty
    after reset.
    """

    def __init__(self, config: PeArraysConfig, *, tag_bits: int = 1, items: bool = True):
        self._config, self._items = config, items
        self._lines = [DotLine(config, tag_bits=tag_bits) for _ in range(config.lines)]
        # Beats of tiles come to the lines a cycle behind a column's end.
        self._tiles, self._reader = DotTiles(config), DotReader(config, latency=self.latency + 1)
        each = {}
        for n in range(config.lines if items else 0):
            each[f"beat{n}"] = In(stream.Signature(beat_layout(config, tag_bits)))
            each[f"sum{n}"] = Out(untimed(sum_layout(config, tag_bits)))
        tiles, reader = self._tiles.signature.members, self._reader.signature.members
        super().__init__(
            {
                **{name: tiles[name] for name in ("rows", "x", "tile", "w")},
                **{name: reader[name] for name in ("column", "o")},
                **({"goes_on": In(config.lines), "calls": Out(1)} if items else {}),
                **each,
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a line's beat to its sum."""
        return self._lines[0].latency

    def elaborate(self, platform):
        m = Module()
        tiles, reader = self._tiles, self._reader
        m.submodules.tiles = share(tiles, "dot_tiles", platform)
        m.submodules.reader = share(reader, "dot_reader", platform)
        for name in ("rows", "x", "tile", "w"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(tiles, name))
        wiring.connect(m, wiring.flipped(self.column), reader.column)
        wiring.connect(m, reader.o, wiring.flipped(self.o))
        lent = self._lend(m, platform)
        # Whether what a line shows is a tile's.
        of_tiles = Signal(self.latency)
        m.d.sync += of_tiles.eq(Cat(tiles.o.valid, of_tiles))
        m.d.comb += [
            tiles.go.eq(lent),
            tiles.room.eq(reader.room),
            reader.ends.eq(tiles.ends),
            reader.info.eq(tiles.info),
        ]
        for number, line in enumerate(self._lines):
            m.submodules[f"line{number}"] = share(line, "dot_line", platform)
            m.d.comb += reader.sums[number].eq(line.o.payload.sum)
            self._enter(m, number, line, lent, of_tiles[-1])
        return m

    def _lend(self, m: Module, platform) -> Value:
        """Whether lines are the tiles'. Without items, they are for ever."""
        if not self._items:
            return Const(1)
        lent, within = Signal(), Signal(self._config.lines, name="within_item")
        after = []
        for number in range(self._config.lines):
            beat = getattr(self, f"beat{number}")
            goes_on = ~beat.payload.last | self.goes_on[number]
            after.append(Mux(beat.valid & beat.ready, goes_on, within[number]))
        after = Cat(after)
        m.d.comb += self.calls.eq(self._tiles.waits)
        m.d.sync += [within.eq(after), lent.eq(self._tiles.waits & ~after.any())]
        corner(m, platform, "tile_waits_for_items", self._tiles.waits & ~lent)
        return lent

    def _enter(self, m: Module, number: int, line: DotLine, lent: Value, sums_of_tiles: Value) -> None:
        """Beats to a line: of a tile that has come to it, else its own."""
        tile, beat = self._tiles.o, line.i.payload
        of_tile = tile.valid & tile.payload.active[number]
        b = tile.payload.b[number // half_of(self._config) == 1]
        shared = {"a": tile.payload.a[number], "b": b, **{name: tile.payload[name] for name in ("first", "last")}}
        if not self._items:
            m.d.comb += [line.i.valid.eq(of_tile), *(beat[name].eq(value) for name, value in shared.items())]
            return
        own, total = getattr(self, f"beat{number}"), getattr(self, f"sum{number}")
        # The last beat of a tile enters in a cycle in which its lines are still lent.
        m.d.comb += [
            own.ready.eq(~lent),
            line.i.valid.eq(of_tile | (own.valid & ~lent)),
            beat.tag.eq(own.payload.tag),
            beat.hold.eq(own.payload.hold & ~lent),
            total.valid.eq(line.o.valid & ~sums_of_tiles),
            total.payload.eq(line.o.payload),
        ]
        for name, value in shared.items():
            m.d.comb += Value.cast(beat[name]).eq(Mux(lent, Value.cast(value), Value.cast(own.payload[name])))
