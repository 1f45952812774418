# SPDX-License-Identifier: Apache-2.0
"""Recorder: rows of all heads in, records of the plan out.

rows ─┬─► beat register ────────────────┬─► record ─┬─► o register ─► o
      └─► keys kept so far, per chunk ──┘           │
              ▲   old | keys                        │   behind each window of the last head,
              └───────────                          │   while no rows are taken
votes per token ─► most votes, tree ─► leader ──────┘
  ▲   old + 1
  └──────────
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from config.speculate import Kind, SpeculationConfig
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.socket import record_layout, row_layout, settings_layout, token_shape


def place_of(token: Value, window: int) -> Value:
    """Place of a token in its window of rows."""
    return token[: window.bit_length() - 1]


def ends_window(token: Value, window: int) -> Value:
    """The token is the last of a whole window."""
    return place_of(token, window).all() if window > 1 else Const(1)


class Leaders(wiring.Component):
    """Whose FFN result each token takes: counts which rows the heads name, and picks the one named most often.

    A memory holds, per token, a count for each row of its window that it can name: all but the last. Once a window is
    complete in the last head, its tokens' counts are read in turn and run through a tree of comparisons, a register
    behind each level. Equal counts go to the lower row.

    Parameters
    ----------
    config: `SpeculationConfig`. With a `similarity_window` of 1 nothing is counted and each token leads itself;
    the members from `fetch` to `names` are left out.

    Members
    -------
    settings: In, `settings_layout`, held still during a layer.
    advance: In, 1. The pipeline moves at the end of this cycle.
    fetch, fetch_row: In. The counts of this token are needed in the cycle behind the next `advance`.
    store, first, token, names: In. One `advance` behind `fetch`: this token names that row, or itself. Written with
    `advance`. `first`: nothing was counted before, and no `fetch` is needed.
    look_up: In, 1. A window of the last head is complete: its leaders follow. Not unless `ready`.
    ready: Out, 1. Whatever comes next leaves behind all leaders of windows that began.
    valid, row, reference, agreed, last: Out. The leader of token `row` is `reference`; `agreed`: all heads name the
    same other row; `last`: it is the layer's last token. It is gone with `advance`.

    One leader a cycle; the first `latency` cycles behind `look_up`.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        self._window = config.similarity_window
        self._levels = max(self._window - 2, 0).bit_length()
        token = token_shape(config)
        votes = {
            "fetch": In(1),
            "fetch_row": In(token),
            "store": In(1),
            "first": In(1),
            "token": In(token),
            "names": In(token),
        }
        leaders = {
            "valid": Out(1),
            "row": Out(token),
            "reference": Out(token),
            "agreed": Out(1),
            "last": Out(1),
        }
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "advance": In(1),
                **(votes if self._window > 1 else {}),
                "look_up": In(1),
                "ready": Out(1),
                **leaders,
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from `look_up` to the first leader."""
        return 2 + self._levels

    def elaborate(self, platform):
        m = Module()
        asking = Signal()
        # valids[0]: the counts stand at the memory's output; valids[i]: behind level i of the tree.
        valids = Signal(self._levels + 1)
        asked, token = Signal(token_shape(self._config)), Signal(token_shape(self._config))
        with m.If(self.advance):
            m.d.sync += valids.eq(Cat(asking, valids[:-1]))
            with m.If(asking):
                self._step(m, asked)
                m.d.sync += asking.eq(~(ends_window(asked, self._window) | self._final(asked)))
            with m.If(self.look_up):
                m.d.sync += asking.eq(1)
            with m.If(self.valid):
                self._step(m, token)
        m.d.comb += [
            self.ready.eq(~asking & ~valids[:-1].any() if self._levels else ~asking),
            self.valid.eq(valids[-1]),
            self.row.eq(token),
            self.reference.eq(token),
            self.last.eq(self._final(token)),
        ]
        if self._window > 1:
            counts = self._count(m, asking, asked)
            self._decide(m, token, *self._most(m, counts, valids))
            corner(m, platform, "leader_copied", self.valid & (self.reference != token))
            corner(m, platform, "all_heads_agree", self.valid & self.agreed)
            cut = self.valid & self.last & ~place_of(token, self._window).any()
            corner(m, platform, "window_cut_to_a_row", cut)
        return m

    def _final(self, token: Value) -> Value:
        """The token is the layer's last."""
        return token == (self.settings.tokens - 1)[: len(token)]

    def _step(self, m: Module, token: Signal) -> None:
        m.d.sync += token.eq(Mux(self._final(token), 0, token + 1))

    def _count(self, m: Module, asking: Value, asked: Value) -> data.View:
        """The memory of counts; returns what it shows."""
        counts = data.ArrayLayout(range(self._config.heads + 1), self._window - 1)
        m.submodules.counts = memory = Memory(shape=counts, depth=self._config.tokens, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(Mux(asking, asked, self.fetch_row)),
            # A window's first token names none: its counts are neither written nor read.
            read.en.eq(Mux(asking, place_of(asked, self._window).any(), self.fetch) & self.advance),
            write.addr.eq(self.token),
            write.en.eq(self.store & self.advance & place_of(self.token, self._window).any()),
        ]
        for place in range(self._window - 1):
            named = (place_of(self.names, self._window) == place) & (self.names != self.token)
            m.d.comb += write.data[place].eq(Mux(self.first, 0, read.data[place]) + named)
        return read.data

    def _most(self, m: Module, counts: data.View, valids: Value) -> tuple[Value, Value]:
        """The largest of the counts, and its place, behind all levels of the tree."""
        contenders = [(Value.cast(count), Const(place, range(self._window))) for place, count in enumerate(counts)]
        for level in range(self._levels):
            winners = []
            for i in range(0, len(contenders), 2):
                count, place = self._winner(*contenders[i : i + 2])
                winner = tuple(Signal.like(v, name=f"level{level}_{i // 2}", reset_less=True) for v in (count, place))
                with m.If(valids[level] & self.advance):
                    m.d.sync += [winner[0].eq(count), winner[1].eq(place)]
                winners.append(winner)
            contenders = winners
        return contenders[0]

    def _winner(self, lower: tuple[Value, Value], upper: tuple[Value, Value] | None = None) -> tuple[Value, Value]:
        """The larger count and its place; the lower row's if they are equal."""
        if upper is None:
            return lower
        wins = upper[0] > lower[0]
        return Mux(wins, upper[0], lower[0]), Mux(wins, upper[1], lower[1])

    def _decide(self, m: Module, token: Value, most: Value, named: Value) -> None:
        """A token takes another's result if enough heads name that one, and that one's own is computed."""
        place = place_of(token, self._window)
        # Places whose result is a copy; those that no other can name need none.
        copies = Signal(self._window, reset_less=True)
        copied, other = Signal(), Signal()
        lacking = (most - self.settings.f)[-1]
        m.d.comb += [
            other.eq(place.any()),
            copied.eq(other & ~lacking & most.any() & ~Array(copies)[named]),
            self.agreed.eq(other & (most == self.settings.heads)),
        ]
        with m.If(copied):
            m.d.comb += place_of(self.reference, self._window).eq(named)
        with m.If(self.valid & self.advance):
            here = Cat(copied & (place == p) for p in range(self._window))
            m.d.sync += copies.eq(Mux(other, copies, 0) | here)


