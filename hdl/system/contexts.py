# SPDX-License-Identifier: Apache-2.0
"""Contexts of all lines as words: a line's groups become a word, and the lines' words leave one by one.

context 0 ─► two words of line 0 ─┐
context 1 ─► two words of line 1 ─┼─ fair choice ─► row, head, word
…         ─► …                   ─┘
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.system import SystemConfig
from hdl.cover import corner
from hdl.execute.query_feed import FairChoice
from hdl.execute.scaler import results_layout
from hdl.execute.values import name_bits
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.store import Store
from hdl.system.layouts import token_shape, word_layout

PLACES = 2
"""Words of a line: one that comes, one that waits for its turn."""


def context_layout(config: SystemConfig) -> data.StructLayout:
    """A group of a line's context: the tag is `last`, and above it row and head."""
    items, arrays = config.attention.items, config.attention.arrays
    return results_layout(arrays, OPERAND_BITS, name_bits(items) + 1)


def name_layout(config: SystemConfig) -> data.StructLayout:
    """Whose context it is."""
    return data.StructLayout({"row": token_shape(config), "head": range(config.heads)})


class LineWords(wiring.Component):
    """Puts the groups of a line's contexts together.

    Parameters
    ----------
    config: `SystemConfig`.

    Members
    -------
    i: In, stream of `context_layout(config)`: `groups` beats a context; waits while both places are whole.
    asks: Out, 1: a context is whole. take: In, 1, in the cycle behind one in which it asks: it leaves; name, word: Out,
    whose, and what, in the next cycle.
    A beat a cycle, and contexts without a pause if one is taken as often as one comes.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(context_layout(config))),
                "asks": Out(1),
                "take": In(1),
                "name": Out(name_layout(config)),
                "word": Out(word_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        arrays, given = self._config.attention.arrays, self.i.payload
        groups = arrays.groups
        words = Store(PLACES, data.ArrayLayout(arrays.scalers * OPERAND_BITS, groups), parts=groups)
        names = Store(PLACES, name_layout(self._config))
        m.submodules.words = share(words, words.name, platform)
        m.submodules.names = share(names, names.name, platform)
        there, write_at, read_at = Signal(range(PLACES + 1)), Signal(range(PLACES)), Signal(range(PLACES))
        group, comes, ends = Signal(groups, init=1), Signal(), Signal()
        m.d.comb += [
            self.asks.eq((there == PLACES) | ((there != 0) & ~self.take)),
            self.i.ready.eq(there != PLACES),
            comes.eq(self.i.valid & self.i.ready),
            ends.eq(comes & group[-1]),
            words.write.eq(group & comes.replicate(groups)),
            words.word.as_value().eq(given.values.as_value().replicate(groups)),
            names.write.eq(ends),
            names.word.as_value().eq(given.tag[1:]),
            self.word.as_value().eq(words.stored.as_value()),
            self.name.eq(names.stored),
        ]
        for store in (words, names):
            m.d.comb += [store.write_at.eq(write_at), store.read.eq(self.take), store.read_at.eq(read_at)]
        with m.If(comes):
            m.d.sync += group.eq(group.rotate_left(1) if groups > 1 else group)
        m.d.sync += [there.eq(there + ends - self.take), write_at.eq(write_at ^ ends), read_at.eq(read_at ^ self.take)]
        return m


class Contexts(wiring.Component):
    """Words of all lines, a word a cycle.

    Parameters: `config`, `SystemConfig`.

    Members
    -------
    context0, …: In, of each line, as that of `LineWords`.
    write: Out, 1; name, word: Out: a context, taken in this cycle. Whoever waits gets its turn before another one has
    had two.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        self._lines = [LineWords(config) for _ in range(config.attention.arrays.lines)]
        layout = context_layout(config)
        super().__init__(
            {
                **{f"context{n}": In(stream.Signature(layout)) for n in range(len(self._lines))},
                "write": Out(1),
                "name": Out(name_layout(config)),
                "word": Out(word_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lines = self._lines
        choice, taken, shown = FairChoice(len(lines)), Signal(len(lines)), Signal(len(lines))
        m.submodules.choice = share(choice, choice.name, platform)
        for number, line in enumerate(lines):
            m.submodules[f"line{number}"] = share(line, "context_line_words", platform)
            wiring.connect(m, wiring.flipped(getattr(self, f"context{number}")), line.i)
            m.d.comb += line.take.eq(taken[number])
        m.d.sync += [taken.eq(choice.chosen), shown.eq(taken)]
        m.d.comb += [
            choice.asks.eq(Cat(line.asks for line in lines)),
            self.write.eq(shown.any()),
            self.name.as_value().eq(one_of(shown, [Value.cast(line.name) for line in lines])),
            self.word.as_value().eq(one_of(shown, [Value.cast(line.word) for line in lines])),
        ]
        corner(m, platform, "contexts_wait", (choice.asks & ~choice.chosen).any())
        corner(m, platform, "line_waits", Cat(~line.i.ready for line in lines).any())
        return m
