# SPDX-License-Identifier: Apache-2.0
"""What an accelerator's registers hold: the table of `config/registers.py`, carried out."""

from collections.abc import Mapping

from config.registers import REGISTER_BITS, REGISTERS, Access, Field, Register, constants
from config.system import SystemConfig

BY_OFFSET = {register.offset: register for register in REGISTERS}
HIGH_OF = {register.high_of: register for register in REGISTERS if register.high_of}


class RegisterFile:
    """Registers of an accelerator behind reset. ports: what its read-only fields are told, by port; it may change."""

    def __init__(self, config: SystemConfig, ports: Mapping[str, int]):
        self.ports = dict(ports)
        self._constants = constants(config)
        self._stored = {
            (register.name, field.name): field.reset
            for register in REGISTERS
            for field in register.fields
            if field.access in (Access.RW, Access.W1C)
        }
        self._kept = 0

    def read(self, address: int) -> int | None:
        """The word at a byte address; none if there is none."""
        register = BY_OFFSET.get(address & ~3)
        if register is None:
            return None
        if register.high_of:
            return self._kept
        if register.name in HIGH_OF:
            self._kept = self._word(HIGH_OF[register.name])
        return self._word(register)

    def write(self, address: int, data: int, strobe: int) -> list[str] | None:
        """Commands that are given by it, by port; none if there is no word at that address."""
        register = BY_OFFSET.get(address & ~3)
        if register is None:
            return None
        mask = sum(0xFF << 8 * n for n in range(4) if strobe >> n & 1)
        commands = []
        for field in register.fields:
            bits, given = (mask & field.mask) >> field.low, (data & mask & field.mask) >> field.low
            key = register.name, field.name
            if field.access is Access.W1P and given:
                commands.append(field.port)
            if field.access is Access.W1C:
                self._stored[key] &= ~given
            if field.access is Access.RW:
                self._stored[key] = self._stored[key] & ~bits | given
        return commands

    def event(self, port: str) -> None:
        """The accelerator sets the fields that have this port."""
        for register in REGISTERS:
            for field in register.fields:
                if field.access is Access.W1C and field.port == port:
                    self._stored[register.name, field.name] = 1

    def outputs(self) -> dict[str, int]:
        """What the accelerator is told by written fields, by port."""
        told: dict[str, int] = {}
        for register in REGISTERS:
            for field in register.fields:
                if field.access is Access.RW:
                    value = self._stored[register.name, field.name] << field.part
                    told[field.port] = told.get(field.port, 0) | value
        return told

    @property
    def irq(self) -> int:
        """Whether an event that is enabled stands."""
        return int(any(self._stored["INTERRUPT_ENABLE", e] & self._stored["INTERRUPT_STATUS", e] for e in _EVENTS))

    def _word(self, register: Register) -> int:
        return sum(self._shown(register, field) << field.low for field in register.fields)

    def _shown(self, register: Register, field: Field) -> int:
        key = register.name, field.name
        if key in self._constants:
            return self._constants[key]
        if field.access is Access.RO:
            return self.ports[field.port] >> field.part & ((1 << field.bits) - 1)
        return self._stored.get(key, 0)


_EVENTS = ("done", "error")
ADDRESSES = tuple(BY_OFFSET)
WORD = (1 << REGISTER_BITS) - 1
