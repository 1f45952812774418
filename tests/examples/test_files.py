# SPDX-License-Identifier: Apache-2.0
"""What the examples name is there: files of the tree, files that commands write, modules and their ports."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from config.presets import systems
from hdl.system.accelerator import Accelerator
from tests.arith import simulate

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CONFIG = systems("tiny")["spls"]
WRITTEN = {f"build/rtl/tiny/{CONFIG.name}.v", "build/soc/image.vh", "build/soc/image.hex"}
"""By `make verilog` and examples/soc/image.py."""


def known(path: str) -> bool:
    """Whether the tree has it, or a command that an example names writes it."""
    return path in WRITTEN or (ROOT / path).exists()


def core() -> dict:
    return yaml.safe_load((ROOT / "foreshift.core").read_text().removeprefix("CAPI=2:"))


def test_files_of_the_core_are_there() -> None:
    named = [
        name
        for files in core()["filesets"].values()
        for each in files["files"]
        for name in (each if isinstance(each, dict) else [each])
    ]
    assert len(named) == 7
    assert [name for name in named if not known(name)] == []


def test_targets_of_the_core_name_filesets_and_tops() -> None:
    found = core()
    for target in found["targets"].values():
        assert set(target["filesets"]) <= set(found["filesets"])
        assert target["toplevel"] in (CONFIG.name, "soc")
    assert re.search(r"^module soc \($", (EXAMPLES / "soc/soc.v").read_text(), re.MULTILINE)
    assert found["name"].rpartition(":")[0] in (EXAMPLES / "fusesoc/README.md").read_text()


def test_the_system_connects_every_port() -> None:
    """By its name, none twice."""
    text = (EXAMPLES / "soc/soc.v").read_text()
    instance = text[text.index(f"    {CONFIG.name} accelerator (") :]
    connected = re.findall(r"^        \.(\w+)\(", instance[: instance.index("\n    );")], re.MULTILINE)
    assert sorted(connected) == sorted(simulate.ports(Accelerator(CONFIG)))


def test_librelane_has_design_file_and_clock() -> None:
    found = yaml.safe_load((EXAMPLES / "librelane/config.yaml").read_text())
    assert found["DESIGN_NAME"] == CONFIG.name
    assert [path.removeprefix("dir::../../") for path in found["VERILOG_FILES"]] == [f"build/rtl/tiny/{CONFIG.name}.v"]
    assert found["CLOCK_PORT"] in simulate.ports(Accelerator(CONFIG))


def test_siliconcompiler_has_design_files_and_clock() -> None:
    text = (EXAMPLES / "siliconcompiler/esact.py").read_text()
    tree = ast.parse(text)
    top = next(node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "TOP")
    assert top == CONFIG.name
    named = [path.replace("{TOP}", top) for path in re.findall(r'add_file\(f?"(.*)"\)', text)]
    assert len(named) == 2
    assert [path for path in named if not known(path)] == []
    assert "[get_ports aclk]" in (EXAMPLES / "siliconcompiler/esact.sdc").read_text()


@pytest.mark.parametrize("page", sorted(EXAMPLES.rglob("README.md")), ids=lambda page: page.parent.name)
def test_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)]*)\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"(?<![\w/.])(?:examples|drivers|tests|docs|hdl)/[\w./]+\w", text):
        assert known(path), path
