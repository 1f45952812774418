# SPDX-License-Identifier: Apache-2.0
import pytest

from config.errors import Refusal
from synth import netlist
from tests.synth import toy
from tests.synth.toy import Design


def test_flat(cells):
    design = Design(a="input a", y="output y").cell("u1", "INV", "a n").cell("u2", "INV", "n y")
    found = toy.read(design, cells)
    assert found.cell_names == ["u1", "u2"]
    inverters = found.groups["INV"]
    assert inverters.pins["Y"][0] == inverters.pins["A"][1] == found.net_by_name["n"]
    assert found.ports["a"].nets.tolist() == [inverters.pins["A"][0]]
    assert found.ports["y"].nets.tolist() == [inverters.pins["Y"][1]]


def test_vector_ports_and_constants(cells):
    design = Design(a="input a0 a1", y="output y 1").cell("u", "NAND", "a0 0 y")
    found = toy.read(design, cells)
    assert len(found.ports["a"].nets) == 2
    assert found.ports["y"].nets[1] == 1
    assert found.groups["NAND"].pins["B"].tolist() == [0]


def test_open_output_gets_a_net(cells):
    design = Design(clk="input clk", d="input d", q="output q").cell("r", "DFF", "d clk q -")
    found = toy.read(design, cells)
    assert found.net_names[found.groups["DFF"].pins["QN"][0]] == "r.QN"


def test_hierarchy_is_dissolved(cells):
    pair = Design(i="input i", o="output o").cell("a", "INV", "i m").cell("b", "INV", "m o")
    outer = Design(i="input i", o="output o").instance("left", "pair", i="i", o="o")
    top = Design(w="input w", y="output y", z="output z")
    top.instance("p", "outer", i="w", o="y").instance("q", "pair", i="y", o="z")
    found = netlist.from_json(toy.text({"top": top, "outer": outer, "pair": pair}), cells)
    assert sorted(found.cell_names) == ["p.left.a", "p.left.b", "q.a", "q.b"]
    pins = dict(found.pin_nets())
    assert pins["p.left.b.Y"] == pins["q.a.A"] == found.net_by_name["p.left.o"] == found.net_by_name["y"]
    assert pins["q.a.Y"] != pins["p.left.a.Y"]


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (Design(y="output y").cell("u", "INV", "x y"), "'x'; run `setundef -zero`"),
        (Design(y="output y").cell("u", "INV", "n y"), "must have one driver; 'n' has 0"),
        (Design(a="input a", y="output y").cell("u", "INV", "a y").cell("v", "INV", "a y"), "'y' has 2"),
        (Design(a="input a", y="output y").cell("u", "NAND", "a - y"), "pin B of u"),
        (Design(a="input a", y="output y").instance("u", "magic", a="a"), "u is of type 'magic'"),
    ],
)
def test_refuses(cells, design, said):
    with pytest.raises(Refusal, match=said):
        toy.read(design, cells)


def test_refuses_an_unknown_top(cells):
    with pytest.raises(Refusal, match=r"must hold the module 'other'; it holds top"):
        netlist.from_json(toy.text({"top": Design(a="input a")}), cells, top="other")


def test_refuses_a_missing_file(cells, tmp_path):
    with pytest.raises(Refusal, match="must be readable"):
        netlist.read(tmp_path / "none.json", cells)
