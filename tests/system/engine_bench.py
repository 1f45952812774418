# SPDX-License-Identifier: Apache-2.0
"""A dense engine with its array, between files: activations in a memory, limits that rise, and what it tells with each
row of results.

memory, tables, limits, jobs, weights ─► engine ◄─► array          o, ends ◄─
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.system import SystemConfig
from hdl.execute.dot_array import DotArray
from hdl.execute.gelu import ENTRY
from hdl.execute.pe_array import PeArray
from hdl.store import Store
from hdl.system.dense_engine import DenseEngine
from hdl.system.dense_layouts import load_layout
from hdl.system.layouts import (
    Region,
    Sink,
    bus_shape,
    count_shape,
    fetch_layout,
    job_layout,
    limits_layout,
    result_layout,
    word_layout,
)
from tests.planted import Planted

FAULTS = {
    "limits ignored": ("limit", lambda value: Const(-1, len(value))),
    "another token's row": ("fetch__payload", lambda value: value ^ 1 << 2),
    "words lost": ("x__ready", lambda value: Const(1)),
    "weights invented": ("w__valid", lambda value: Const(1)),
    "columns lost": ("column__ready", lambda value: Const(1)),
    "tiles lost": ("tile__ready", lambda value: Const(1)),
    "lists lost": ("rows__ready", lambda value: Const(1)),
    "results lost": ("results__ready", lambda value: Const(1)),
    "tables not written": ("gelu_write", lambda value: Const(0)),
    "offers not held": ("o__ready", lambda value: Const(1)),
    "a value": ("o__payload", lambda value: value ^ 1 << len(value) - 3),
    "a token": ("o__payload", lambda value: value ^ 1 << 2),
    "progress too early": ("progress", lambda value: value | 1),
    "idle too early": ("idle", lambda value: Const(1)),
    "last job forgotten": ("jobs__payload", lambda value: value & (1 << len(value) - 1) - 1),
}
"""Name → port and what becomes of its value. Number n, from 1, is at work while `fault` is n."""

JOB_BITS, CYCLE_BITS, GAP_BITS = 16, 32, 8


def memory_layout(config: SystemConfig) -> data.StructLayout:
    """A word of activations, and where it is."""
    return data.StructLayout({"at": fetch_layout(config), "word": word_layout(config)})


def rising_layout(config: SystemConfig) -> data.StructLayout:
    """Limits, for so many cycles at least."""
    return data.StructLayout({"limits": limits_layout(config), "gap": GAP_BITS})


def told_layout(config: SystemConfig) -> data.StructLayout:
    """A row of results; and beside it: jobs taken, progress, idle, and whether something was asked for in vain."""
    told = {"taken": JOB_BITS, "progress": count_shape(config), "idle": 1, "error": 1}
    return data.StructLayout({"result": result_layout(config), **told})


def ends_layout(config: SystemConfig) -> data.StructLayout:
    """Progress and `error` at the end; beats of weights; cycles from the first to the last one; those in which tiles
    waited."""
    counts = dict.fromkeys(("beats", "cycles", "waits_weights", "waits_rows"), CYCLE_BITS)
    return data.StructLayout({"progress": count_shape(config), "error": 1, **counts})


class EngineBench(wiring.Component):
    """Parameters: `config`, `side` of a `DenseEngine`.

    memory, tables, limits, jobs, loads, weights: In, streams. jobs_due: In: how many. fault: In, of `FAULTS`, or 0.
    shaken: In, 1: activations come at random. starved: In, 1: a word of weights comes in about 16 cycles. loops: In, 1:
    hidden values go to `Region.HIDDEN`, whose limit is the engine's progress.
    o: Out, stream of `told_layout(config)`. ends: Out, stream of `ends_layout(config)`: when all jobs are over.
    """

    def __init__(self, config: SystemConfig, side: str):
        self._config, arrays = config, config.attention.arrays
        self._side = side
        self._array = (DotArray if side == "dot" else PeArray)(arrays, items=False)
        super().__init__(
            {
                "memory": In(stream.Signature(memory_layout(config))),
                "tables": In(stream.Signature(ENTRY)),
                "limits": In(stream.Signature(rising_layout(config))),
                "jobs": In(stream.Signature(job_layout(config))),
                "loads": In(stream.Signature(load_layout(config))),
                "weights": In(stream.Signature(bus_shape(config))),
                "jobs_due": In(JOB_BITS),
                "fault": In(range(len(FAULTS) + 1)),
                "shaken": In(1),
                "starved": In(1),
                "loops": In(1),
                "o": Out(stream.Signature(told_layout(config))),
                "ends": Out(stream.Signature(ends_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.engine = engine = self._engine = self._planted()
        m.submodules.array = array = self._array
        for name in ("rows", "x", "tile", "w", "column"):
            wiring.connect(m, getattr(engine, name), getattr(array, name))
        wiring.connect(m, array.o, engine.results)
        wiring.connect(m, wiring.flipped(self.jobs), engine.jobs)
        wiring.connect(m, wiring.flipped(self.loads), engine.loads)
        m.d.comb += [
            self.tables.ready.eq(1),
            engine.gelu_write.eq(self.tables.valid),
            engine.gelu_entry.eq(self.tables.payload),
        ]
        noise = Signal(24, init=1)
        m.d.sync += noise.eq(Cat(noise[23] ^ noise[22] ^ noise[21] ^ noise[16], noise))
        opens = Signal()
        m.d.comb += [
            engine.weights.payload.eq(self.weights.payload),
            engine.weights.valid.eq(self.weights.valid & (opens | ~self.starved)),
            self.weights.ready.eq(engine.weights.ready & (opens | ~self.starved)),
        ]
        m.d.sync += opens.eq((opens & ~self.weights.ready) | (noise[:4] == 0))
        error = self._limit(m) | self._bring(m, noise)
        self._tell(m, error)
        return m

    def _planted(self) -> Planted:
        faults = {}
        for number, (port, wrong) in enumerate(FAULTS.values(), start=1):
            before = faults.get(port, lambda value: value)
            faults[port] = lambda value, number=number, wrong=wrong, before=before: Mux(
                self.fault == number, wrong(value), before(value)
            )
        return Planted(DenseEngine(self._config, self._side), **faults)

    def _limit(self, m: Module) -> Value:
        """Limits in time; returns whether a row was asked for that is not there."""
        engine, asked = self._engine, self._engine.fetch.payload
        gap, limits = Signal(GAP_BITS), Signal(limits_layout(self._config))
        m.d.comb += [self.limits.ready.eq(gap == 0), engine.limit.eq(limits)]
        with m.If(self.loops):
            m.d.comb += engine.limit[Region.HIDDEN.value].eq(engine.progress)
        with m.If(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        with m.Elif(self.limits.valid):
            m.d.sync += [gap.eq(self.limits.payload.gap), limits.eq(self.limits.payload.limits)]
        beyond = [(asked.region == region) & (asked.token >= engine.limit[region.value]) for region in Region]
        return engine.fetch.valid & Cat(beyond).any()

    def _bring(self, m: Module, noise: Value) -> Value:
        """Words of activations; returns whether one has found no room."""
        engine, config, given = self._engine, self._config, self.memory.payload
        m.submodules.store = store = Store(1 << fetch_layout(config).size, word_layout(config))
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=OPERAND_BITS * config.lanes, depth=32)
        result, hidden, read = engine.o.payload, Signal(), Signal()
        at = Signal(fetch_layout(config))
        bytes_ = Cat(value[:OPERAND_BITS] for value in result["values"])
        m.d.comb += [
            hidden.eq(self.loops & self.o.valid & self.o.ready & (result.sink == Sink.HIDDEN)),
            self.memory.ready.eq(~hidden),
            at.region.eq(Region.HIDDEN),
            at.token.eq(result.token),
            at.word.eq(result.index),
            store.write.eq(hidden | self.memory.valid),
            store.write_at.eq(Mux(hidden, at.as_value(), given.at.as_value())),
            Value.cast(store.word).eq(Mux(hidden, bytes_, given.word.as_value())),
            engine.fetch.ready.eq(~(self.shaken & noise[0])),
            store.read.eq(engine.fetch.valid & engine.fetch.ready),
            store.read_at.eq(engine.fetch.payload),
            fifo.w_en.eq(read),
            fifo.w_data.eq(store.stored),
            engine.fetched.valid.eq(fifo.r_rdy & ~(self.shaken & noise[7])),
            Value.cast(engine.fetched.payload).eq(fifo.r_data),
            fifo.r_en.eq(engine.fetched.valid),
        ]
        m.d.sync += read.eq(store.read)
        return (engine.fetched.valid & ~engine.fetched.ready) | (read & ~fifo.w_rdy)

    def _tell(self, m: Module, wrong: Value) -> None:
        engine, told, ends = self._engine, self.o.payload, self.ends.payload
        taken, error, over = Signal(JOB_BITS), Signal(), Signal()
        beat = engine.w.valid & engine.w.ready
        cycles = Signal(CYCLE_BITS)
        m.d.comb += [
            self.o.valid.eq(engine.o.valid),
            engine.o.ready.eq(self.o.ready),
            told.result.eq(engine.o.payload),
            told.taken.eq(taken),
            told.progress.eq(engine.progress),
            told.idle.eq(engine.idle),
            told.error.eq(error | wrong),
            ends.progress.eq(engine.progress),
            ends.error.eq(error | wrong),
            self.ends.valid.eq((taken == self.jobs_due) & (taken != 0) & engine.idle & ~over),
        ]
        m.d.sync += [
            taken.eq(taken + (engine.jobs.valid & engine.jobs.ready)),
            error.eq(error | wrong),
            over.eq(over | (self.ends.valid & self.ends.ready)),
            cycles.eq(cycles + (beat | (cycles != 0))),
            *(ends[name].eq(ends[name] + getattr(engine, name)) for name in ("waits_weights", "waits_rows")),
        ]
        with m.If(beat):
            m.d.sync += [ends.beats.eq(ends.beats + 1), ends.cycles.eq(cycles + 1)]
