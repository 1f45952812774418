# SPDX-License-Identifier: Apache-2.0
"""The activations of a layer on chip: who writes them, who reads them.

input ──────────► INPUT, two banks ───┐
contexts ─► word ─► CONTEXT, two ─────┼─ choice of each bank ─► queue of each reader ─► fetched
references ──────► … of rows ─────────┤     ▲
hidden 0, 1 ────► HIDDEN, two banks ──┘     └─ fetch, while the queue has places
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.system import SystemConfig
from hdl.cover import corner
from hdl.execute.query_feed import FairChoice
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.system.contexts import Contexts, context_layout, name_layout
from hdl.system.layouts import Region, fetch_layout, hidden_layout, part_layout, reference_layout, word_layout
from hdl.system.queues import WordQueue
from hdl.system.regions import Bank, banks_of, in_bank


def told_layout(config: SystemConfig) -> data.StructLayout:
    """A context in this cycle (`valid`), whose, and what."""
    return data.StructLayout({"valid": 1, "name": name_layout(config), "word": word_layout(config)})


READERS = {
    0: (Region.INPUT, Region.CONTEXT, Region.HIDDEN),
    1: (Region.INPUT, Region.CONTEXT, Region.HIDDEN),
    2: (Region.INPUT,),
}
"""Which regions each reads: both dense engines, the speculation unit."""
WRITERS = 2
"""Of HIDDEN: one beside each array."""
PLACES = 5
"""Words that a reader may have asked for and not taken: from the choice of one until its place is free again."""


class Activations(wiring.Component):
    """Rows of int8 of all tokens: what is generated from, the heads' contexts, the FFN's hidden values.

    Parameters
    ----------
    config: `SystemConfig`.

    Members
    -------
    start: In, 1: contexts are counted anew from the next cycle on. contexts: Out, how many have been written since.
    input: In, stream of `part_layout(config)`, always taken: `Region.INPUT`.
    context0, …: In, of each line, stream of `context_layout(config)`, `groups` beats a context: `Region.CONTEXT`, word
    `head`; a context a cycle of all lines together. references: In, stream of `reference_layout(config)`, always taken.
    hidden0, hidden1: In, streams of `hidden_layout(config)`: `Region.HIDDEN`; each a word a cycle, of different banks.
    fetch0, fetch1, fetch2: In, streams of `fetch_layout(config)`; fetched0, …: Out, of `word_layout(config)`, in order.
    Readers 0 and 1 read any region, reader 2 `Region.INPUT` only. A word of `Region.CONTEXT` is that of the row that
    the token's row of this head refers to.

    Even and odd words of a row lie in two banks, and each bank gives a word a cycle: one to each of two readers if
    these ask for words of different banks, as they do from the second cycle on when both go through rows word by word.
    The first word comes `latency` cycles behind its fetch. A reader that does not take its words has `PLACES` of them
    waiting and asks for no more; others do not wait for it. What a fetch asks for was written before: it was taken in
    an earlier cycle than the fetch, contexts counted. No `valid` depends on a `ready`.
    context_told: Out, `told_layout(config)`, where tokens may be dropped: each context, as it is written.
    """

    latency = Bank.latency + 2

    def __init__(self, config: SystemConfig):
        self._config = config
        self._banks = {
            region: [
                Bank(config, region, sum(region in regions for regions in READERS.values()))
                for _ in range(banks_of(config, region))
            ]
            for region in Region
        }
        lines, layout = range(config.attention.arrays.lines), context_layout(config)
        ins = {"input": part_layout, "references": reference_layout}
        ins |= {f"hidden{n}": hidden_layout for n in range(WRITERS)} | {f"fetch{n}": fetch_layout for n in READERS}
        super().__init__(
            {
                "start": In(1),
                "contexts": Out(range(config.heads * config.tokens + 1)),
                **{name: In(stream.Signature(layout_of(config))) for name, layout_of in ins.items()},
                **{f"context{n}": In(stream.Signature(layout)) for n in lines},
                **{f"fetched{n}": Out(stream.Signature(word_layout(config))) for n in READERS},
                **({"context_told": Out(told_layout(config))} if config.speculation.prunes else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for region, banks in self._banks.items():
            for number, bank in enumerate(banks):
                m.submodules[f"{region.name.lower()}{number}"] = share(bank, bank.name, platform)
        self._write_input(m)
        self._write_contexts(m, platform)
        self._write_hidden(m, platform)
        for reader in READERS:
            self._read(m, reader, platform)
        return m

    def _write_input(self, m: Module) -> None:
        """A part of a word."""
        config, part = self._config, self.input.payload
        parts = config.lanes // config.values
        # Lanes are a power of two, and so are the parts of a word.
        within = exact_log2(parts)
        which = Cat(part.beat[:within] == number for number in range(parts))
        place_bank, place = in_bank(config, Region.INPUT, part.beat[within:])
        m.d.comb += self.input.ready.eq(1)
        for number, bank in enumerate(self._banks[Region.INPUT]):
            m.d.comb += [
                bank.write.eq(which & (self.input.valid & (place_bank == number)).replicate(parts)),
                bank.write_at.token.eq(part.token),
                bank.write_at.word.eq(place),
                bank.word.as_value().eq(part.values.as_value().replicate(parts)),
            ]

    def _write_contexts(self, m: Module, platform) -> None:
        config, refers = self._config, self.references.payload
        contexts = Contexts(config)
        m.submodules.contexts = share(contexts, "contexts", platform)
        for number in range(config.attention.arrays.lines):
            name = f"context{number}"
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(contexts, name))
        m.d.comb += self.references.ready.eq(1)
        if config.speculation.prunes:
            told = self.context_told
            m.d.comb += [told.valid.eq(contexts.write), told.name.eq(contexts.name), told.word.eq(contexts.word)]
        to_bank, place = in_bank(config, Region.CONTEXT, contexts.name.head)
        of_bank, its_place = in_bank(config, Region.CONTEXT, refers.head)
        for number, bank in enumerate(self._banks[Region.CONTEXT]):
            m.d.comb += [
                bank.write.eq(contexts.write & (to_bank == number)),
                bank.write_at.token.eq(contexts.name.row),
                bank.write_at.word.eq(place),
                bank.word.eq(contexts.word),
                bank.refer.eq(self.references.valid & (of_bank == number)),
                bank.refer_at.token.eq(refers.row),
                bank.refer_at.word.eq(its_place),
                bank.reference.eq(refers.reference),
                *([bank.nothing.eq(refers.nothing)] if config.speculation.prunes else []),
            ]
        written = Signal()
        m.d.sync += written.eq(contexts.write & ~self.start)
        with m.If(self.start):
            m.d.sync += self.contexts.eq(0)
        with m.Elif(written):
            m.d.sync += self.contexts.eq(self.contexts + 1)

    def _write_hidden(self, m: Module, platform) -> None:
        """A word into each bank; who writes, if both want to, in turn."""
        config = self._config
        streams = [getattr(self, f"hidden{n}") for n in range(WRITERS)]
        places = [in_bank(config, Region.HIDDEN, each.payload.index) for each in streams]
        granted = []
        for number, bank in enumerate(self._banks[Region.HIDDEN]):
            choice = FairChoice(WRITERS)
            m.submodules[f"hidden_choice{number}"] = share(choice, choice.name, platform)
            asks = [each.valid & (to == number) for each, (to, _) in zip(streams, places, strict=True)]
            at = [Cat(each.payload.token, place) for each, (_, place) in zip(streams, places, strict=True)]
            m.d.comb += [
                choice.asks.eq(Cat(asks)),
                bank.write.eq(choice.asks.any()),
                bank.write_at.as_value().eq(one_of(choice.chosen, at)),
                bank.word.as_value().eq(one_of(choice.chosen, [Value.cast(each.payload.word) for each in streams])),
            ]
            granted.append(choice.chosen)
        for n, each in enumerate(streams):
            m.d.comb += each.ready.eq(Cat(chosen[n] for chosen in granted).any())
        corner(m, platform, "hidden_words_meet", Cat(each.valid & ~each.ready for each in streams).any())

    def _read(self, m: Module, reader: int, platform) -> None:
        """What the reader asks for, of the bank that has it, while there is a place for it; what comes into its queue.
        Readers of few regions are the last ones, so a reader has the same number in each of its banks."""
        config, fetch, fetched = self._config, getattr(self, f"fetch{reader}"), getattr(self, f"fetched{reader}")
        # One more stands at its output.
        queue = WordQueue(PLACES - 1, word_layout(config))
        m.submodules[f"queue{reader}"] = share(queue, queue.name, platform)
        # `some`: there is a free place, known without looking at how many.
        free, some = Signal(range(PLACES + 1), init=PLACES), Signal(init=1)
        may, comes, leaves = Signal(), Signal(), Signal()
        chosen, came, words = [], [], []
        for region in READERS[reader]:
            to, place = in_bank(config, region, fetch.payload.word)
            for number, bank in enumerate(self._banks[region]):
                m.d.comb += [
                    bank.asks[reader].eq(may & (fetch.payload.region == region) & (to == number)),
                    bank.at[reader].token.eq(fetch.payload.token),
                    bank.at[reader].word.eq(place),
                ]
                chosen.append(bank.chosen[reader])
                came.append(bank.came[reader])
                words.append(Value.cast(bank.stored))
        m.d.comb += [
            may.eq(fetch.valid & some),
            comes.eq(Cat(chosen).any()),
            leaves.eq(fetched.valid & fetched.ready),
            fetch.ready.eq(comes),
            queue.i.valid.eq(Cat(came).any()),
            queue.i.payload.as_value().eq(one_of(Cat(came), words)),
        ]
        wiring.connect(m, queue.o, wiring.flipped(fetched))
        with m.If(comes & ~leaves):
            m.d.sync += [free.eq(free - 1), some.eq(free != 1)]
        with m.If(leaves & ~comes):
            m.d.sync += [free.eq(free + 1), some.eq(1)]
        corner(m, platform, f"reader{reader}_has_no_place", fetch.valid & ~some)