class Recorder(wiring.Component):
    """Adds to the rows of all heads what follows from them together, and sends the records of the plan.

    Parameters
    ----------
    config: `SpeculationConfig`.

    Members
    -------
    settings: In, `settings_layout`: held still from a layer's first row until its last record is offered; no row of the
    next layer may be offered before that.
    rows: In, stream of `row_layout`: settings.tokens rows of each of settings.heads heads in turn. What it holds of a
    similar row's chunk and keys does not matter.
    o: Out, stream of `record_layout`, registered; `o.valid` does not depend on `o.ready`.

    A row's record is offered 2 cycles after it was taken. One beat a cycle, but for the last head, where no rows are
    taken while the leaders of a window are looked up: as many cycles as it has rows, and the levels of a tree over
    `similarity_window` - 1 counts. Nothing needs to be reset between layers.
    """

    latency = 2

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "rows": In(stream.Signature(row_layout(config))),
                "o": Out(stream.Signature(record_layout(config))),
            }
        )

    @property
    def config(self) -> SpeculationConfig:
        return self._config

    def elaborate(self, platform):
        m = Module()
        taken, advance, valid = Signal(), Signal(), Signal()
        leaders = Leaders(self._config)
        m.submodules.leaders = share(leaders, "leaders", platform)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.rows.ready.eq(advance & leaders.ready),
            taken.eq(self.rows.valid & self.rows.ready),
        ]
        with m.If(advance):
            m.d.sync += valid.eq(taken)
        beat = Signal(record_layout(self._config), reset_less=True)
        similar = Signal()
        m.d.comb += similar.eq(self.rows.payload.reference != self.rows.payload.row)
        head = self._heads(m, taken, leaders)
        self._take(m, taken, similar, head, beat)
        fresh = self._fresh(m, taken & ~similar, valid & (beat.kind == Kind.KEYS) & advance, beat)
        if self._config.similarity_window > 1:
            self._vote(m, taken & similar, valid, head, beat, leaders)
        m.d.comb += [leaders.settings.eq(self.settings), leaders.advance.eq(advance)]
        self._send(m, advance, valid, beat, fresh, leaders)
        corner(m, platform, "o_waits", self.o.valid & ~self.o.ready)
        return m

    def _heads(self, m: Module, taken: Value, leaders: Leaders) -> Signal:
        """Counts heads; has the leaders of each complete window of the last one looked up."""
        row, window = self.rows.payload.row, self._config.similarity_window
        head, final, last_head = Signal(range(self._config.heads)), Signal(), Signal()
        done = taken & self.rows.payload.last
        m.d.comb += [
            final.eq(row == (self.settings.tokens - 1)[: len(row)]),
            last_head.eq(head == (self.settings.heads - 1)[: len(head)]),
            leaders.look_up.eq(done & last_head & (final | ends_window(row, window))),
        ]
        with m.If(done & final):
            m.d.sync += head.eq(Mux(last_head, 0, head + 1))
        return head

    def _take(self, m: Module, taken: Value, similar: Value, head: Value, beat: data.View) -> None:
        """The beat register: a record but for `fresh`. Chunk and keys are always those of the latest critical row."""
        row = self.rows.payload
        with m.If(taken):
            m.d.sync += [
                beat.kind.eq(Mux(similar, Kind.COPY, Kind.KEYS)),
                beat.head.eq(head),
                beat.row.eq(row.row),
                beat.reference.eq(row.reference),
                beat.end.eq(row.last),
            ]
            with m.If(~similar):
                m.d.sync += [beat.chunk.eq(row.chunk), beat.keys.eq(row.keys)]

    def _fresh(self, m: Module, taken: Value, leaves: Value, beat: data.View) -> Value:
        """Keys of the beat that no earlier row of the head kept. `taken`: a critical row's beat comes; `leaves`: that
        in the register goes."""
        # One word would need no address, which memories do not have.
        m.submodules.kept = memory = Memory(shape=self._config.rows, depth=max(self._config.blocks, 2), init=[])
        read, write = memory.read_port(), memory.write_port()
        row = self.rows.payload
        first, again = Signal(reset_less=True), Signal(reset_less=True)
        old, written = Signal(self._config.rows), Signal(self._config.rows, reset_less=True)
        # A head's first row has all chunks; if causal its own alone, and each block's first row adds one. What an
        # earlier head left there is passed over.
        opens = (row.row == 0) | (self.settings.causal & (row.row == row.chunk << (self._config.rows.bit_length() - 1)))
        with m.If(taken):
            # The word may be on its way into the memory, or have been, in the cycle in which it is read.
            m.d.sync += [first.eq(opens), again.eq(row.chunk == beat.chunk)]
        with m.If(leaves):
            m.d.sync += written.eq(old | beat.keys)
        m.d.comb += [
            read.addr.eq(row.chunk),
            read.en.eq(taken),
            old.eq(Mux(first, 0, Mux(again, written, read.data))),
            write.addr.eq(beat.chunk),
            write.data.eq(old | beat.keys),
            write.en.eq(leaves),
        ]
        return beat.keys & ~old

    def _vote(self, m: Module, taken: Value, valid: Value, head: Value, beat: data.View, leaders: Leaders) -> None:
        """What a row names. Only similar rows name another; in the first head, the others clear what was counted."""
        m.d.comb += [
            leaders.fetch.eq(taken & (head != 0)),
            leaders.fetch_row.eq(self.rows.payload.row),
            leaders.first.eq(beat.head == 0),
            leaders.store.eq(valid & beat.end & (leaders.first | (beat.kind == Kind.COPY))),
            leaders.token.eq(beat.row),
            leaders.names.eq(beat.reference),
        ]

    def _send(self, m: Module, advance: Value, valid: Value, beat: data.View, fresh: Value, leaders: Leaders) -> None:
        """The output register takes the beat or a leader; they never come together. Behind a row of the last head, the
        beat register still holds it."""
        record = Signal(record_layout(self._config), reset_less=True)
        m.d.comb += self.o.payload.eq(record)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid | leaders.valid)
            with m.If(valid):
                m.d.sync += [record.eq(beat), record.fresh.eq(fresh), record.agreed.eq(0), record.last.eq(0)]
                with m.If(beat.kind == Kind.COPY):
                    m.d.sync += [record.chunk.eq(0), record.keys.eq(0), record.fresh.eq(0)]
            with m.If(leaders.valid):
                m.d.sync += [
                    Value.cast(record).eq(0),
                    record.kind.eq(Kind.LEADER),
                    record.head.eq(beat.head),
                    record.row.eq(leaders.row),
                    record.reference.eq(leaders.reference),
                    record.agreed.eq(leaders.agreed),
                    record.end.eq(1),
                    record.last.eq(leaders.last),
                ]
