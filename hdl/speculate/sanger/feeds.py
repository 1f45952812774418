# SPDX-License-Identifier: Apache-2.0
"""Bring the array its operands, cut to 4 bits as they come in: queries stay in it, keys stream past them.

q ─► encoder per lane ─► blocks of rows, two of them ───────► `load` rows a cycle ─► the array's weights
k ─► encoder per lane ─► heads, two of them; attend ────────► a key a cycle ───────► the array's beats, their tags

A block of queries is done with when the array has it; keys are read once for each block of queries, and each is done
with as the head's last block passes.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.sanger import SangerConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.encoder import Encoder, code_shape, module_of
from hdl.speculate.layouts import beat_layout, weights_layout
from hdl.speculate.sanger.layouts import key_layout, query_layout, score_tag_layout, settings_layout
from hdl.speculate.socket import token_shape
from hdl.store import Store

BUFFERS = 2
"""Blocks of queries, and heads of keys: one fills while the other is used."""


def encoded(m: Module, config: SangerConfig, values: data.View, platform) -> Value:
    """Codes of a beat, side by side."""
    coding, codes = config.array.system.x, []
    for i, value in enumerate(values):
        encoder = Encoder(coding, OPERAND_BITS)
        m.submodules[f"encoder{i}"] = share(encoder, module_of(coding), platform)
        m.d.comb += encoder.i.eq(value)
        codes.append(Value.cast(encoder.o))
    return Cat(codes)


def row_store(config: SangerConfig, depth: int) -> Store:
    """Rows of codes, written slice by slice, read whole."""
    codes = data.ArrayLayout(code_shape(config.array.system.x), config.head_slices * config.lanes)
    return Store(depth, codes, config.head_slices)


def slice_of(config: SangerConfig, row: data.View, number: Value) -> Value:
    """The codes of a slice of a row."""
    bits = config.array.system.x.code_bits * config.lanes
    slices = [row.as_value()[s * bits : (s + 1) * bits] for s in range(config.head_slices)]
    chosen = slices[0]
    for each, codes in enumerate(slices[1:], 1):
        chosen = Mux(number == each, codes, chosen)
    return chosen


class Arrivals(wiring.Component):
    """Counts the beats of a layer's rows as they come in.

    Members
    -------
    settings: In, still while `taking`; start: In, 1: a layer begins. taking: Out, 1: there are beats to come.
    takes: In, 1: a beat is taken; of `token`, `slice` (Out). row: Out, 1, with `takes`: it is a row's last; head: Out,
    1, likewise: and that row a head's last.
    """

    def __init__(self, config: SangerConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "start": In(1),
                "taking": Out(1),
                "takes": In(1),
                "token": Out(token_shape(config.plan)),
                "slice": Out(range(config.head_slices)),
                "row": Out(1),
                "head": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        last_token, last_head = Signal.like(self.token, reset_less=True), Signal(range(self._config.heads))
        head = Signal.like(last_head)
        m.d.sync += [last_token.eq(self.settings.tokens - 1), last_head.eq(self.settings.heads - 1)]
        m.d.comb += [
            self.row.eq(self.takes & (self.slice == self._config.head_slices - 1)),
            self.head.eq(self.row & (self.token == last_token)),
        ]
        with m.If(self.takes):
            m.d.sync += self.slice.eq(Mux(self.row, 0, self.slice + 1))
        with m.If(self.row):
            m.d.sync += self.token.eq(Mux(self.head, 0, self.token + 1))
        with m.If(self.start):
            m.d.sync += self.taking.eq(1)
        with m.If(self.head):
            m.d.sync += head.eq(head + 1)
            with m.If(head == last_head):
                m.d.sync += [head.eq(0), self.taking.eq(0)]
        return m


class QueryFeed(wiring.Component):
    """`load` rows of the array a cycle, block after block, slice after slice of each.

    Members
    -------
    settings: In, still while a layer is under way; start: In, 1: it begins. q: In, stream of `query_layout`.
    o: Out, stream of the array's weights, in int4. Rows beyond the sequence have any.
    """

    def __init__(self, config: SangerConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "start": In(1),
                "q": In(stream.Signature(query_layout(config))),
                "o": Out(stream.Signature(weights_layout(config.array))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Blocks that are there, whole.
        full, fills, leaves = Signal(range(BUFFERS + 1)), Signal(), Signal()
        with m.If(fills != leaves):
            m.d.sync += full.eq(Mux(fills, full + 1, full - 1))
        banks = self._take(m, full, fills, platform)
        self._give(m, full, leaves, banks)
        corner(m, platform, "queries_wait", self.q.valid & (full == BUFFERS))
        return m

    def _take(self, m: Module, full: Signal, fills: Signal, platform) -> list[Store]:
        """Rows into banks by their lowest bits, so that `load` of them are read at once."""
        config = self._config
        m.submodules.arrivals = arrivals = Arrivals(config)
        takes, buffer = Signal(), Signal()
        place = arrivals.token[: config.plan.row_bits]
        low = (config.load - 1).bit_length()
        m.d.comb += [
            arrivals.settings.eq(self.settings),
            arrivals.start.eq(self.start),
            self.q.ready.eq(arrivals.taking & (full != BUFFERS)),
            takes.eq(self.q.valid & self.q.ready),
            arrivals.takes.eq(takes),
            fills.eq(arrivals.row & (arrivals.head | place.all())),
        ]
        with m.If(fills):
            m.d.sync += buffer.eq(~buffer)
        codes, banks = encoded(m, config, self.q.payload.value, platform), []
        for i in range(config.load):
            bank = row_store(config, BUFFERS * config.rows // config.load)
            m.submodules[f"bank{i}"] = share(bank, bank.name, platform)
            m.d.comb += [
                bank.write.eq(Cat(takes & (arrivals.slice == s) & (place[:low] == i) for s in range(len(bank.write)))),
                bank.write_at.eq(Cat(place[low:], buffer)),
                bank.word.as_value().eq(codes.replicate(config.head_slices)),
            ]
            banks.append(bank)
        return banks

    def _give(self, m: Module, full: Signal, leaves: Signal, banks: list[Store]) -> None:
        config = self._config
        parts = config.rows // config.load
        part, slice_, buffer = Signal(range(parts)), Signal(range(config.head_slices)), Signal()
        # A read of the banks stands at the output.
        reads, shown = Signal(), Signal.like(slice_, reset_less=True)
        last_part, last_slice = part == parts - 1, slice_ == config.head_slices - 1
        m.d.comb += [
            reads.eq((full != 0) & (~self.o.valid | self.o.ready)),
            leaves.eq(reads & last_part & last_slice),
        ]
        for bank, weights in zip(banks, self.o.payload, strict=True):
            m.d.comb += [
                bank.read.eq(reads),
                bank.read_at.eq(Cat(part, buffer)),
                weights.as_value().eq(slice_of(config, bank.stored, shown)),
            ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += self.o.valid.eq(reads)
        with m.If(reads):
            m.d.sync += [shown.eq(slice_), part.eq(Mux(last_part, 0, part + 1))]
            with m.If(last_part):
                m.d.sync += slice_.eq(Mux(last_slice, 0, slice_ + 1))
        with m.If(leaves):
            m.d.sync += buffer.eq(~buffer)


class KeyFeed(wiring.Component):
    """A key a cycle: for each block of queries, for each slice of the head, all keys that the block may attend to.

    Members
    -------
    settings: In, still while a layer is under way; start: In, 1: it begins. k: In, stream of `key_layout`.
    o: Out, stream of `beat_layout` of the array. tag: Out, `score_tag_layout`, of the beat that stands at `o`.
    """

    def __init__(self, config: SangerConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "start": In(1),
                "k": In(stream.Signature(key_layout(config))),
                "o": Out(stream.Signature(beat_layout(config.array))),
                "tag": Out(score_tag_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        keys, attends = row_store(config, BUFFERS * config.tokens), Store(BUFFERS * config.tokens, 1)
        m.submodules.keys = share(keys, keys.name, platform)
        m.submodules.attends = share(attends, attends.name, platform)
        # Keys that are there and not done with: of the head that is read, and only if that is whole, of the next.
        held, comes, leaves = Signal(range(BUFFERS * config.tokens + 1)), Signal(), Signal()
        with m.If(comes != leaves):
            m.d.sync += held.eq(Mux(comes, held + 1, held - 1))
        self._take(m, held, comes, keys, attends, platform)
        self._give(m, held, leaves, keys, attends, platform)
        return m

    def _place(self, token: Value, buffer: Value) -> Value:
        """Where a key is: heads lie `tokens` apart."""
        tokens = self._config.tokens
        if tokens & (tokens - 1) == 0:
            return Cat(token, buffer)
        return token + Mux(buffer, tokens, 0)

    def _take(self, m: Module, held: Signal, comes: Signal, keys: Store, attends: Store, platform) -> None:
        config = self._config
        m.submodules.arrivals = arrivals = Arrivals(config)
        takes, full, buffer, place = Signal(), Signal(), Signal(), Signal.like(keys.write_at)
        m.d.comb += [
            arrivals.settings.eq(self.settings),
            arrivals.start.eq(self.start),
            full.eq(held == Cat(Const(0, BUFFERS.bit_length() - 1), self.settings.tokens)),
            self.k.ready.eq(arrivals.taking & ~full),
            takes.eq(self.k.valid & self.k.ready),
            arrivals.takes.eq(takes),
            comes.eq(arrivals.row),
            place.eq(self._place(arrivals.token, buffer)),
            keys.write.eq(Cat(takes & (arrivals.slice == s) for s in range(config.head_slices))),
            keys.write_at.eq(place),
            keys.word.as_value().eq(encoded(m, config, self.k.payload.value, platform).replicate(config.head_slices)),
            attends.write.eq(takes),
            attends.write_at.eq(place),
            attends.word.eq(self.k.payload.attend),
        ]
        with m.If(arrivals.head):
            m.d.sync += buffer.eq(~buffer)
        corner(m, platform, "keys_wait", self.k.valid & full & arrivals.taking)

    def _give(self, m: Module, held: Signal, leaves: Signal, keys: Store, attends: Store, platform) -> None:
        config = self._config
        shape, row_bits = token_shape(config.plan), config.plan.row_bits
        last_token, last_key, key = Signal(shape, reset_less=True), Signal(shape), Signal(shape)
        block, slice_, buffer = Signal(range(config.blocks)), Signal(range(config.head_slices)), Signal()
        there, issue, last, final, advance = Signal(), Signal(), Signal(), Signal(), Signal()
        last_block, last_slice = block == last_token[row_bits:], slice_ == config.head_slices - 1
        # Rows of the block are the last keys that it may attend to.
        block_end = Cat(Const(config.rows - 1, row_bits), block)
        m.d.sync += last_token.eq(self.settings.tokens - 1)
        m.d.comb += [
            last_key.eq(Mux(self.settings.causal & ~last_block, block_end, last_token)),
            last.eq(key == last_key),
            final.eq(last_block & last_slice),
            # Keys that are done with no longer count.
            there.eq(less(Mux(final, 0, key), held)),
            advance.eq(~self.o.valid | self.o.ready),
            issue.eq(there & advance),
            leaves.eq(issue & final),
        ]
        for store in (keys, attends):
            m.d.comb += [store.read.eq(issue), store.read_at.eq(self._place(key, buffer))]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(issue)
        with m.If(issue):
            m.d.sync += key.eq(Mux(last, 0, key + 1))
            with m.If(last):
                m.d.sync += slice_.eq(Mux(last_slice, 0, slice_ + 1))
                with m.If(last_slice):
                    m.d.sync += block.eq(Mux(last_block, 0, block + 1))
                    with m.If(last_block):
                        m.d.sync += buffer.eq(~buffer)
        self._describe(m, issue, (slice_, block, key, last), keys, attends)
        corner(m, platform, "key_not_there_yet", self.o.ready & ~there & (key != 0))

    def _describe(self, m: Module, issue: Value, read: tuple[Value, ...], keys: Store, attends: Store) -> None:
        """The beat that stands, beside its codes."""
        slice_, *names = (Signal.like(value, name=f"shown{i}", reset_less=True) for i, value in enumerate(read))
        block, key, last = names
        with m.If(issue):
            m.d.sync += [shown.eq(value) for shown, value in zip((slice_, *names), read, strict=True)]
        m.d.comb += [
            Cat(self.o.payload.code).eq(slice_of(self._config, keys.stored, slice_)),
            self.o.payload.clear.eq(slice_ == 0),
            self.o.payload.emit.eq(slice_ == self._config.head_slices - 1),
            self.o.payload.last.eq(last),
            self.tag.block.eq(block),
            self.tag.key.eq(key),
            self.tag.attend.eq(attends.stored),
            self.tag.last.eq(last),
        ]
