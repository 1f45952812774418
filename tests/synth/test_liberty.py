# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from config.errors import Refusal
from synth import liberty
from synth.library import fetch


def read(folder, text):
    path = folder / "other.lib"
    path.write_text(text, encoding="utf-8")
    return liberty.read(path)


@pytest.fixture(scope="module")
def nangate():
    return liberty.read(fetch() / "stdcells.lib")


def test_units_and_corner(cells):
    assert (cells.name, cells.corner, cells.voltage) == ("toy", "warm", 1.0)
    assert cells.cells["NAND"].pins["B"].rise_cap == pytest.approx(4.0)  # fF, of 0.004 pF
    assert cells.cells["INV"].leakage == 3.0
    energy = cells.cells["INV"].pins["Y"].powers[0].fall.at(np.zeros(1), np.zeros(1))
    assert energy == pytest.approx(3.0)  # fJ, of 0.003 pF V²


def test_cell(cells):
    nand = cells.cells["NAND"]
    assert nand.area == 2.0
    assert [pin.name for pin in nand.inputs] == ["A", "B"]
    assert [pin.name for pin in nand.outputs] == ["Y"]
    assert [(when.names, value) for when, value in nand.leakages] == [(("A", "B"), 20.0), (("A",), 4.0)]
    assert [power.related for power in nand.pins["Y"].powers] == ["A", "B"]
    assert [(arc.related, arc.sense) for arc in nand.pins["Y"].arcs] == [
        ("A", "negative_unate"),
        ("B", "negative_unate"),
    ]


def test_state_elements(cells):
    flop, latch = cells.cells["DFFR"].state, cells.cells["LATCH"].state
    assert flop.edge
    assert (flop.name, flop.inverse, flop.preset, flop.clear.names) == ("IQ", "IQN", None, ("RN",))
    assert not latch.edge
    assert cells.cells["ICG"].gate == "latch_posedge"
    assert {pin.name: pin.role for pin in cells.cells["ICG"].pins.values()} == {
        "CK": "clock",
        "EN": "enable",
        "GCK": "out",
    }


def test_table_interpolates_and_extrapolates(cells):
    rise = cells.cells["INV"].pins["Y"].arcs[0].rise
    slew, load = np.array([0.0, 0.5, 2.0, 0.0]), np.array([0.0, 50.0, 0.0, 300.0])
    assert rise.at(slew, load) == pytest.approx(0.1 + slew / 2 + load / 100)


def test_table_axes_in_the_other_order(tmp_path):
    library = read(
        tmp_path,
        """library (t) { capacitive_load_unit (1, ff); time_unit : "10ps"; voltage_unit : "1V";
        lu_table_template (s) { variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
          index_1 ("1, 2, 3"); index_2 ("10, 20"); }
        cell (B) { pin (Z) { direction : output; timing () { related_pin : "A";
          rise_transition (s) { values ("1, 2", "3, 4", "5, 6"); } } } } }""",
    )
    table = library.cells["B"].pins["Z"].arcs[0].rise
    assert table.slews == pytest.approx([0.1, 0.2])
    assert table.loads.tolist() == [1, 2, 3]
    assert table.at(np.array([0.1, 0.2]), np.array([2.0, 3.0])) == pytest.approx([0.03, 0.06])


def test_related_pins_are_taken_apart(tmp_path):
    power = 'internal_power () { related_pin : "A B"; power (scalar) { values ("2"); } }'
    library = read(tmp_path, f"library (t) {{ cell (X) {{ pin (Z) {{ direction : output; {power} }} }} }}")
    powers = library.cells["X"].pins["Z"].powers
    assert [one.related for one in powers] == ["A", "B"]
    assert powers[0].rise is powers[0].fall


def test_wire_load(cells):
    wire = cells.wire_loads[cells.default_wire_load]
    assert wire.at(np.array([0, 1, 2, 3, 5])).tolist() == pytest.approx([0.0, 2.0, 5.0, 8.0, 14.0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("library (t) { cell (a) { ", "must close every group; 'cell' is still open"),
        ("library (t) { } }", "closes one group too many"),
        ("library (t) { = }", "near line 1 it holds ' = }'"),
        ("cell (a) { }", "must hold a `library` group"),
        ('library (t) { time_unit : "1 parsec"; }', "must be a number and a unit such as 1ns, not '1 parsec'"),
        ("library (t) { cell (a) { ff (IQ, IQN) { } } }", "'a' must say what it stores and when"),
    ],
)
def test_refuses(tmp_path, text, said):
    with pytest.raises(Refusal, match=said.replace("(", r"\(")):
        read(tmp_path, text)


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(Refusal, match="must be readable"):
        liberty.read(tmp_path / "none.lib")


def test_real_library(nangate):
    assert nangate.name == "NangateOpenCellLibrary"
    assert (nangate.voltage, len(nangate.cells)) == (1.1, 135)
    adder = nangate.cells["FA_X1"]
    carry, total = adder.pins["CO"].function, adder.pins["S"].function
    for a, b, c in np.ndindex(2, 2, 2):
        named = {"A": a, "B": b, "CI": c}
        assert carry.table[tuple(named[name] for name in carry.names)] == (a + b + c >= 2)
        assert total.table[tuple(named[name] for name in total.names)] == (a + b + c) % 2
    assert nangate.cells["DFF_X1"].state.edge
    assert nangate.cells["CLKGATE_X1"].gate == "latch_posedge"
    assert all(pin.arcs for kind in ("INV_X1", "DFF_X1", "CLKGATE_X1") for pin in nangate.cells[kind].outputs)
