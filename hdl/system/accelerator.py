# SPDX-License-Identifier: Apache-2.0
"""A whole accelerator: registers, descriptors, a layer's way, the memory's port.

s_axi_ctrl ─► Registers ─► DescriptorWalker ─► AcceleratorCore ─┬─ jobs ─► MemoryReader ─┬─► m_axi
interrupt ◄──────┘ ▲              ▲ └───────── one channel ─────┘                        │
                Counters ◄────────┴──────── y ─► MemoryWriter ───────────────────────────┘
"""

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.descriptor import ErrorCode
from config.system import SystemConfig
from hdl.shared import share
from hdl.system import axi
from hdl.system.core import AcceleratorCore, reads
from hdl.system.counters import Counters
from hdl.system.reader import MemoryReader
from hdl.system.registers import PREFIX, Registers
from hdl.system.walker import DescriptorWalker
from hdl.system.writer import MemoryWriter


class Accelerator(wiring.Component):
    """Layers of a model from memory to memory: `config.system.TOPS` names them, by `config.speculation.method`.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    aclk: In, 1, rising edge. aresetn: In, 1, synchronous, active low.
    s_axi_ctrl_…: AXI4-Lite slave of 32 bits, the registers of docs/registers.md. m_axi_…: AXI4 master of `bus_bits`.
    interrupt: Out, 1: an event that is enabled stands.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        self._registers, self._walker, self._counters = Registers(config), DescriptorWalker(config), Counters(config)
        self._reader, self._writer = MemoryReader(config, len(reads(config)) + 1), MemoryWriter(config)
        slave = {name: m for name, m in self._registers.signature.members.items() if name.startswith(f"{PREFIX}_")}
        super().__init__(
            {"aclk": In(1), "aresetn": In(1), **slave, **axi.members(axi.axi4(config.bus_bits)), "interrupt": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        # The core forgets a layer that was given up; what talks to the outside goes on.
        m.domains += [ClockDomain("sync"), ClockDomain("core")]
        self._core = AcceleratorCore(self._config)
        core = DomainRenamer("core")(share(self._core, "core", platform))
        m.submodules.core = core
        for name in ("registers", "walker", "counters", "reader", "writer"):
            m.submodules[name] = share(getattr(self, f"_{name}"), name, platform)
        # From a register, as it reaches all of the core. What the core asks for until then is forgotten as well.
        self._forgets = forgets = Signal()
        m.d.sync += forgets.eq(self._walker.clear)
        m.d.comb += [
            *(ClockSignal(domain).eq(self.aclk) for domain in ("sync", "core")),
            ResetSignal("sync").eq(~self.aresetn),
            ResetSignal("core").eq(~self.aresetn | forgets),
            self.interrupt.eq(self._registers.irq),
        ]
        axi.forward(m, self, self._registers, prefix=PREFIX)
        for part in (self._reader, self._writer):
            axi.forward(m, self, part)
        self._control(m)
        self._remember(m)
        self._count(m)
        return m

    def _control(self, m: Module) -> None:
        registers, walker, core, reader = self._registers, self._walker, self._core, self._reader
        m.d.comb += [
            walker.start.eq(registers.start & ~walker.busy),
            walker.descriptors.eq(registers.descriptors),
            walker.count.eq(registers.descriptor_count),
            walker.soft_reset.eq(registers.soft_reset),
            registers.busy.eq(walker.busy),
            registers.done.eq(walker.done),
            registers.error.eq(walker.error),
            registers.error_code.eq(walker.error_code),
            registers.error_index.eq(walker.error_index),
            core.overlap.eq(registers.overlap),
            core.eager.eq(registers.eager),
            walker.failed.eq(reader.error | self._writer.error | core.broken),
            walker.code.eq(
                Mux(
                    reader.error,
                    ErrorCode.BUS_READ,
                    Mux(self._writer.error, ErrorCode.BUS_WRITE, ErrorCode.BAD_PLAN),
                )
            ),
            walker.idle.eq(reader.idle & self._writer.idle),
        ]
        wiring.connect(m, walker.layer, core.layer)

    def _remember(self, m: Module) -> None:
        """The memory's channels."""
        core, reader, writer, walker = self._core, self._reader, self._writer, self._walker
        wiring.connect(m, walker.job, reader.job0)
        wiring.connect(m, reader.o0, walker.i)
        for number in range(len(reads(self._config))):
            wiring.connect(m, getattr(core, f"job{number}"), getattr(reader, f"job{number + 1}"))
            wiring.connect(m, getattr(reader, f"o{number + 1}"), getattr(core, f"read{number}"))
        wiring.connect(m, core.write_job, writer.job)
        wiring.connect(m, core.write, writer.i)
        for part in (reader, writer):
            m.d.comb += [part.stop.eq(walker.stop), part.clear.eq(walker.clear | self._forgets)]
        m.d.comb += core.written.eq(writer.idle)

    def _count(self, m: Module) -> None:
        registers, counters, walker = self._registers, self._counters, self._walker
        steps = {
            "cycles": walker.busy,
            "layers": walker.layer.valid & walker.layer.ready,
            "bytes_read": Mux(self._reader.read, self._config.bus_bytes, 0),
            "bytes_written": Mux(self._writer.written, self._config.bus_bytes, 0),
            **{name: self._core.counts[name] for name in self._core.counts.shape().members},
        }
        m.d.comb += counters.clear.eq(registers.clear_counters)
        for name, step in steps.items():
            m.d.comb += [
                getattr(counters, f"count_{name}").eq(step),
                getattr(registers, name).eq(getattr(counters, name)),
            ]
