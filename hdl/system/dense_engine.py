# SPDX-License-Identifier: Apache-2.0
"""A dense engine: jobs in, all that an array wants of dense tiles out, and its results back in rows.

jobs ───► lists of rows ─┬─► row feed ──────────────► rows, x ─┐
                         └─► turns ─┬───────────────► tile ────┤
loads, ────► weight store ◄─────────┼───────────────► w, column┴► array ─► results ─┐
weights                             └─► rows of results ◄───────────────────────────┘
                                                      └─► o, progress
"""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.execute.dense import tile_layout, weights_layout
from hdl.execute.gelu import ENTRY
from hdl.system.dense_layouts import SLOTS, Ports, list_layout, load_layout, part_of, turn_layout
from hdl.system.flow import queue_of
from hdl.system.layouts import (
    Sink,
    bus_shape,
    count_shape,
    fetch_layout,
    job_layout,
    limits_layout,
    result_layout,
    word_layout,
)
from hdl.system.result_rows import ResultRows
from hdl.system.row_feed import RowFeed
from hdl.system.row_lists import RowLists, RowTurns
from hdl.system.weight_store import WeightStore

JOBS = 2
"""That wait, or are looked at for their rows; loads that wait, likewise."""
TILES = 2
"""That the array is given, beside those that it works on."""
TURNS = 8
"""Tiles whose results have not left: in the array, or before or behind it."""
UNDER_WAY = 32
"""More jobs than can be between `jobs` and the last of their results."""


