# SPDX-License-Identifier: Apache-2.0
"""The comparison of arrays, on arrays small enough to map in seconds."""

import json

import numpy as np
import pytest

from config.array import ArrayConfig, number_system
from config.errors import Refusal
from golden.speculate import array as golden
from hdl.emit import verilog
from hdl.speculate.unit import DotUnit
from synth import arrays, energy, liberty, library, mapping, report, timing
from synth.stimulus import schedule

SMALL = {"rows": 2, "lanes": 3, "depth": 8, "terms": 16}
RNG = np.random.default_rng(2512)
X = RNG.integers(-128, 128, (5, 7))
W = RNG.integers(-128, 128, (3, 7))


def text(config):
    return verilog(DotUnit(config), config.name)


@pytest.fixture(scope="module")
def cells():
    return liberty.read(library.liberty())


@pytest.fixture(scope="module", params=["hlog", "aloc", "pot", "int4", "int8"])
def mapped(request, cells, tmp_path_factory):
    config = ArrayConfig(number_system(request.param), booth=request.param == "int8", **SMALL)
    folder = tmp_path_factory.mktemp("synth") / config.name
    return config, mapping.map_design(text(config), config.name, folder, library.liberty(), cells)


def test_schedule_is_the_product():
    config = ArrayConfig(number_system("aloc"), **SMALL)
    run = schedule(config, X, W, drain=4)
    last = run.sums[(run.beat >= 0) & (run.emit == 1)].reshape(2, len(X), config.rows)
    assert np.array_equal(np.concatenate(list(last), axis=1)[:, : len(W)], golden.aloc_dot(X, W))
    assert run.cycles == 2 * 3 * (config.rows + len(X)) + 4


def test_netlist_computes_the_golden_sums(mapped, cells):
    config, design = mapped
    found = energy.measure(design, config, cells, X, W)
    assert found.terms == 2 * 5 * 7 * config.rows
    assert min(found.encode, found.front, found.rows, found.leakage) > 0
    assert found.total == pytest.approx(found.internal + found.switching + found.leakage)


def test_wrong_netlist_is_caught(mapped, cells, tmp_path):
    """One full adder with two of its outputs exchanged."""
    config, design = mapped
    netlist = json.loads(design.netlist_json.read_text())
    row = netlist["modules"][f"{design.top}_row"]["cells"]
    adder = next(cell for cell in row.values() if cell["type"] == "FA_X1")["connections"]
    adder["S"], adder["CO"] = adder["CO"], adder["S"]
    (tmp_path / "netlist.json").write_text(json.dumps(netlist))
    with pytest.raises(energy.WrongTotalError):
        energy.measure(mapping.Mapped(tmp_path, design.top, design.blocks), config, cells, X, W)


def test_areas_are_those_of_yosys(mapped, cells):
    _, design = mapped
    modules = json.loads((design.folder / "area.json").read_text())["modules"]
    for name in mapping.BLOCKS:
        kinds = modules[f"\\{design.top}_{name}"]["num_cells_by_type"].values()
        assert design.blocks[name].area == pytest.approx(sum(float(kind["local_area"]) for kind in kinds), rel=1e-6)


def test_registers_are_gated(mapped):
    """Weights and every stage of the pipeline stand still without work."""
    _, design = mapped
    row = json.loads(design.netlist_json.read_text())["modules"][f"{design.top}_row"]["cells"].values()
    clocks = {cell["connections"]["GCK"][0] for cell in row if cell["type"].startswith("CLKGATE")}
    registers = [cell for cell in row if cell["type"].startswith("DFF")]
    assert registers
    assert all(cell["connections"]["CK"][0] in clocks for cell in registers)


def test_a_row_is_mapped_once(mapped):
    config, design = mapped
    netlist = json.loads(design.netlist_json.read_text())
    rows = [cell for cell in netlist["modules"][design.top]["cells"].values() if cell["type"] == f"{design.top}_row"]
    assert len(rows) == config.rows


def test_failed_mapping_leaves_nothing(cells, tmp_path):
    with pytest.raises(Refusal, match=r"^Yosys must map broken, but failed and said "):
        mapping.map_design("module broken(; endmodule", "broken", tmp_path / "broken", library.liberty(), cells)
    assert not (tmp_path / "broken").exists()


def test_without_opensta_the_area_still_comes(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "available", lambda: False)
    config = ArrayConfig(number_system("hlog"), **SMALL)
    design = arrays.build(config, text, tmp_path, library.liberty(), cells)
    result = arrays.measure("int8", design, cells, X, W, arrays.common_period([design]))
    assert design.timing is None
    assert "no OpenSTA" in report.text([result])
    assert result.area == pytest.approx(sum(b.area for b in result.blocks.values()) + result.blocks["row"].area)


def fake_opensta(folder, monkeypatch, *lines):
    script = folder / "sta"
    script.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + "\nEND\n")
    script.chmod(0o755)
    monkeypatch.setattr(timing, "OPENSTA", str(script))


def test_timing_reads_the_slack(mapped, tmp_path, monkeypatch):
    fake_opensta(tmp_path, monkeypatch, "Startpoint: a/_1_ (rising)", "Endpoint: b/_2_ (rising)", "worst slack -0.25")
    found = timing.analyse(mapped[1], library.liberty())
    assert (found.period_ns, found.start, found.end) == (1.25, "a/_1_", "b/_2_")
    assert found.megahertz == 800.0


def test_timing_does_not_believe_a_log_with_an_error(mapped, tmp_path, monkeypatch):
    fake_opensta(tmp_path, monkeypatch, "Error: timing.v line 1 syntax error", "worst slack 0.5")
    with pytest.raises(Refusal, match=r"OpenSTA must time .* 'Error: timing.v line 1 syntax error'"):
        timing.analyse(mapped[1], library.liberty())
