# SPDX-License-Identifier: Apache-2.0
"""Verilog of large units, kept: emitting one takes a minute or two, which is most of the time of a run of a model that
is built already.

build/cache/rtl/NAME-HASH.v, by the sources that describe hardware, and the tools that write it.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

from amaranth.lib import wiring

from hdl.emit import verilog, yosys_version

CACHE = Path("build/cache/rtl")
SOURCES = ("config", "hdl")
"""Packages that decide what is emitted."""
_ROOT = Path(__file__).resolve().parents[1]


@cache
def sources(*packages: str) -> str:
    """A hash of the project's own packages, by their files' names and contents."""
    found = hashlib.sha256()
    for path in sorted(path for package in packages for path in (_ROOT / package).rglob("*.py")):
        found.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


@cache
def _version() -> tuple[str, ...]:
    """Of sources and tools."""
    return metadata.version("amaranth"), yosys_version(), sources(*SOURCES)


def emitted(make: Callable[[], wiring.Component], name: str, parameters: object, *, behavioural: bool = False) -> str:
    """`hdl.emit.verilog` of what `make` makes, which `parameters`, by its `repr`, and the sources decide."""
    key = hashlib.sha256(repr((_version(), name, parameters, behavioural)).encode()).hexdigest()[:16]
    path = CACHE / f"{name}-{key}.v"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = verilog(make(), name, behavioural=behavioural)
        # Whole, or not there.
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return path.read_text(encoding="utf-8")
