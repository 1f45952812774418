# SPDX-License-Identifier: Apache-2.0
"""The smallest accelerator: reads rows of words and writes them elsewhere. With ports as those of the real ones."""

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.system import axi
from hdl.system.axi_lite import AxiLiteSlave
from hdl.system.reader import MemoryReader
from hdl.system.writer import MemoryWriter
from tests.planted import Fault, Switched

PREFIX, ADDRESS_BITS = "s_axi_ctrl", 6
CHANNELS = 2
START, CLEAR = 1, 2
"""Of register 0, what writes do."""
DONE, READ_ERROR, WRITE_ERROR = 1, 2, 4
"""Of register 4, what it reads as."""
REGISTERS = {
    "control": 0,
    "status": 4,
    "from": 8,
    "to": 16,
    "bytes": 24,
    "rows": 28,
    "from_stride": 32,
    "to_stride": 36,
    "channel": 40,
    "fault": 60,
}


class CopyEngine(wiring.Component):
    """aclk, aresetn, s_axi_ctrl_…, m_axi_…, interrupt (high while it is done). Registers: `REGISTERS`, at bytes."""

    def __init__(self, config: SystemConfig):
        self._slave = AxiLiteSlave(PREFIX, ADDRESS_BITS)
        self._reader, self._writer = MemoryReader(config, CHANNELS), MemoryWriter(config)
        slave = {name: each for name, each in self._slave.signature.members.items() if name.startswith(PREFIX)}
        super().__init__(
            {"aclk": In(1), "aresetn": In(1), **slave, **axi.members(axi.axi4(config.bus_bits)), "interrupt": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        parts = {"slave": self._slave, "reader": self._reader, "writer": self._writer}
        for name, part in parts.items():
            m.submodules[name] = part
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        axi.forward(m, self, self._slave, prefix=PREFIX)
        for part in (self._reader, self._writer):
            axi.forward(m, self, part)
        words = [Signal(32, name=f"word{n}") for n in range(1 << ADDRESS_BITS - 2)]
        self._registers(m, words)
        self._copy(m, words)
        return m

    def _registers(self, m: Module, words: list[Signal]) -> None:
        slave = self._slave
        m.d.comb += [slave.written.eq(1), slave.there.eq(1)]
        with m.Switch(slave.write_at):
            for n, word in enumerate(words):
                with m.Case(n), m.If(slave.write):
                    m.d.sync += word.eq(slave.data)
        status = Cat(self.interrupt, self._reader.error, self._writer.error)
        with m.Switch(slave.read_at):
            for n, word in enumerate(words):
                with m.Case(n):
                    m.d.sync += slave.value.eq(status if 4 * n == REGISTERS["status"] else word)

    def _copy(self, m: Module, words: list[Signal]) -> None:
        reader, writer, at = self._reader, self._writer, {name: byte // 4 for name, byte in REGISTERS.items()}
        command = self._slave.data[:2] & (self._slave.write & (self._slave.write_at == 0)).replicate(2)
        busy, waits, settles = Signal(), Signal(2), Signal(2)
        channel = words[at["channel"]]
        counts = Cat(words[at["bytes"]], words[at["rows"]])
        source = Cat(words[at["from"]], words[at["from"] + 1], counts, words[at["from_stride"]])
        target = Cat(words[at["to"]], words[at["to"] + 1], counts, words[at["to_stride"]])
        taken = Signal(2)
        for n in range(CHANNELS):
            job, o = getattr(reader, f"job{n}"), getattr(reader, f"o{n}")
            chosen = channel == n
            m.d.comb += [job.payload.as_value().eq(source), job.valid.eq(waits[0] & chosen)]
            with m.If(chosen):
                m.d.comb += [
                    taken[0].eq(job.valid & job.ready),
                    writer.i.valid.eq(o.valid),
                    writer.i.payload.eq(o.payload),
                    o.ready.eq(writer.i.ready),
                ]
        stops = reader.error | writer.error
        m.d.comb += [
            writer.job.payload.as_value().eq(target),
            writer.job.valid.eq(waits[1]),
            taken[1].eq(writer.job.valid & writer.job.ready),
            *(part.stop.eq(stops) for part in (reader, writer)),
            *(part.clear.eq(command[1]) for part in (reader, writer)),
        ]
        # Idle falls a cycle behind the job.
        m.d.sync += [waits.eq((waits & ~taken) | command[0].replicate(2)), settles.eq(Cat(waits.any(), settles[0]))]
        with m.If(command[0]):
            m.d.sync += [busy.eq(1), self.interrupt.eq(0)]
        with m.Elif(busy & ~waits.any() & ~settles.any() & reader.idle & writer.idle):
            m.d.sync += [busy.eq(0), self.interrupt.eq(1)]


class FaultyEngine(wiring.Component):
    """A `CopyEngine` with the fault (as of `Switched`) whose number, or 0, was last written to register `fault`."""

    def __init__(self, config: SystemConfig, faults: Sequence[Mapping[str, Fault]]):
        sound = CopyEngine(config)
        self._engine = Switched(sound, faults)
        super().__init__(sound.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.engine = engine = self._engine
        chosen = Signal.like(engine.fault)
        m.domains.choice = ClockDomain()
        m.d.comb += [ClockSignal("choice").eq(self.aclk), ResetSignal("choice").eq(~self.aresetn)]
        m.d.comb += engine.fault.eq(chosen)
        for name, member in self.signature.members.items():
            inner, outer = getattr(engine, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        with m.If(self.s_axi_ctrl_awvalid & (self.s_axi_ctrl_awaddr == REGISTERS["fault"])):
            m.d.choice += chosen.eq(self.s_axi_ctrl_wdata)
        return m
