# SPDX-License-Identifier: Apache-2.0
"""What is written from the tables of registers and descriptors: the page and the header in the tree are today's, and
compilers of C and of SystemRDL read in them what the tables say."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from systemrdl import RDLCompiler
from systemrdl.rdltypes import AccessType, OnWriteType

from config.descriptor import DESCRIPTOR_BYTES, MAGIC, ErrorCode, Flag, pack, unpack, values
from config.errors import Refusal
from config.presets import systems
from config.registers import COUNTERS, REGISTERS, Access, constants, resets
from config.system import SystemConfig
from foreshift import c_header, registers
from foreshift.system_rdl import system_rdl

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [config for preset in ("tiny", "minilm") for config in systems(preset).values()]
LANGUAGES = {"c": ["gcc", "-std=c11"], "c++": ["g++", "-std=c++11"]}
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-ffreestanding"]


@pytest.mark.parametrize(
    ("path", "text"), [(registers.PAGE, registers.page), (registers.HEADER, c_header.header)], ids=["page", "header"]
)
def test_the_tree_has_what_the_tables_say(path: Path, text) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == text(), "run python -m foreshift.registers"


def test_the_page_names_everything() -> None:
    text = registers.page()
    counters = {f"{counter.name}_{half}" for counter in COUNTERS for half in ("LOW", "HIGH")}
    for register in REGISTERS:
        assert f"`{register.offset:#05x}`" in text
        assert (f"| {register.name} |" in text) != (register.name in counters)
        assert all(f"| {field.text} |" in text for field in register.fields if register.name not in counters)
    for name in (*(c.name for c in ErrorCode), *(c.name for c in COUNTERS)):
        assert f"| {name} |" in text
    assert len(re.findall(r"^\|[^|]*$", text, re.MULTILINE)) == 0


# The header


def claims() -> Iterator[tuple[str, int]]:
    """Expressions of C and what they must be."""
    for register in REGISTERS:
        yield f"FORESHIFT_{register.name}", register.offset
        for field in register.fields:
            mine = f"FORESHIFT_{register.name}_{field.name.upper()}"
            yield f"{mine}_MASK", field.mask
            yield f"{mine}_SHIFT", field.low
    for code in ErrorCode:
        yield f"FORESHIFT_ERROR_{code.name}", code
    for flag in Flag:
        yield f"FORESHIFT_FLAG_{flag.name}", flag
    offset = {register.name: register.offset for register in REGISTERS}
    for counter in COUNTERS:
        yield f"FORESHIFT_COUNTER_{counter.name}", offset[f"{counter.name}_LOW"]
    yield "FORESHIFT_DESCRIPTOR_MAGIC", MAGIC
    yield "sizeof(struct foreshift_descriptor)", DESCRIPTOR_BYTES
    for name, (at, field) in values().items():
        member = f"{field.name}[{name.removeprefix(field.name)}]" if field.count > 1 else name
        yield f"offsetof(struct foreshift_descriptor, {member})", at
        yield f"sizeof(((struct foreshift_descriptor *)0)->{member})", field.size


def compiled(language: str, folder: Path, claims: Iterator[tuple[str, int]]) -> subprocess.CompletedProcess[str]:
    lines = [
        "#include <stddef.h>",
        '#include "foreshift.h"',
        "#ifdef __cplusplus",
        "#define _Static_assert static_assert",
    ]
    lines += ["#endif", *(f'_Static_assert(({left}) == {right:#x}u, "");' for left, right in claims)]
    (folder / c_header.NAME).write_text(c_header.header())
    (folder / "claims").write_text("\n".join([*lines, ""]))
    command = [
        *LANGUAGES[language],
        *STRICT,
        "-fsyntax-only",
        "-I",
        str(folder),
        "-x",
        language,
        str(folder / "claims"),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_header_says_what_the_tables_say(language: str, tmp_path: Path) -> None:
    done = compiled(language, tmp_path, claims())
    assert (done.returncode, done.stderr) == (0, "")
    wrong = compiled(language, tmp_path, ((left, right ^ 4) for left, right in claims()))
    assert wrong.stderr.count("error: ") >= len(list(claims()))


def test_the_header_defines_nothing_twice() -> None:
    names = re.findall(r"^(?:#define |    )(FORESHIFT_\w+)", c_header.header(), re.MULTILINE)
    assert len(names) == len(set(names)) > 4 * len(REGISTERS)


# SystemRDL

ACCESS = {
    Access.RO: (AccessType.r, None),
    Access.RW: (AccessType.rw, None),
    Access.W1C: (AccessType.rw, OnWriteType.woclr),
    Access.W1P: (AccessType.w, OnWriteType.woset),
}


def elaborated(text: str, folder: Path):
    """The address map of a SystemRDL text."""
    path = folder / "map.rdl"
    path.write_text(text)
    compiler = RDLCompiler()
    compiler.compile_file(str(path))
    return compiler.elaborate().top


@pytest.mark.parametrize("config", CONFIGS, ids=[f"{c.speculation.method}-{c.name}" for c in CONFIGS])
def test_a_compiler_of_systemrdl_reads_what_the_table_says(config: SystemConfig, tmp_path: Path) -> None:
    top = elaborated(system_rdl(config), tmp_path)
    assert top.inst_name == config.name
    found = {node.inst_name: node for node in top.registers()}
    assert {name: node.absolute_address for name, node in found.items()} == {r.name: r.offset for r in REGISTERS}
    fixed = constants(config)
    for register in REGISTERS:
        assert found[register.name].size == 4
        fields = {node.inst_name: node for node in found[register.name].fields()}
        assert set(fields) == {field.name for field in register.fields}
        for field in register.fields:
            node = fields[field.name]
            assert (node.low, node.high) == (field.low, field.low + field.bits - 1)
            assert (node.get_property("sw"), node.get_property("onwrite")) == ACCESS[field.access]
            assert node.get_property("singlepulse") == (field.access is Access.W1P)
            assert node.get_property("desc") == field.text
            told = field.access is Access.RO and (register.name, field.name) not in fixed
            initial = None if told else resets(config)[register.name] >> field.low & (1 << field.bits) - 1
            assert node.get_property("reset") == initial


def test_other_tools_go_on_from_it(tmp_path: Path) -> None:
    """PeakRDL makes IP-XACT of it, in which the registers lie where they are."""
    config = CONFIGS[0]
    (tmp_path / "map.rdl").write_text(system_rdl(config))
    command = [sys.executable, "-m", "peakrdl", "ip-xact", "map.rdl", "-o", "map.xml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    tree = ElementTree.parse(tmp_path / "map.xml")
    space = {"": re.match(r"{(.*)}", tree.getroot().tag)[1]}  # type: ignore[index]
    found = {
        node.findtext("name", None, space): int(node.findtext("addressOffset", "", space).removeprefix("'h"), 16)
        for node in tree.iterfind(".//register", space)
    }
    assert found == {register.name: register.offset for register in REGISTERS}


def test_documents_of_an_accelerator() -> None:
    config = CONFIGS[0]
    assert registers.documents(config) == {
        "foreshift.h": c_header.header(),
        f"{config.name}.rdl": system_rdl(config),
    }
    assert all(text.isascii() for each in CONFIGS for text in registers.documents(each).values())


# Descriptors


def test_descriptors_are_packed_and_unpacked() -> None:
    most = {name: (1 << 8 * field.size) - 1 for name, (_, field) in values().items()}
    assert unpack(pack(most)) == most
    assert unpack(pack({})) == dict.fromkeys(values(), 0) | {"magic": MAGIC, "version": 1}
    for name, (at, field) in values().items():
        whole = pack({"magic": 0, "version": 0, name: most[name]})
        assert whole == bytes(at) + b"\xff" * field.size + bytes(DESCRIPTOR_BYTES - at - field.size)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"s": 1 << 16}, "s must be an integer from 0 to 65535, not 65536; bring it into that range."),
        ({"x": -1}, f"x must be an integer from 0 to {(1 << 64) - 1}, not -1; bring it into that range."),
        ({"eta": 1}, f"A descriptor's values are {', '.join(values())}, not 'eta'; choose one of them."),
    ],
)
def test_what_cannot_be_packed_is_refused(given: dict[str, int], sentence: str) -> None:
    with pytest.raises(Refusal) as refusal:
        pack(given)
    assert str(refusal.value) == sentence
