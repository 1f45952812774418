# SPDX-License-Identifier: Apache-2.0
"""An accelerator between its descriptors and its memory: everything that a layer goes through.

layer ─► Sequencer ─► passes ─► RowPass ──► INPUT ─┬─► DenseEngine 0 ─► array 1 ─┐
reads ─► LayerInputs ─► x, parameters ───┘    ▲    ├─► DenseEngine 1 ─► array 2 ─┤
     ├─► PredictorWeights ─► SpeculationUnit ◄┼────┘                             │
     │                          └─► PlanStore ┼─► items ─► Attention ◄─ K, V, Q ─┤
     └─► weights ─► DenseEngine 0, 1          │              └─► CONTEXT         │
writes ◄─ RowPacker ◄─ y ◄────────────────────┴── results ◄── ResultRouter ◄─────┘

With other methods than those behind the socket: `hdl/system/predicting.py`.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SIDES, SystemConfig
from hdl.execute.attention import attention_of
from hdl.shared import share
from hdl.system.activations import Activations
from hdl.system.axi import COUNT_BITS, TRANSFER
from hdl.system.blobs import TileJobs, filled
from hdl.system.dense_engine import DenseEngine
from hdl.system.descriptor import layer_layout
from hdl.system.gearbox import RowPacker
from hdl.system.generation import ARRAYS
from hdl.system.inputs import LayerInputs
from hdl.system.layouts import Parameter, bus_shape
from hdl.system.plan_store import PlanStore
from hdl.system.predicting import Predicting
from hdl.system.results import ResultRouter
from hdl.system.row_pass import RowPass
from hdl.system.sequencer import Phase, Sequencer

COUNTS = data.StructLayout(
    dict.fromkeys(
        (
            "busy_array1",
            "busy_array2",
            "stall_weights",
            "stall_rows",
            "stall_plan",
            "prediction_cycles",
            "prediction_hidden",
            "records_predicted",
            "items_executed",
            *(f"cycles_{phase.name.lower()}" for phase in Phase if phase.value),
        ),
        1,
    )
)
"""What may be counted of a cycle, by the names of its counters."""


def reads(config: SystemConfig) -> tuple[str, ...]:
    """Channels of the memory's reader."""
    predictor = () if config.speculation.late or config.speculation.prunes else ("predictor",)
    return ("inputs", *predictor, "weights0", "weights1")


