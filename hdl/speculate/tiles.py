# SPDX-License-Identifier: Apache-2.0
"""The order of a layer's work on the array, one tile after the other.

    for each head
        K̂, then Q̂:      for each group of outputs, for each slice of the width: one tile, all tokens stream by
        scores:          for each block of queries, for each slice of the head: one tile, keys stream by
        scores of LAPA:  blocks in pairs; for each round, for each block of the pair, for each slice

A later round of a block needs what was decided after the round before; with two blocks under way, the array works on
one while the other is being decided.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import UNITY, SpeculationConfig
from hdl.cover import corner
from hdl.speculate.socket import Operand, settings_layout


def tile_layout(config: SpeculationConfig) -> data.StructLayout:
    """A tile. `parity`: changes with every head.

    `score`: scores, not Q̂ or K̂. Of Q̂ and K̂: `operand`, `group`, `slice` of the width; `fresh`: its x comes from
    outside for the first time. Of scores: `block` of queries, `slice` of the head; `round`, and `final`, it is the
    block's last one. `clear`, `emit`: first and last slice. `end`: the layer's last tile.
    """
    return data.StructLayout(
        {
            "head": range(config.heads),
            "parity": 1,
            "score": 1,
            "operand": Operand,
            "group": range(config.groups),
            "slice": range(max(config.width_slices, config.head_slices)),
            "fresh": 1,
            "block": range(config.blocks),
            "round": range(config.rounds),
            "final": 1,
            "clear": 1,
            "emit": 1,
            "end": 1,
        }
    )


class Tiles(wiring.Component):
    """Names the tiles of a layer in order, one a cycle.

    Members: `settings`: In, `settings_layout`, still while `busy`. `start`: In, 1, begins a layer; at least one cycle
    behind the last tile of the one before. `o`: Out, stream of `tile_layout`; `busy`: Out, 1, there are more to come.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "start": In(1),
                "busy": Out(1),
                "o": Out(stream.Signature(tile_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        tile = Signal(tile_layout(config))
        pair, slot = Signal(range((config.blocks + 1) // 2)), Signal()
        last_block, last_round = Signal(range(config.blocks)), Signal(range(config.rounds))
        last_head, last_slice = Signal(range(config.heads)), Signal(range(config.width_slices))
        m.d.comb += [
            self.o.valid.eq(self.busy),
            self.o.payload.eq(tile),
            self.o.payload.fresh.eq((tile.head == 0) & (tile.operand == Operand.K) & (tile.group == 0) & ~tile.score),
            self.o.payload.final.eq(tile.round == last_round),
            self.o.payload.clear.eq(tile.slice == 0),
        ]
        m.d.sync += [
            last_block.eq((self.settings.tokens - 1)[config.row_bits :]),
            last_round.eq(self._last_round()),
            last_head.eq(self.settings.heads - 1),
            last_slice.eq(self.settings.slices - 1),
        ]
        lapa = config.method == "lapa"
        if lapa:
            m.d.comb += self.o.payload.block.eq((pair << 1) + slot)
        predicted = _Nest(
            [
                (tile.slice, last_slice),
                (tile.group, config.groups - 1),
                (tile.operand.as_value(), Operand.Q.value),
            ]
        )
        # The last pair may be a single block; a sequence of one block has no other pair.
        last_slot = Mux(pair == last_block >> 1, last_block[:1], 1)
        scored = _Nest(
            [(tile.slice, config.head_slices - 1)]
            + (
                [(slot, last_slot), (tile.round, last_round), (pair, last_block >> 1)]
                if lapa
                else [(tile.block, last_block)]
            )
        )
        end = tile.score & scored.over & (tile.head == last_head)
        m.d.comb += [
            self.o.payload.emit.eq(Mux(tile.score, scored.innermost, predicted.innermost)),
            self.o.payload.end.eq(end),
        ]
        with m.If(self.o.valid & self.o.ready):
            with m.If(tile.score):
                scored.step(m)
                with m.If(scored.over):
                    m.d.sync += [tile.score.eq(0), tile.head.eq(tile.head + 1), tile.parity.eq(~tile.parity)]
            with m.Else():
                predicted.step(m)
                m.d.sync += tile.score.eq(predicted.over)
            with m.If(end):
                m.d.sync += [self.busy.eq(0), tile.head.eq(0)]
        if lapa:
            scoring = self.o.valid & tile.score
            corner(m, platform, "lone_block", scoring & (pair == last_block >> 1) & ~last_block[:1].any())
            corner(m, platform, "rounds_left_out", scoring & (last_round != config.rounds - 1))
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        return m

    def _last_round(self) -> Value:
        """Rounds at the end that drop nothing are left out."""
        last = 0
        if self._config.method == "lapa":
            for number in range(1, self._config.rounds):
                last = Mux(self.settings.eta[number] == UNITY, last, number)
        return last


class _Nest:
    """Counters inside each other, the innermost first, each from 0 to its last value."""

    def __init__(self, loops: list[tuple[Value, Value | int]]):
        self._loops = loops
        self._done = [counter == last for counter, last in loops]

    @property
    def innermost(self) -> Value:
        """The innermost counter stands at its last value."""
        return self._done[0]

    @property
    def over(self) -> Value:
        """All of them do."""
        return Cat(self._done).all()

    def step(self, m: Module) -> None:
        """Count on, back to zero at the end."""
        before: Value | int = 1
        for (counter, _), done in zip(self._loops, self._done, strict=True):
            with m.If(before):
                m.d.sync += counter.eq(Mux(done, 0, counter + 1))
            before = before & done
