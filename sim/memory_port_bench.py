# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of `hdl.system.reader` and `hdl.system.writer`: a memory of cocotbext-axi that rests and fails."""

import logging
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus, AxiSlaveRead, AxiSlaveWrite, AxiWriteBus

from sim.axi import Watch
from sim.memory_port import Phase, Seen, Work
from sim.runner import JOB
from sim.streams import Sink, Source

PATIENCE = 3000
"""Cycles without a word after which it stands still."""
QUIET_CYCLES = 30


@dataclass
class Memory:
    """Every word has its own content, which is known without storing it; what is written is noted. `bad`: addresses of
    words that fail."""

    bus_bytes: int
    bad: frozenset[int] = frozenset()
    written: list[tuple[int, int]] = field(default_factory=list)
    failed: bool = False

    def word(self, address: int) -> int:
        return Random(address).getrandbits(8 * self.bus_bytes)

    async def read(self, address: int, length: int) -> bytes:
        self._check(address)
        return self.word(address).to_bytes(length, "little")

    async def write(self, address: int, data: bytes) -> None:
        self._check(address)
        assert len(data) == self.bus_bytes, "all strobes of a word must be set"
        self.written.append((address, int.from_bytes(data, "little")))

    def _check(self, address: int) -> None:
        if address in self.bad:
            self.failed = True
            raise ValueError(f"{address:#x} fails")


def pauses(rng: Random, share: float) -> Iterator[bool]:
    """Single cycles, and now and then many in a row."""
    while True:
        rests = rng.random() < share
        yield from [rests] * (rng.randrange(5, 40) if rng.random() < 0.01 else 1)


