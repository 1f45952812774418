# SPDX-License-Identifier: Apache-2.0
"""The units' Verilog: lint-clean, nothing in it that hardware has not, equal parts written once."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.lib import wiring

from hdl.arith.divide import Divider
from hdl.emit import verilog
from hdl.execute.context import ContextLine
from hdl.execute.dot_array import DotArray
from hdl.execute.dot_line import DotLine
from hdl.execute.gelu import GeluUnit
from hdl.execute.line import PeLine
from hdl.execute.pe_array import PeArray
from hdl.execute.scores import Scores
from hdl.execute.softmax import SoftmaxUnit
from tests.execute.gathering import shaped
from tests.execute.items import small

ITEMS = shaped(lanes=4, heads=2, sets=2, queue=8)
WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"
UNITS = {
    "softmax": lambda: SoftmaxUnit(lanes=4, tokens=128),
    "softmax_of_one": lambda: SoftmaxUnit(lanes=1, tokens=2, score_bits=2, shortest=1),
    "softmax_of_three": lambda: SoftmaxUnit(lanes=3, tokens=9, score_bits=21, shortest=16),
    "gelu": lambda: GeluUnit(lanes=4),
    "gelu_of_one": lambda: GeluUnit(lanes=1),
    "divider": lambda: Divider(bits=16, cycles=4, tag_bits=6),
    "pe_line": lambda: PeLine(small()),
    "dot_line": lambda: DotLine(small(), tag_bits=3),
    "dot_line_of_one": lambda: DotLine(small(lanes=1, scalers=1, terms=1, keys=1)),
    "dot_array": lambda: DotArray(small(), tag_bits=3),
    "dot_array_for_tiles": lambda: DotArray(small(lanes=5, scalers=5, terms=9), items=False),
    "scores": lambda: Scores(ITEMS, small(lines=4), stores=2),
    "scores_beside_tiles": lambda: Scores(replace(ITEMS, sets=1, heads=1), small(lines=4), tiles=True),
    "pe_array": lambda: PeArray(small(scalers=4)),
    "pe_array_for_tiles": lambda: PeArray(small(lanes=5, scalers=1, terms=9), items=False),
    "context_line": lambda: ContextLine(small(lanes=1, scalers=1, terms=1, keys=1)),
    "divider_alone": lambda: Divider(bits=5, cycles=1),
}


@pytest.mark.parametrize(("name", "make"), UNITS.items(), ids=UNITS)
@pytest.mark.parametrize("corners", [False, True], ids=["", "corners"])
def test_lint_is_clean(name: str, make: Callable[[], wiring.Component], corners: bool, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.v"
    path.write_text(verilog(make(), name, corners=corners))
    command = ["verilator", "--lint-only", "-Wall", str(WAIVERS), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_parts_are_written_once() -> None:
    text = verilog(SoftmaxUnit(lanes=4, tokens=128), "softmax")
    bodies = re.findall(r"^module (\w+)(\(.*?^endmodule)", text, re.MULTILINE | re.DOTALL)
    names = [name for name, _ in bodies]
    assert len({body for _, body in bodies}) == len(bodies), names
    assert len(re.findall(r"^  softmax_power power\d+ \($", text, re.MULTILINE)) == 4
    assert "initial" not in text
    assert " * " not in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
