# SPDX-License-Identifier: Apache-2.0
"""Any library that has the cells goes through the flow: a second one whole, and both with cells taken away."""

import json
import re

import numpy as np
import pytest

from config.array import ArrayConfig, number_system
from config.errors import Refusal
from config.units import SoftmaxConfig
from hdl.emit import verilog
from hdl.execute.units import unit_of
from hdl.speculate.unit import DotUnit
from synth import arrays, energy, execution, gates, liberty, library, mapping, osu018, timing
from synth.roles import ClockGate, FlipFlop, FullAdder, Roles, Through, roles_of

SMALL = {"rows": 2, "lanes": 3, "depth": 8, "terms": 16}
RNG = np.random.default_rng(180)
X = RNG.integers(-128, 128, (5, 7))
W = RNG.integers(-128, 128, (3, 7))

NANGATE = Roles(
    flip_flop=FlipFlop("DFF_X1", "CK", "D", "Q"),
    buffer=Through("BUF_X2", "A", "Z"),
    full_adder=FullAdder("FA_X1", ("A", "B", "CI"), carry="CO", sum="S"),
    clock_gate=ClockGate("CLKGATE_X1", "CK", "E", "GCK", ()),
    one=Through("LOGIC1_X1", "", "Z"),
    zero=Through("LOGIC0_X1", "", "Z"),
)
OSU = Roles(
    flip_flop=FlipFlop("DFFPOSX1", "CLK", "D", "Q"),
    buffer=Through("BUFX4", "A", "Y"),
    full_adder=FullAdder("FAX1", ("A", "B", "C"), carry="YC", sum="YS"),
    clock_gate=None,
    one=None,
    zero=None,
)


def nangate():
    return library.fetch() / "stdcells.lib"


def without(path, names, folder):
    """A library without the cells whose whole name the pattern matches."""
    text = path.read_text()
    for match in reversed(list(re.finditer(rf"^\s*cell\s*\(\"?(?:{names})\"?\)", text, re.MULTILINE))):
        depth, end = 1, text.index("{", match.end()) + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: match.start()] + text[end:]
    (folder / "less.lib").write_text(text)
    return folder / "less.lib"


def built(name, path, folder):
    """A small array of a number system, mapped and timed."""
    config = ArrayConfig(number_system(name), booth=name == "int8", **SMALL)
    return arrays.build(config, lambda c: verilog(DotUnit(c), c.name), folder, path, liberty.read(path))


def kinds(folder):
    """Types of all cells in a netlist."""
    modules = json.loads((folder / "netlist.json").read_text())["modules"]
    return {cell["type"] for module in modules.values() for cell in module["cells"].values()} - set(modules)


def test_roles_of_the_first_library():
    assert roles_of(liberty.read(nangate())) == NANGATE


def test_roles_of_the_second_library():
    assert roles_of(liberty.read(osu018.fetch())) == OSU


@pytest.mark.parametrize("name", ["hlog", "aloc", "pot", "int4", "int8"])
def test_arrays_on_the_second_library(name, tmp_path):
    """The netlist computes the golden sums, of the library's cells; its clock is that of its node, at the same load."""
    path = osu018.fetch()
    cells = liberty.read(path)
    design = built(name, path, tmp_path)
    assert {"FAX1", "DFFPOSX1"} <= kinds(design.mapped.folder) <= set(cells.cells)
    found = energy.measure(design.mapped, design.config, cells, X, W)
    assert found.annotated == 1.0
    # Ten to forty times what the 45 nm cells take, at 1.8 V.
    assert 5_000 < found.total < 100_000
    if timing.available():
        assert 1.5 < design.timing.period_ns < 8
    else:
        assert design.timing is None


def test_wrong_cell_on_the_second_library_is_caught(tmp_path):
    path = osu018.fetch()
    design = built("hlog", path, tmp_path)
    netlist = json.loads(design.mapped.netlist_json.read_text())
    cells = netlist["modules"][f"{design.mapped.top}_row"]["cells"].values()
    adder = next(cell for cell in cells if cell["type"] == "FAX1")["connections"]
    adder["YS"], adder["YC"] = adder["YC"], adder["YS"]
    design.mapped.netlist_json.write_text(json.dumps(netlist))
    with pytest.raises(energy.WrongTotalError):
        energy.measure(design.mapped, design.config, liberty.read(path), X, W)


