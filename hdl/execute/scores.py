# SPDX-License-Identifier: Apache-2.0
"""Scores of kept pairs: items in, Q·K of each of their keys out, a score a cycle for each line.

i ─► Gather ─┬─ rows of K ────────────────────────┬─► dot line 0 ─► o[0]
             │ first of an item                   ├─► dot line 1 ─► o[1]
             ▼                                    ├─► …
         QueryFeed ─ row of Q, held for its item ─┘
             ▲
queries ─────┘
"""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import signed_bits
from config.errors import require
from config.formats import OPERAND_BITS
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.banks import write_layout
from hdl.execute.dot_array import DotArray
from hdl.execute.dot_line import DotLine, untimed
from hdl.execute.gather import Gather
from hdl.execute.items import item_layout
from hdl.execute.query_feed import QueryFeed, query_layout
from hdl.shared import share

TILE_PORTS = ("rows", "x", "tile", "w", "column")
"""Of a `DotArray`, what its tiles come with."""


def score_bits(lanes: int) -> int:
    """Of a dot product of `lanes` pairs of int8, signed."""
    return signed_bits(lanes << 2 * (OPERAND_BITS - 1))


def pair_layout(config: ItemsConfig) -> data.StructLayout:
    """Whose score it is; `first`, `last` of its item."""
    return data.StructLayout(
        {
            "head": range(config.heads),
            "row": range(config.tokens),
            "key": range(config.tokens),
            "first": 1,
            "last": 1,
        }
    )


def score_layout(config: ItemsConfig) -> data.StructLayout:
    """A score, and whose it is."""
    return data.StructLayout({"score": signed(score_bits(config.lanes)), **pair_layout(config).members})


class Scores(wiring.Component):
    """Scores of the kept pairs of items; golden: Q·K.

    Parameters
    ----------
    items: `ItemsConfig`; arrays: `PeArraysConfig`, of as many `lines` and `lanes`. stores: copies of Q, as of
    `QueryFeed`. tiles: the lines are those of a `DotArray`, which works on dense tiles as well. looks: there are
    `look_keys` and `look_queries`. Raises `Refusal` if items and arrays do not go together.

    Members
    -------
    i, enable, write: In; given, items, advance: Out, as those of `Gather`: rows of K in its banks. queries: In, stream
    of `query_layout(items)`, always taken: rows of Q, there before an item of theirs may go to a line.
    opens: In, lines: further reasons why a line may not begin with its next item, as of `Gather`.
    o: Out, for each line, `untimed(score_layout(items))`: a score `latency` cycles behind its row of K. An item's
    scores come without those of others between them, in any order. Whoever lets an item begin has room for them.
    rows, x, tile, w, column: In; results: Out: as those of `DotArray`, and its `o`, with `tiles`. No item begins while
    a tile waits or is under way.
    look_keys, look_queries: In, `look_signature(items)`: rows of K, and of Q; only while no line has an item.
    """

    def __init__(
        self,
        items: ItemsConfig,
        arrays: PeArraysConfig,
        *,
        stores: int = 1,
        tiles: bool = False,
        looks: bool = False,
    ):
        for name in ("lines", "lanes"):
            there, wanted = getattr(arrays, name), getattr(items, name)
            require(
                there == wanted,
                f"{name} of the array must be the {wanted} of the items, not {there}; make them equal.",
            )
        self._config = items
        self._gather, self._feed = Gather(items, looks=looks), QueryFeed(items, stores=stores, looks=looks)
        self._looks = {"look_keys": self._gather, "look_queries": self._feed} if looks else {}
        tag_bits = data.Layout.cast(pair_layout(items)).size
        self._array = DotArray(arrays, tag_bits=tag_bits) if tiles else None
        self._lines = [] if tiles else [DotLine(arrays, tag_bits=tag_bits) for _ in range(items.lines)]
        ports = self._array.signature.members if self._array else {}
        super().__init__(
            {
                "i": In(stream.Signature(item_layout(items))),
                "enable": In(1),
                "write": In(stream.Signature(write_layout(items))),
                "queries": In(stream.Signature(query_layout(items))),
                "opens": In(items.lines),
                "given": Out(items.lines),
                "items": Out(item_layout(items)).array(items.queues),
                "advance": Out(1),
                "o": Out(untimed(score_layout(items))).array(items.lines),
                **({name: ports[name] for name in TILE_PORTS} | {"results": ports["o"]} if tiles else {}),
                **{name: of.signature.members["look"] for name, of in self._looks.items()},
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row of K to its score."""
        return (self._array or self._lines[0]).latency

    def elaborate(self, platform):
        m = Module()
        gather, feed, array = self._gather, self._feed, self._array
        m.submodules.gather = share(gather, "gather", platform)
        m.submodules.feed = share(feed, "query_feed", platform)
        for name in ("i", "write"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(gather, name))
        wiring.connect(m, wiring.flipped(self.queries), feed.write)
        for name, of in self._looks.items():
            wiring.connect(m, wiring.flipped(getattr(self, name)), of.look)
        calls = array.calls if array else Const(0)
        m.d.comb += [
            gather.enable.eq(self.enable),
            gather.opens.eq(self.opens & feed.there & ~calls.replicate(self._config.lines)),
            feed.given.eq(gather.given),
            feed.advance.eq(gather.advance),
            self.given.eq(gather.given),
            self.advance.eq(gather.advance),
        ]
        for number, item in enumerate(gather.items):
            m.d.comb += [feed.items[number].eq(item), self.items[number].eq(item)]
        if array:
            self._connect(m, array, platform)
        for number, line in enumerate(self._lines):
            m.submodules[f"line{number}"] = share(line, "dot_line", platform)
            m.d.comb += self._score(number, line.i, Const(1), line.o)
        return m

    def _connect(self, m: Module, array: DotArray, platform) -> None:
        m.submodules.array = share(array, "dot_array", platform)
        for name in TILE_PORTS:
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(array, name))
        wiring.connect(m, array.o, wiring.flipped(self.results))
        m.d.comb += array.goes_on.eq(Cat(~o.payload.last for o in self._gather.o))
        for number in range(self._config.lines):
            beat, total = getattr(array, f"beat{number}"), getattr(array, f"sum{number}")
            m.d.comb += self._score(number, beat, beat.ready, total)

    def _score(self, number: int, given, ready: Value, total) -> list:
        """A row of K, and with the first one of an item its row of Q, to a line; its sum is a score."""
        row, beat, o = self._gather.o[number], given.payload, self.o[number]
        pair = pair_layout(self._config)
        whose = Signal(pair, name=f"whose{number}")
        return [
            row.ready.eq(ready),
            self._feed.begins[number].eq(row.valid & ready & row.payload.first),
            given.valid.eq(row.valid),
            Cat(*beat.a).eq(self._feed.a[number].as_value()),
            Cat(*beat.b).eq(row.payload.b.as_value()),
            beat.hold.eq(~row.payload.first),
            beat.first.eq(1),
            beat.last.eq(1),
            beat.tag.eq(Cat(row.payload[name] for name in pair.members)),
            whose.as_value().eq(total.payload.tag),
            o.valid.eq(total.valid),
            o.payload.score.eq(total.payload.sum),
            *(o.payload[name].eq(whose[name]) for name in pair.members),
        ]
