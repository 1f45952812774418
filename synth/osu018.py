# SPDX-License-Identifier: Apache-2.0
"""The second cell library: Oklahoma State University's for 180 nm, typical corner, 1.8 V, 25 C, as Debian packs it.

    python -m synth.osu018          puts it in place, and says where

What takes a library can be tried on it: names, units and tables are unlike the first one's, and it has neither clock
gates nor cells for constants. It is accepted by the hash of the Liberty file, whatever package brings it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from config.errors import Refusal

PACKAGE = "qflow-tech-osu018"
_MEMBER = "usr/share/qflow/tech/osu018/osu018_stdcells.lib"
SHA256 = "86f79b2000f1ac46715a9f6dfd5f5a596906418e9ee8a8611077bbaaad3de4e9"

CACHE = Path("build/cache/osu018")


def fetch(folder: Path = CACHE) -> Path:
    """The Liberty file, taken out of the Debian package on the first call; nothing is installed, no root is needed.

    Raises `Refusal` if apt-get or dpkg-deb is missing or cannot bring it, or if it is not the file that is expected.
    """
    file = folder / Path(_MEMBER).name
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="package-") as name:
        found = _unpack(Path(name))
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
        if digest != SHA256:
            raise Refusal(
                f"the 180 nm cell library must have the SHA-256 {SHA256}, but that of {PACKAGE} has {digest}; "
                f"put the right file at {file}."
            )
        found.replace(file)
    return file


def _unpack(folder: Path) -> Path:
    """Download the package into `folder` with apt-get, which knows the system's archive, and take it apart there."""
    said = _run("apt-get", "-qq", "download", PACKAGE, folder=folder)
    if not list(folder.glob("*.deb")) and shutil.which("apt-get") and os.geteuid() == 0:
        # A machine that was just made has no lists of packages.
        _run("apt-get", "-qq", "update", folder=folder)
        said = _run("apt-get", "-qq", "download", PACKAGE, folder=folder)
    packages = list(folder.glob("*.deb"))
    if packages:
        said = _run("dpkg-deb", "-x", packages[0].name, ".", folder=folder)
    if not (folder / _MEMBER).is_file():
        raise Refusal(
            f"the 180 nm cell library must be taken from Debian's package {PACKAGE} once, but '{said}'; run apt-get "
            f"update, or put {Path(_MEMBER).name} from another machine's into {CACHE}."
        )
    return folder / _MEMBER


def _run(*command: str, folder: Path) -> str:
    """The last line that a command said; nobody asks it for its exit status, but for what it left."""
    if not shutil.which(command[0]):
        return f"there is no {command[0]}"
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return (done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]


if __name__ == "__main__":
    try:
        print(f"set-up: second cell library in {fetch()}")
    except Refusal as refusal:
        print(f"foreshift: {refusal}", file=sys.stderr)
        sys.exit(2)