class AcceleratorCore(Predicting, wiring.Component):
    """Layers, one after the other.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    layer: In, stream of `layer_layout`: taken when it is finished, and all that it has written is in memory.
    overlap, eager: In, 1: `ahead` and `eager` of `Sequencer`.
    job0, …: Out, streams of `TRANSFER`; read0, …: In, streams of `bus_shape`: channels of the memory's reader, in the
    order of `reads(config)`. write_job: Out, stream of `TRANSFER`; write: Out, stream of `bus_shape`: of its
    writer; written: In, 1: it has nothing under way.
    broken: Out, 1: the plan breaks its rules, and the layer will not be finished.
    counts: Out, `COUNTS`: what is to be counted of this cycle.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        transfer, words = stream.Signature(TRANSFER), stream.Signature(bus_shape(config))
        channels: dict = {}
        for number in range(len(reads(config))):
            channels |= {f"job{number}": Out(transfer), f"read{number}": In(words)}
        super().__init__(
            {
                "layer": In(stream.Signature(layer_layout(config))),
                "overlap": In(1),
                "eager": In(1),
                **channels,
                "write_job": Out(transfer),
                "write": Out(words),
                "written": In(1),
                "broken": Out(1),
                "counts": Out(COUNTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, unit = self._config, self._config.speculation
        parts = {
            "sequencer": Sequencer(config),
            "inputs": LayerInputs(config),
            "row_pass": RowPass(config),
            "activations": Activations(config),
            "plan": PlanStore(config),
            **self._predictors(config),
            "attention": attention_of(config.attention, looks=unit.late, tells=unit.prunes),
            "router": ResultRouter(config),
            "packer": RowPacker(config),
            **{f"engine{n}": DenseEngine(config, side) for n, side in enumerate(SIDES)},
            **{f"tiles{n}": TileJobs(config, n) for n in range(ARRAYS)},
        }
        for name, part in parts.items():
            m.submodules[name] = share(part, name, platform)
            setattr(self, f"_{name}", part)
        # The speculation unit is at work.
        self._predicting = Signal()
        self._begin(m)
        self._load(m)
        self._predict(m)
        self._plan_out(m)
        self._multiply(m)
        self._attend(m)
        self._pass_rows(m)
        self._send(m)
        self._count(m)
        return m

    def _begin(self, m: Module) -> None:
        """A layer to the sequencer, whose `begins` starts all others."""
        layer, sequencer = self.layer.payload, self._sequencer
        self._start = sequencer.begins
        m.d.comb += [
            sequencer.layer.valid.eq(self.layer.valid),
            sequencer.layer.payload.eq(layer.task),
            self.layer.ready.eq(sequencer.layer.ready),
            sequencer.ahead.eq(self.overlap),
            sequencer.eager.eq(self.eager),
        ]

    def _load(self, m: Module) -> None:
        """What comes from memory: inputs, and what speculation unit and arrays multiply with."""
        config, layer, task = self._config, self.layer.payload, self.layer.payload.task
        inputs = self._inputs
        m.d.comb += [
            inputs.start.eq(self._start),
            inputs.tokens.eq(task.tokens),
            inputs.width.eq(layer.width),
            inputs.heads.eq(task.heads),
            inputs.wide.eq(task.pre),
            inputs.chained.eq(task.chained),
            inputs.masked.eq(layer.masked),
            inputs.mask_address.eq(layer.key_mask),
            inputs.parameters_address.eq(layer.parameters),
            inputs.x_address.eq(layer.x),
            inputs.x_stride.eq(layer.x_stride),
            self._sequencer.known.eq(inputs.known),
            self._sequencer.loaded.eq(inputs.loaded),
        ]
        wiring.connect(m, inputs.job, wiring.flipped(self.job0))
        wiring.connect(m, wiring.flipped(self.read0), inputs.i)
        for number in range(ARRAYS):
            tiles = getattr(self, f"_tiles{number}")
            m.d.comb += [
                tiles.start.eq(self._start),
                tiles.address.eq(layer[f"weights{number + 1}"]),
                tiles.heads.eq(task.heads),
                tiles.width_words.eq(task.width_words),
                tiles.ffn_words.eq(task.ffn_words),
            ]
            channel = reads(config).index(f"weights{number}")
            wiring.connect(m, tiles.o, wiring.flipped(getattr(self, f"job{channel}")))
            engine = getattr(self, f"_engine{number}")
            wiring.connect(m, tiles.loads, engine.loads)
            wiring.connect(m, wiring.flipped(getattr(self, f"read{channel}")), engine.weights)

    def _plan_out(self, m: Module) -> None:
        """The plan to those who work by it."""
        plan, sequencer, task = self._plan, self._sequencer, self.layer.payload.task
        m.d.comb += [
            plan.start.eq(self._start),
            plan.tokens.eq(task.tokens),
            plan.heads.eq(task.heads),
            sequencer.planned_all.eq(plan.complete),
            *(getattr(sequencer, n).eq(getattr(plan, n)) for n in ("projected", "computed")),
            plan.copy_read.eq(self._row_pass.copy_read),
            plan.copy_at.eq(self._row_pass.copy_at),
            self._row_pass.copy.eq(plan.copy),
            self.broken.eq(plan.error),
        ]
        if not self._config.speculation.late:
            m.d.comb += [
                plan.head_read.eq(sequencer.read),
                plan.head_at.eq(sequencer.read_at),
                *(getattr(sequencer, n).eq(getattr(plan, n)) for n in ("planned", "columns", "critical")),
            ]
        if self._config.speculation.prunes:
            m.d.comb += [sequencer.drops.eq(plan.drops), self._row_pass.alive.eq(plan.living)]
        wiring.connect(m, plan.references, self._activations.references)
        wiring.connect(m, plan.items, self._attention.i)

    def _multiply(self, m: Module) -> None:
        """Jobs to the engines, their rows and weights to the arrays, their results to where they are kept."""
        sequencer, attention, router = self._sequencer, self._attention, self._router
        for number, prefix, results in ((0, "score_", "score_results"), (1, "", "o")):
            engine = getattr(self, f"_engine{number}")
            m.d.comb += [
                engine.limit.eq(sequencer.limits.as_value()),
                engine.gelu_write.eq(self._inputs.gelu_write),
                engine.gelu_entry.eq(self._inputs.gelu_entry),
                getattr(sequencer, f"progress{number}").eq(engine.progress),
                getattr(sequencer, f"idle{number}").eq(engine.idle),
            ]
            wiring.connect(m, getattr(sequencer, f"jobs{number}"), engine.jobs)
            wiring.connect(m, engine.fetch, getattr(self._activations, f"fetch{number}"))
            wiring.connect(m, getattr(self._activations, f"fetched{number}"), engine.fetched)
            for name in ("rows", "x", "tile", "w", "column"):
                wiring.connect(m, getattr(engine, name), getattr(attention, prefix + name))
            wiring.connect(m, getattr(attention, results), engine.results)
            wiring.connect(m, engine.o, getattr(router, f"i{number}"))
            wiring.connect(m, getattr(router, f"hidden{number}"), getattr(self._activations, f"hidden{number}"))
        wiring.connect(m, router.wide, self._row_pass.result)
        for name in ("keys", "values", "queries"):
            wiring.connect(m, getattr(router, name), getattr(attention, name))

    def _attend(self, m: Module) -> None:
        """Contexts of all items, as soon as all of Q, K and V are there."""
        attention, activations, inputs = self._attention, self._activations, self._inputs
        settings = attention.settings.payload
        m.d.comb += [
            attention.enable.eq(self._sequencer.attend),
            attention.multiply.eq(self._sequencer.attend),
            attention.settings.valid.eq(inputs.write & (inputs.word.kind == Parameter.HEAD)),
            settings.head.eq(inputs.word.index),
            settings.row.eq(inputs.word.entry),
            activations.start.eq(self._start),
            self._sequencer.attended.eq(activations.contexts == self._plan.items_total),
        ]
        for number in range(self._config.attention.arrays.lines):
            wiring.connect(m, getattr(attention, f"context{number}"), getattr(activations, f"context{number}"))

    def _pass_rows(self, m: Module) -> None:
        row_pass, sequencer, layer, inputs = self._row_pass, self._sequencer, self.layer.payload, self._inputs
        m.d.comb += [
            row_pass.tokens.eq(layer.task.tokens),
            row_pass.width.eq(layer.width),
            *(row_pass.eps[n].eq(layer.norms[n].eps) for n in range(2)),
            *(row_pass.norm_shift[n].eq(layer.norms[n].shift) for n in range(2)),
            row_pass.parameter.valid.eq(inputs.write),
            row_pass.parameter.payload.eq(inputs.word),
            row_pass.limit.eq(sequencer.pass_limit),
            sequencer.passing.eq(row_pass.busy),
            sequencer.finished_rows.eq(row_pass.finished),
        ]
        wiring.connect(m, sequencer.passes, row_pass.job)
        wiring.connect(m, inputs.x, row_pass.x)
        wiring.connect(m, row_pass.input, self._activations.input)

    def _send(self, m: Module) -> None:
        """y to memory: asked for when the pass that sends it begins."""
        layer, packer, passes, asks = self.layer.payload, self._packer, self._sequencer.passes, Signal()
        size = Signal(COUNT_BITS)
        m.d.sync += size.eq(filled(self._config, Mux(layer.task.pre, layer.width << 1, layer.width)))
        m.d.comb += [
            packer.width.eq(layer.width),
            packer.wide.eq(layer.task.pre),
            self.write_job.valid.eq(asks),
            self.write_job.payload.address.eq(layer.y),
            self.write_job.payload.bytes.eq(size),
            self.write_job.payload.rows.eq(layer.task.tokens),
            self.write_job.payload.stride.eq(layer.y_stride),
            self._sequencer.still.eq(self.written & ~asks),
        ]
        with m.If(passes.valid & passes.ready & passes.payload.send):
            m.d.sync += asks.eq(1)
        with m.Elif(self.write_job.ready):
            m.d.sync += asks.eq(0)
        wiring.connect(m, self._row_pass.y, packer.i)
        wiring.connect(m, packer.o, wiring.flipped(self.write))

    def _count(self, m: Module) -> None:
        """Whether arrays work: on dense beats, or, while attention is under way, on items."""
        sequencer, counts, predicting = self._sequencer, self.counts, self._predicting
        for number in range(ARRAYS):
            engine = getattr(self, f"_engine{number}")
            multiplies = engine.w.valid & engine.w.ready
            m.d.comb += counts[f"busy_array{number + 1}"].eq(multiplies | (sequencer.attend & ~sequencer.attended))
        engines = (self._engine0, self._engine1)
        m.d.comb += [
            counts.stall_weights.eq(Cat(engine.waits_weights for engine in engines).any()),
            counts.stall_rows.eq(Cat(engine.waits_rows for engine in engines).any()),
            counts.stall_plan.eq(sequencer.waits_plan),
            counts.prediction_cycles.eq(predicting),
            counts.prediction_hidden.eq(predicting & ~sequencer.waits_plan),
            counts.records_predicted.eq(self._plan.taken),
            *(counts[f"cycles_{phase.name.lower()}"].eq(sequencer.phase == phase) for phase in Phase if phase.value),
            counts.items_executed.eq(self._attention.i.valid & self._attention.i.ready),
        ]
