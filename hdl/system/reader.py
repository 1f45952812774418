# SPDX-License-Identifier: Apache-2.0
"""Reads of the memory's port: jobs of several channels, in bursts, to a queue of words for each.

job0 ─► bursts ─► fits? ─┐                   ┌─► words ─► o0
job1 ─► bursts ─► fits? ─┼─ in turn ─► ar    ├─► words ─► o1
…                        ┘     └─► order ─►  r
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import require_range
from config.system import SystemConfig
from hdl.arith.compare import less
from hdl.cover import corner
from hdl.execute.query_feed import FairChoice
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.system import axi
from hdl.system.bursts import Bursts, low_bits, require_sizes
from hdl.system.layouts import bus_shape
from hdl.system.queues import OrderQueue, WordQueue


class MemoryReader(wiring.Component):
    """AXI4 master that reads rows of words for several channels.

    A burst is asked for when its channel's queue has room for all of it, so that what comes is always taken; a channel
    that asks has its turn before another one has had two. All bursts have one ID, and so come in order.

    Parameters
    ----------
    config: `SystemConfig`. channels: at least 1. burst: beats of the longest, as of `Bursts`. depth: words of each
    channel's queue, at least a burst. outstanding: bursts under way at the most, of all channels.

    Members
    -------
    job0, job1, …: In, streams of `TRANSFER`. o0, o1, …: Out, streams of words of the port: those of the channel's jobs
    in order. A word 2 cycles after it has come, a word a cycle; a channel asks for a burst every 4 cycles, or 5 for
    another row.
    m_axi_ar…, m_axi_r…: AXI4, incrementing bursts of whole words. m_axi_rready is always 1.
    read: Out, 1: a word of the memory came in the cycle before.
    error: Out, 1: the memory answered with an error, until `clear`. That word and all later ones are dropped.
    stop: In, 1: nothing more is asked for, as after an error; what is under way comes.
    idle: Out, 1: nothing is under way, and nothing will be without another job, or, after `stop` or an error, at all.
    clear: In, 1, only if `idle`: `error`, all jobs and all words are dropped; then it is as after reset.
    """

    def __init__(
        self, config: SystemConfig, channels: int = 4, *, burst: int = 16, depth: int = 64, outstanding: int = 8
    ):
        require_range("channels", channels, 1, 16)
        require_sizes(config, burst, depth, outstanding)
        self._config, self._channels, self._outstanding = config, channels, outstanding
        self._bursts = [Bursts(config, burst) for _ in range(channels)]
        self._words = [WordQueue(depth, bus_shape(config)) for _ in range(channels)]
        self._depth = depth
        super().__init__(
            {
                **{f"job{n}": In(stream.Signature(axi.TRANSFER)) for n in range(channels)},
                **{f"o{n}": Out(stream.Signature(bus_shape(config))) for n in range(channels)},
                **axi.members(axi.axi4(config.bus_bits), only=axi.READ),
                "read": Out(1),
                "error": Out(1),
                "stop": In(1),
                "idle": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        asks, takes, taken = (Signal(self._channels, name=name) for name in ("asks", "takes", "taken"))
        # A burst that was taken goes on a cycle later: its sums do not wait for a choice.
        m.d.sync += taken.eq(takes)
        for number, bursts in enumerate(self._bursts):
            m.submodules[f"bursts{number}"] = share(bursts, bursts.name, platform)
            wiring.connect(m, wiring.flipped(getattr(self, f"job{number}")), bursts.job)
            m.d.comb += [bursts.clear.eq(self.clear), bursts.o.ready.eq(taken[number])]
        order = OrderQueue(self._outstanding, self._channels)
        m.submodules.order = share(order, "burst_order", platform)
        self._request(m, asks, takes, order, platform)
        comes = self._response(m, order)
        for number, bursts in enumerate(self._bursts):
            m.d.comb += asks[number].eq(self._queue(m, number, bursts, takes[number], comes[number], platform))
        active = Cat(bursts.active for bursts in self._bursts).any()
        m.d.comb += self.idle.eq(~order.there & (self.error | self.stop | ~active))
        corner(m, platform, "reads_outstanding_full", order.full)
        return m

    def _request(self, m: Module, asks: Value, takes: Value, order: OrderQueue, platform) -> None:
        """One of the channels that ask has its burst in the registers of `ar`, if they are free."""
        size = low_bits(self._config)
        choice = FairChoice(self._channels)
        m.submodules.choice = share(choice, "read_choice", platform)
        opens = Signal()
        m.d.comb += [
            # With `clear` nothing asks, or it is stopped.
            opens.eq(~order.full & ~self.error & ~self.stop & (~self.m_axi_arvalid | self.m_axi_arready)),
            choice.asks.eq(asks & opens.replicate(self._channels)),
            takes.eq(choice.chosen),
            order.push.eq(takes.any()),
            order.entry.eq(takes),
            *axi.request(self, "ar", size),
        ]
        word, length = (
            one_of(takes, [bursts.o.payload[field] for bursts in self._bursts]) for field in ("word", "len")
        )
        with m.If(~self.m_axi_arvalid | self.m_axi_arready):
            m.d.sync += self.m_axi_arvalid.eq(takes.any())
        with m.If(takes.any()):
            m.d.sync += [self.m_axi_araddr.eq(word << size), self.m_axi_arlen.eq(length)]

    def _response(self, m: Module, order: OrderQueue) -> Value:
        """Which channel's word comes, one bit set, or none."""
        comes, wrong = Signal(self._channels), Signal()
        m.d.comb += [
            self.m_axi_rready.eq(1),
            wrong.eq(self.m_axi_rresp[1]),
            comes.eq(order.oldest & (self.m_axi_rvalid & ~wrong & ~self.error).replicate(self._channels)),
            order.pop.eq(self.m_axi_rvalid & self.m_axi_rlast),
        ]
        m.d.sync += [self.read.eq(self.m_axi_rvalid), self.error.eq(self.error | (self.m_axi_rvalid & wrong))]
        with m.If(self.clear):
            m.d.sync += self.error.eq(0)
        return comes

    def _queue(self, m: Module, number: int, bursts: Bursts, takes: Value, comes: Value, platform) -> Value:
        """A channel's words. Returns whether its burst finds room."""
        words, o = self._words[number], getattr(self, f"o{number}")
        m.submodules[f"words{number}"] = share(words, words.name, platform)
        wiring.connect(m, words.o, wiring.flipped(o))
        m.d.comb += [words.i.valid.eq(comes), words.i.payload.eq(self.m_axi_rdata), words.clear.eq(self.clear)]
        # Places that no burst has been asked for.
        room, fits = (
            Signal(range(self._depth + 1), init=self._depth, name=f"room{number}"),
            Signal(name=f"fits{number}"),
        )
        length = Signal.like(room, name=f"length{number}")
        m.d.comb += length.eq(bursts.o.payload.len)
        m.d.sync += [
            room.eq(room + (o.valid & o.ready) - Mux(bursts.o.ready, length + 1, 0)),
            fits.eq(bursts.o.valid & ~takes & ~bursts.o.ready & less(length, room)),
        ]
        with m.If(self.clear):
            m.d.sync += [room.eq(self._depth), fits.eq(0)]
        corner(m, platform, f"read_waits_for_room{number}", bursts.o.valid & (room <= length))
        return fits