def test_unit_with_memories_on_the_second_library(tmp_path):
    path = osu018.fetch()
    cells, config = liberty.read(path), SoftmaxConfig(1, tokens=2, score_bits=4)
    text = verilog(unit_of(config), config.name)
    unit = execution.measure("small", config, lambda _: text, tmp_path, path, cells)
    assert unit.total.memory_bits > 0
    assert unit.total.registers > 100
    if timing.available():
        assert 100 < unit.total.fmax_mhz < 600
    mapped = gates.of(text, config.name, tmp_path / "gates", path)
    assert set(re.findall(r"^module (\w+)", mapped, re.MULTILINE)) <= set(
        re.findall(r"^module (\w+)", text, re.MULTILINE)
    )


@pytest.mark.parametrize(
    ("of", "taken", "absent", "role", "there"),
    [
        (osu018.fetch, "FAX1", "FAX1", "full_adder", "XOR2X1|XNOR2X1"),
        (nangate, r"CLKGATE_X\d", "CLKGATE_X1", "clock_gate", "CLKGATETST_X1"),
        (nangate, r"CLKGATE\w*", "CLKGATETST_X1", "clock_gate", r"(?:MUX|AOI|OAI)\w+"),
        (nangate, "LOGIC1_X1", "LOGIC0_X1", "one", "DFF_X1"),
    ],
    ids=["no full adder", "clock gates with a test pin", "no clock gate", "one constant only"],
)
def test_without_some_cells(of, taken, absent, role, there, tmp_path):
    """What is left does their work: the sums are still the golden ones."""
    path = without(of(), taken, tmp_path)
    cells = liberty.read(path)
    found = getattr(roles_of(cells), role)
    assert found is None or re.fullmatch(there, found.cell)
    design = built("hlog", path, tmp_path)
    used = kinds(design.mapped.folder)
    assert absent not in used
    assert any(re.fullmatch(there, kind) for kind in used)
    assert energy.measure(design.mapped, design.config, cells, X, W).annotated == 1.0


@pytest.mark.parametrize(
    ("taken", "role"), [(r"(?:CLK)?BUF_X\d+", "buffer"), (r"DFF_X\d", "plain flip-flop on the rising edge")]
)
def test_a_library_without_the_least_is_refused(taken, role, tmp_path):
    path = without(nangate(), taken, tmp_path)
    with pytest.raises(
        Refusal, match=rf"^The cell library must have a {role}, but Nangate\w+ has none; leave LIBERTY unset, or name "
    ):
        mapping.map_design("module top; endmodule", "top", tmp_path / "map", path, liberty.read(path))


def test_a_single_size_of_buffer_does(cells):
    assert roles_of(cells).buffer == Through("BUF", "A", "Y")
    assert roles_of(cells).flip_flop == FlipFlop("DFF", "CK", "D", "Q")
    assert roles_of(cells).zero == Through("TIE", "", "Y")
    assert roles_of(cells).one is None


def test_functions_decide_not_names(tmp_path):
    """A cell named like an adder that computes something else is none."""
    text = nangate().read_text().replace('"((A & B) | (CI & (A | B)))"', '"((A & B) & (CI & (A | B)))"')
    assert text != nangate().read_text()
    (tmp_path / "other.lib").write_text(text)
    assert roles_of(liberty.read(tmp_path / "other.lib")).full_adder is None


def fake(folder, monkeypatch, name, body):
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_package_that_is_none_is_refused(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, "apt-get", "echo no more > package.deb")
    with pytest.raises(
        Refusal, match=rf"must be taken from Debian's package {osu018.PACKAGE} once, but 'dpkg-deb: .*';"
    ):
        osu018.fetch(tmp_path / "cells")
    assert list((tmp_path / "cells").iterdir()) == []


def test_an_archive_without_the_package_is_refused(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, "apt-get", "echo E: Unable to locate package")
    with pytest.raises(Refusal, match=r"once, but 'E: Unable to locate package'; run apt-get update, or put osu018"):
        osu018.fetch(tmp_path / "cells")


def test_another_file_is_refused(tmp_path, monkeypatch):
    body = (
        'mkdir -p usr/share/qflow/tech/osu018; echo "library (x) {}" > usr/share/qflow/tech/osu018/osu018_stdcells.lib'
    )
    fake(tmp_path, monkeypatch, "apt-get", "touch package.deb")
    fake(tmp_path, monkeypatch, "dpkg-deb", body)
    with pytest.raises(Refusal, match=rf"SHA-256 {osu018.SHA256}, but that of {osu018.PACKAGE} has [0-9a-f]+; "):
        osu018.fetch(tmp_path / "cells")
    assert list((tmp_path / "cells").iterdir()) == []
