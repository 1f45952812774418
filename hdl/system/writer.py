# SPDX-License-Identifier: Apache-2.0
"""Writes of the memory's port: words that come, in bursts to where jobs say.

job ─► bursts ─► there? ─► aw ─► lengths ─┐
i ───► words ─────────────────────────────┴─► w       b ─► bursts under way
"""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.shared import share
from hdl.system import axi
from hdl.system.bursts import Bursts, low_bits, require_sizes
from hdl.system.layouts import bus_shape
from hdl.system.queues import OrderQueue, WordQueue


class MemoryWriter(wiring.Component):
    """AXI4 master that writes rows of words.

    A burst is asked for when all its words are in the queue: once begun, it never waits for one.

    Parameters
    ----------
    config: `SystemConfig`. burst: beats of the longest, as of `Bursts`. depth: words of the queue, at least a burst.
    outstanding: bursts under way at the most.

    Members
    -------
    job: In, stream of `TRANSFER`. i: In, stream of words of the port, for the jobs in order; they may come before
    their job. A word a cycle; a burst every 4 cycles, or 5 for another row.
    m_axi_aw…, m_axi_w…, m_axi_b…: AXI4, incrementing bursts of whole words, all strobes set. m_axi_bready is always 1.
    A burst's words are offered from the cycle on in which its address is, whether that is taken or not.
    written: Out, 1: the memory took a word in the cycle before.
    error: Out, 1: the memory answered with an error, until `clear`.
    stop: In, 1: nothing more is asked for, as after an error; what is under way is ended.
    idle: Out, 1: nothing is under way, and nothing will be without another job, or, after `stop` or an error, at all.
    All that was written has then been answered.
    clear: In, 1, only if `idle`: `error`, the job and all words are dropped; then it is as after reset.
    """

    def __init__(self, config: SystemConfig, *, burst: int = 16, depth: int = 64, outstanding: int = 8):
        require_sizes(config, burst, depth, outstanding)
        self._config, self._outstanding = config, outstanding
        self._bursts = Bursts(config, burst)
        self._depth = depth
        super().__init__(
            {
                "job": In(stream.Signature(axi.TRANSFER)),
                "i": In(stream.Signature(bus_shape(config))),
                **axi.members(axi.axi4(config.bus_bits), only=axi.WRITE),
                "written": Out(1),
                "error": Out(1),
                "stop": In(1),
                "idle": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bursts, words = self._bursts, WordQueue(self._depth, bus_shape(self._config))
        lengths = OrderQueue(self._outstanding, bursts.o.payload.len.shape())
        m.submodules.bursts = share(bursts, bursts.name, platform)
        m.submodules.words = share(words, words.name, platform)
        m.submodules.lengths = share(lengths, "burst_lengths", platform)
        wiring.connect(m, wiring.flipped(self.job), bursts.job)
        wiring.connect(m, wiring.flipped(self.i), words.i)
        m.d.comb += [bursts.clear.eq(self.clear), words.clear.eq(self.clear)]
        takes = Signal()
        under_way = self._under_way(m, takes)
        m.d.comb += [
            takes.eq(
                self._whole(m, takes)
                & (under_way != self._outstanding)
                & ~(self.error | self.stop | self.clear)
                & (~self.m_axi_awvalid | self.m_axi_awready)
            ),
            self.idle.eq((under_way == 0) & (self.error | self.stop | ~bursts.active)),
            lengths.push.eq(takes),
            lengths.entry.eq(bursts.o.payload.len),
        ]
        # A burst that was taken goes on a cycle later: its sums do not wait for the port.
        m.d.sync += bursts.o.ready.eq(takes)
        self._address(m, takes)
        self._data(m, words, lengths)
        corner(m, platform, "writes_outstanding_full", under_way == self._outstanding)
        return m

    def _whole(self, m: Module, takes: Value) -> Value:
        """Are all words of the next burst there?"""
        unclaimed, whole = Signal(range(self._depth + 2)), Signal()
        length, bursts = Signal.like(unclaimed), self._bursts.o
        m.d.comb += length.eq(bursts.payload.len)
        m.d.sync += [
            unclaimed.eq(unclaimed + (self.i.valid & self.i.ready) - Mux(bursts.ready, length + 1, 0)),
            whole.eq(bursts.valid & ~takes & ~bursts.ready & less(length, unclaimed)),
        ]
        with m.If(self.clear):
            m.d.sync += [unclaimed.eq(0), whole.eq(0)]
        return whole

    def _under_way(self, m: Module, takes: Value) -> Signal:
        """Bursts that have not been answered."""
        under_way = Signal(range(self._outstanding + 1))
        m.d.comb += self.m_axi_bready.eq(1)
        m.d.sync += [
            under_way.eq(under_way + takes - self.m_axi_bvalid),
            self.error.eq((self.error | (self.m_axi_bvalid & self.m_axi_bresp[1])) & ~self.clear),
        ]
        return under_way

    def _address(self, m: Module, takes: Value) -> None:
        size, burst = low_bits(self._config), self._bursts.o.payload
        m.d.comb += axi.request(self, "aw", size)
        with m.If(~self.m_axi_awvalid | self.m_axi_awready):
            m.d.sync += self.m_axi_awvalid.eq(takes)
        with m.If(takes):
            m.d.sync += [self.m_axi_awaddr.eq(burst.word << size), self.m_axi_awlen.eq(burst.len)]

    def _data(self, m: Module, words: WordQueue, lengths: OrderQueue) -> None:
        """Words of the bursts, one burst behind the other."""
        open_, left, leaves = Signal(), Signal.like(lengths.oldest), Signal()
        m.d.comb += [
            self.m_axi_wvalid.eq(open_ & words.o.valid),
            self.m_axi_wdata.eq(words.o.payload),
            self.m_axi_wstrb.eq(-1),
            words.o.ready.eq(open_ & self.m_axi_wready),
            leaves.eq(self.m_axi_wvalid & self.m_axi_wready),
            lengths.pop.eq(lengths.there & (~open_ | (leaves & self.m_axi_wlast))),
        ]
        m.d.sync += self.written.eq(leaves)
        with m.If(lengths.pop):
            m.d.sync += [open_.eq(1), left.eq(lengths.oldest), self.m_axi_wlast.eq(lengths.oldest == 0)]
        with m.Elif(leaves):
            m.d.sync += [open_.eq(~self.m_axi_wlast), left.eq(left - 1), self.m_axi_wlast.eq(left == 1)]