@cocotb.test  # type: ignore[untyped-decorator]
async def phases(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    work: Work = pickle.loads((folder / "jobs.pickle").read_bytes())
    bench = Bench(dut, work)
    await bench.reset()
    seen = [await bench.run(phase) for phase in work.phases]
    bench.watch.finish()
    (folder / "results.pickle").write_bytes(pickle.dumps(seen))


class Bench:
    def __init__(self, dut: Any, work: Work):
        self.dut, self.work, self.rng = dut, work, Random(work.seed)
        self.reads = hasattr(dut, "m_axi_arvalid")
        self.memory = Memory(work.bus_bytes)
        Clock(dut.clk, 2, unit="ns").start()
        self.watch = Watch(dut)
        self.edge = RisingEdge(dut.clk)
        self.names = [f"{n}" for n in range(32) if hasattr(dut, f"job{n}__valid")] if self.reads else [""]
        for name in self.names:
            getattr(dut, f"job{name}__valid").value = 0
            getattr(dut, f"o{name}__ready" if self.reads else "i__valid").value = 0
        dut.stop.value = dut.clear.value = 0
        if hasattr(dut, "fault"):
            dut.fault.value = work.fault

    def slave(self) -> None:
        if self.reads:
            slave = AxiSlaveRead(AxiReadBus.from_prefix(self.dut, "m_axi"), self.dut.clk, self.dut.rst, self.memory)
            channels = {"ar": slave.ar_channel, "r": slave.r_channel}
        else:
            bus = AxiWriteBus.from_prefix(self.dut, "m_axi")
            slave = AxiSlaveWrite(bus, self.dut.clk, self.dut.rst, self.memory)
            channels = {"aw": slave.aw_channel, "w": slave.w_channel, "b": slave.b_channel}
        slave.log.setLevel(logging.ERROR)
        for letters, channel in channels.items():
            # As many as the unit may have under way.
            channel.queue_occupancy_limit = 32
            channel.set_pause_generator(pauses(self.rng, self.work.rhythm.of(letters)))

    async def reset(self) -> None:
        self.dut.rst.value = 1
        self.slave()
        for _ in range(3):
            await self.edge
        self.dut.rst.value = 0
        await self.edge

    async def run(self, phase: Phase) -> Seen:
        """A phase from empty queues to empty queues."""
        self.memory.bad, self.memory.failed = phase.bad, False
        self.memory.written.clear()
        jobs, words = self.streams(phase)
        tally = Tally(self.dut, self.reads)
        while not (tally.cycles and self.over(phase, words, tally)):
            if tally.cycles == phase.stop:
                self.dut.stop.value = 1
            await self.cycle([*jobs, *words], tally)
            progress = sum(len(stream.seen) for stream in (*jobs, *words)) + tally.words
            tally.waits(progress)
        for _ in range(QUIET_CYCLES):
            await self.cycle([*jobs, *words], tally)
        self.check(phase, words, tally)
        await self.clear([*jobs, *words])
        return Seen(tally.lengths, tally.most, tally.words, tally.error, tally.cycles)

    def streams(self, phase: Phase) -> tuple[list[Source], list[Any]]:
        rhythm = self.work.rhythm
        packed = [[transfer.pack() for transfer in transfers] for transfers in phase.transfers]
        jobs = [
            Source(self.dut, f"job{name}", items, idle=rhythm.of("job"), rng=self.rng)
            for name, items in zip(self.names, packed, strict=True)
        ]
        if self.reads:
            return jobs, [Sink(self.dut, f"o{name}", stall=rhythm.of("o"), rng=self.rng) for name in self.names]
        due = [self.memory.word(~address) for address in self.due(phase, 0)]
        return jobs, [Source(self.dut, "i", due, idle=rhythm.of("i"), rng=self.rng)]

    def due(self, phase: Phase, channel: int) -> list[int]:
        """Addresses of the words of a channel."""
        return [address for each in phase.transfers[channel] for address in each.words(self.work.bus_bytes)]

    def over(self, phase: Phase, words: list[Any], tally: "Tally") -> bool:
        """Has all been moved, or will nothing be moved any more?"""
        stopped = self.memory.failed or bool(self.dut.stop.value)
        moved = all(len(each.seen) == len(self.due(phase, channel)) for channel, each in enumerate(words))
        return tally.idle and (moved or stopped)

    async def cycle(self, streams: list[Any], tally: "Tally") -> None:
        for stream in streams:
            stream.drive()
        await self.edge
        self.watch.sample()
        tally.sample()
        for stream in streams:
            stream.sample()
            if isinstance(stream, Source):
                stream.after_edge()

    def check(self, phase: Phase, words: list[Any], tally: "Tally") -> None:
        assert tally.idle, "it must be idle at the end"
        assert tally.error == self.memory.failed, f"error is {tally.error}, the memory's {self.memory.failed}"
        assert max(tally.lengths, default=0) <= self.work.burst, "a burst is too long"
        assert tally.most <= self.work.outstanding, f"{tally.most} bursts were under way"
        for channel in range(len(self.names)):
            due = self.due(phase, channel)
            found: list[Any] = words[channel].seen
            expected: list[Any] = [self.memory.word(address) for address in due]
            if not self.reads:
                found = self.memory.written
                expected = [(address, self.memory.word(~address)) for address in due if address not in phase.bad]
            if not tally.error and phase.stop is None:
                assert len(found) == len(expected), f"channel {channel}: {len(found)} words of {len(expected)}"
            for number, (one, other) in enumerate(zip(found, expected, strict=False)):
                assert one == other, f"channel {channel}: word {number} is {one}, not {other}"
        assert tally.words == tally.beats, f"{tally.words} words were told, {tally.beats} moved"

    async def clear(self, streams: list[Any]) -> None:
        """Drops what is left, and what the streams had offered."""
        for name in self.names:
            getattr(self.dut, f"job{name}__valid").value = 0
            getattr(self.dut, f"o{name}__ready" if self.reads else "i__valid").value = 0
        self.dut.clear.value = 1
        await self.edge
        self.watch.sample()
        self.dut.clear.value = self.dut.stop.value = 0
        await self.edge
        self.watch.sample()
        assert not self.dut.error.value, "clear must take back an error"
        assert self.dut.idle.value, "after clear nothing is under way"


class Tally:
    """Counts what a unit does in a phase, and that it asks for nothing after an error."""

    def __init__(self, dut: Any, reads: bool):
        self._dut, self._reads = dut, reads
        self._letters, self._data = ("ar", "r") if reads else ("aw", "w")
        self.lengths: list[int] = []
        self.under_way = self.most = self.words = self.beats = self.cycles = 0
        self.error = self.idle = False
        self._offered = self._stopped = False
        self._progress, self._waited = 0, 0

    def sample(self) -> None:
        dut = self._dut
        self.cycles += 1
        offered = bool(self._port(self._letters, "valid"))
        if offered and (self.error or self._stopped):
            assert self._offered, "nothing may be asked for after an error or a stop"
        taken = offered and self._port(self._letters, "ready")
        self._offered = offered and not taken
        if taken:
            self.lengths.append(int(self._port(self._letters, "len")) + 1)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.words += int(dut.read.value if self._reads else dut.written.value)
        self.beats += int(self._port(self._data, "valid") and self._port(self._data, "ready"))
        over = self._port("r", "last") if self._reads else 1
        answer = "r" if self._reads else "b"
        self.under_way -= int(self._port(answer, "valid") and self._port(answer, "ready") and over)
        self.error, self.idle, self._stopped = (bool(port.value) for port in (dut.error, dut.idle, dut.stop))
        assert not (self.idle and self.under_way), "it is not idle while a burst is under way"

    def _port(self, letters: str, name: str) -> Any:
        return getattr(self._dut, f"m_axi_{letters}{name}").value

    def waits(self, progress: int) -> None:
        self._waited = self._waited + 1 if progress == self._progress else 0
        self._progress = progress
        assert self._waited < PATIENCE, "it stands still"
