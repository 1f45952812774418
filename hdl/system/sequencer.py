# SPDX-License-Identifier: Apache-2.0
"""What happens when: the steps of a layer, and who may begin with what the others have not finished.

layer ─► LOAD ─► PREDICT ─► GENERATE ─► ATTEND ─► PROJECT ─► row pass ─► UP ─► DOWN ─► row pass ─► finished
                 (speculation unit beside generation)          └ up beside it  └ down behind up's rows

Methods of `config.speculate.LATE`: GENERATE ─► AHEAD, attention to what is planned already ─► ATTEND

Jobs are given to the engines ahead of their rows, which `limits` hold back: generation's as soon as a row may come,
projection's with attention, up's with projection. So an array goes on with the first row that is there.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.cover import corner
from hdl.shared import share
from hdl.system.generation import ARRAYS, GenerationJobs, heads_of_plans
from hdl.system.layouts import Copies, Region, Sink, count_shape, job_layout, pass_layout
from hdl.system.products import ProductJobs


def shape_layout(config: SystemConfig) -> data.StructLayout:
    """Of a layer: `tokens`; `heads`; words of a row of x, and of the FFN's hidden row. `pre`: norms come before
    attention and FFN, and x has 16 bits. `chained`: x is what the layer before has left. `send`: the output goes to
    memory."""
    words = range(config.row_words + 1)
    return data.StructLayout(
        {
            "tokens": count_shape(config),
            "heads": range(config.heads + 1),
            "width_words": words,
            "ffn_words": words,
            "pre": 1,
            "chained": 1,
            "send": 1,
        }
    )


class Phase(enum.Enum, shape=3):
    """What of a layer is under way. Each of them but NONE has a counter."""

    NONE = 0
    LOAD = 1
    GENERATION = 2
    ATTENTION = 3
    PROJECTION = 4
    FFN = 5


class Sequencer(wiring.Component):
    """A layer's steps, in order.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    layer: In, stream of `shape_layout`: taken when the layer is finished. begins: Out, 1: a layer does, whose payload
    stands from now on. failed: In, 1: it will not be finished; wait for a reset.
    known, loaded: In, 1: its key mask, its parameters are there, from the cycle behind `begins` on. passes: Out, stream
    of `pass_layout`; passing: In, 1: one is under way; finished_rows: In, `pass_limit`: Out: that of the row pass.
    predict: Out, 1: x and mask, or, for a plan that is made late, all parameters are there, so the speculation unit
    begins. hold: Out, 1, fed: In, 1, of such a one: it must not read Q and K yet; it has read them all. eager, ahead:
    In, 1: see `GenerationJobs`; generation, or, with a late plan, attention begins before all heads are planned.
    planned, read, read_at, columns, critical: of other ones, and planned_all: as of the plan store; projected,
    computed: In, a bit for each token. drops: In, 1, where tokens may be dropped: some are.
    attend: Out, 1: all of Q, K and V are there. attended: In, 1: all contexts are.
    jobs0, jobs1: Out, stream of `job_layout`; progress0, progress1, idle0, idle1: In: those of the engines.
    limits: Out, tokens whose rows may be fetched, of each `Region`. still: In, 1: nothing is on its way to memory.
    waits_plan: Out, 1: both engines stand idle, as a plan is missing. phase: Out, `Phase`.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        count, job, bits = count_shape(config), stream.Signature(job_layout(config)), config.tokens
        engines = {}
        for n in range(ARRAYS):
            engines |= {f"jobs{n}": Out(job), f"progress{n}": In(count), f"idle{n}": In(1)}
        super().__init__(
            {
                "layer": In(stream.Signature(shape_layout(config))),
                "begins": Out(1),
                "known": In(1),
                "loaded": In(1),
                "passes": Out(stream.Signature(pass_layout(config))),
                "passing": In(1),
                "finished_rows": In(count),
                "pass_limit": Out(count),
                "predict": Out(1),
                **({"hold": Out(1), "fed": In(1)} if config.speculation.late else heads_of_plans(config)),
                "eager": In(1),
                "ahead": In(1),
                "planned_all": In(1),
                **{name: In(bits) for name in ("projected", "computed")},
                **({"drops": In(1)} if config.speculation.prunes else {}),
                "attend": Out(1),
                "attended": In(1),
                **engines,
                "limits": Out(data.ArrayLayout(count, 3)),
                "still": In(1),
                "waits_plan": Out(1),
                "phase": Out(Phase),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layer = self.layer.payload
        m.submodules.generation = generation = GenerationJobs(self._config)
        products = [ProductJobs(self._config) for _ in range(ARRAYS)]
        idle, whole = Signal(), Signal()
        m.d.comb += [
            idle.eq(self.idle0 & self.idle1),
            whole.eq((self.progress0 >= layer.tokens) & (self.progress1 >= layer.tokens)),
            generation.heads.eq(layer.heads),
            generation.tokens.eq(layer.tokens),
            generation.words.eq(layer.width_words),
        ]
        if not self._config.speculation.late:
            m.d.comb += [
                generation.eager.eq(self.eager & self.ahead),
                generation.planned.eq(Mux(self.ahead | self.planned_all, self.planned, 0)),
                generation.columns.eq(self.columns),
                generation.critical.eq(self.critical),
                self.read.eq(generation.read),
                self.read_at.eq(generation.read_at),
            ]
        start = Signal()
        accepted = self._products(m, products, start)
        self._limits(m)
        self._jobs(m, generation, products, platform)
        self._steps(m, generation, start, accepted, idle, whole)
        corner(m, platform, "up_waits_for_norm", self.passing & ~idle)
        return m

    def _jobs(self, m: Module, generation: GenerationJobs, products: list[ProductJobs], platform) -> None:
        """Generation and products never offer jobs at a time."""
        for number, product in enumerate(products):
            m.submodules[f"product{number}"] = share(product, "product_jobs", platform)
            mine, theirs = getattr(generation, f"o{number}"), product.o
            output = getattr(self, f"jobs{number}")
            m.d.comb += [
                output.valid.eq(mine.valid | theirs.valid),
                output.payload.eq(Mux(mine.valid, mine.payload.as_value(), theirs.payload.as_value())),
                mine.ready.eq(output.ready),
                theirs.ready.eq(output.ready & ~mine.valid),
            ]

    def _products(self, m: Module, products: list[ProductJobs], start: Value) -> Value:
        """Gives a phase's product to both arrays; returns whether the last jobs of both have been taken."""
        layer, pending = self.layer.payload, Signal(ARRAYS)
        self._region, self._sink, self._hold = Signal(Region), Signal(Sink), Signal()
        hidden, up = self._region == Region.HIDDEN, self._sink == Sink.HIDDEN
        width, ffn = layer.width_words, layer.ffn_words
        tiles = Mux(up, ffn, width)
        first_half = (tiles + 1) >> 1
        for number, product in enumerate(products):
            given = product.i.payload
            m.d.comb += [
                product.i.valid.eq(pending[number]),
                product.hold.eq(self._hold),
                given.rows.eq(Mux(self._region == Region.CONTEXT, self.projected, self.computed)),
                given.region.eq(self._region),
                given.words.eq(Mux(self._region == Region.CONTEXT, layer.heads, Mux(hidden, ffn, width))),
                given.sink.eq(self._sink),
                given.first.eq(first_half if number else 0),
                given.tiles.eq(tiles - first_half if number else first_half),
            ]
        taken = Cat(product.i.valid & product.i.ready for product in products)
        m.d.sync += pending.eq(Mux(start, (1 << ARRAYS) - 1, pending & ~taken))
        return pending == 0

    def _limits(self, m: Module) -> None:
        """How far those may go who wait for rows: last jobs, the row pass, whoever fetches. INPUT as the pass has
        finished rows; CONTEXT when all are there; HIDDEN as up has, whose last jobs have been taken."""
        least = Signal(count_shape(self._config))
        m.d.comb += least.eq(Mux(self.progress0 < self.progress1, self.progress0, self.progress1))
        self._hidden, self._contexts, self._projected = Signal(), Signal(), Signal()
        m.d.comb += [
            # Progress is told of the product whose last job was taken.
            self._hold.eq(
                Mux(self._region == Region.HIDDEN, ~self._hidden, (self._region == Region.INPUT) & ~self._projected)
            ),
            self.pass_limit.eq(Mux(self._projected, self.layer.payload.tokens, least)),
            self.limits[Region.INPUT.value].eq(self.finished_rows),
            self.limits[Region.CONTEXT.value].eq(Mux(self._contexts, self.layer.payload.tokens, 0)),
            self.limits[Region.HIDDEN.value].eq(Mux(self._hidden, self.layer.payload.tokens, least)),
        ]

    def _steps(self, m: Module, generation, start: Value, accepted: Value, idle: Value, whole: Value) -> None:
        layer, given, late = self.layer.payload, self.passes.payload, self._config.speculation.late
        post = ~layer.pre
        started, there, whole_x, predicts = Signal(), Signal(), Signal(), Signal()
        prunes = self._config.speculation.prunes
        # Attention to what is planned already.
        attends = self.attend & ~self.attended if late else Const(0)
        m.d.comb += [
            # What generation reads is what the layer before has left.
            there.eq(post & layer.chained),
            self.predict.eq(whole_x & self.known & (self.loaded if late else 1) & ~predicts),
            self.waits_plan.eq(whole_x & idle & ~attends & (generation.waits | (generation.done & ~self.planned_all))),
        ]
        if late:
            m.d.comb += self.hold.eq(~self.ahead & ~(generation.done & idle))
        m.d.sync += predicts.eq(predicts | self.predict)
        # What a pass is told stands until it is taken.
        m.d.comb += [
            given.second_scale.eq(started),
            given.second_norm.eq(post & started),
        ]

        def product(region: Region, sink: Sink) -> None:
            m.d.comb += start.eq(1)
            m.d.sync += [self._region.eq(region), self._sink.eq(sink)]

        def enter(phase: Phase, state: str) -> None:
            m.d.sync += self.phase.eq(phase)
            m.next = state

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.begins.eq(self.layer.valid)
                for each in (started, self._projected, self._hidden, self._contexts, predicts):
                    m.d.sync += each.eq(0)
                m.d.sync += whole_x.eq(self.layer.valid & there)
                m.d.comb += generation.start.eq(self.layer.valid & there)
                with m.If(self.layer.valid):
                    enter(Phase.LOAD, "PARAMETERS")
            with m.State("PARAMETERS"), m.If(self.loaded):
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += [
                    self.passes.valid.eq(layer.pre | ~layer.chained),
                    given.load.eq(~layer.chained),
                    given.normalise.eq(layer.pre),
                    given.narrow.eq(post),
                ]
                with m.If(self.passes.ready | ~self.passes.valid):
                    m.d.comb += generation.start.eq(~there)
                    m.next = "LOADING"
            with m.State("LOADING"), m.If(~self.passing):
                m.d.sync += whole_x.eq(1)
                enter(Phase.GENERATION, "GENERATE")
            if late:
                with m.State("GENERATE"), m.If(generation.done & idle & self.fed & (self.ahead | self.planned_all)):
                    enter(Phase.ATTENTION, "AHEAD")
                with m.State("AHEAD"):
                    m.d.comb += self.attend.eq(1)
                    with m.If(self.planned_all):
                        product(Region.CONTEXT, Sink.WIDE)
                        m.next = "ATTEND"
            else:
                with m.State("GENERATE"), m.If(generation.done & idle & self.planned_all):
                    product(Region.CONTEXT, Sink.WIDE)
                    enter(Phase.ATTENTION, "ATTEND")
            with m.State("ATTEND"):
                m.d.comb += self.attend.eq(1)
                with m.If(self.attended):
                    m.d.sync += self._contexts.eq(1)
                    enter(Phase.PROJECTION, "PROJECT")
            with m.State("PROJECT"), m.If(accepted):
                m.d.comb += [
                    self.passes.valid.eq(1),
                    given.add.eq(1),
                    given.copies.eq(Copies.PROJECTION),
                    given.normalise.eq(1),
                    given.second_norm.eq(layer.pre),
                    given.keep_norm.eq(post),
                ]
                with m.If(self.passes.ready):
                    product(Region.INPUT, Sink.HIDDEN)
                    m.next = "NORM"
            with m.State("NORM"), m.If(whole):
                m.d.sync += self._projected.eq(1)
                enter(Phase.FFN, "UP")
            # Results of down take the places of those that the pass reads.
            with m.State("UP"), m.If(accepted & ~self.passing):
                product(Region.HIDDEN, Sink.WIDE)
                m.d.sync += started.eq(1)
                m.next = "DOWN"
            with m.State("DOWN"):
                with m.If(whole & ~self._hidden):
                    m.d.sync += self._hidden.eq(1)
                with m.If(accepted & ~self.passing):
                    m.d.comb += [
                        self.passes.valid.eq(1),
                        given.add.eq(1),
                        given.copies.eq(Copies.FFN),
                        given.normalise.eq(post),
                        given.keep_norm.eq(post),
                        given.send.eq(layer.send & ~self.drops if prunes else layer.send),
                    ]
                    with m.If(self.passes.ready):
                        m.d.sync += self._projected.eq(0)
                        m.next = "OUTPUT"
                        if prunes:
                            with m.If(self.drops):
                                m.next = "SKIP"
            if prunes:
                with m.State("SKIP"), m.If(~self.passing):
                    m.d.comb += [
                        self.passes.valid.eq(1),
                        given.add.eq(1),
                        given.skip.eq(1),
                        given.narrow.eq(post),
                        given.send.eq(layer.send),
                    ]
                    with m.If(self.passes.ready):
                        m.next = "OUTPUT"
            with m.State("OUTPUT"), m.If(idle & ~self.passing & self.still):
                m.next = "FINISHED"
            with m.State("FINISHED"):
                m.d.comb += self.layer.ready.eq(1)
                enter(Phase.NONE, "IDLE")
