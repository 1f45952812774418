# SPDX-License-Identifier: Apache-2.0
"""Co-simulation of `hdl.system.reader.MemoryReader` and `MemoryWriter` against a memory of cocotbext-axi.

What comes or is written, in which order, errors and what follows them, against the words of `golden.system.transfers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from config.system import SystemConfig
from golden.system.transfers import Transfer
from hdl.emit import verilog
from hdl.system.reader import MemoryReader
from hdl.system.writer import MemoryWriter
from sim import runner

BENCH = "sim.memory_port_bench"


@dataclass(frozen=True)
class Phase:
    """transfers: of each channel. bad: addresses of words that the memory answers with an error. stop: the cycle in
    which the unit is told to stop."""

    transfers: Sequence[Sequence[Transfer]]
    bad: frozenset[int] = frozenset()
    stop: int | None = None


@dataclass(frozen=True)
class Rhythm:
    """Shares of cycles in which somebody rests: by letters of an AXI channel, of `job` and of words (`o`, `i`)."""

    shares: dict[str, float] = field(default_factory=dict)

    def of(self, name: str) -> float:
        return self.shares.get(name, 0.0)


@dataclass(frozen=True)
class Work:
    """Phases one behind the other, with `clear` between them; what the bench needs to know of the unit. burst: beats
    of the longest. outstanding: bursts under way. fault: the one that is on, if the unit has a choice of them."""

    phases: Sequence[Phase]
    rhythm: Rhythm
    bus_bytes: int
    burst: int
    outstanding: int
    seed: int
    fault: int


@dataclass(frozen=True)
class Seen:
    """Of a phase: beats of each burst that was asked for, bursts under way at the most, words moved, whether there was
    an error, cycles."""

    lengths: list[int]
    most: int
    words: int
    error: bool
    cycles: int


@dataclass(frozen=True)
class Port:
    """A unit as it is built. channels: of the reader, or none: it is the writer."""

    config: SystemConfig
    channels: int = 0
    burst: int = 16
    depth: int = 64
    outstanding: int = 8

    @property
    def name(self) -> str:
        return "memory_reader" if self.channels else "memory_writer"

    def unit(self) -> MemoryReader | MemoryWriter:
        sizes = {"burst": self.burst, "depth": self.depth, "outstanding": self.outstanding}
        return (
            MemoryReader(self.config, self.channels, **sizes) if self.channels else MemoryWriter(self.config, **sizes)
        )


@cache
def text(port: Port) -> str:
    written: str = verilog(port.unit(), port.name)
    return written


def run(
    port: Port,
    phases: Sequence[Phase],
    rhythm: Rhythm,
    *,
    seed: int = 0,
    verilog_text: str | None = None,
    fault: int = 0,
) -> list[Seen]:
    """What the bench saw in each phase. Raises `SimulationError` where it differs from what is due. verilog_text: of a
    changed unit. fault: which of its faults is on."""
    work = Work(phases, rhythm, port.config.bus_bytes, port.burst, port.outstanding, seed, fault)
    folder = runner.build(verilog_text or text(port), port.name)
    seen: list[Seen] = runner.run_jobs(folder, port.name, BENCH, work)
    return seen
