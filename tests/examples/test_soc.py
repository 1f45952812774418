# SPDX-License-Identifier: Apache-2.0
"""The example system runs its layer to the golden result, and is clean."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.presets import systems
from examples.soc import image
from hdl.emit import verilog
from hdl.system.accelerator import Accelerator
from sim import runner

ROOT = Path(__file__).resolve().parents[2]
SOC = ROOT / "examples/soc"
SOURCES = ("soc.v", "host.v", "memory.v")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the system is made of."""
    folder = tmp_path_factory.mktemp("soc")
    config = systems("tiny")["spls"]
    (folder / f"{config.name}.v").write_text(verilog(Accelerator(config), config.name))
    for name in SOURCES:
        shutil.copy(SOC / name, folder)
    image.write(folder)
    return folder


def whole(files: Path) -> str:
    """All modules as one text."""
    text = "".join(path.read_text() for path in sorted(files.glob("*.v")))
    included = (files / "image.vh").read_text()
    return re.sub(r'^`include "image.vh"$', lambda _: included, text, flags=re.MULTILINE)


def test_lint_is_clean(files: Path) -> None:
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "--top-module", "soc", ROOT / "hdl/lint/waivers.vlt", *files.glob("*.v")],
        cwd=files,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if line.startswith("%")]) == (0, [])


def test_lamps_show_the_golden_layer(files: Path) -> None:
    runner.run(runner.build(whole(files), "soc"), "soc", "tests.examples.soc_bench", files, {})


def test_another_layer_leaves_a_lamp_dark(files: Path, tmp_path: Path) -> None:
    """A bit of x, at the begin of the second page, is another one."""
    lines = (files / "image.hex").read_text().splitlines()
    lines[4096 // 16] = f"{int(lines[4096 // 16], 16) ^ 1 << 6:032x}"
    (tmp_path / "image.hex").write_text("\n".join(lines))
    with pytest.raises(runner.SimulationError, match="the layer must be the golden one"):
        runner.run(runner.build(whole(files), "soc"), "soc", "tests.examples.soc_bench", tmp_path, {})
