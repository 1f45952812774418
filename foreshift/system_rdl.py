# SPDX-License-Identifier: Apache-2.0
"""The registers of an accelerator as SystemRDL 2.0, for tools that make documents, models and headers from it."""

from config.registers import REGISTER_BITS, REGISTERS, Access, Field, Register, constants
from config.system import SystemConfig

_PROPERTIES = {
    Access.RO: "sw = r; hw = w;",
    Access.RW: "sw = rw; hw = r;",
    Access.W1C: "sw = rw; hw = r; woclr; hwset;",
    Access.W1P: "sw = w; hw = r; woset; singlepulse;",
}


def system_rdl(config: SystemConfig) -> str:
    """An address map of the accelerator's name, with its capabilities as what they reset to."""
    fixed = constants(config)
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Written by foreshift from its table of registers.",
        f"addrmap {config.name} {{",
        f'    name = "{config.name}";',
        '    desc = "Control of a foreshift accelerator.";',
        f"    default regwidth = {REGISTER_BITS};",
        f"    default accesswidth = {REGISTER_BITS};",
        "    littleendian;",
        *(line for register in REGISTERS for line in _register(register, fixed)),
        "};",
    ]
    return "\n".join([*lines, ""])


def _register(register: Register, fixed: dict[tuple[str, str], int]) -> list[str]:
    text = register.text
    if register.high_of:
        text += f" What this was when {register.high_of} was read last."
    return [
        "    reg {",
        f'        desc = "{text}";',
        *(_field(field, fixed.get((register.name, field.name))) for field in register.fields),
        f"    }} {register.name} @ {register.offset:#05x};",
    ]


def _field(field: Field, constant: int | None) -> str:
    properties = _PROPERTIES[field.access] if constant is None else "sw = r; hw = na;"
    reset = field.reset if constant is None else constant
    # What a port shows has no value behind reset of its own.
    initial = "" if field.access is Access.RO and constant is None else f" = {field.bits}'h{reset:x}"
    bits = f"[{field.low + field.bits - 1}:{field.low}]"
    return f'        field {{ desc = "{field.text}"; {properties} }} {field.name}{bits}{initial};'
