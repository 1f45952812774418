# SPDX-License-Identifier: Apache-2.0
"""Where the kept keys of a row wait for its decision.

kept, chunk by chunk ─► memory, a slot per row ─┐
decided, reference ───► register per slot ──────┴─► beats ─► rows
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.speculate.socket import row_layout, settings_layout
from hdl.speculate.spls.layouts import tag_layout


class RowQueue(wiring.Component):
    """Keeps up to `slots` rows, and sends each once it is decided: a beat a cycle, without pause from row to row.

    Parameters
    ----------
    config: `SpeculationConfig`. slots: rows.

    Members
    -------
    settings: In, `settings_layout`, still from before a layer's first row until its last has left.
    room: Out, 1: a slot is free. claim: In, 1, while `room`: a row takes it.
    tag: In, `tag_layout`, kept: In, `rows` bits: a chunk of a row that has claimed; rows in order.
    decided: In, 1, after the row's last chunk or with it; reference: In: its place in the window, or of the row itself.
    rows: Out, stream of `row_layout`.
    """

    def __init__(self, config: SpeculationConfig, *, slots: int):
        self._config, self._slots = config, slots
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "room": Out(1),
                "claim": In(1),
                "tag": In(tag_layout(config.rows, config.blocks)),
                "kept": In(config.rows),
                "decided": In(1),
                "reference": In(range(max(2, config.similarity_window))),
                "rows": Out(stream.Signature(row_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, slots = self._config, self._slots
        chunk_bits = len(self.tag.chunk)
        m.submodules.memory = memory = Memory(shape=config.rows, depth=slots << chunk_bits, init=[])
        write, read = memory.write_port(), memory.read_port()
        writing, deciding, sending = (Signal(range(slots), name=name) for name in ("writing", "deciding", "sending"))
        taken, ready, leaves = Signal(range(slots + 1)), Signal(range(slots + 1)), Signal()
        references = Array(Signal.like(self.reference, name=f"reference{i}", reset_less=True) for i in range(slots))
        m.d.comb += [
            self.room.eq(taken != slots),
            write.en.eq(self.tag.valid),
            write.addr.eq(Cat(self.tag.chunk, writing)),
            write.data.eq(self.kept),
        ]
        with m.If(self.claim != leaves):
            m.d.sync += taken.eq(Mux(self.claim, taken + 1, taken - 1))
        with m.If(self.decided != leaves):
            m.d.sync += ready.eq(Mux(self.decided, ready + 1, ready - 1))
        with m.If(self.tag.valid & self.tag.last):
            m.d.sync += writing.eq(_following(writing, slots))
        with m.If(self.decided):
            m.d.sync += [references[deciding].eq(self.reference), deciding.eq(_following(deciding, slots))]
        with m.If(leaves):
            m.d.sync += sending.eq(_following(sending, slots))
        chunk = self._send(m, references[sending], ready != 0, read, leaves)
        m.d.comb += read.addr.eq(Cat(chunk, sending))
        return m

    def _send(self, m: Module, reference, waiting, read, leaves: Signal) -> Signal:
        """Reads a chunk when the one before it has been taken; the memory's output register holds it then.
        `leaves`: the row's last. Returns which chunk."""
        config = self._config
        places = (config.similarity_window - 1).bit_length()
        last_token, row = Signal(range(config.tokens), reset_less=True), Signal(range(config.tokens))
        chunk = Signal(range(config.blocks))
        beat = Signal(row_layout(config), reset_less=True)
        critical, kept, moves, last = Signal(), Signal(reset_less=True), Signal(), Signal()
        block_bits = (config.rows - 1).bit_length()
        last_chunk = Mux(self.settings.causal, row[block_bits:], last_token[block_bits:])
        m.d.sync += last_token.eq(self.settings.tokens - 1)
        m.d.comb += [
            critical.eq(reference == row[:places]),
            last.eq(~critical | (chunk == last_chunk)),
            moves.eq(waiting & (~self.rows.valid | self.rows.ready)),
            leaves.eq(moves & last),
            read.en.eq(moves & critical),
            self.rows.payload.eq(beat),
            self.rows.payload.keys.eq(read.data & kept.replicate(config.rows)),
        ]
        with m.If(moves):
            m.d.sync += [
                beat.row.eq(row),
                beat.reference.eq(Cat(reference[:places], row[places:])),
                beat.chunk.eq(chunk),
                beat.last.eq(last),
                kept.eq(critical),
                chunk.eq(Mux(last, 0, chunk + 1)),
            ]
            with m.If(last):
                m.d.sync += row.eq(Mux(row == last_token, 0, row + 1))
        with m.If(~self.rows.valid | self.rows.ready):
            m.d.sync += self.rows.valid.eq(waiting)
        return chunk


def _following(pointer: Signal, count: int):
    return Mux(pointer == count - 1, 0, pointer + 1)
