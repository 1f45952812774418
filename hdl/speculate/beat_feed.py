# SPDX-License-Identifier: Apache-2.0
"""Brings the array what streams past the weights: X for Q̂ and K̂, codes of K̂ for the scores.

    x, integers ─► encoder per lane ─┬─► code register ─┐
                                     └─► X store ───────┼─► beat ─► o
    codes of K̂ ──────────────────────────► K̂ store ────┘  └────► tag

X comes from outside once a layer; it is coded as it goes by, and only codes are kept.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.speculate import SpeculationConfig
from hdl.shared import share
from hdl.speculate.encoder import Encoder, code_shape, module_of
from hdl.speculate.layouts import beat_layout
from hdl.speculate.project import progress_layout
from hdl.speculate.socket import settings_layout, token_shape, visit_layout, x_layout
from hdl.speculate.stores import HeadStore
from hdl.speculate.tiles import tile_layout
from hdl.store import Store


def tag_layout(config: SpeculationConfig) -> data.StructLayout:
    """What is known of a beat whose totals come out of the array. `score`, `block`, `round`, `final`: as of its tile.
    `key`, `attend`: of scores, the key and whether it may be attended to; `last`: last beat of its tile."""
    return data.StructLayout(
        {
            "score": 1,
            "block": range(config.blocks),
            "round": range(config.rounds),
            "final": 1,
            "key": token_shape(config),
            "attend": 1,
            "last": 1,
        }
    )


class BeatFeed(wiring.Component):
    """One beat a cycle.

    Members
    -------
    settings: In. tiles: In, stream of `tile_layout`. x: In, stream of `x_layout`, taken once a layer.
    visit: In, stream of `visit_layout`: the keys of LAPA's later rounds, once for each slice of the head.
    write, token, group, codes: In: K̂ is stored. progress: In: of Q̂; scores wait for its first row.
    o: Out, stream of `beat_layout`. tag: Out, `tag_layout`, of the beat that stands at `o`.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        self._keys = HeadStore(config, config.array.system.x)
        code = data.ArrayLayout(code_shape(config.array.system.x), config.lanes)
        self._x = Store(config.tokens * config.width_slices, code)
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "tiles": In(stream.Signature(tile_layout(config))),
                "x": In(stream.Signature(x_layout(config))),
                "visit": In(stream.Signature(visit_layout(config))),
                "write": In(1),
                "token": In(token_shape(config)),
                "group": In(range(config.groups)),
                "codes": In(self._keys.codes.shape()),
                "progress": In(progress_layout(config)),
                "o": Out(stream.Signature(beat_layout(config.array))),
                "tag": Out(tag_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        tile = self.tiles.payload
        issue, index, last = Signal(), Signal(token_shape(self._config)), Signal()
        stands = Signal(tile_layout(self._config), reset_less=True)
        self._choose(m, issue, index, last)
        coded = self._code_x(m, platform)
        self._x_store(m, issue & ~tile.score, index, coded, platform)
        m.submodules.keys = keys = self._keys
        m.d.comb += [
            keys.write.eq(self.write),
            keys.token.eq(self.token),
            keys.group.eq(self.group),
            keys.codes.eq(self.codes),
            keys.read.eq(issue & tile.score),
            keys.read_at.eq(index),
        ]
        fresh = Signal.like(coded, reset_less=True)
        with m.If(issue):
            m.d.sync += stands.eq(tile)
            with m.If(tile.fresh):
                m.d.sync += fresh.eq(coded)
        stored = Mux(stands.fresh, fresh, self._x.stored.as_value())
        m.d.comb += Cat(self.o.payload.code).eq(Mux(stands.score, self._key_codes(stands), stored))
        self._describe(m, issue, index, last, stands)
        return m

    def _choose(self, m: Module, issue: Value, index: Value, last: Value) -> None:
        """Which token's or key's beat is next, and whether it can be sent for."""
        config, tile = self._config, self.tiles.payload
        last_token, last_key = Signal(token_shape(config), reset_less=True), Signal(token_shape(config))
        count = Signal(token_shape(config))
        # Rows of the block are the last keys that it may attend to.
        block_end = Cat(Const(config.rows - 1, config.row_bits), tile.block)
        causal = tile.score & self.settings.causal & (tile.block != last_token[config.row_bits :])
        listed = Signal()
        m.d.sync += last_token.eq(self.settings.tokens - 1)
        m.d.comb += [
            last_key.eq(Mux(causal, block_end, last_token)),
            listed.eq(tile.score & (tile.round != 0)),
            index.eq(Mux(listed, self.visit.payload.key, count)),
            last.eq(Mux(listed, self.visit.payload.last, count == last_key)),
        ]
        source = Signal()
        with m.If(tile.score):
            stored = (self.progress.parity != tile.parity) & (self.progress.rows != 0)
            m.d.comb += source.eq(stored & (~listed | self.visit.valid))
        with m.Else():
            m.d.comb += source.eq(~tile.fresh | self.x.valid)
        advance = ~self.o.valid | self.o.ready
        m.d.comb += [
            issue.eq(self.tiles.valid & source & advance),
            self.x.ready.eq(self.tiles.valid & tile.fresh & advance),
            self.visit.ready.eq(issue & listed),
            self.tiles.ready.eq(issue & last),
        ]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(issue)
        with m.If(issue & ~listed):
            m.d.sync += count.eq(Mux(last, 0, count + 1))

    def _code_x(self, m: Module, platform) -> Value:
        codes = []
        for i, value in enumerate(self.x.payload.value):
            coding = self._config.array.system.x
            encoder = Encoder(coding, OPERAND_BITS)
            m.submodules[f"encoder{i}"] = share(encoder, module_of(coding), platform)
            m.d.comb += encoder.i.eq(value)
            codes.append(Value.cast(encoder.o))
        return Cat(codes)

    def _x_store(self, m: Module, issue: Value, index: Value, coded: Value, platform) -> None:
        """X is written and read in the same order, from word 0 in each pass."""
        tile = self.tiles.payload
        store = self._x
        m.submodules.x_store = share(store, store.name, platform)
        following, at = Signal.like(store.read_at), Signal.like(store.read_at)
        m.d.comb += [
            at.eq(Mux(tile.clear & (index == 0), 0, following)),
            store.write.eq(issue & tile.fresh),
            store.write_at.eq(at),
            store.word.as_value().eq(coded),
            store.read.eq(issue & ~tile.fresh),
            store.read_at.eq(at),
        ]
        with m.If(issue):
            m.d.sync += following.eq(at + 1)

    def _key_codes(self, stands: data.View) -> Value:
        """The slice of the head's codes that the tile wants; in LAPA, the slice of their bits that its round wants."""
        config = self._config
        lanes, bits = config.lanes, config.array.system.x.code_bits
        words = [Value.cast(code) for code in self._keys.stored[0]]
        slices = [Cat(words[s * lanes : (s + 1) * lanes]) for s in range(config.head_slices)]
        codes = slices[0]
        for number, candidate in enumerate(slices[1:], 1):
            codes = Mux(stands.slice == number, candidate, codes)
        if config.method != "lapa":
            return codes
        low, masks = bits, []
        for width in config.slices:
            low -= width
            masks.append(((1 << width) - 1) << low)
        mask = masks[0]
        for number, candidate in enumerate(masks[1:], 1):
            mask = Mux(stands.round == number, candidate, mask)
        return codes & Cat(Value.cast(mask)[:bits].replicate(lanes)) if len(masks) > 1 else codes

    def _describe(self, m: Module, issue: Value, index: Value, last: Value, stands: data.View) -> None:
        tile, x = self.tiles.payload, self.x.payload
        m.submodules.attends = memory = Memory(shape=1, depth=self._config.tokens, init=[])
        write, read = memory.write_port(), memory.read_port()
        end, key = Signal(reset_less=True), Signal(token_shape(self._config), reset_less=True)
        with m.If(issue):
            m.d.sync += [end.eq(last), key.eq(index)]
        m.d.comb += [
            write.en.eq(issue & tile.fresh & tile.clear),
            write.addr.eq(index),
            write.data.eq(x.attend),
            read.en.eq(issue & tile.score),
            read.addr.eq(index),
            *(self.tag[name].eq(stands[name]) for name in ("score", "block", "round", "final")),
            self.tag.attend.eq(read.data),
            self.tag.key.eq(key),
            self.tag.last.eq(end),
            self.o.payload.clear.eq(stands.clear),
            self.o.payload.emit.eq(stands.emit),
            self.o.payload.last.eq(end),
        ]
