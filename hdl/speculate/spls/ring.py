# SPDX-License-Identifier: Apache-2.0
"""Score columns in, rows of the score matrix out, chunk by chunk.

columns ─► shift, saturate ─► register ─► SkewedBuffer, a ring of 2·tokens columns ─► words
                                            ▲ chunks written   ▲ chunks read, by rows of a block
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import MAX_SCORE_SHIFT, SpeculationConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.socket import column_layout, settings_layout
from hdl.speculate.spls.layouts import ticket_layout, word_layout
from hdl.speculate.transpose import SkewedBuffer


class ScoreScaler(wiring.Component):
    """Brings a sum into the width of a score. Combinational.

    Members: `i`: In, signed(sum_bits); `shift`: In, 0 to 31; `o`: Out, signed(score_bits): i >> shift, towards minus
    infinity, saturated.
    """

    def __init__(self, *, sum_bits: int, score_bits: int):
        super().__init__(
            {"i": In(signed(sum_bits)), "shift": In(range(MAX_SCORE_SHIFT + 1)), "o": Out(signed(score_bits))}
        )

    def elaborate(self, platform):
        m = Module()
        bits = len(self.o)
        shifted = Signal.like(self.i)
        m.d.comb += [shifted.eq(self.i >> self.shift), self.o.eq(shifted)]
        if len(self.i) > bits:
            above = shifted[bits - 1 :]
            with m.If(above.any() & ~above.all()):
                sign = shifted[-1]
                m.d.comb += self.o.eq(Mux(sign, -(1 << (bits - 1)), (1 << (bits - 1)) - 1))
        return m


class BlockRing(wiring.Component):
    """Takes a column a cycle while there is room; lends out the rows of each block once it has the whole block.

    Parameters
    ----------
    config: `SpeculationConfig`, whose `tokens` and `rows` it is built for. columns: layout of a column; of it, `sum`,
    `valid` and `last` are used. score_bits: of a score, to which the sums of a column are cut.

    Members
    -------
    settings: In, `settings_layout`, still from before a layer's first column until its last row is read.
    columns: In, stream of `columns`; `ready` is low only while the ring is full.
    available: Out, 1: the row of `ticket` (Out, `ticket_layout`) can be read.
    start: In, 1, while `available`: read its chunk 0, and turn to the row behind it. step: In, 1: read the next chunk
    of the row started last. words: Out, `rows` words of `word_layout`, from the next cycle until the next read; keys
    beyond the sequence are not valid. All chunks of a row must be read before the next is started.
    """

    def __init__(self, config: SpeculationConfig, columns: data.StructLayout, score_bits: int):
        self._config, self._score_bits = config, score_bits
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "columns": In(stream.Signature(columns)),
                "available": Out(1),
                "ticket": Out(ticket_layout(config.rows, config.blocks)),
                "start": In(1),
                "step": In(1),
                "words": Out(data.ArrayLayout(word_layout(score_bits), config.rows)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        buffer = SkewedBuffer(rows=config.rows, bits=self._score_bits + 1, depth=2 * config.tokens)
        m.submodules.buffer = share(buffer, "skewed_buffer", platform)
        released, complete = Signal(), Signal()
        self._fill(m, buffer, released, complete, platform)
        self._drain(m, buffer, released, complete)
        return m

    def _fill(self, m: Module, buffer: SkewedBuffer, released: Signal, complete: Signal, platform) -> None:
        """Columns into the ring. `released`: a chunk is free again; `complete`: a block's last column is written."""
        rows, chunks = self._config.rows, 2 * self._config.blocks
        column = self.columns.payload
        fires, opens, write, last = Signal(), Signal(), Signal(), Signal(reset_less=True)
        position = Signal.like(buffer.position, reset_less=True)
        low, chunk, taken = Signal(range(rows)), Signal(range(chunks)), Signal(range(chunks + 1))
        m.d.comb += [
            self.columns.ready.eq((low != 0) | (taken != chunks)),
            fires.eq(self.columns.valid & self.columns.ready),
            opens.eq(fires & (low == 0)),
            buffer.write.eq(write),
            buffer.position.eq(position),
            complete.eq(write & last),
        ]
        m.d.sync += write.eq(fires)
        with m.If(opens != released):
            m.d.sync += taken.eq(Mux(opens, taken + 1, taken - 1))
        with m.If(fires):
            m.d.sync += [position.eq(Cat(low, chunk)), last.eq(column.last)]
            m.d.sync += low.eq(Mux(column.last, 0, low + 1))
            with m.If(column.last | (low == rows - 1)):
                m.d.sync += chunk.eq(Mux(chunk == chunks - 1, 0, chunk + 1))
        word, scores = word_layout(self._score_bits), self._scores(m, fires, platform)
        for i, score in enumerate(scores):
            held = Signal(word, name=f"held{i}", reset_less=True)
            m.d.comb += buffer.column[i].eq(held)
            with m.If(fires):
                m.d.sync += [held.score.eq(score), held.valid.eq(column.valid[i])]
        corner(m, platform, "ring_full", self.columns.valid & ~self.columns.ready)

    def _scores(self, m: Module, fires: Signal, platform) -> list[Value]:
        """The scores of a column."""
        return list(self.columns.payload.sum)

    def _drain(self, m: Module, buffer: SkewedBuffer, released: Signal, complete: Signal) -> None:
        """Rows out of the ring. A block's chunks are released as its last row is read."""
        rows, chunks = self._config.rows, 2 * self._config.blocks
        last_key = Signal(range(self._config.tokens), reset_less=True)
        place, block, whole = Signal(range(rows)), Signal(range(self._config.blocks)), Signal(range(chunks + 1))
        first, pointer, base = Signal(), Signal(range(chunks)), Signal(range(chunks))
        reading, ending, index = Signal.like(place), Signal(), Signal.like(block)
        last_block, tail = last_key[len(place) :], last_key[: len(place)]
        ends, finishes = Signal(), Signal()
        m.d.sync += last_key.eq(self.settings.tokens - 1)
        m.d.comb += [
            first.eq(place == 0),
            ends.eq(place == Mux(block == last_block, tail, rows - 1)),
            finishes.eq(self.start & ends),
            self.available.eq(whole != 0),
            self.ticket.place.eq(place),
            self.ticket.last_chunk.eq(Mux(self.settings.causal, block, last_block)),
            buffer.read.eq(self.start | self.step),
            buffer.row.eq(Mux(self.start, place, reading)),
            # Behind the last row of a block, the pointer stands on the next block.
            buffer.chunk.eq(Mux(self.start & ~first, base, pointer)),
            released.eq(buffer.read & Mux(self.start, ends, ending)),
        ]
        with m.If(complete != finishes):
            m.d.sync += whole.eq(Mux(complete, whole + 1, whole - 1))
        with m.If(buffer.read):
            m.d.sync += pointer.eq(Mux(buffer.chunk == chunks - 1, 0, buffer.chunk + 1))
            m.d.sync += index.eq(Mux(self.start, 0, index + 1))
        with m.If(self.start):
            m.d.sync += [reading.eq(place), ending.eq(ends), place.eq(Mux(ends, 0, place + 1))]
            with m.If(first):
                m.d.sync += base.eq(pointer)
            with m.If(ends):
                m.d.sync += block.eq(Mux(block == last_block, 0, block + 1))
        for i in range(rows):
            read = data.View(word_layout(self._score_bits), buffer.words[i])
            m.d.comb += self.words[i].score.eq(read.score)
            m.d.comb += self.words[i].valid.eq(read.valid & ((index != last_block) | ~less(tail, i)))


class ScoreRing(BlockRing):
    """`BlockRing` of columns as in `column_layout`, whose sums are shifted and saturated.

    Parameters: config: `SpeculationConfig`, method spls.
    """

    def __init__(self, config: SpeculationConfig):
        super().__init__(config, column_layout(config), config.score_bits)

    def _scores(self, m: Module, fires: Signal, platform) -> list[Value]:
        column, scores, saturated = self.columns.payload, [], []
        for i in range(self._config.rows):
            scaler = ScoreScaler(sum_bits=self._config.sum_bits, score_bits=self._score_bits)
            m.submodules[f"scaler{i}"] = share(scaler, "score_scaler", platform)
            m.d.comb += [scaler.i.eq(column.sum[i]), scaler.shift.eq(column.shift)]
            scores.append(scaler.o)
            saturated.append(column.valid[i] & (scaler.o != column.sum[i] >> column.shift))
        corner(m, platform, "score_saturated", fires & Cat(saturated).any())
        return scores
