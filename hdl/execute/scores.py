# SPDX-License-Identifier: Apache-2.0
"""Scores of kept pairs: items in, Q·K of each of their keys out, a score a cycle for each line.

i ─► Gather ─┬─ rows of K ────────────────────────┬─► dot line 0 ─► o[0]
             │ first of an item                   ├─► dot line 1 ─► o[1]
             ▼                                    ├─► …
         QueryFeed ─ row of Q, held for its item ─┘
             ▲
queries ─────┘
"""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import signed_bits
from config.errors import require
from config.formats import OPERAND_BITS
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.banks import write_layout
from hdl.execute.dot_line import DotLine, untimed
from hdl.execute.gather import Gather
from hdl.execute.items import item_layout
from hdl.execute.query_feed import QueryFeed, query_layout
from hdl.shared import share


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
    `QueryFeed`. Raises `Refusal` if they do not go together.

    Members
    -------
    i, enable, write: In; given, items, advance: Out, as those of `Gather`: rows of K in its banks. queries: In, stream
    of `query_layout(items)`, always taken: rows of Q, there before an item of theirs may go to a line.
    opens: In, lines: further reasons why a line may not begin with its next item, as of `Gather`.
    o: Out, for each line, `untimed(score_layout(items))`: a score `latency` cycles behind its row of K. An item's
    scores come without those of others between them, in any order. Whoever lets an item begin has room for them.
    """

    def __init__(self, items: ItemsConfig, arrays: PeArraysConfig, *, stores: int = 1):
        for name in ("lines", "lanes"):
            there, wanted = getattr(arrays, name), getattr(items, name)
            require(
                there == wanted,
                f"{name} of the array must be the {wanted} of the items, not {there}; make them equal.",
            )
        self._config = items
        self._gather, self._feed = Gather(items), QueryFeed(items, stores=stores)
        tag_bits = data.Layout.cast(pair_layout(items)).size
        self._lines = [DotLine(arrays, tag_bits=tag_bits) for _ in range(items.lines)]
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
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row of K to its score."""
        return self._lines[0].latency

    def elaborate(self, platform):
        m = Module()
        gather, feed = self._gather, self._feed
        m.submodules.gather = share(gather, "gather", platform)
        m.submodules.feed = share(feed, "query_feed", platform)
        for name in ("i", "write"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(gather, name))
        wiring.connect(m, wiring.flipped(self.queries), feed.write)
        m.d.comb += [
            gather.enable.eq(self.enable),
            gather.opens.eq(self.opens & feed.there),
            feed.given.eq(gather.given),
            feed.advance.eq(gather.advance),
            self.given.eq(gather.given),
            self.advance.eq(gather.advance),
        ]
        for number, item in enumerate(gather.items):
            m.d.comb += [feed.items[number].eq(item), self.items[number].eq(item)]
        for number, line in enumerate(self._lines):
            m.submodules[f"line{number}"] = share(line, "dot_line", platform)
            self._score(m, number, line)
        return m

    def _score(self, m: Module, number: int, line: DotLine) -> None:
        """A row of K, and with the first one of an item its row of Q."""
        row, beat, o = self._gather.o[number], line.i.payload, self.o[number]
        pair = pair_layout(self._config)
        m.d.comb += [
            row.ready.eq(1),
            self._feed.begins[number].eq(row.valid & row.payload.first),
            line.i.valid.eq(row.valid),
            Cat(*beat.a).eq(self._feed.a[number].as_value()),
            Cat(*beat.b).eq(row.payload.b.as_value()),
            beat.hold.eq(~row.payload.first),
            beat.first.eq(1),
            beat.last.eq(1),
            beat.tag.eq(Cat(row.payload[name] for name in pair.members)),
        ]
        whose = Signal(pair, name=f"whose{number}")
        m.d.comb += [
            whose.as_value().eq(line.o.payload.tag),
            o.valid.eq(line.o.valid),
            o.payload.score.eq(line.o.payload.sum),
            *(o.payload[name].eq(whose[name]) for name in pair.members),
        ]
