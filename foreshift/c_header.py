# SPDX-License-Identifier: Apache-2.0
"""The C header of the accelerators: registers, a layer's descriptor, error codes."""

from collections.abc import Iterable, Iterator

from config.descriptor import DESCRIPTOR_BYTES, DESCRIPTOR_VERSION, FIELDS, MAGIC, ErrorCode, Flag
from config.registers import COUNTERS, IDENTITY, MAJOR, MINOR, REGISTERS, Register
from config.system import TOPS

NAME = "foreshift.h"
PREFIX = "FORESHIFT"

_HEAD = """\
/* SPDX-License-Identifier: Apache-2.0
 * Registers and descriptors of the foreshift accelerators: docs/registers.md.
 * Written by foreshift from its tables of registers and descriptors.
 */
#ifndef FORESHIFT_H
#define FORESHIFT_H

#include <stdint.h>
"""

_ASSERTIONS = """\
#ifdef __cplusplus
static_assert({claim}, "{text}");
#else
_Static_assert({claim}, "{text}");
#endif
"""


def header() -> str:
    """The text of the header, the same for every accelerator; C11 without any library, or C++11."""
    parts = [
        _HEAD,
        _defines(
            "Of a device that this header is for.",
            (("IDENTITY", f"{IDENTITY:#010x}u"), ("INTERFACE_MAJOR", f"{MAJOR}u"), ("INTERFACE_MINOR", f"{MINOR}u")),
        ),
        "/* Registers: byte offsets; of their fields, the bits and the lowest one's number. */\n",
        *(_register(register) for register in REGISTERS),
        _enumeration("counter", "Byte offset of the low word; the high one is behind it.", _counters()),
        _enumeration("method", "Of speculation.", ((m.upper(), n, "") for n, m in enumerate(TOPS))),
        _enumeration("error", "Why a list of layers was given up.", ((c.name, c.value, c.text) for c in ErrorCode)),
        "/* Flags of a descriptor. */\n",
        *(f"#define {PREFIX}_FLAG_{flag.name} {flag.value:#06x}u /* {flag.text} */\n" for flag in Flag),
        "\n",
        _defines(
            "Of a descriptor.",
            (
                ("DESCRIPTOR_MAGIC", f"{MAGIC:#010x}u"),
                ("DESCRIPTOR_VERSION", f"{DESCRIPTOR_VERSION}u"),
                ("DESCRIPTOR_BYTES", f"{DESCRIPTOR_BYTES}u"),
            ),
        ),
        _structure(),
        "\n#endif\n",
    ]
    return "".join(parts)


def _defines(text: str, values: Iterable[tuple[str, str]]) -> str:
    return f"\n/* {text} */\n" + "".join(f"#define {PREFIX}_{name} {value}\n" for name, value in values) + "\n"


def _register(register: Register) -> str:
    name = f"{PREFIX}_{register.name}"
    lines = [f"/* {register.text} */", f"#define {name} {register.offset:#05x}u"]
    for field in register.fields:
        mine = f"{name}_{field.name.upper()}"
        lines += [f"#define {mine}_MASK {field.mask:#010x}u /* {field.text} */", f"#define {mine}_SHIFT {field.low}"]
    return "\n".join(lines) + "\n\n"


def _counters() -> Iterator[tuple[str, int, str]]:
    """Name, offset, text of each."""
    offsets = {register.name: register.offset for register in REGISTERS}
    return ((counter.name, offsets[f"{counter.name}_LOW"], counter.text) for counter in COUNTERS)


def _enumeration(kind: str, text: str, members: Iterable[tuple[str, int, str]]) -> str:
    lines = [f"/* {text} */", f"enum foreshift_{kind} {{"]
    for name, value, meaning in members:
        comment = f" /* {meaning} */" if meaning else ""
        lines.append(f"    {PREFIX}_{kind.upper()}_{name} = {value:#x},{comment}")
    return "\n".join(lines) + "\n};\n\n"


def _structure() -> str:
    """Its members in the order of their bytes, with what is reserved between them."""
    lines, at = ["/* A layer in memory, little-endian; what is reserved is 0. */", "struct foreshift_descriptor {"], 0
    for field in sorted(FIELDS, key=lambda field: field.offset):
        lines += _reserved(at, field.offset)
        count = f"[{field.count}]" if field.count > 1 else ""
        lines.append(f"    uint{8 * field.size}_t {field.name}{count}; /* {field.text} */")
        at = field.offset + field.size * field.count
    claim = f"sizeof(struct foreshift_descriptor) == {PREFIX}_DESCRIPTOR_BYTES"
    assertions = _ASSERTIONS.format(claim=claim, text="the compiler must not add to a descriptor")
    return "\n".join([*lines, *_reserved(at, DESCRIPTOR_BYTES), "};\n"]) + assertions


def _reserved(start: int, end: int) -> list[str]:
    return [f"    uint8_t reserved{start}[{end - start}];"] if end > start else []
