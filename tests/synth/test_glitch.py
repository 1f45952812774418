# SPDX-License-Identifier: Apache-2.0
"""Leaf blocks with and without glitches, on blocks small enough to map in seconds."""

import json

import numpy as np
import pytest

from config.array import ArrayConfig, number_system
from config.errors import Refusal
from config.pe_arrays import PeArraysConfig
from foreshift import glitches
from golden.execute.scales import multipliers
from hdl.emit import verilog
from hdl.speculate.unit import DotUnit
from synth import arrays, energy, glitch, liberty, mapping, timing
from synth.glitch import Cells, Glitches, Spent
from synth.library import fetch

RNG = np.random.default_rng(74)
X = RNG.integers(-128, 128, (5, 8))
W = RNG.integers(-128, 128, (4, 8))
ARRAYS = PeArraysConfig(lines=2, lanes=4, rows=2, terms=20, keys=4, scalers=2)
CONFIG = ArrayConfig(number_system("int8"), rows=2, lanes=3, depth=8, terms=16)


@pytest.fixture(scope="module")
def cells():
    path = fetch() / "stdcells.lib"
    return Cells(path, liberty.read(path), fetch() / "stdcells.v", 2.0)


@pytest.fixture(scope="module")
def mapped(cells, tmp_path_factory):
    text = verilog(DotUnit(CONFIG), CONFIG.name)
    folder = tmp_path_factory.mktemp("glitch") / CONFIG.name
    return mapping.map_design(text, CONFIG.name, folder, cells.liberty, cells.library)


def measured(of, *arguments):
    """What a block takes; without OpenSTA there are no delays, and it is refused."""
    if timing.available():
        return of(*arguments)
    with pytest.raises(Refusal, match=r"^OpenSTA is missing"):
        of(*arguments)
    return None


def test_row(mapped, cells, tmp_path):
    """The figure without delays is that of the array, in which both rows work; glitches come on top."""
    found = measured(glitch.row, mapped, CONFIG, cells, X, W, tmp_path)
    if found is None:
        return
    whole = energy.measure(mapped, CONFIG, cells.library, X, W, cells.period_ns)
    assert found.settled.energy == pytest.approx(whole.rows)
    assert (found.block, found.operation) == ("row, int8_dot_2x3", "term")
    assert found.operations * CONFIG.rows == whole.terms
    # An 8 × 8 multiplication glitches.
    assert found.timed.toggles > 1.2 * found.settled.toggles
    assert 1.05 < found.ratio < 2
    assert found.settled.energy < found.settled.joint < found.timed.joint


def test_wrong_row_is_caught(mapped, cells, tmp_path):
    netlist = json.loads(mapped.netlist_json.read_text())
    row = netlist["modules"][f"{mapped.top}_row"]["cells"]
    adder = next(cell for cell in row.values() if cell["type"] == "FA_X1")["connections"]
    adder["S"], adder["CO"] = adder["CO"], adder["S"]
    (tmp_path / "netlist.json").write_text(json.dumps(netlist))
    wrong = mapping.Mapped(tmp_path, mapped.top, mapped.blocks)
    if timing.available():
        with pytest.raises(energy.WrongTotalError, match="does not compute the golden sums"):
            glitch.row(wrong, CONFIG, cells, X, W, tmp_path / "row")


def test_too_short_a_period_is_caught(mapped, cells, tmp_path):
    """A multiplication takes more than half a nanosecond."""
    fast = Cells(cells.liberty, cells.library, cells.verilog, 0.5)
    if timing.available():
        with pytest.raises(energy.WrongTotalError, match=r"with delays .* is another; 0\.5 ns may be too short"):
            glitch.row(mapped, CONFIG, fast, X, W, tmp_path)


@pytest.mark.parametrize("name", ["dot_line", "pe_line"])
def test_line(name, cells, tmp_path):
    found = measured(glitch.line, name, ARRAYS, cells, X, W, tmp_path)
    if found is not None:
        assert found.operations == W.size
        assert 1.0 < found.ratio < 1.6


def test_requantiser(cells, tmp_path):
    sums = RNG.integers(-2000, 2000, (20, 4))
    found = measured(glitch.requantiser, sums, 12, multipliers(127 / 2000), cells, tmp_path)
    if found is not None:
        assert found.operations == 80
        assert 1.0 < found.ratio < 1.6


def test_softmax_power(cells, tmp_path):
    scores = RNG.integers(-400, 400, (6, 8))
    found = measured(glitch.softmax_power, scores, 10, multipliers(0.8), cells, tmp_path)
    if found is not None:
        assert found.operations == 48
        assert 1.0 < found.ratio < 1.6


def test_command_measures_every_block():
    assert list(glitches.blocks()) == [*arrays.TITLES, "dot_line", "pe_line", "requantiser", "softmax_power"]


def test_command_refuses_what_it_does_not_know(monkeypatch):
    monkeypatch.setattr("sys.argv", ["glitches", "hlog", "divider"])
    with pytest.raises(Refusal, match=r"^A block must be one of hlog, .*, softmax_power, not 'divider'\.$"):
        glitches.main()


def test_table():
    one = Glitches("row", "term", 100, 10, 20, Spent(2.0, 3.0, 50.0), Spent(3.0, 3.6, 80.0))
    head, line, row = glitches.table([one])
    assert row == "| row | 100 | 50 | 80 | term | 2.0 | 3.0 | 1.500 | 3.6 | 1.200 |"
    assert head.count("|") == line.count("|") == row.count("|")
