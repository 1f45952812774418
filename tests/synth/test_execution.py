# SPDX-License-Identifier: Apache-2.0
"""The units that compute a layer by sub-block: their modules are in the table, their figures in the page."""

import json
import re
from dataclasses import replace

import pytest

from config.attention import AttentionConfig
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from config.units import GeluConfig, LayerNormConfig, ResidualConfig, SoftmaxConfig
from hdl.emit import verilog
from hdl.execute.attention import attention_of
from hdl.execute.units import unit_of
from synth import execution, hierarchy, liberty, library, mapping, report, timing

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
        name: execution.measure("small", SMALLEST[name], text, folder, path, cells) for name in ("gelu", "residual")
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


def test_units_are_those_of_the_preset():
    assert set(execution.TITLES) == {"attention", *execution.configurations()}


@pytest.fixture(scope="module")
def attention(tmp_path_factory):
    """Two lines of eight lanes: of words of 18 and 19 bits, as the scores of fewer lanes are, ABC makes nothing."""
    items = ItemsConfig(lines=2, lanes=8, banks=2, tokens=4, heads=1, chunk=4, record=2, sets=1, ports=1, queue=2)
    arrays = PeArraysConfig(lines=2, lanes=8, rows=2, terms=4, keys=4, scalers=1)
    config, path = AttentionConfig(items, arrays), library.liberty()
    folder = tmp_path_factory.mktemp("attention")
    return execution.measure(
        "small", config, lambda _: verilog(attention_of(config), config.name), folder, path, liberty.read(path)
    )


def test_attention_has_every_part(attention):
    """Those of the table and none beside, each as often as there are lines, or once."""
    assert [part.name for part in attention.parts] == list(execution.ATTENTION_PARTS)
    counts = {name: count for part in attention.parts for name, count in part.instances.items()}
    wanted = {attention.config.name: 1, "dot_line": 2, "pe_line": 2, "softmax": 2, "line": 4, "banks": 2, "dispatch": 1}
    assert {name: counts[name] for name in wanted} == wanted
    assert attention.total.area_um2 == pytest.approx(sum(part.area_um2 for part in attention.parts))


def test_memories_are_bits_and_no_cells(measured):
    unit = measured["gelu"]
    assert unit.total.memory_bits == 2 * 512 * 8
    assert [part.name for part in unit.parts] == ["lanes", "control"]
    assert unit.parts[0].registers == 0


def test_parts_are_counted_as_often_as_they_occur(measured):
    unit = measured["residual"]
    assert unit.parts[0].instances == {"residual_scaler": 1}
    assert unit.total.area_um2 == pytest.approx(sum(part.area_um2 for part in unit.parts))
    assert 3000 < unit.total.area_um2 < 6000


def test_a_residual_sum_fits_a_nanosecond(measured):
    if timing.available():
        assert measured["residual"].total.fmax_mhz > 1000


def test_tables(measured):
    untimed = replace(measured["gelu"], parts=tuple(replace(part, fmax_mhz=None) for part in measured["gelu"].parts))
    table = report.execution_text(measured | {"gelu": untimed}).splitlines()
    assert len(table) == 3
    assert "not timed" in table[1]
    assert table[1].endswith("2 lanes")
    page = report.execution_markdown(measured, {"library": "cells"})
    assert page.count("\n## ") == 2
    assert "- library: cells\n" in page
    figures = json.loads(json.dumps(execution.as_json(measured, {"library": "cells"})))
    assert [unit["name"] for unit in figures["units"]] == ["gelu", "residual"]
    assert figures["units"][1]["parts"][-1]["area_um2"] == measured["residual"].total.area_um2
