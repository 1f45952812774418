# SPDX-License-Identifier: Apache-2.0
"""Proofs about the memory's port: its handshakes, its bursts, and that nothing is lost between memory and streams.

The memory is what the solver likes: it takes requests and data when it likes, and answers what it owes when it likes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.presets import systems
from hdl.system.bursts import Bursts
from hdl.system.queues import WordQueue
from hdl.system.reader import MemoryReader
from hdl.system.writer import MemoryWriter
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Fault, Planted

pytestmark = pytest.mark.formal

BYTES, BURST, OUTSTANDING, DEPTH = 4, 2, 2, 3
SMALL = replace(systems("tiny")["spls"], bus_bytes=BYTES)
SIZES = {"burst": BURST, "depth": DEPTH, "outstanding": OUTSTANDING}
COUNT_BITS = 5


def reader(channels: int = 1) -> MemoryReader:
    return MemoryReader(SMALL, channels, **SIZES)


def writer() -> MemoryWriter:
    return MemoryWriter(SMALL, **SIZES)


def stands(m: Module, dut: wiring.Component, letters: str, *names: str) -> Value:
    """Valid and payload of a channel are what they were if they had to wait in the cycle before."""
    valid, ready = (getattr(dut, f"m_axi_{letters}{name}") for name in ("valid", "ready"))
    payload = Cat(getattr(dut, f"m_axi_{letters}{name}") for name in names)
    waiting, before = Signal(name=f"{letters}_waits"), Signal(len(payload), name=f"{letters}_before")
    m.d.sync += [waiting.eq(valid & ~ready), before.eq(payload)]
    return ~waiting | (valid & (payload == before))


def within_a_page(dut: wiring.Component, letters: str) -> Value:
    address, length = (getattr(dut, f"m_axi_{letters}{name}") for name in ("addr", "len"))
    return (address[:12] + ((length + 1) << 2)) <= 4096


class BurstsClaim(contract.Claim):
    """All words of a job, each once, in order, are those of its bursts; none of them in two pages."""

    def claim(self, m: Module, dut: wiring.Component) -> None:
        job, burst = dut.job.payload, dut.o.payload
        words = job.bytes[2:]
        m.d.comb += [
            Assume(words <= 5),
            Assume(job.rows <= 2),
            Assume(dut.clear == 0),
            # Sums of few bits, which the solver can follow.
            Assume(job.address[14:] == 0),
            Assume(job.stride[7:] == 0),
        ]
        at, start, left, wide, rows = (
            Signal(bits, name=name) for name, bits in (("at", 62), ("start", 62), ("left", 3), ("wide", 3), ("rows", 2))
        )
        stride = Signal(30)
        with m.If(contract.fires(dut.job)):
            m.d.comb += Assert((left == 0) & (rows == 0))
            m.d.sync += [at.eq(job.address[2:]), start.eq(job.address[2:]), stride.eq(job.stride[2:]), wide.eq(words)]
            m.d.sync += [
                left.eq(Mux(job.rows == 0, 0, words)),
                rows.eq(Mux((job.rows == 0) | (words == 0), 0, job.rows - 1)),
            ]
        with m.If(contract.fires(dut.o)):
            moved = burst.len + 1
            m.d.comb += [
                Assert(burst.word == at),
                Assert(moved <= left),
                Assert(burst.len <= ~burst.word[: len(burst.len)]),
            ]
            m.d.sync += [at.eq(at + moved), left.eq(left - moved)]
            with m.If((moved == left) & (rows != 0)):
                m.d.sync += [rows.eq(rows - 1), left.eq(wide), start.eq(start + stride), at.eq(start + stride)]
        waited = Signal(3)
        m.d.sync += waited.eq(Mux(dut.o.valid | dut.job.ready, 0, waited + 1))
        m.d.comb += Assert(waited < 4)


class ForAllTime(contract.Claim):
    """Offers at the port stand, and its bursts lie in one page: whatever the outside does, from any state."""

    def __init__(self, dut: wiring.Component, sources: Sequence[Bursts]):
        self._sources = sources
        super().__init__(dut)

    def claim(self, m: Module, dut: wiring.Component) -> None:
        letters = "ar" if hasattr(dut, "m_axi_arvalid") else "aw"
        for bursts in self._sources:
            burst = bursts.o.payload
            # What comes into the registers of the port.
            m.d.comb += Assert(~bursts.o.valid | (burst.len <= ~burst.word[: len(burst.len)]))
        low = Cat(getattr(dut, f"m_axi_{letters}addr")[:2], getattr(dut, f"m_axi_{letters}len")[1:])
        m.d.comb += [
            Assert(stands(m, dut, letters, "addr", "len", "id", "size", "burst", "lock", "cache", "prot")),
            Assert(~getattr(dut, f"m_axi_{letters}valid") | (within_a_page(dut, letters) & (low == 0))),
        ]
        if letters == "aw":
            cleared = Signal()
            m.d.sync += cleared.eq(dut.clear)
            m.d.comb += Assert(stands(m, dut, "w", "data", "strb", "last") | cleared)


class Owed:
    """Bursts that a memory has taken, and beats that it owes for them, the oldest first."""

    def __init__(self, m: Module, name: str, *, enters: Value, entry: Value, leaves: Value):
        places = OUTSTANDING + 2
        self.entries = Array(Signal(len(entry), name=f"{name}_{n}") for n in range(places))
        self.first, self.count = Signal(range(places), name=f"{name}_first"), Signal(COUNT_BITS, name=f"{name}_count")
        last = Signal(range(places), name=f"{name}_last")
        m.d.sync += self.count.eq(self.count + enters - leaves)
        with m.If(enters):
            m.d.sync += [self.entries[last].eq(entry), last.eq(Mux(last == places - 1, 0, last + 1))]
        with m.If(leaves):
            m.d.sync += self.first.eq(Mux(self.first == places - 1, 0, self.first + 1))
        self.oldest = self.entries[self.first]


class ReadClaim(contract.Claim):
    """What a memory sends for a channel leaves at its stream, in order, once, unchanged, and in time; it is taken
    when it comes; no more bursts are under way than may be, and none is asked for after an error or a stop."""

    def __init__(self, dut: wiring.Component, channels: int, errors: bool = False):
        self._channels, self._errors = channels, errors
        super().__init__(dut, {"picked": In(channels)})

    def claim(self, m: Module, dut: wiring.Component) -> None:
        for n in range(self._channels):
            job = getattr(dut, f"job{n}").payload
            # The top bit of an address tells whose it is.
            m.d.comb += [Assume(job.address[14:-1] == 0), Assume(job.address[-1] == n), Assume(job.stride[7:] == 0)]
        beat, ends = Signal(8), Signal()
        comes = dut.m_axi_rvalid & dut.m_axi_rready
        entry = Cat(dut.m_axi_arlen, dut.m_axi_araddr[-1])
        taken = dut.m_axi_arvalid & dut.m_axi_arready
        owed = Owed(m, "owed", enters=taken, entry=entry, leaves=ends)
        whose = owed.oldest[8]
        m.d.comb += [
            ends.eq(comes & dut.m_axi_rlast),
            Assume(~dut.m_axi_rvalid | (owed.count != 0)),
            Assume(dut.m_axi_rlast == (beat == owed.oldest[:8])),
            Assert(dut.m_axi_rready),
            Assert(owed.count + (dut.m_axi_arvalid & ~taken) <= OUTSTANDING),
            Assert(~dut.idle | (owed.count == 0)),
            *(Assert(~words.i.valid | words.i.ready) for words in getattr(dut, "_words", [])),
            Assume(~dut.clear | (dut.idle & ~dut.m_axi_arvalid)) if self._errors else Assume(~dut.clear),
        ]
        with m.If(comes):
            m.d.sync += beat.eq(Mux(dut.m_axi_rlast, 0, beat + 1))
        if self._errors:
            self._stops(m, dut)
        else:
            m.d.comb += Assume(~dut.m_axi_rresp[1])
            self._conserves(m, dut, comes, whose)

    def _conserves(self, m: Module, dut: wiring.Component, comes: Value, whose: Value) -> None:
        for n in range(self._channels):
            o = getattr(dut, f"o{n}")
            enters = comes & (whose == n)
            leaves = contract.fires(o)
            contract.claim_order(
                m,
                enters=enters,
                expected=dut.m_axi_rdata,
                leaves=leaves,
                result=o.payload,
                picked=self.picked[n],
            )
            kept = Signal(COUNT_BITS, name=f"kept{n}")
            m.d.sync += kept.eq(kept + enters - leaves)
            m.d.comb += [Assert(contract.held(m, o)), Assert(kept <= DEPTH)]
            contract.claim_progress(m, owed=kept, leaves=leaves, can_leave=o.ready, bound=2)

    def _stops(self, m: Module, dut: wiring.Component) -> None:
        stopped, offered = Signal(), Signal()
        m.d.sync += [stopped.eq(dut.error | dut.stop), offered.eq(dut.m_axi_arvalid & ~dut.m_axi_arready)]
        failed = Signal()
        m.d.sync += failed.eq((failed | (dut.m_axi_rvalid & dut.m_axi_rresp[1])) & ~dut.clear)
        m.d.comb += [
            Assert(~stopped | ~dut.m_axi_arvalid | offered),
            Assert(dut.error == failed),
        ]


class WriteClaim(contract.Claim):
    """Words leave in the order in which they came, unchanged, the last one of each burst marked; none before its
    address is offered, and without a pause once a burst has begun; no more bursts are under way than may be."""

    def __init__(self, dut: wiring.Component):
        super().__init__(dut, {"picked": In(1)})

    def claim(self, m: Module, dut: wiring.Component) -> None:
        job = dut.job.payload
        m.d.comb += [Assume(job.address[14:] == 0), Assume(job.stride[7:] == 0), Assume(~dut.clear)]
        offered, taken = Signal(), dut.m_axi_awvalid & dut.m_axi_awready
        m.d.sync += offered.eq(dut.m_axi_awvalid & ~dut.m_axi_awready)
        leaves, whole = dut.m_axi_wvalid & dut.m_axi_wready, Signal()
        beat = Signal(8)
        m.d.comb += whole.eq(leaves & dut.m_axi_wlast)
        # An address counts from its first offer on.
        begins = dut.m_axi_awvalid & ~offered
        asked = Owed(m, "asked", enters=begins, entry=dut.m_axi_awlen, leaves=whole)
        there = asked.count + begins
        length = Mux(asked.count == 0, dut.m_axi_awlen, asked.oldest)
        addressed, data, answered = (Signal(COUNT_BITS, name=name) for name in ("addressed", "data", "answered"))
        m.d.sync += [
            addressed.eq(addressed + taken),
            data.eq(data + whole),
            answered.eq(answered + dut.m_axi_bvalid),
        ]
        m.d.comb += [
            Assume(~dut.m_axi_bvalid | ((answered != addressed) & (answered != data))),
            Assert(dut.m_axi_bready),
            Assert((addressed - answered)[:COUNT_BITS] + (dut.m_axi_awvalid & ~taken) <= OUTSTANDING),
            Assert(~dut.m_axi_wvalid | (there != 0)),
            Assert(~dut.m_axi_wvalid | (dut.m_axi_wlast == (beat == length))),
            Assert((beat == 0) | dut.m_axi_wvalid),
            Assert(stands(m, dut, "w", "data", "strb", "last")),
            Assert(dut.m_axi_wstrb.all()),
            Assert(~dut.idle | ((addressed == answered) & (data == answered) & ~dut.m_axi_awvalid)),
        ]
        with m.If(leaves):
            m.d.sync += beat.eq(Mux(dut.m_axi_wlast, 0, beat + 1))
        contract.claim_order(
            m,
            enters=contract.fires(dut.i),
            expected=dut.i.payload,
            leaves=leaves,
            result=dut.m_axi_wdata,
            picked=self.picked,
        )
        stopped, failed = Signal(), Signal()
        m.d.sync += [stopped.eq(dut.error | dut.stop), failed.eq(failed | (dut.m_axi_bvalid & dut.m_axi_bresp[1]))]
        m.d.comb += [Assert(~stopped | ~begins), Assert(dut.error == failed)]


@pytest.mark.parametrize("depth", [16, pytest.param(24, marks=pytest.mark.long)])
def test_bursts_are_the_words_of_their_job(depth: int, tmp_path: Path) -> None:
    assert check(BurstsClaim(Bursts(SMALL, BURST)), folder=tmp_path, depth=depth, gates=True)


def sources(unit: MemoryReader | MemoryWriter) -> list[Bursts]:
    return unit._bursts if isinstance(unit, MemoryReader) else [unit._bursts]


@pytest.mark.parametrize("make", [reader, writer])
def test_offers_stand_and_bursts_lie_in_a_page_for_all_time(make, tmp_path: Path) -> None:
    unit = make()
    assert check(ForAllTime(unit, sources(unit)), folder=tmp_path, depth=2, induction=True)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (reader, {"m_axi_arready": lambda ready: Const(1)}),
        (reader, {"m_axi_arlen": lambda length: length + 1}),
        (writer, {"m_axi_awready": lambda ready: Const(1)}),
        (writer, {"m_axi_awaddr": lambda address: address + 4}),
        (writer, {"m_axi_wready": lambda ready: Const(1)}),
    ],
    ids=["a read withdrawn", "a read too long", "a write withdrawn", "another place", "words withdrawn"],
)
def test_what_does_not_stand_is_refuted(make, fault: dict[str, Fault], tmp_path: Path) -> None:
    unit = make()
    claim = ForAllTime(Planted(unit, **fault), sources(unit))
    assert not check(claim, folder=tmp_path, depth=12, gates=True)


@pytest.mark.parametrize(("channels", "depth"), [(1, 17), (2, 15), pytest.param(2, 20, marks=pytest.mark.long)])
def test_nothing_read_is_lost(channels: int, depth: int, tmp_path: Path) -> None:
    assert check(ReadClaim(reader(channels), channels), folder=tmp_path, depth=depth, gates=True)


def test_reading_stops(tmp_path: Path) -> None:
    assert check(ReadClaim(reader(), 1, errors=True), folder=tmp_path, depth=18, gates=True)


@pytest.mark.parametrize("depth", [14, pytest.param(18, marks=pytest.mark.long)])
def test_nothing_written_is_lost(depth: int, tmp_path: Path) -> None:
    assert check(WriteClaim(writer()), folder=tmp_path, depth=depth, gates=True)


def overrun() -> MemoryReader:
    """A reader that takes its queues for longer than they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hdl.system.reader.WordQueue", lambda depth, shape: WordQueue(1, shape))
        return reader()


