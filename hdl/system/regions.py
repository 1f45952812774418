# SPDX-License-Identifier: Apache-2.0
"""A bank of a region of activations: who asks for a word of it, and what comes.

asks, at ─► fair choice ─┬─► register ───────────────────┬─► memory ─► word
                         └─► CONTEXT: references ─► row ─┘
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.cover import corner
from hdl.execute.query_feed import FairChoice
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.store import Store
from hdl.system.layouts import Region, token_shape, word_layout


def words_of(config: SystemConfig, region: Region) -> int:
    """Of a row."""
    return {Region.INPUT: config.width_words, Region.CONTEXT: config.heads, Region.HIDDEN: config.ffn_words}[region]


def banks_of(config: SystemConfig, region: Region) -> int:
    """Two, for even and for odd words, where a row has both."""
    return min(words_of(config, region), 2)


def places_of(config: SystemConfig, region: Region) -> int:
    """Words of a row in a bank."""
    return -(-words_of(config, region) // banks_of(config, region))


def place_layout(config: SystemConfig, region: Region) -> data.StructLayout:
    """Where a word lies in its bank."""
    return data.StructLayout({"token": token_shape(config), "word": range(places_of(config, region))})


def in_bank(config: SystemConfig, region: Region, word: Value) -> tuple[Value | int, Value]:
    """The bank that a word of a row lies in, and its number there."""
    word = word[: (words_of(config, region) - 1).bit_length()]
    return (word[0], word[1:]) if banks_of(config, region) > 1 else (0, word)


class Bank(wiring.Component):
    """A memory of words of a region, one of which is read in a cycle.

    Parameters
    ----------
    config: `SystemConfig`; region: `Region`. readers: how many ask.

    Members
    -------
    asks: In, readers; at: In, `place_layout` for each of them. chosen: Out, readers, combinational, one bit set if
    anyone asks: whose word is read; whoever asks gets one before another one has had two.
    came: Out, readers: `chosen` of `latency` cycles ago; stored: Out: that word.
    write: In, a bit for each part of a word that is to be stored; write_at: In, `place_layout`; word: In. INPUT has
    lanes/values parts, the others one.
    CONTEXT: what is read at a place is the word of the row that this one refers to. refer: In, 1; refer_at: In,
    `place_layout`; reference: In: that row. Where tokens may be dropped, nothing: In, 1: it is 0 instead.

    What is written, or referred to, in a cycle is read by whoever is chosen in a later one.
    """

    latency = 2

    def __init__(self, config: SystemConfig, region: Region, readers: int):
        self._config, self._region, self._readers = config, region, readers
        self._parts = config.lanes // config.values if region == Region.INPUT else 1
        place, token = place_layout(config, region), token_shape(config)
        refers = {"refer": In(1), "refer_at": In(place), "reference": In(token)} if region == Region.CONTEXT else {}
        self._voids = region == Region.CONTEXT and config.speculation.prunes
        if self._voids:
            refers["nothing"] = In(1)
        super().__init__(
            {
                "asks": In(readers),
                "at": In(place).array(readers),
                "chosen": Out(readers),
                "came": Out(readers),
                "stored": Out(word_layout(config)),
                "write": In(self._parts),
                "write_at": In(place),
                "word": In(word_layout(config)),
                **refers,
            }
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return f"{self._region.name.lower()}_bank"

    def elaborate(self, platform):
        m = Module()
        config, layout = self._config, place_layout(self._config, self._region)
        # Tokens are a power of two, and lie below the word's number: no place between them is empty.
        depth = places_of(config, self._region) * config.tokens
        choice, store = FairChoice(self._readers), Store(depth, word_layout(config), self._parts)
        m.submodules.choice = share(choice, choice.name, platform)
        m.submodules.store = share(store, store.name, platform)
        chosen, place, read_at = Signal(self._readers), Signal(layout), Signal(layout, reset_less=True)
        m.d.comb += [
            choice.asks.eq(self.asks),
            self.chosen.eq(choice.chosen),
            place.as_value().eq(one_of(choice.chosen, [Value.cast(at) for at in self.at])),
            store.write.eq(self.write),
            store.write_at.eq(self.write_at),
            store.word.eq(self.word),
            store.read.eq(chosen.any()),
            store.read_at.eq(read_at),
            self.stored.eq(store.stored),
        ]
        m.d.sync += [chosen.eq(choice.chosen), self.came.eq(chosen)]
        with m.If(choice.chosen.any()):
            m.d.sync += read_at.eq(place)
        if self._region == Region.CONTEXT:
            m.d.comb += store.read_at.eq(Cat(self._referred(m, depth, choice, place, platform), read_at.word))
        corner(m, platform, f"{self.name}_is_asked_twice", (self.asks & ~self.chosen).any())
        return m

    def _referred(self, m: Module, depth: int, choice: FairChoice, place: data.View, platform) -> Value:
        """The row that the place refers to, in the next cycle."""
        layout = data.StructLayout({"row": token_shape(self._config), **({"nothing": 1} if self._voids else {})})
        references = Store(depth, layout)
        m.submodules.references = share(references, references.name, platform)
        m.d.comb += [
            references.write.eq(self.refer),
            references.write_at.eq(self.refer_at),
            references.word.row.eq(self.reference),
            references.read.eq(choice.chosen.any()),
            references.read_at.eq(place),
        ]
        if self._voids:
            # Known as the row is asked for, told with its word.
            blank = Signal()
            m.d.comb += references.word.nothing.eq(self.nothing)
            m.d.sync += blank.eq(references.stored.nothing)
            with m.If(blank):
                m.d.comb += self.stored.as_value().eq(0)
        return references.stored.row
