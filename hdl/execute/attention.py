# SPDX-License-Identifier: Apache-2.0
"""Attention over kept keys: items in, contexts out; two arrays with softmax between them.

i ─► Scores ─── scores of line n ───► Values ─── codes, rows of V of line n ───► PeArray ─► context n
     ▲    ▲ └── given, count ───────►   ▲ ▲ └──── scale n ─────────────────────►
  queries keys ◄──── opens ──────────┘  │ values
                                     settings
"""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.attention import AttentionConfig
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.banks import write_layout
from hdl.execute.dot_line import untimed
from hdl.execute.items import item_layout
from hdl.execute.line_powers import settings_layout
from hdl.execute.pe_array import PeArray
from hdl.execute.query_feed import query_layout
from hdl.execute.scores import TILE_PORTS, Scores
from hdl.execute.values import Values, name_bits
from hdl.shared import share


class Attention(wiring.Component):
    """Contexts of the critical rows of a plan: golden.execute.softmax of Q·K over each row's kept keys, and times V.

    Parameters
    ----------
    items: `ItemsConfig` of one chunk. arrays: of both arrays. stores, tiles, looks: as of `Scores`; words, entries,
    tells: as of `Values`.
    Raises `Refusal` as those do.

    Members
    -------
    i: In, stream of `item_layout(items)`. enable: In, 1: items may go to the lines that score.
    keys, values: In, streams of `write_layout(items)`, queries: In, stream of `query_layout(items)`: rows of K, V and
    Q, always taken. settings: In, `untimed(settings_layout(items))`. All there before an item that needs them is
    enabled; of heads h ± sets in one place, the earlier one's contexts must have come.
    multiply: In, 1: items may go on to the array that multiplies with V. busy: Out, 1: some have, and have beats to
    come. rows, x, tile, w, column: In, o: Out: that array's, for dense tiles at any time, which go first.
    score_rows, score_x, score_tile, score_w, score_column: In, score_results: Out, with `tiles`: likewise those of the
    array that scores.
    look_keys, look_queries: In, with `looks`: as those of `Scores`, only while no item is under way.
    last_chunk: In, told0, …: Out, with `tells`: as those of `Values`.
    context0, …: Out, of each line, stream of `results_layout` of int8: `groups` beats an item, lane 0 first, with
    `last`, and as tag the item's row, and above it its head.

    An item is given to one of the lines that score; the line of V of the same number has it next. Both take a key a
    cycle; contexts that are not taken stop all lines of V, and in the end those that score.
    """

    def __init__(
        self,
        items: ItemsConfig,
        arrays: PeArraysConfig,
        *,
        stores: int = 1,
        tiles: bool = False,
        looks: bool = False,
        tells: bool = False,
        words: int | None = None,
        entries: int = 4,
    ):
        self._config = items
        self._scores = Scores(items, arrays, stores=stores, tiles=tiles, looks=looks)
        self._values = Values(items, arrays, words=words, entries=entries, tells=tells)
        self._array = PeArray(arrays, tag_bits=name_bits(items))
        # Ports of both arrays that go through as they are: of ours, whose they are, which one.
        self._passed = {name: (self._array, name) for name in (*TILE_PORTS, "o")}
        if tiles:
            self._passed |= {f"score_{name}": (self._scores, name) for name in (*TILE_PORTS, "results")}
        if looks:
            self._passed |= {name: (self._scores, name) for name in ("look_keys", "look_queries")}
        if tells:
            self._passed |= {f"told{n}": (self._values, f"told{n}") for n in range(items.lines)}
        passed = {name: of.signature.members[theirs] for name, (of, theirs) in self._passed.items()}
        contexts = [f"context{n}" for n in range(items.lines)]
        super().__init__(
            {
                "i": In(stream.Signature(item_layout(items))),
                "enable": In(1),
                "keys": In(stream.Signature(write_layout(items))),
                "values": In(stream.Signature(write_layout(items))),
                "queries": In(stream.Signature(query_layout(items))),
                "settings": In(untimed(settings_layout(items))),
                "multiply": In(1),
                "busy": Out(1),
                **passed,
                **{name: self._array.signature.members[name] for name in contexts},
                **({"last_chunk": self._values.signature.members["last_chunk"]} if tells else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        scores, values, array = self._scores, self._values, self._array
        m.submodules.scores = share(scores, "scores", platform)
        m.submodules.values = share(values, "values", platform)
        m.submodules.array = share(array, "pe_array", platform)
        for mine, theirs in (
            (self.i, scores.i),
            (self.keys, scores.write),
            (self.queries, scores.queries),
            (self.values, values.write),
            (self.settings, values.settings),
            *((getattr(self, name), getattr(of, theirs)) for name, (of, theirs) in self._passed.items()),
        ):
            wiring.connect(m, wiring.flipped(mine), theirs)
        m.d.comb += [
            scores.enable.eq(self.enable),
            scores.opens.eq(values.opens),
            values.given.eq(scores.given & scores.advance.replicate(self._config.lines)),
            # A tile waits for the beats of all items that have begun, and no other one begins.
            values.enable.eq(self.multiply & ~array.calls),
            array.hold.eq(values.busy),
            self.busy.eq(values.busy),
        ]
        if "last_chunk" in self.signature.members:
            m.d.comb += values.last_chunk.eq(self.last_chunk)
        for number in range(self._config.lines):
            m.d.comb += values.count[number].eq(scores.items[number // self._config.group].count)
            wiring.connect(m, scores.o[number], values.scores[number])
            for name in (f"item{number}", f"scale{number}"):
                wiring.connect(m, getattr(values, name), getattr(array, name))
            context = f"context{number}"
            wiring.connect(m, getattr(array, context), wiring.flipped(getattr(self, context)))
        return m


def attention_of(config: AttentionConfig, *, looks: bool = False, tells: bool = False) -> Attention:
    """The unit of a configuration: both of its arrays work on tiles as well."""
    return Attention(config.items, config.arrays, stores=config.stores, tiles=True, looks=looks, tells=tells)