def always(value: Value) -> Value:
    return Const(1)


def never(value: Value) -> Value:
    return Const(0)


WRONG = {
    "a row too many": lambda: BurstsClaim(Planted(Bursts(SMALL, BURST), job__payload=lambda job: job ^ (1 << 96))),
    "never taken": lambda: BurstsClaim(Planted(Bursts(SMALL, BURST), o__ready=never)),
    "a queue too short": lambda: ReadClaim(overrun(), 1),
    "a word passed over": lambda: ReadClaim(Planted(reader(), o0__ready=always), 1),
    "last not seen": lambda: ReadClaim(Planted(reader(2), m_axi_rlast=never), 2),
    "not stopped": lambda: ReadClaim(Planted(reader(), stop=never), 1, errors=True),
    "errors not seen": lambda: ReadClaim(Planted(reader(), m_axi_rresp=never), 1, errors=True),
    "idle too early": lambda: ReadClaim(Planted(reader(), idle=always), 1, errors=True),
    "written words passed over": lambda: WriteClaim(Planted(writer(), m_axi_wready=always)),
    "another last word": lambda: WriteClaim(Planted(writer(), m_axi_wlast=lambda last: ~last)),
    "not answered": lambda: WriteClaim(Planted(writer(), m_axi_bvalid=never)),
    "writing not stopped": lambda: WriteClaim(Planted(writer(), stop=never)),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refuted(wrong: Callable[[], contract.Claim], tmp_path: Path) -> None:
    assert not check(wrong(), folder=tmp_path, depth=14, gates=True)
