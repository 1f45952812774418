# SPDX-License-Identifier: Apache-2.0
"""The speculation units by sub-block: every cell and every memory bit is counted, in the part that it belongs to."""

import json
from dataclasses import replace

import pytest

from config import presets
from config.errors import Refusal
from config.speculate import SYSTEM_OF
from hdl.emit import verilog
from hdl.speculate.sanger.unit import SangerUnit
from hdl.speculate.spatten.unit import SpattenUnit
from hdl.speculate.speculation import SpeculationUnit
from synth import hierarchy, liberty, library, report, speculation, timing

CONFIG = replace(
    presets.speculation("tiny")["lapa"], rows=2, lanes=2, load=1, tokens=8, width=4, heads=1, head_width=2, window=2
)


def text(config):
    return verilog(SpeculationUnit(config), config.name)


@pytest.fixture(scope="module")
def cells():
    return liberty.read(library.liberty())


@pytest.fixture(scope="module")
def measured(cells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("speculation")
    return speculation.measure("small", CONFIG, text, folder, library.liberty(), cells), folder / "small_lapa_2x2"


def part(unit, name):
    return next(part for part in unit.parts if part.name == name)


def flat(modules, name):
    """Every cell of a module and of all below it, by walking the whole netlist."""
    for cell in modules[name]["cells"].values():
        yield cell
        if cell["type"] in modules:
            yield from flat(modules, cell["type"])


def test_every_cell_counts_once_per_occurrence(measured, cells):
    unit, folder = measured
    found = list(flat(json.loads((folder / "netlist.json").read_text())["modules"], CONFIG.name))
    leaves = [cells.cells[cell["type"]] for cell in found if cell["type"] in cells.cells]
    assert unit.total.area_um2 == pytest.approx(sum(leaf.area for leaf in leaves))
    assert unit.total.registers == sum(leaf.state is not None for leaf in leaves)
    assert all(part.area_um2 > 0 and 0 <= part.register_share < 1 for part in unit.parts)


def test_memories_are_bits_and_no_cells(measured):
    unit, _ = measured
    array = CONFIG.array
    assert part(unit, "array").memory_bits == array.rows * array.depth * array.acc_bits
    assert part(unit, "encoders").memory_bits == part(unit, "projector").memory_bits == 0


def test_parts_are_those_of_the_method(measured):
    unit, _ = measured
    assert [part.name for part in unit.parts] == [
        name for name in speculation.PARTS if name not in ("top-k", "similarity", "queue", "maxima", "powers", "shares")
    ]
    assert part(unit, "encoders").instances == {"raw_encoder": 4, "leading_one_encoder": 2}
    assert part(unit, "array").instances == {"array": 1, "front": 1, "row": 2}
    assert part(unit, "encoders").registers == 0


@pytest.mark.parametrize("method", [*SYSTEM_OF, "sanger", "spatten"])
def test_every_module_of_the_table_exists(method):
    """A module under another name would silently be counted in the one around it."""
    beside = {"sanger": (SangerUnit, presets.sanger("tiny")), "spatten": (SpattenUnit, presets.spatten("tiny"))}
    if method in beside:
        component, shape = beside[method]
        found = verilog(component(shape), shape.name)
    else:
        shape = replace(CONFIG, method=method)
        found = text(shape)
    modules = {line.split("(")[0].split()[1] for line in found.splitlines() if line.startswith("module ")}
    sangers, spattens = ("sanger_", "scorer", "integer_"), ("spatten_",)
    scored = ("spls_", "lapa_", "hlog_", "leading_one_", "raw_", "predictor", "requantiser", "tiles")
    other = {
        "spls": ("lapa_", "leading_one_", "raw_", *sangers, *spattens),
        "lapa": ("spls_", "hlog_", *sangers, *spattens),
        "fact": ("lapa_", "spls_similar", "spls_distance", "hlog_", "raw_", *sangers, *spattens),
        "sanger": (*scored, *spattens),
        "spatten": (*scored, *sangers, "array", "front", "row", "selection"),
    }[method]
    for names in speculation.PARTS.values():
        assert {f"{shape.name}_{name}" for name in names if not name.startswith(other)} <= modules


def test_clock_is_that_of_the_slowest_path(measured):
    unit, folder = measured
    clocks = {part.name: part.fmax_mhz for part in unit.parts}
    if not timing.available():
        assert set(clocks.values()) == {None}
        return
    ends = hierarchy._ends(folder / "ends.txt")
    assert min(clocks.values()) == pytest.approx(1e3 / (1 - min(ends.values())))
    assert all(100 < clock < 10000 for clock in clocks.values())
    memory = [end for end in ends if end.endswith("/pin/D")]
    assert memory


def test_wrong_owner_goes_red(measured, cells, monkeypatch):
    """A row of the array that counts once, not as often as it occurs, is missed in the sum."""
    unit, folder = measured
    modules = json.loads((folder / "netlist.json").read_text())["modules"]
    owner = {module: name for name, found in speculation.PARTS.items() for module in found} | {"": hierarchy.CONTROL}
    paths = list(hierarchy.instances(modules, owner, CONFIG.name))
    once = list({module: (path, owner, module) for path, owner, module in paths}.values())
    wrong = hierarchy._parts(modules, speculation.PARTS, CONFIG.name, once, cells, {})
    assert sum(part.area_um2 for part in wrong) < 0.9 * unit.total.area_um2


def test_tables(measured, tmp_path):
    unit, _ = measured
    # Wherever this runs, with a tool for timing or without.
    unit = replace(unit, parts=tuple(replace(part, fmax_mhz=500.0) for part in unit.parts))
    untimed = replace(unit, preset="untimed", parts=tuple(replace(part, fmax_mhz=None) for part in unit.parts))
    table = report.units_text([unit, untimed])
    assert table.count("threshold unit") == 2
    assert "LAPA, small: 2 rows × 2 lanes" in table
    assert table.count("not timed") == len(unit.parts) + 1
    page = report.units_markdown([unit], {"library": "cells"})
    assert page.count("\n| ") == len(unit.parts) + 2
    figures = speculation.as_json([unit], {"library": "cells"})
    assert json.loads(json.dumps(figures))["units"][0]["parts"][-1]["memory_bits"] == unit.total.memory_bits
    report.units_plot([unit, untimed], tmp_path / "units.png")
    assert (tmp_path / "units.png").stat().st_size > 1000


def test_failing_yosys_is_refused(cells, tmp_path):
    with pytest.raises(Refusal, match=r"^Yosys must map lapa_2x2, but failed and said "):
        speculation.measure("small", CONFIG, lambda _: "module broken(; endmodule", tmp_path, library.liberty(), cells)
