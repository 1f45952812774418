# SPDX-License-Identifier: Apache-2.0
"""Masks: the kept keys of a block come key by key and leave row by row.

    key, R bits ─► rotate ─► bank 0 … bank R-1, one bit wide ─► rotate back ─► and visited ─► rows

Row i of key j is in bank (i + j) mod R, so that a key's R rows and a row's R neighbouring keys are in different banks.
There are two buffers: one fills while the other leaves.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import SpeculationConfig
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.lapa.layouts import block_layout, chosen, verdict_layout
from hdl.speculate.socket import row_layout, settings_layout
from hdl.store import Store

BUFFERS = 2


def rotated(m: Module, word: Value, places: Value, *, right: bool) -> Value:
    """`word` rotated by `places`, from 0 to its length less one, one binary digit after the other."""
    for i, digit in enumerate(places):
        step = Signal(len(word), name=f"{'right' if right else 'left'}{i}")
        moved = word.rotate_right(1 << i) if right else word.rotate_left(1 << i)
        m.d.comb += step.eq(word)
        with m.If(digit):
            m.d.comb += step.eq(moved)
        word = step
    return word


class Masks(wiring.Component):
    """Turns verdicts by key into rows. Takes a key and gives a beat in every cycle.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`.

    Members
    -------
    settings: In, `settings_layout(config)`; only `tokens` is used: rows from there on do not leave.
    free: Out, 1: the next mask can begin, and `buffer` (Out) is where.
    block: In, `block_layout(config)`: it does, for this block.
    verdict: In, `verdict_layout(config)`: those with `mask` set; keys that none comes for are kept by no row.
    rows: Out, stream of `row_layout(config)`, 3 cycles after the block's last verdict.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "free": Out(1),
                "buffer": Out(1),
                "block": In(block_layout(config)),
                "verdict": In(verdict_layout(config)),
                "rows": Out(stream.Signature(row_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        used, full = Signal(BUFFERS), Signal(BUFFERS)
        blocks = [Signal(block_layout(config), name=f"block{i}", reset_less=True) for i in range(BUFFERS)]
        visited = Signal(data.ArrayLayout(data.ArrayLayout(config.rows, config.blocks), BUFFERS), reset_less=True)
        filling = Signal()
        m.d.comb += [self.free.eq(~chosen(used, filling)), self.buffer.eq(filling)]
        with m.If(self.block.enable):
            m.d.sync += [
                filling.eq(~filling),
                used.bit_select(filling, 1).eq(1),
            ]
            for i, block in enumerate(blocks):
                with m.If(filling == i):
                    m.d.sync += block.eq(self.block)
        with m.If(self.verdict.mask & self.verdict.last):
            m.d.sync += full.bit_select(self.verdict.buffer, 1).eq(1)
        self._mark(m, visited, filling)
        place, fetch, kept = self._banks(m, platform)
        self._leave(m, used, full, blocks, visited, place, fetch, kept)
        sole, keys = self.rows.payload, self.rows.payload["keys"]
        alone = sole.last & (sole.chunk == 0) & keys.any() & ~(keys & (keys - 1)).any() & (self.settings.tokens > 1)
        corner(m, platform, "all_but_one_dropped", self.rows.valid & alone & ~self.settings.causal)
        return m

    def _split(self, key: Value) -> tuple[Value, Value]:
        """Place in its chunk, and chunk, of a key."""
        bits = (self._config.rows - 1).bit_length()
        return key[:bits], key[bits:]

    def _mark(self, m: Module, visited: data.View, filling: Signal) -> None:
        within, chunk = self._split(self.verdict.key)
        mark = Signal(self._config.rows)
        m.d.comb += mark.eq(1 << within)
        for buffer in range(BUFFERS):
            for i in range(self._config.blocks):
                with m.If(self.block.enable & (filling == buffer)):
                    m.d.sync += visited[buffer][i].eq(0)
                with m.Elif(self.verdict.mask & (self.verdict.buffer == buffer) & (chunk == i)):
                    m.d.sync += visited[buffer][i].eq(visited[buffer][i] | mark)

    def _banks(self, m: Module, platform) -> tuple[Signal, Signal, Value]:
        """The banks behind their rotation; returns the place read, whether it is, and the bits that were there."""
        rows, verdict = self._config.rows, self.verdict
        within, chunk = self._split(verdict.key)
        kept = rotated(m, verdict.kept, within, right=False)
        place, fetch = Signal(range(BUFFERS * self._config.tokens)), Signal()
        fetched = []
        for i in range(rows):
            bank = Store(BUFFERS * self._config.tokens, 1)
            m.submodules[f"bank{i}"] = share(bank, bank.name, platform)
            row = (i - within)[: len(within)]
            m.d.comb += [
                bank.read.eq(fetch),
                bank.read_at.eq(place),
                bank.write.eq(verdict.mask),
                bank.write_at.eq(self._place(verdict.buffer, chunk, row)),
                bank.word.eq(kept[i]),
            ]
            fetched.append(bank.stored)
        return place, fetch, Cat(fetched)

    def _place(self, buffer: Value, chunk: Value, row: Value) -> Value:
        """Where a row's bit of a chunk is in its bank: buffers lie `tokens` apart."""
        within = Cat(row, chunk)
        if self._config.tokens & (self._config.tokens - 1) == 0:
            return Cat(within[: (self._config.tokens - 1).bit_length()], buffer)
        return within + Mux(buffer, self._config.tokens, 0)

    def _leave(self, m: Module, used, full, blocks, visited, place: Signal, fetch: Signal, kept: Value) -> None:
        """Rows in turn, chunks in turn: place ─► bits of the banks ─► row."""
        rows = self.rows
        buffer = Signal()
        block = data.View(block_layout(self._config), chosen(blocks, buffer))
        visit = data.View(visited.shape().elem_shape, chosen(visited, buffer))
        row, chunk = Signal(range(self._config.rows)), Signal(range(self._config.blocks))
        valid, offered = Signal(), Signal()
        payload = Signal(rows.payload.shape(), reset_less=True)
        # Of the row, what its own name does not say.
        fields = {name: field.shape for name, field in payload.shape() if name != "reference"}
        beat = Signal(data.StructLayout(fields), reset_less=True)
        token = Cat(row, block.block)
        move = Signal()
        m.d.comb += [
            move.eq(~offered | rows.ready),
            fetch.eq(chosen(full, buffer) & (~valid | move)),
            place.eq(self._place(buffer, chunk, row)),
            rows.valid.eq(offered),
            rows.payload.eq(payload),
        ]
        end_of_row = chunk == block.chunk
        with m.If(fetch):
            m.d.sync += [
                beat.row.eq(token),
                beat.chunk.eq(chunk),
                beat["keys"].eq(Array(map(Value.cast, visit))[chunk]),
                beat.last.eq(end_of_row),
                chunk.eq(chunk + 1),
            ]
            with m.If(end_of_row):
                m.d.sync += [chunk.eq(0), row.eq(row + 1)]
                with m.If((row == self._config.rows - 1) | (token + 1 == self.settings.tokens)):
                    # What is read now has left the buffer.
                    m.d.sync += [
                        row.eq(0),
                        buffer.eq(~buffer),
                        used.bit_select(buffer, 1).eq(0),
                        full.bit_select(buffer, 1).eq(0),
                    ]
        with m.If(fetch):
            m.d.sync += valid.eq(1)
        with m.Elif(move):
            m.d.sync += valid.eq(0)
        bits = (self._config.rows - 1).bit_length()
        back = rotated(m, kept, beat.row[:bits], right=True)
        with m.If(move):
            m.d.sync += offered.eq(valid)
            with m.If(valid):
                m.d.sync += [payload[name].eq(beat[name]) for name in fields if name != "keys"]
                m.d.sync += [payload.reference.eq(beat.row), payload["keys"].eq(back & beat["keys"])]
