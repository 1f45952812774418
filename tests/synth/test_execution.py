# SPDX-License-Identifier: Apache-2.0
"""The units that compute a layer by sub-block: their modules are in the table, their figures in the page."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from config.attention import AttentionConfig
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from config.units import GeluConfig, LayerNormConfig, ResidualConfig, SoftmaxConfig
from hdl.emit import verilog
from hdl.execute.attention import attention_of
from hdl.execute.units import unit_of
from synth import execution, hierarchy, liberty, library, lines, mapping, report, timing

SMALLEST = {
    "softmax": SoftmaxConfig(1, tokens=2, score_bits=4),
    "layer_norm": LayerNormConfig(1, width=2),
    "gelu": GeluConfig(2),
    "residual": ResidualConfig(1),
}


def text(config):
    return verilog(unit_of(config), config.name)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path, folder = library.liberty(), tmp_path_factory.mktemp("execution")
    cells = liberty.read(path)
    return {
        ("small", name): execution.measure("small", SMALLEST[name], text, folder, path, cells)
        for name in ("gelu", "residual")
    }


def modules(config):
    return {name.removeprefix(f"{config.name}_") for name in re.findall(r"^module (\w+)\(", text(config), re.MULTILINE)}


def test_every_module_of_the_table_exists():
    """A module under another name would silently be counted in the one around it, or mapped for area."""
    found = set().union(*(modules(config) for config in SMALLEST.values()))
    assert {module for names in execution.PARTS.values() for module in names} <= found
    fast = {name for name in found if hierarchy._FAST.fullmatch(name)}
    assert {"divide_step_16", "larger", "code"} <= fast
    assert any(name.startswith("short_adder") for name in fast)
    assert any(name.rpartition("_")[2] in mapping.TREES for name in found)


@pytest.mark.parametrize("preset", execution.PRESETS)
def test_units_are_those_of_the_preset(preset):
    assert list(execution.TITLES) == list(execution.configurations(preset))


def test_a_preset_without_attention_has_the_units_beside_it():
    assert set(execution.configurations("paper")) == set(execution.TITLES) - {"attention"}


@pytest.fixture(scope="module")
def attention(tmp_path_factory):
    """Two lines of four lanes, and where their netlist is."""
    items = ItemsConfig(lines=2, lanes=4, banks=2, tokens=4, heads=1, chunk=4, record=2, sets=1, ports=1, queue=2)
    arrays = PeArraysConfig(lines=2, lanes=4, rows=2, terms=20, keys=4, scalers=2)
    config, path = AttentionConfig(items, arrays), library.liberty()
    folder = tmp_path_factory.mktemp("attention")
    text = verilog(attention_of(config), config.name)
    unit = execution.measure("small", config, lambda _: text, folder, path, liberty.read(path))
    return unit, execution.work("small", config, folder) / "netlist.json"


def test_attention_has_every_part(attention):
    """Those of the table and none beside, each as often as there are lines, or once."""
    unit, _ = attention
    assert [part.name for part in unit.parts] == list(execution.ATTENTION_PARTS)
    counts = {name: count for part in unit.parts for name, count in part.instances.items()}
    wanted = {unit.config.name: 1, "dot_line": 2, "pe_line": 2, "softmax": 2, "line": 4, "banks": 2, "dispatch": 1}
    assert {name: counts[name] for name in wanted} == wanted
    assert unit.total.area_um2 == pytest.approx(sum(part.area_um2 for part in unit.parts))


def test_blocks_are_all_of_attention(attention, measured):
    unit, _ = attention
    assert sorted(part for parts in execution.ATTENTION_BLOCKS.values() for part in parts) == sorted(
        execution.ATTENTION_PARTS
    )
    dot, pe, *blocks = execution.blocks(unit)
    whole = hierarchy.joined("all", blocks)
    assert whole.area_um2 == pytest.approx(unit.total.area_um2)
    assert (whole.registers, whole.memory_bits) == (unit.total.registers, unit.total.memory_bits)
    assert (whole.fmax_mhz, whole.instances) == (unit.total.fmax_mhz, unit.total.instances | whole.instances)
    assert dot.instances == {"dot_line": 1, "dot_product": 4}
    assert pe.instances == {"pe_line": 1, "pe_bundle2": 2}
    both = next(part for part in unit.parts if part.name == "array 2: lines")
    assert (2 * pe.area_um2, 2 * pe.registers) == pytest.approx((both.area_um2, both.registers))
    assert execution.blocks(measured["small", "gelu"]) == ()


def test_a_small_attention_reaches_the_clock(attention):
    if timing.available():
        assert execution.slow([attention[0]]) == []


def test_slow_parts_are_named(measured):
    unit = measured["small", "residual"]
    lanes, control = unit.parts
    parts = (replace(lanes, fmax_mhz=499.0), replace(control, fmax_mhz=None))
    assert execution.slow([replace(unit, parts=parts)]) == ["small residual_1, lanes: 499 MHz"]


# Two tiles of a PE line, six items of a dot line of each depth that there can be; what is beyond is left out.
RNG = np.random.default_rng(9)
X, W = RNG.integers(-128, 128, (5, 23)), RNG.integers(-128, 128, (9, 23))


@pytest.fixture(scope="module")
def energies(attention):
    unit, netlist = attention
    return lines.measure(netlist, unit.config, liberty.read(library.liberty()), X, W, execution.PERIOD_NS)


def test_lines_compute_the_golden_sums(energies):
    assert set(energies) == {module for _, module in execution.LINES.values()}
    for found in energies.values():
        assert found.products == 8 * 20
        assert found.cycles > 2 * 20
        assert found.annotated == 1.0
        assert found.total == pytest.approx(found.internal + found.switching + found.leakage)
        assert 0 < found.clock < found.internal + found.switching
        assert 100 < found.total < found.joint < 5000


def test_operands_at_rest_take_less(attention, energies):
    """Zeros move nothing but marks and the clock."""
    unit, netlist = attention
    cells = liberty.read(library.liberty())
    still = lines.measure(netlist, unit.config, cells, 0 * X, 0 * W, execution.PERIOD_NS)
    for name, found in still.items():
        assert found.switching < energies[name].switching / 4


@pytest.mark.parametrize("module", ["dot_line", "pe_line"])
def test_a_wrong_line_is_caught(module, attention, tmp_path):
    """One full adder with two of its outputs exchanged."""
    unit, netlist = attention
    modules = json.loads(netlist.read_text())
    line = modules["modules"][f"{unit.config.name}_{module}"]["cells"].values()
    inner = {cell["type"] for cell in line} & set(modules["modules"])
    cells = [cell for name in inner for cell in modules["modules"][name]["cells"].values()]
    adder = next(cell for cell in (*line, *cells) if cell["type"] == "FA_X1")["connections"]
    adder["S"], adder["CO"] = adder["CO"], adder["S"]
    (tmp_path / "netlist.json").write_text(json.dumps(modules))
    with pytest.raises(lines.WrongTotalError, match=f"^{unit.config.name}_{module}: the mapped netlist "):
        lines.measure(tmp_path / "netlist.json", unit.config, liberty.read(library.liberty()), X, W, 2.0)


def test_memories_are_bits_and_no_cells(measured):
    unit = measured["small", "gelu"]
    assert unit.total.memory_bits == 2 * 512 * 8
    assert [part.name for part in unit.parts] == ["lanes", "control"]
    assert unit.parts[0].registers == 0


def test_parts_are_counted_as_often_as_they_occur(measured):
    unit = measured["small", "residual"]
    assert unit.parts[0].instances == {"residual_scaler": 1}
    assert unit.total.area_um2 == pytest.approx(sum(part.area_um2 for part in unit.parts))
    assert 3000 < unit.total.area_um2 < 6000


def test_a_residual_sum_fits_a_nanosecond(measured):
    if timing.available():
        assert measured["small", "residual"].total.fmax_mhz > 1000


def test_tables(measured, attention, energies):
    gelu, residual = measured.values()
    untimed = replace(gelu, parts=tuple(replace(part, fmax_mhz=None) for part in gelu.parts))
    units, spent = measured | {("small", "gelu"): untimed, ("small", "attention"): attention[0]}, {"small": energies}
    table = report.execution_text(units, spent).splitlines()
    assert len(table) == 1 + 3 + len(execution.LINES) + len(execution.ATTENTION_BLOCKS)
    assert table[1].startswith("GELU, small")
    assert "not timed" in table[1]
    assert table[1].endswith("2 lanes")
    assert table[4].startswith("· dot line")
    assert table[4].split()[-4] == f"{energies['dot_line'].total:.0f}"
    page = report.execution_markdown(units, spent, {"library": "cells"})
    assert page.count("\n## ") == 1 + 3
    assert "- library: cells\n" in page
    assert f" {energies['pe_line'].joint:.1f} | {energies['pe_line'].cycles} | 160 |\n" in page
    figures = json.loads(json.dumps(execution.as_json(units, spent, {"library": "cells"})))
    assert [unit["name"] for unit in figures["units"]] == ["gelu", "residual", "attention"]
    assert figures["units"][1]["parts"][-1]["area_um2"] == residual.total.area_um2
    assert figures["units"][2]["blocks"][0]["name"] == "dot line"
    assert figures["energy of a product, fJ"]["small"]["dot_line"]["total"] == energies["dot_line"].total