class DenseEngine(wiring.Component):
    """Works off dense jobs on one array.

    Parameters
    ----------
    config: `SystemConfig`, of lanes that are a power of two. side: one of `SIDES`: "dot", for
    `hdl.execute.dot_array`, or "outer", for `hdl.execute.pe_array`.

    Raises `Refusal` for anything else.

    Members
    -------
    jobs: In, stream of `job_layout(config)`. All the tiles of a job that are in one half have to find room in it:
    ceil(tiles / 2) · words · lanes is at most `weight_words`.
    loads: In, stream of `load_layout(config)`, and weights: In, stream of `bus_shape`: the tiles of the jobs in their
    order, as they lie in memory (docs/system.md). They may come before their jobs, as far as there is room.
    limit: In, `limits_layout(config)`: rows of a region's tokens below it may be fetched. While a job is here, the
    limit of its region does not fall, from the cycle in which it is offered.
    fetch: Out, stream of `fetch_layout(config)`. fetched: In, stream of `word_layout(config)`, in the order of `fetch`:
    what is asked for finds room. A word a cycle, if it comes within 5 cycles.
    rows, x, tile, w, column: Out, as the array takes them; results: In, the array's `o`.
    gelu_write, gelu_entry: In, as `write` and `entry` of `hdl.execute.gelu.GeluUnit`.
    o: Out, stream of `result_layout(config)`: job by job, of each list of rows, of each tile, row by row.
    progress: Out, `count_shape`: of the job with `last` that was taken latest, all results of all of its rows of tokens
    below this have left. 0 from the cycle behind the one in which it is taken, `tokens` when all have left, and before
    there is any such job.
    idle: Out, 1: no job is under way.
    waits_weights, waits_rows: Out, 1, a cycle late: a tile could go on but for its weights; or but for its rows.

    Weights of jobs without rows are dropped in their turn. No `valid` depends on a `ready` of its own stream.
    """

    def __init__(self, config: SystemConfig, side: str):
        self._config = config
        self._ports = ports = Ports(config.attention.arrays, side)
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "loads": In(stream.Signature(load_layout(config))),
                "weights": In(stream.Signature(bus_shape(config))),
                "limit": In(limits_layout(config)),
                "fetch": Out(stream.Signature(fetch_layout(config))),
                "fetched": In(stream.Signature(word_layout(config))),
                "rows": Out(stream.Signature(ports.rows_layout)),
                "x": Out(stream.Signature(ports.word_layout)),
                "tile": Out(stream.Signature(tile_layout())),
                "w": Out(stream.Signature(weights_layout(config.lanes))),
                "column": Out(stream.Signature(ports.column_layout)),
                "results": In(stream.Signature(ports.results_layout)),
                "gelu_write": In(1),
                "gelu_entry": In(ENTRY),
                "o": Out(stream.Signature(result_layout(config))),
                "progress": Out(count_shape(config), init=config.tokens),
                "idle": Out(1),
                "waits_weights": Out(1),
                "waits_rows": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, ports = self._config, self._ports
        m.submodules.lists = self._lists = RowLists(config)
        m.submodules.feed = self._feed = RowFeed(config, ports)
        m.submodules.turns = self._turns = RowTurns(config, ports)
        m.submodules.weight_store = self._store = WeightStore(config, ports)
        m.submodules.results_ = self._results = ResultRows(config, ports)
        self._take_jobs(m, platform)
        self._share_lists(m, platform)
        self._share_turns(m, platform)
        for part, names in (
            (self._feed, ("fetch", "fetched", "rows", "x")),
            (self._store, ("weights", "w", "column")),
            (self._results, ("results", "o")),
        ):
            for name in names:
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(part, name))
        wiring.connect(m, self._store.choices, self._results.choices)
        m.d.comb += [
            self._feed.limit.eq(self.limit),
            self._results.gelu_write.eq(self.gelu_write),
            self._results.gelu_entry.eq(self.gelu_entry),
        ]
        self._tell(m)
        return m

    def _take_jobs(self, m: Module, platform) -> None:
        """Jobs to those who look for their rows, tiles to those who keep them."""
        for name, given, taker in (
            ("jobs_queue", self.jobs, self._lists.jobs),
            ("loads_queue", self.loads, self._store.loads),
        ):
            queue = queue_of(m, name, given.payload.shape(), JOBS, platform)
            wiring.connect(m, wiring.flipped(given), queue.i)
            wiring.connect(m, queue.o, taker)
        self._taken = self.jobs.valid & self.jobs.ready

    def _share_lists(self, m: Module, platform) -> None:
        """A list to those who bring its rows, and who make turns of it."""
        lists, feed = self._lists, self._feed
        names = [name for name in list_layout(self._config).members if name != "region"]
        listed = queue_of(m, "listed", part_of(list_layout(self._config), *names), SLOTS, platform)
        m.d.comb += [
            lists.lists.ready.eq(listed.i.ready & feed.lists.ready),
            listed.i.valid.eq(lists.lists.valid & feed.lists.ready),
            feed.lists.valid.eq(lists.lists.valid & listed.i.ready & ~lists.lists.payload.none),
            *(listed.i.payload[name].eq(lists.lists.payload[name]) for name in names),
            *(self._turns.lists.payload[name].eq(listed.o.payload[name]) for name in names),
            self._turns.lists.valid.eq(listed.o.valid),
            listed.o.ready.eq(self._turns.lists.ready),
            feed.lists.payload.eq(lists.lists.payload),
            lists.left.eq(self._results.left.list),
        ]
        for part in (feed, self._results):
            m.d.comb += [getattr(part, name).eq(getattr(lists, name)) for name in ("write", "write_at", "token")]

    def _share_turns(self, m: Module, platform) -> None:
        """A turn to the array, to the weights, and to those who wait for its results."""
        turns, turn = self._turns.turns, self._turns.turns.payload
        tiles = queue_of(m, "tiles", tile_layout(), TILES, platform)
        skipped = ("first", "words", "half", "ends")
        names = [name for name in turn_layout(self._config).members if name not in skipped]
        turned = queue_of(m, "turned", part_of(turn_layout(self._config), *names), TURNS, platform)
        results = self._results.turns
        store, fire = self._store.turns, Signal()
        m.d.comb += [
            turns.ready.eq(tiles.i.ready & turned.i.ready & store.ready),
            fire.eq(turns.valid & turns.ready),
            tiles.i.valid.eq(fire & ~turn.none),
            store.valid.eq(fire),
            # Of a job without rows, that it is over.
            turned.i.valid.eq(fire & (turn.whole | ~turn.none)),
            tiles.i.payload.wide.eq(turn.sink == Sink.WIDE),
            tiles.i.payload.last.eq(turn.whole),
            tiles.i.payload.double.eq(turn.double),
            store.payload.eq(turn),
            *(turned.i.payload[name].eq(turn[name]) for name in names),
            *(results.payload[name].eq(turned.o.payload[name]) for name in names),
            results.valid.eq(turned.o.valid),
            turned.o.ready.eq(results.ready),
        ]
        wiring.connect(m, tiles.o, wiring.flipped(self.tile))

    def _tell(self, m: Module) -> None:
        """How far jobs are, and what the array waits for."""
        left, taken = self._results.left, self._taken
        jobs, finals = Signal(range(UNDER_WAY)), Signal(range(UNDER_WAY))
        # Lists whose rows are in the array's stores.
        stored, ended = Signal(range(3)), Signal()
        newest, closes = Signal(), Signal()
        m.d.comb += [
            closes.eq(taken & self.jobs.payload.last),
            ended.eq(left.job & left.final),
            newest.eq(finals == 1),
            self.idle.eq((jobs == 0) & ~self._store.busy),
        ]
        m.d.sync += [
            jobs.eq(jobs + taken - left.job),
            finals.eq(finals + closes - ended),
            stored.eq(stored + _fires(self.rows) - (_fires(self.tile) & self.tile.payload.last)),
            self.waits_weights.eq(self.w.ready & ~self.w.valid),
            self.waits_rows.eq(self.w.valid & ~self.w.ready & (stored == 0)),
        ]
        with m.If(closes):
            m.d.sync += self.progress.eq(0)
        with m.Elif(newest & ended):
            m.d.sync += self.progress.eq(self._config.tokens)
        with m.Elif(newest & left.final & left.row):
            m.d.sync += self.progress.eq(left.token + 1)


def _fires(port) -> Value:
    return port.valid & port.ready
