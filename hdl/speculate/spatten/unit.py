# SPDX-License-Identifier: Apache-2.0
"""SpAtten's pruning, whole: from what the layers of a batch make of their tokens to the plan of each next one.

            ┌─────────────────────────── SpattenUnit ───────────────────────────┐
totals ────►│ token sums ─┐                                     ┌─► alive       │──► alive
codes ─────►│             ├─► cut: tokens, then heads ─► writer ┴─► recorder    │── records ──► o
context ───►│ head sums ──┘        ▲ kept                                       │
attend ────►│ ─────────────────────┘                                            │
            └───────────────────────────────────────────────────────────────────┘

A batch of layers (T tokens, C = T/rows chunks):

 unit    attend, C │ plan 0: H·T·C │             │ cut, plan 1: H·T·C │             │ cut, …
 sums              │ totals, codes, context of 0 │                    │ … of 1
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.spatten import SpattenConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.record import Recorder
from hdl.speculate.socket import record_layout
from hdl.speculate.spatten.head_sums import HeadSums
from hdl.speculate.spatten.layouts import codes_layout, context_layout, number_of, settings_layout, total_layout
from hdl.speculate.spatten.plan import PlanWriter
from hdl.speculate.spatten.selection import Selection
from hdl.speculate.spatten.token_sums import TokenSums
from hdl.store import Store


class SpattenUnit(wiring.Component):
    """Cascade pruning of encoders: tokens and heads with the smallest sums so far are dropped. Equals
    `golden.speculate.spatten.Spatten` without `causal`, layer by layer, record by record.

    Parameters
    ----------
    config: `config.spatten.SpattenConfig`.

    Members
    -------
    settings: In, stream of `settings_layout`, one transfer starts a layer, taken when the one before is finished: all
    its records are sent, and all of its totals, codes and context have come.
    attend: In, stream of chunks of `rows` bits, tokens that are no padding, behind the settings of a batch's first
    layer: as many as the sequence has.
    totals: In, stream of `total_layout`; codes: In, stream of `codes_layout`; context: In, stream of `context_layout`:
    what the layer that was planned last has computed, the batch's last layer as well; as `TokenSums` and `HeadSums`
    say. They are taken from the plan's first beat on, also while it is sent.
    alive: Out, stream of chunks of `rows` bits, in front of a layer's records: tokens whose rows are computed. The
    layer's output for the others is its input.
    o: Out, stream of `record_layout(config.plan)`, registered: no keys for rows that are not computed, and none in
    heads that are dropped.

    No valid depends on its ready. From its first chunk of `alive` to its last record, a plan takes
    H·T·C + 2·H·C + T + 3 cycles for whole chunks, C = T / rows; what it takes to drop: `Selection`.
    """

    def __init__(self, config: SpattenConfig):
        self._config = config
        chunk = stream.Signature(config.rows)
        super().__init__(
            {
                "settings": In(stream.Signature(settings_layout(config))),
                "attend": In(chunk),
                "totals": In(stream.Signature(total_layout(config))),
                "codes": In(stream.Signature(codes_layout(config))),
                "context": In(stream.Signature(context_layout(config))),
                "alive": Out(chunk),
                "o": Out(stream.Signature(record_layout(config.plan))),
            }
        )

    @property
    def config(self) -> SpattenConfig:
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self._config
        tokens, heads, selection = TokenSums(config), HeadSums(config), Selection(config)
        writer, recorder, attend = PlanWriter(config), Recorder(config.plan), Store(config.blocks, config.rows)
        parts = {"tokens": tokens, "heads": heads, "selection": selection, "writer": writer}
        for name, part in parts.items():
            m.submodules[name] = share(part, f"spatten_{name}", platform)
        m.submodules.recorder = recorder
        m.submodules.attend_store = share(attend, attend.name, platform)
        for name in ("totals", "codes"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(tokens, name))
        wiring.connect(m, wiring.flipped(self.context), heads.context)
        wiring.connect(m, writer.alive, wiring.flipped(self.alive))
        wiring.connect(m, writer.rows, recorder.rows)
        wiring.connect(m, recorder.o, wiring.flipped(self.o))
        settings = Signal(settings_layout(config), reset_less=True)
        last_chunk, last_head_chunk, tail = self._sizes(m, settings)
        m.d.comb += [
            recorder.settings.tokens.eq(settings.tokens),
            recorder.settings.heads.eq(settings.heads),
            *(part.settings.eq(settings) for part in (selection, writer)),
            *(part.last_chunk.eq(last_chunk) for part in (tokens, selection, writer)),
            selection.last_head_chunk.eq(last_head_chunk),
            writer.tail.eq(tail),
            writer.kept_heads.eq(selection.kept_heads),
            selection.show.eq(writer.show),
            selection.show_at.eq(writer.show_at),
            writer.kept.eq(selection.kept),
            attend.read.eq(writer.show),
            attend.read_at.eq(writer.show_at),
            writer.attend.eq(attend.stored),
            tokens.read.eq(selection.read & ~selection.heads),
            heads.read.eq(selection.read & selection.heads),
            selection.token_words.eq(tokens.words),
            selection.head_words.eq(heads.words),
        ]
        self._control(m, settings, parts, attend, (last_chunk, last_head_chunk, tail))
        corner(m, platform, "next_layer_waits_for_sums", self.settings.valid & ~(tokens.fed & heads.fed))
        corner(m, platform, "all_is_padding", writer.alive.valid & ~attend.stored.any())
        return m

    def _sizes(self, m: Module, settings: Signal) -> tuple[Value, Value, Value]:
        """The last chunk of tokens, and of heads, and which places of the former exist; a cycle behind the settings."""
        config = self._config
        last_token, last_head = (settings.tokens - 1)[: (config.tokens - 1).bit_length()], settings.heads - 1
        last_chunk = Signal(number_of(config.blocks), reset_less=True)
        last_head_chunk = Signal(number_of(config.head_chunks), reset_less=True)
        tail = Signal(config.rows, reset_less=True)
        m.d.sync += [
            last_chunk.eq(last_token[config.row_bits :]),
            last_head_chunk.eq(last_head[config.row_bits :]),
            tail.eq(Cat(~less(last_token[: config.row_bits], place) for place in range(config.rows))),
        ]
        return last_chunk, last_head_chunk, tail

    def _control(
        self, m: Module, settings: Signal, parts: dict, attend: Store, sizes: tuple[Value, Value, Value]
    ) -> None:
        """A layer: for a batch's first, chunks of `attend` clear the sums; for others, what matters least is dropped.
        Then its plan."""
        tokens, heads, selection, writer = parts.values()
        last_chunk, last_head_chunk, tail = sizes
        number, starts = Signal.like(selection.read_at), Signal()
        ends = number == last_chunk
        given = self.attend.payload & (tail | ~ends.replicate(len(tail)))
        m.d.comb += [
            selection.give_at.eq(number),
            selection.given.eq(given),
            attend.write_at.eq(number),
            attend.word.eq(given),
            attend.write.eq(selection.give),
            tokens.clear.eq(selection.give),
            tokens.read_at.eq(Mux(tokens.clear, number, selection.read_at)),
            heads.read_at.eq(Mux(heads.clear, number, selection.read_at)),
            *(part.start.eq(starts) for part in (tokens, heads, writer)),
        ]
        with m.FSM():
            with m.State("REST"):
                m.d.comb += self.settings.ready.eq(tokens.fed & heads.fed)
                m.d.sync += number.eq(0)
                with m.If(self.settings.valid & self.settings.ready):
                    m.d.sync += settings.eq(self.settings.payload)
                    m.next = "SIZES"
            with m.State("SIZES"):
                m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [selection.opens.eq(settings.first), selection.cut.eq(~settings.first)]
                with m.If(settings.first):
                    m.next = "ATTEND"
                with m.Else():
                    m.next = "CUT"
            with m.State("ATTEND"):
                m.d.comb += [self.attend.ready.eq(1), selection.give.eq(self.attend.valid)]
                with m.If(self.attend.valid):
                    m.d.sync += number.eq(Mux(ends, 0, number + 1))
                    with m.If(ends):
                        m.next = "HEADS"
            with m.State("HEADS"):
                m.d.comb += heads.clear.eq(1)
                m.d.sync += number.eq(number + 1)
                with m.If(number == last_head_chunk):
                    m.next = "START"
            with m.State("CUT"):
                with m.If(selection.done):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += starts.eq(1)
                m.next = "PLAN"
            with m.State("PLAN"):
                with m.If(self.o.valid & self.o.ready & self.o.payload.last):
                    m.next = "REST"
