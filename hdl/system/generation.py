# SPDX-License-Identifier: Apache-2.0
"""Generation's jobs: of each head, K and V of the keys that its plan keeps, and Q of its critical rows; of all tokens,
where the plan is made from them.

planned ─► head's columns, critical rows ─┬─► K and V of head h ─► array h mod 2
                                          └─► Q of head h ───────► the other one
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.system.layouts import Region, Sink, count_shape, job_layout

ARRAYS = 2


def heads_of_plans(config: SystemConfig) -> dict:
    """What is asked of a plan, of each head."""
    return {
        "planned": In(range(config.heads + 1)),
        "read": Out(1),
        "read_at": Out(range(config.heads)),
        "columns": In(config.tokens),
        "critical": In(config.tokens),
    }


class GenerationJobs(wiring.Component):
    """A layer's heads in turn, each as soon as its plan is there; with a method of `config.speculate.LATE` all of their
    rows, and no plan is looked at: there are no `eager`, `planned`, `read`, `read_at`, `columns` and `critical`.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    start: In, 1: a layer's heads begin; `heads`, `tokens`, `words` (of a row of x) stand until `done`.
    eager: In, 1: the first head does not wait for its plan: the arrays have nothing else to do, so its rows are all
    generated.
    planned: In: heads whose plans are complete. read: Out, 1, read_at: Out, head: its `columns`, `critical`, In, a bit
    for each token, a cycle later.
    o0, o1: Out, stream of `job_layout`, for each array. waits: Out, 1: a head's plan is missing. done: Out, 1: all jobs
    have been taken.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        job = stream.Signature(job_layout(config))
        super().__init__(
            {
                "start": In(1),
                "heads": In(range(config.heads + 1)),
                "tokens": In(count_shape(config)),
                "words": In(range(config.row_words + 1)),
                **({} if config.speculation.late else {"eager": In(1), **heads_of_plans(config)}),
                "o0": Out(job),
                "o1": Out(job),
                "waits": Out(1),
                "done": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        head, queries = Signal(range(config.heads)), Signal()
        columns, critical, every = (
            Signal(config.tokens, name=name, reset_less=True) for name in ("kept", "rows", "every")
        )
        offers, taken, last = Signal(), Signal(), Signal()
        m.d.sync += every.eq(Cat(~less(self.tokens - 1, Const(n, len(self.tokens))) for n in range(config.tokens)))
        m.d.comb += last.eq(head == self.heads - 1)
        outputs = (self.o0, self.o1)
        for number, output in enumerate(outputs):
            # Q of head h goes to the array that has not its K and V.
            own = offers & ((head[0] ^ queries) == number)
            job = output.payload
            m.d.comb += [
                output.valid.eq(own),
                job.rows.eq(Mux(queries, critical, columns)),
                job.region.eq(Region.INPUT),
                job.words.eq(self.words),
                job.tiles.eq(Mux(queries, 1, 2)),
                job.sink.eq(Mux(queries, Sink.QUERY, Sink.KEY_VALUE)),
                job.index.eq(head),
            ]
        m.d.comb += taken.eq(Cat(output.valid & output.ready for output in outputs).any())
        with m.FSM():
            with m.State("DONE"), m.If(self.start):
                m.d.sync += [self.done.eq(0), head.eq(0)]
                # A cycle for `every`.
                m.next = "WAIT"
            if config.speculation.late:
                with m.State("WAIT"):
                    m.d.sync += [columns.eq(every), critical.eq(every)]
                    m.next = "OFFER"
            else:
                self._look(m, head, columns, critical, every)
            with m.State("OFFER"):
                m.d.comb += offers.eq(1)
                with m.If(taken):
                    m.d.sync += queries.eq(~queries)
                    with m.If(queries):
                        m.d.sync += [head.eq(head + 1), self.done.eq(last)]
                        with m.If(last):
                            m.next = "DONE"
                        with m.Else():
                            m.next = "WAIT"
        corner(m, platform, "generation_waits_for_plan", self.waits)
        return m

    def _look(self, m: Module, head: Value, columns: Signal, critical: Signal, every: Value) -> None:
        """A head's rows, as soon as its plan is there."""
        known = Signal()
        m.d.comb += [known.eq(less(head, self.planned)), self.read_at.eq(head)]
        with m.State("WAIT"):
            with m.If(known):
                m.d.comb += self.read.eq(1)
                m.next = "READ"
            with m.Elif(self.eager & (head == 0)):
                m.d.sync += [columns.eq(every), critical.eq(every)]
                m.next = "OFFER"
            with m.Else():
                m.d.comb += self.waits.eq(1)
        with m.State("READ"):
            m.d.sync += [columns.eq(self.columns), critical.eq(self.critical)]
            m.next = "OFFER"
