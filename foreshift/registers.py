# SPDX-License-Identifier: Apache-2.0
"""What is written from the tables of registers and descriptors.

docs/registers.md       the page                   python -m foreshift.registers
drivers/foreshift.h     the C header               writes both
foreshift.h, NAME.rdl   beside the Verilog         `documents`
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from config.descriptor import DESCRIPTOR_BYTES, FIELDS, DescriptorField, ErrorCode, Flag
from config.registers import (
    ADDRESS_BITS,
    COUNTERS,
    MAJOR,
    MINOR,
    REGISTER_BITS,
    REGISTERS,
    Access,
    Field,
    Register,
    constants,
)
from config.system import SystemConfig
from foreshift import c_header
from foreshift.system_rdl import system_rdl

PAGE, HEADER = Path("docs/registers.md"), Path("drivers") / c_header.NAME

_INTRODUCTION = f"""\
# Registers and descriptors

<!-- Written by `python -m foreshift.registers` from config/registers.py and config/descriptor.py. -->

An accelerator runs a list of layers. Each has a descriptor of {DESCRIPTOR_BYTES} bytes in memory, one behind the other;
[system.md](system.md) says what lies where they point to. `drivers/foreshift.c` does what this page says.

1. Check ID and the major number of VERSION; read the CAPABILITY registers.
2. Write tensors and descriptors to memory, then DESCRIPTORS and DESCRIPTOR_COUNT.
3. Write `start` to CONTROL. Wait until `done` or `error` stands in STATUS, or for the interrupt `irq`; write 1 to clear
   it.
4. After `error`, ERROR_CODE and ERROR_DESCRIPTOR say why, and at which layer. Those before it are finished. The next
   start works.

The port is AXI4-Lite, {REGISTER_BITS} bits wide, {ADDRESS_BITS} bits of address, little-endian. Strobes hold for all
writes. Addresses without a register are answered by SLVERR; the low two bits of an address count for nothing. This is
version {MAJOR}.{MINOR}.
"""


def page() -> str:
    """docs/registers.md."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Registers\n",
            "| access | |\n|---|---|",
            *(f"| {access.name} | {access.value} |" for access in Access),
            "",
            _table(("offset", "register", "bits", "field", "access", "reset", ""), _register_rows()),
            "## Counters\n",
            "Of 64 bits, read only, in two registers, NAME_LOW and NAME_HIGH. Reading the low word keeps the high one, "
            "so read low, then high, and no other counter in between. They count on until `clear_counters`.\n",
            _table(("low", "high", "counter", ""), _counter_rows()),
            "## Descriptor\n",
            "Little-endian; each field lies at a multiple of its own size, and what has no name is 0, as are the bits "
            "of a field that it does not use.\n",
            _table(("byte", "field", "bits", ""), (_descriptor_row(field) for field in FIELDS)),
            "## Flags\n",
            _table(("bit", "flag", ""), ((f.value.bit_length() - 1, f"`{f.name}`", f.text) for f in Flag)),
            "## Error codes\n",
            "Of several that hold for a descriptor, the lowest is told. Settings of another method of prediction than "
            "the accelerator's do not count.\n",
            _table(("code", "name", ""), ((c.value, c.name, c.text) for c in ErrorCode)),
        ]
    ).rstrip("\n") + "\n"  # fmt: skip


def documents(config: SystemConfig) -> dict[str, str]:
    """File name → text of what goes beside an accelerator's Verilog."""
    return {c_header.NAME: c_header.header(), f"{config.name}.rdl": system_rdl(config)}


def _table(head: Sequence[str], rows: Iterator[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def _register_rows() -> Iterator[Sequence[object]]:
    """A row for each register, and one for each of its fields."""
    counters = {f"{counter.name}_{half}" for counter in COUNTERS for half in ("LOW", "HIGH")}
    for register in REGISTERS:
        if register.name not in counters:
            yield f"`{register.offset:#05x}`", register.name, "", "", "", "", register.text
            for field in register.fields:
                yield "", "", _bits(field), f"`{field.name}`", field.access.name, _reset(register, field), field.text


def _bits(field: Field) -> str:
    high = field.low + field.bits - 1
    return str(high) if high == field.low else f"{high}:{field.low}"


def _reset(register: Register, field: Field) -> str:
    """What a field is behind reset, where the page can say it."""
    if field.access is Access.W1P:
        return ""
    if (register.name, field.name) in constants(SystemConfig()) and register.name.startswith("CAPABILITY"):
        return "as built"
    return f"{field.reset:#x}" if field.reset > 9 else str(field.reset)


def _counter_rows() -> Iterator[Sequence[object]]:
    offsets = {register.name: register.offset for register in REGISTERS}
    for counter in COUNTERS:
        low, high = (f"`{offsets[f'{counter.name}_{half}']:#05x}`" for half in ("LOW", "HIGH"))
        yield low, high, counter.name, counter.text


def _descriptor_row(field: DescriptorField) -> Sequence[object]:
    count = f"{field.count} × " if field.count > 1 else ""
    used = "" if field.bits == 8 * field.size else f" ({field.bits} used)"
    return field.offset, f"`{field.name}`", f"{count}{8 * field.size}{used}", field.text


def main() -> None:
    """Writes what is kept in the tree."""
    for path, text in ((PAGE, page()), (HEADER, c_header.header())):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
