# SPDX-License-Identifier: Apache-2.0
"""What an accelerator keeps of a layer's plan.

records ─► ItemReader ─┬─► items ──┬─► memory of items ─────────────────────────► items
                       │           ├─► keys, rows so far ─► a word for each head ─► columns, critical
                       ├─► copies ─┴─► reference of each row ─┬─────────────────► references
                       │                                      └─► of head 0 ────► copy
                       └─► leaders ───────────────────────────┬─────────────────► copy
                                                              └─────────────────► projected, computed
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import Kind
from config.system import SystemConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.execute.items import Broken, ItemReader, item_layout
from hdl.shared import share
from hdl.speculate.socket import record_layout
from hdl.store import Store
from hdl.system.layouts import copy_layout, count_shape, reference_layout, token_shape
from hdl.system.queues import WordQueue


def kept_layout(config: SystemConfig) -> data.StructLayout:
    """Of a head, bits of tokens: `columns`, keys that some critical row keeps, whose K and V are needed; `critical`,
    rows whose Q is."""
    return data.StructLayout({"columns": config.tokens, "critical": config.tokens})


class PlanStore(wiring.Component):
    """The plan of a layer, from the records of the speculation unit.

    Parameters
    ----------
    config: `SystemConfig`.

    Members
    -------
    start: In, 1: a layer begins; what was kept of the one before is dropped, and so is an error. Its first record is
    taken from the next cycle on. All records of the one before must have been taken.
    tokens, heads: In, of the layer, 1 or more each, held still from `start` on.
    records: In, stream of `record_layout(config.speculation)`: a layer's, in order; a record a cycle unless references
    wait. None of the next layer is taken before its `start`. taken: Out, 1: one is taken.
    planned: Out, how many heads' rows have all come. head_read: In, 1; head_at: In, a head below `planned`; columns,
    critical: Out, those of `kept_layout`, from the next cycle until the next read. None of these with a method of
    `config.speculate.LATE`, as nobody waits for them.
    complete: Out, 1: the layer's last record has come, and all of what is said here of the plan stands.
    projected: Out, bits of tokens whose output projection is computed: its heads name no row in common; computed: Out,
    of those whose FFN is. Both when `complete`; 0 beyond `tokens`.
    items: Out, stream of `item_layout(config.attention.items)`: of all critical rows, in order, held until they are
    taken. items_total: Out, how many have come so far.
    references: Out, stream of `reference_layout(config)`: of each row of each head, in order.
    copy_read: In, 1; copy_at: In, a token; copy: Out, `copy_layout(config)`: when `complete`, from the next cycle until
    the next read.
    alive: In, where tokens may be dropped, stream of chunks of `rows` bits, always taken, behind `start` and before the
    records: tokens whose rows are computed, those beyond `tokens` 0. living: Out, the same, a bit for each token;
    drops: Out, 1: there are others. Both when `complete`. Rows may then keep no key, but not all of them.
    error: Out, 1: a record broke a rule; broken: Out, `Broken`, which. Until `start`: then all records are taken, but
    nothing more is kept of them, and `complete` does not come.

    No `valid` depends on a `ready`. From a record to the reference, and to an item's place in memory, 3 cycles.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        items = config.attention.items
        self._prunes = config.speculation.prunes
        self._reader = ItemReader(items, keyless=self._prunes)
        # All items of the largest layer.
        self._most = config.heads * config.tokens * items.chunks
        self._queue = WordQueue(self._most, item_layout(items))
        kept = {
            "planned": Out(range(config.heads + 1)),
            "head_read": In(1),
            "head_at": In(range(config.heads)),
            "columns": Out(config.tokens),
            "critical": Out(config.tokens),
        }
        pruned = {
            "alive": In(stream.Signature(config.speculation.rows)),
            "living": Out(config.tokens),
            "drops": Out(1),
        }
        super().__init__(
            {
                "start": In(1),
                "tokens": In(count_shape(config)),
                "heads": In(range(config.heads + 1)),
                "records": In(stream.Signature(record_layout(config.speculation))),
                "taken": Out(1),
                **({} if config.speculation.late else kept),
                "complete": Out(1),
                "projected": Out(config.tokens),
                "computed": Out(config.tokens),
                "items": Out(stream.Signature(item_layout(items))),
                "items_total": Out(range(self._most + 1)),
                "references": Out(stream.Signature(reference_layout(config))),
                "copy_read": In(1),
                "copy_at": In(token_shape(config)),
                "copy": Out(copy_layout(config)),
                **(pruned if self._prunes else {}),
                "error": Out(1),
                "broken": Out(Broken),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = share(self._reader, "item_reader", platform)
        m.submodules.queue = share(self._queue, self._queue.name, platform)
        self._read(m)
        row = self._refer(m)
        self._keep_items(m)
        if not self._config.speculation.late:
            self._keep_heads(m, row, platform)
        self._keep_copies(m, row, platform)
        if self._prunes:
            self._keep_alive(m)
        corner(m, platform, "references_wait", self.references.valid & ~self.references.ready)
        corner(m, platform, "records_wait_for_start", self.records.valid & ~self.records.ready)
        return m

    def _read(self, m: Module) -> None:
        """Records to the reader, from `start` to the layer's last one."""
        reader, opened, passes = self._reader, Signal(), Signal()
        m.d.comb += [
            # What comes behind an error is of no layer.
            passes.eq((opened | self.error) & ~self.start),
            reader.i.valid.eq(self.records.valid & passes),
            self.records.ready.eq(reader.i.ready & passes),
            reader.i.payload.as_value().eq(self.records.payload.as_value()),
            self.taken.eq(self.records.valid & self.records.ready),
            reader.tokens.eq(self.tokens),
            reader.heads.eq(self.heads),
            reader.clear.eq(self.start),
        ]
        # Of a layer with nothing to attend to, nothing would ever be over.
        blank = Signal()
        m.d.comb += [
            self.error.eq(reader.error | blank),
            self.broken.eq(Mux(blank, Broken.EMPTY, reader.broken)),
        ]
        if self._prunes:
            ends = reader.others.valid & reader.others.payload.last
            m.d.sync += blank.eq(~self.start & (blank | (ends & (self.items_total == 0))))
        with m.If(self.start):
            m.d.sync += opened.eq(1)
        with m.Elif(self.taken & self.records.payload.last):
            m.d.sync += opened.eq(0)

    def _refer(self, m: Module) -> Value:
        """Rows as references, one way out for items and copies; returns whether one leaves. Of the reader's two
        streams, one at the most has something: a record waits until both have none."""
        reader, references = self._reader, self.references
        item, other = reader.o.payload, reader.others.payload
        m.d.comb += [
            references.valid.eq(reader.o.valid | (reader.others.valid & (other.kind == Kind.COPY))),
            references.payload.head.eq(Mux(reader.o.valid, item.head, other.head)),
            references.payload.row.eq(Mux(reader.o.valid, item.row, other.row)),
            references.payload.reference.eq(Mux(reader.o.valid, item.row, other.reference)),
            *([references.payload.nothing.eq(item.count == 0)] if self._prunes else []),
            reader.o.ready.eq(references.ready),
            reader.others.ready.eq(references.ready | (other.kind == Kind.LEADER)),
        ]
        return references.valid & references.ready

    def _keep_items(self, m: Module) -> None:
        queue, item = self._queue, self._reader.o
        m.d.comb += [
            queue.clear.eq(self.start),
            # It has a place for each.
            queue.i.valid.eq(item.valid & item.ready & ((item.payload.count != 0) | (not self._prunes))),
            queue.i.payload.eq(item.payload),
        ]
        m.d.sync += self.items_total.eq(Mux(self.start, 0, self.items_total + queue.i.valid))
        wiring.connect(m, queue.o, wiring.flipped(self.items))

    def _keep_heads(self, m: Module, row: Value, platform) -> None:
        """Keys and rows of the head so far; a word in memory once it has all rows."""
        config, store = self._config, Store(self._config.heads, kept_layout(self._config))
        m.submodules.kept = share(store, store.name, platform)
        at, item = self.references.payload, self._reader.o
        kept, head = Signal(kept_layout(config), reset_less=True), Signal(range(config.heads), reset_less=True)
        last, whole, anew, last_row = Signal(), Signal(), Signal(init=1), Signal(token_shape(config), reset_less=True)
        # A row without keys is none that is needed.
        needs = item.valid & (item.payload.count != 0) if self._prunes else item.valid
        bits, before = needs.replicate(config.tokens), (~anew).replicate(config.tokens)
        m.d.sync += last_row.eq(self.tokens - 1)
        m.d.comb += [
            last.eq(row & (at.row == last_row)),
            store.write.eq(whole),
            store.write_at.eq(head),
            store.word.eq(kept),
            store.read.eq(self.head_read),
            store.read_at.eq(self.head_at),
            self.columns.eq(store.stored.columns),
            self.critical.eq(store.stored.critical),
        ]
        with m.If(row):
            m.d.sync += [
                kept.columns.eq((kept.columns & before) | (item.payload.keys & bits)),
                kept.critical.eq((kept.critical & before) | ((1 << at.row) & bits)),
                head.eq(at.head),
                anew.eq(last),
            ]
        m.d.sync += [whole.eq(last & ~self.start), self.planned.eq(self.planned + whole)]
        with m.If(self.start):
            m.d.sync += [self.planned.eq(0), anew.eq(1)]

    def _keep_copies(self, m: Module, row: Value, platform) -> None:
        """Leaders, and the rows that head 0 names."""
        config, at, leader = self._config, self.references.payload, self._reader.others
        token = token_shape(config)
        firsts = Store(config.tokens, token)
        leaders = Store(config.tokens, data.StructLayout({"of": token, "agreed": 1}))
        m.submodules.firsts = share(firsts, firsts.name, platform)
        m.submodules.leaders = share(leaders, leaders.name, platform)
        leads, said = Signal(), leader.payload
        m.d.comb += [
            leads.eq(leader.valid & (said.kind == Kind.LEADER)),
            firsts.write.eq(row & (at.head == 0)),
            firsts.write_at.eq(at.row),
            firsts.word.eq(at.reference),
            leaders.write.eq(leads),
            leaders.write_at.eq(said.row),
            leaders.word.of.eq(said.reference),
            leaders.word.agreed.eq(said.agreed),
        ]
        for store in (firsts, leaders):
            m.d.comb += [store.read.eq(self.copy_read), store.read_at.eq(self.copy_at)]
        m.d.comb += [
            self.copy.leader.eq(leaders.stored.of),
            self.copy.agreed.eq(leaders.stored.agreed),
            self.copy.first.eq(firsts.stored),
        ]
        here = 1 << said.row
        if self._prunes:
            here &= self.living
        with m.If(self.start):
            m.d.sync += [self.complete.eq(0), self.projected.eq(0), self.computed.eq(0)]
        with m.Elif(leads):
            m.d.sync += [
                self.complete.eq(said.last & ((self.items_total != 0) | (not self._prunes))),
                self.projected.eq(self.projected | (here & (~said.agreed).replicate(config.tokens))),
                self.computed.eq(self.computed | (here & (said.reference == said.row).replicate(config.tokens))),
            ]

    def _keep_alive(self, m: Module) -> None:
        """Chunk by chunk."""
        unit = self._config.speculation
        chunk, last = Signal(range(unit.blocks)), Signal(range(self._config.tokens))
        m.d.comb += self.alive.ready.eq(1)
        m.d.sync += last.eq(self.tokens - 1)
        # As many as there are tokens, if none is dropped.
        every = Cat(~less(last, token) for token in range(self._config.tokens))
        m.d.sync += self.drops.eq(self.living != every)
        with m.If(self.alive.valid):
            m.d.sync += chunk.eq(chunk + 1)
            for number in range(unit.blocks):
                with m.If(chunk == number):
                    m.d.sync += self.living[number * unit.rows : (number + 1) * unit.rows].eq(self.alive.payload)
        with m.If(self.start):
            m.d.sync += [chunk.eq(0), self.living.eq(0)]
