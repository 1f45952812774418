# SPDX-License-Identifier: Apache-2.0
"""Write requirements/GROUP.txt from pyproject.toml: every package of a group and all that they need, exactly pinned.

usage: python3 tools/lock.py        (needs the `uv` command: pip install uv)

All groups are resolved together first, so that no two of them ask for different versions of one package. The files
are made for the oldest supported Python, and refused unless every later one resolves to the very same lines.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORM = "x86_64-manylinux_2_36"  # Debian 12's C library, the older of the two systems

# torch's wheel on PyPI needs CUDA's libraries, the one on PyTorch's own index does not: they are installed only
# behind the first, so they stand in a file of their own.
CUDA_NAMES = ("cuda-", "nvidia-", "triton")

# tokenizers needs it to download from the hub only, which nobody but transformers does.
UNUSED = "huggingface-hub ; sys_platform == 'never'"
USER = "transformers"

HEAD = """\
# SPDX-License-Identifier: Apache-2.0
# Written by tools/lock.py from pyproject.toml. Complete, so it is installed with --no-deps.
"""


def groups() -> dict[str, list[str]]:
    """The direct dependencies of each group; what the package itself depends on is the group `rtl`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"rtl": project["dependencies"], **project["optional-dependencies"]}


def resolve(direct: list[str], python: str, constraints: Path | None = None) -> list[str]:
    """Everything that `direct` needs under this Python, as sorted lines `name==version`."""
    command = ["uv", "pip", "compile", "-", "--python-version", python, "--python-platform", PLATFORM, "--quiet"]
    command += ["--only-binary", ":all:", "--no-header", "--no-annotate", "--default-index", "https://pypi.org/simple"]
    if constraints:
        command += ["--constraint", str(constraints)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        if not any(line.startswith(USER) for line in direct):
            overrides.write(UNUSED)
            overrides.flush()
            command += ["--override", overrides.name]
        return _compiled(command, direct)


def _compiled(command: list[str], direct: list[str]) -> list[str]:
    # Folders of local builds must not leak into the lock.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input="\n".join(direct), text=True, check=True, stdout=subprocess.PIPE
    )
    return done.stdout.splitlines()


def write(name: str, lines: list[str]) -> None:
    (ROOT / "requirements" / f"{name}.txt").write_text(HEAD + "\n".join(lines) + "\n")
    print(f"requirements/{name}.txt: {len(lines)} packages")


def main() -> int:
    everything = [line for group in groups().values() for line in group]
    together = resolve(everything, PYTHONS[0])
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "all.txt"
        constraints.write_text("\n".join(together))
        for python in PYTHONS[1:]:
            differs = set(together) ^ set(resolve(everything, python, constraints))
            if differs:
                print(f"lock: Python {python} needs other packages: {sorted(differs)}", file=sys.stderr)
                return 1
        for name, direct in groups().items():
            lines = resolve(direct, PYTHONS[0], constraints)
            cuda = [line for line in lines if line.startswith(CUDA_NAMES)]
            write(name, [line for line in lines if line not in cuda])
            if cuda:
                write("cuda", cuda)
    return 0


if __name__ == "__main__":
    sys.exit(main())
