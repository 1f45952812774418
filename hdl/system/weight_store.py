# SPDX-License-Identifier: Apache-2.0
"""Weights of an array on chip: tiles come from memory as far ahead as there is room, and go to the array for each list
of rows; those of a job without rows go nowhere.

weights ─► words ─► loader ─┬─► parameters 0 ─► entries ─┬─► column, choices
                            ├─► parameters 1 ─► entries ─┘
                            ├─► tiles 0 ─┬─► w
                            └─► tiles 1 ─┘
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.formats import OPERAND_BITS
from config.system import CHUNK_TILES, ENTRY_BYTES, SystemConfig
from hdl.execute.dense import weights_layout
from hdl.execute.line import row_layout
from hdl.shared import share
from hdl.system.dense_layouts import (
    ENTRY,
    HALVES,
    Ports,
    choice_layout,
    columns_shape,
    load_layout,
    part_of,
    turn_layout,
)
from hdl.system.flow import Queue, queue_of
from hdl.system.gearbox import Join, Split
from hdl.system.layouts import Sink, bus_shape
from hdl.system.tile_store import TileStore

TURNS = 4
"""Turns that wait: the columns of a tile are wanted one or two tiles behind its weights."""


def geared(m: Module, name: str, given, to_bits: int, platform):
    """The stream in words of `to_bits`, and `ends` of the `Split` or `Join` that makes them, or None without one."""
    bits = len(Value.cast(given.payload))
    if bits == to_bits:
        return given, None
    box = Split(bits, to_bits) if bits > to_bits else Join(bits, to_bits)
    m.submodules[name] = share(box, f"{type(box).__name__.lower()}_{bits}_{to_bits}", platform)
    m.d.comb += [
        box.i.valid.eq(given.valid),
        box.i.payload.eq(given.payload),
        given.ready.eq(box.i.ready),
    ]
    return box.o, box.ends


class WeightLoader(wiring.Component):
    """Tiles as they lie in memory, to the halves of the stores in turn.

    Parameters: `config`.

    Members
    -------
    loads: In, stream of `load_layout(config)`, each taken with its last word. weights: In, stream of `bus_shape`.
    parameters, weights of half n: Out, streams of `lanes` bytes. Of each tile, `ENTRY_BYTES` words of parameters, and
    then those of its weights; what is left of a word of the bus is dropped.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        word = stream.Signature(row_layout(config.lanes))
        super().__init__(
            {
                "loads": In(stream.Signature(load_layout(config))),
                "weights": In(stream.Signature(bus_shape(config))),
                "parameters": Out(word).array(HALVES),
                "tiles": Out(word).array(HALVES),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, load = self._config, self.loads.payload
        words, end = geared(m, "gear", self.weights, OPERAND_BITS * config.lanes, platform)
        number = Signal(range(max(config.row_words * config.lanes, ENTRY_BYTES) + 1), init=1)
        due, tile, behind = Signal.like(number), Signal.like(load.tiles), Signal.like(load.tiles)
        within, half, moves, last = Signal(), Signal(), Signal(), Signal()
        targets = [(within == kind) & (half == n) for kind in range(2) for n in range(HALVES)]
        outs = [*self.parameters, *self.tiles]
        m.d.comb += [
            due.eq(Mux(within, load.words << exact_log2(config.lanes), ENTRY_BYTES)),
            last.eq(number == due),
            words.ready.eq(
                self.loads.valid & Cat(target & out.ready for target, out in zip(targets, outs, strict=True)).any()
            ),
            moves.eq(words.valid & words.ready),
            behind.eq(tile + 1),
            self.loads.ready.eq(moves & last & within & (behind == load.tiles)),
        ]
        if config.bus_bytes > config.lanes:
            # What fills a word of the bus up.
            m.d.comb += end.eq(last & within)
        for target, out in zip(targets, outs, strict=True):
            m.d.comb += [
                out.valid.eq(words.valid & self.loads.valid & target),
                Value.cast(out.payload).eq(words.payload),
            ]
        with m.If(moves):
            m.d.sync += number.eq(Mux(last, 1, number + 1))
            with m.If(last):
                m.d.sync += within.eq(~within)
                with m.If(within):
                    m.d.sync += [
                        half.eq(~(half | self.loads.ready | load.single)),
                        tile.eq(Mux(self.loads.ready, 0, behind)),
                    ]
        return m


class WeightStore(wiring.Component):
    """Two halves of tiles, and what an array wants of them.

    Parameters: `config`; `ports`, of the array.

    Members
    -------
    loads, weights: In, as those of `WeightLoader`. busy: Out, 1: a turn is under way.
    turns: In, stream of `turn_layout(config)`: all loaded tiles, in their order; with `none`, they are dropped.
    w, column: Out, as the array takes them. choices: Out, stream of `choice_layout(ports)`: of each group of columns,
    taken no later than the group is first offered.

    A half holds `weight_words` words, and parameters of `CHUNK_TILES` tiles: all the tiles that a job has in it.
    """

    def __init__(self, config: SystemConfig, ports: Ports):
        self._config, self._ports = config, ports
        row, most = row_layout(config.lanes), config.row_words * config.lanes
        self._tiles = [TileStore(config.weight_words, row, most) for _ in range(HALVES)]
        self._parameters = [TileStore(ENTRY_BYTES * CHUNK_TILES, row, ENTRY_BYTES) for _ in range(HALVES)]
        super().__init__(
            {
                "loads": In(stream.Signature(load_layout(config))),
                "weights": In(stream.Signature(bus_shape(config))),
                "busy": Out(1),
                "turns": In(stream.Signature(turn_layout(config))),
                "w": Out(stream.Signature(weights_layout(config.lanes))),
                "column": Out(stream.Signature(ports.column_layout)),
                "choices": Out(stream.Signature(choice_layout(ports))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        loader = WeightLoader(self._config)
        m.submodules.loader = share(loader, "weight_loader", platform)
        wiring.connect(m, wiring.flipped(self.loads), loader.loads)
        wiring.connect(m, wiring.flipped(self.weights), loader.weights)
        for name, stores, given in (
            ("tiles", self._tiles, loader.tiles),
            ("parameters", self._parameters, loader.parameters),
        ):
            for half, (store, words) in enumerate(zip(stores, given, strict=True)):
                m.submodules[f"{name}{half}"] = share(store, store.name, platform)
                wiring.connect(m, words, store.i)
        w_turns, column_turns = self._take_turns(m, platform)
        m.d.comb += self.busy.eq(w_turns.o.valid | column_turns.o.valid)
        self._give_weights(m, w_turns)
        self._give_columns(m, column_turns, platform)
        return m

    def _take_turns(self, m: Module, platform) -> list[Queue]:
        """A turn to all that wait for it, in the cycle in which each has room."""
        turn, config = self.turns.payload, self._config
        queues, asked = [], []
        for half in range(HALVES):
            wanted = turn.double | (turn.half == half)
            for name, store, words in (
                ("tiles", self._tiles[half], turn.words << exact_log2(config.lanes)),
                ("parameters", self._parameters[half], ENTRY_BYTES),
            ):
                queue = queue_of(m, f"{name}_turns{half}", store.turns.payload.shape(), TURNS, platform)
                wiring.connect(m, queue.o, store.turns)
                given = {"words": words, "first": turn.first, "last": turn.last, "ends": turn.ends[half]}
                m.d.comb += [queue.i.payload[field].eq(value) for field, value in given.items()]
                asked.append((queue, wanted))
        for name, fields in (
            ("w", ("half", "double", "none")),
            ("column", ("half", "double", "none", "sink", "last_line")),
        ):
            queues.append(queue_of(m, f"{name}_turns", part_of(turn_layout(config), *fields), TURNS, platform))
            m.d.comb += [queues[-1].i.payload[field].eq(turn[field]) for field in fields]
            asked.append((queues[-1], 1))
        m.d.comb += self.turns.ready.eq(Cat(queue.i.ready for queue, _ in asked).all())
        m.d.comb += [queue.i.valid.eq(self.turns.valid & self.turns.ready & wanted) for queue, wanted in asked]
        return queues

    def _give_weights(self, m: Module, turns: Queue) -> None:
        """Of one half, or both beside each other."""
        lower, upper = (store.o for store in self._tiles)
        turn = turns.o.payload
        there = Mux(turn.double, lower.valid & upper.valid, Mux(turn.half, upper.valid, lower.valid))
        fire, last = Signal(), Mux(turn.half, upper.payload.last, lower.payload.last)
        m.d.comb += [
            self.w.valid.eq(turns.o.valid & there & ~turn.none),
            Value.cast(self.w.payload[0]).eq(
                Mux(turn.half, Value.cast(upper.payload.word), Value.cast(lower.payload.word))
            ),
            self.w.payload[1].eq(upper.payload.word),
            fire.eq(turns.o.valid & there & (self.w.ready | turn.none)),
            lower.ready.eq(fire & ~turn.half),
            upper.ready.eq(fire & (turn.half | turn.double)),
            turns.o.ready.eq(fire & last),
        ]

    def _give_columns(self, m: Module, turns: Queue, platform) -> None:
        """Group by group; of two tiles the first one's and then the second one's."""
        ports, turn = self._ports, turns.o.payload
        bits = ENTRY.size * ports.columns
        entries = []
        for half, store in enumerate(self._parameters):
            words = stream.Signature(row_layout(self._config.lanes)).create(path=(f"words{half}",))
            m.d.comb += [
                words.valid.eq(store.o.valid),
                words.payload.eq(store.o.payload.word),
                store.o.ready.eq(words.ready),
            ]
            given = geared(m, f"entries{half}", words, bits, platform)[0]
            if len(Value.cast(words.payload)) < bits:
                # While one is used, the next one is joined.
                queue = queue_of(m, f"joined{half}", bits, 2, platform)
                wiring.connect(m, given, queue.i)
                given = queue.o
            entries.append(given)
        lower, upper = entries
        second, group = Signal(), Signal(columns_shape(ports))
        fire, half, ends, last, offered, told = Signal(), Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.sync += told.eq((told | (self.choices.valid & self.choices.ready)) & ~fire)
        m.d.comb += [
            half.eq(turn.half | second),
            offered.eq(turns.o.valid & Mux(half, upper.valid, lower.valid)),
            self.column.valid.eq(offered & ~turn.none & (told | self.choices.ready)),
            fire.eq(Mux(turn.none, offered, self.column.valid & self.column.ready)),
            # The array takes columns with the last of their results, and the first may have left by then.
            self.choices.valid.eq(offered & ~turn.none & ~told),
            lower.ready.eq(fire & ~half),
            upper.ready.eq(fire & half),
            ends.eq(second | ~turn.double),
            last.eq(group == ports.groups - 1),
            turns.o.ready.eq(fire & ends & last),
        ]
        with m.If(fire):
            m.d.sync += second.eq(~ends)
            with m.If(ends):
                m.d.sync += group.eq(Mux(last, 0, group + 1))
        self._show(m, Mux(half, Value.cast(upper.payload), Value.cast(lower.payload)), turn)

    def _show(self, m: Module, given: Value, turn: data.View) -> None:
        ports, choice = self._ports, self.choices.payload
        entries = data.View(data.ArrayLayout(ENTRY, ports.columns), given)
        columns = [self.column.payload] if ports.dot else list(self.column.payload)
        for number, column in enumerate(columns):
            entry = entries[number]
            m.d.comb += [column[name].eq(entry[name]) for name in ("mul", "shift", "bias")]
            m.d.comb += choice.choice[number].eq(entry.choice)
        m.d.comb += [
            choice.hidden.eq(turn.sink == Sink.HIDDEN),
            choice.last_step.eq(turn.last_line >> exact_log2(ports.rows)),
        ]
