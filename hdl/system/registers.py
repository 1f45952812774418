# SPDX-License-Identifier: Apache-2.0
"""The register block: an AXI4-Lite slave made from the table in `config/registers.py`."""

from collections.abc import Iterator

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from config.registers import ADDRESS_BITS, REGISTER_BITS, REGISTER_BYTES, REGISTERS, Access, Field, Register, constants
from config.system import SystemConfig
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.system import axi
from hdl.system.axi_lite import AxiLiteSlave

PREFIX = "s_axi_ctrl"


def _fields(*access: Access) -> Iterator[tuple[Register, Field]]:
    """Those fields of the table, with a port."""
    return ((r, f) for r in REGISTERS for f in r.fields if f.port and f.access in access)


def field_ports() -> dict[str, Member]:
    """The ports by which fields meet the accelerator: In where it tells them, Out where it is told."""
    widths: dict[str, int] = {}
    for _, field in _fields(*Access):
        widths[field.port] = max(widths.get(field.port, 0), field.part + field.bits)
    told = {field.port for _, field in _fields(Access.RW, Access.W1P)}
    return {name: (Out if name in told else In)(width) for name, width in widths.items()}


def _decode(address: Value) -> dict[str, Value]:
    """Register → whether the address of a word is its own."""
    return {register.name: address == register.offset // REGISTER_BYTES for register in REGISTERS}


class Registers(wiring.Component):
    """The registers of an accelerator.

    Parameters: `config`, of the accelerator.

    Members
    -------
    s_axi_ctrl_…: AXI4-Lite, `hdl.system.axi`, 32 bits. Addresses that no register has are answered by SLVERR; the low
    two bits of an address count for nothing. Strobes hold for every write; writes to what is read only do nothing.
    irq: Out, 1, registered: an event that is enabled stands.
    A port for each field of the table that has one, named and directed as there: of a counter, 64 bits, of which a read
    of the low word keeps the high one until the next such read; events (W1C) are set by 1 in a cycle, which wins over a
    write that clears them; commands (W1P) are 1 for a cycle, two cycles behind the write's later half; fields that are
    written (RW) change at the same time.
    """

    def __init__(self, config: SystemConfig):
        self._constants = constants(config)
        self._slave = AxiLiteSlave(PREFIX, ADDRESS_BITS)
        self._stored = {
            (register.name, field.name): Signal(
                field.bits, name=f"{register.name}_{field.name}".lower(), init=field.reset
            )
            for register, field in _fields(Access.RW, Access.W1C)
        }
        slave = axi.members(axi.axi4_lite(ADDRESS_BITS, data_bits=REGISTER_BITS), prefix=PREFIX, master=False)
        super().__init__(slave | {"irq": Out(1)} | field_ports())

    def elaborate(self, platform):
        m = Module()
        m.submodules.slave = share(self._slave, "slave", platform)
        axi.forward(m, self, self._slave, prefix=PREFIX)
        written = _decode(self._slave.write_at)
        m.d.comb += self._slave.written.eq(Cat(written.values()).any())
        for register, field in _fields(Access.RW, Access.W1C, Access.W1P):
            self._store(m, register, field, written[register.name])
        self._show(m)
        events = [
            self._stored["INTERRUPT_ENABLE", field.name] & self._stored["INTERRUPT_STATUS", field.name]
            for register, field in _fields(Access.W1C)
            if register.name == "INTERRUPT_STATUS"
        ]
        m.d.sync += self.irq.eq(Cat(events).any())
        return m

    def _port(self, field: Field) -> Value:
        """That part of a port that is the field's."""
        return getattr(self, field.port)[field.part : field.part + field.bits]

    def _store(self, m: Module, register: Register, field: Field, addressed: Value) -> None:
        """What becomes of a field that can be written."""
        slave, value = self._slave, self._stored.get((register.name, field.name))
        bits = Cat((addressed & slave.write & strobe).replicate(8) for strobe in slave.strobe)
        within = slice(field.low, field.low + field.bits)
        mask, data = bits[within], slave.data[within]
        if field.access is Access.W1P:
            m.d.sync += self._port(field).eq(mask & data)
        elif field.access is Access.W1C:
            m.d.sync += value.eq(self._port(field) | (value & ~(mask & data)))
        else:
            m.d.sync += value.eq((value & ~mask) | (data & mask))
            m.d.comb += self._port(field).eq(value)

    def _show(self, m: Module) -> None:
        """What is read: the word is chosen in one cycle and shown in the next."""
        slave, asked = self._slave, _decode(self._slave.read_at)
        chosen = Signal(len(REGISTERS))
        m.d.sync += chosen.eq(Cat(asked.values()) & slave.ask.replicate(len(asked)))
        kept = Signal(REGISTER_BITS, reset_less=True)
        words = [kept if register.high_of else self._word(register) for register in REGISTERS]
        m.d.comb += [slave.value.eq(one_of(chosen, words)), slave.there.eq(chosen.any())]
        highs = {register.high_of: self._word(register) for register in REGISTERS if register.high_of}
        lows = {r.name: select for r, select in zip(REGISTERS, chosen, strict=True) if r.name in highs}
        with m.If(Cat(lows.values()).any()):
            m.d.sync += kept.eq(one_of(Cat(lows.values()), [highs[name] for name in lows]))

    def _word(self, register: Register) -> Value:
        """What a register reads as."""
        bits: list[Value] = []
        for field in register.fields:
            bits.append(Const(0, field.low - len(Cat(bits))))
            bits.append(self._shown(register, field))
        return Cat(*bits, Const(0, REGISTER_BITS - len(Cat(bits))))

    def _shown(self, register: Register, field: Field) -> Value:
        """What a field reads as."""
        key = register.name, field.name
        if key in self._constants:
            return Const(self._constants[key], field.bits)
        return self._port(field) if field.access is Access.RO else self._stored.get(key, Const(0, field.bits))
