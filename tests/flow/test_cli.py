# SPDX-License-Identifier: Apache-2.0
"""What the command says when it cannot do what it is asked: one sentence, exit status 2, no traceback."""

import errno
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest

from config.errors import Refusal
from foreshift.cli import main

COMMANDS = ["verilog", "demo", "synth", "power", "fpga", "eval", "sweep", "cycles", "simulate", "run-model", "report"]


@pytest.fixture
def verilog(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for the subcommand, to be given a `run`."""
    module = ModuleType("foreshift.verilog")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def fail_with(verilog: ModuleType, error: BaseException) -> None:
    def run(args: Namespace) -> None:
        raise error

    verilog.run = run  # type: ignore[attr-defined]


def test_arguments_reach_the_subcommand(verilog: ModuleType) -> None:
    seen: list[Namespace] = []
    verilog.run = seen.append  # type: ignore[attr-defined]
    assert main(["verilog", "--preset", "tiny", "--output", "there"]) == 0
    assert main(["verilog"]) == 0
    assert [(args.preset, args.output) for args in seen] == [("tiny", Path("there")), ("all", Path("build/rtl"))]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: COMMAND (see `foreshift --help`)"),
        (["verilog", "--widht", "8"], "unrecognized arguments: --widht 8 (see `foreshift --help`)"),
        (["demo", "--text"], "argument --text: expected one argument (see `foreshift demo --help`)"),
    ],
)
def test_wrong_arguments_are_refused(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr() == ("", f"foreshift: {sentence}\n")


def test_every_command_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    commands = re.findall(r"^    ([a-z-]+)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert commands == COMMANDS
    for command in commands:
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, "--help"])
        assert capsys.readouterr().out.startswith(f"usage: foreshift {command} [-h]")


def test_refusal_is_printed_alone(verilog: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(verilog, Refusal("rows must be at least 1, but 0 was given; raise it."))
    assert main(["verilog"]) == 2
    assert capsys.readouterr() == ("", "foreshift: rows must be at least 1, but 0 was given; raise it.\n")


def test_denied_folder_is_refused(verilog: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(verilog, PermissionError(errno.EACCES, "Permission denied", "build/rtl"))
    assert main(["verilog"]) == 2
    assert capsys.readouterr().err == (
        "foreshift: cannot write or read build/rtl: Permission denied; make it accessible, or choose another folder.\n"
    )


def test_interruption_ends_without_a_traceback(verilog: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(verilog, KeyboardInterrupt())
    assert main(["verilog"]) == 130
    assert capsys.readouterr().err == "foreshift: interrupted\n"


def test_bug_keeps_its_traceback(verilog: ModuleType) -> None:
    fail_with(verilog, FileNotFoundError(errno.ENOENT, "No such file or directory", "forgotten"))
    with pytest.raises(FileNotFoundError, match="forgotten"):
        main(["verilog"])


def test_missing_package_is_named(verilog: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(verilog, ModuleNotFoundError("No module named 'cocotb.clock'", name="cocotb.clock"))
    assert main(["verilog"]) == 2
    assert capsys.readouterr().err == (
        "foreshift: this command needs the package cocotb, which is not installed; run it through make, or install "
        "foreshift with the groups that pyproject.toml names (pip install '.[golden,sim,demo,synth]').\n"
    )


def test_missing_module_of_the_project_keeps_its_traceback(verilog: ModuleType) -> None:
    fail_with(verilog, ModuleNotFoundError("No module named 'golden.lost'", name="golden.lost"))
    with pytest.raises(ModuleNotFoundError, match="golden"):
        main(["verilog"])


def test_start_is_light() -> None:
    """`verilog` must not wait for, or need, what only other subcommands use."""
    code = "import sys, foreshift.cli; print({'numpy', 'torch', 'cocotb', 'matplotlib', 'amaranth'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
