# SPDX-License-Identifier: Apache-2.0
"""Buffers between modules, by a library of round numbers: an input of a buffer is 2 fF, so that a net may carry 48."""

import json

import numpy as np
import pytest

from synth import buffers, gatesim, netlist
from synth.slews import loads
from tests.synth import toy

LIMIT = 48.0
WIDE = 60
"""Inputs of 2 fF: more than a net may carry."""


def row(gates):
    """Inverters and a register on one input each, and a register that goes nowhere else."""
    design = toy.Design(clk="input clk", i="input i", d="input d", y="output y", q="output q")
    for number in range(gates):
        design.cell(f"inv{number}", "INV", f"i y{number if number else ''}")
    return design.cell("hold", "DFF", "d clk q -")


def top(rows, near=0):
    """A gate that drives rows, and gates beside them; what the rows hold comes back, to more rows."""
    design = toy.Design(clk="input clk", a="input a", b="input b", y="output y", q="output q")
    design.cell("gate", "NAND", "a b n")
    for number in range(near):
        design.cell(f"near{number}", "INV", f"n m{number}")
    for number in range(rows):
        outputs = {"y": f"y{number or ''}", "q": f"q{number or ''}"}
        design.instance(f"row{number}", "row", clk="clk", i="n", d="q" if number else "n", **outputs)
    return design


def modules(**designs):
    return json.loads(toy.text(designs))["modules"]


def inserted(cells, **designs):
    found = modules(**designs)
    buffers.insert(found, cells)
    return found


def flat(found, cells):
    return netlist.from_json(json.dumps({"modules": found}), cells)


def kinds(body):
    return [cell["type"] for cell in body["cells"].values()]


@pytest.fixture
def cells(tmp_path):
    return toy.library(tmp_path)


def carried(body, inner, net):
    """fF of a net of the top, a bit of each pin of `inner` being what is given."""
    own = {"INV": {"A": 2.0}, "BUF": {"A": 2.0}, "NAND": {"A": 2.0, "B": 4.0}}
    pins = [(each["type"], pin, bits) for each in body["cells"].values() for pin, bits in each["connections"].items()]
    return sum((inner if kind == "row" else own[kind]).get(pin, 0.0) for kind, pin, bits in pins if bits == [net])


def test_what_many_modules_take_comes_through_buffers(cells):
    found = inserted(cells, top=top(100), row=row(1))
    body = found["top"]
    pins = {"i": 2.0, "d": 2.0}
    driven = {bits[0] for each in body["cells"].values() for bits in each["connections"].values()}
    clock = found["top"]["ports"]["clk"]["bits"][0]
    assert max(carried(body, pins, net) for net in driven - {clock}) == LIMIT
    # The gate drives 101 pins, row 0 the other 99.
    assert kinds(body).count("BUF") == 5 + 5


def test_buffers_before_buffers(cells):
    body = inserted(cells, top=top(700), row=row(1))["top"]
    assert kinds(body).count("BUF") == 30 + 2 + 30 + 2


def test_it_does_what_it_did(cells):
    before, after = (
        flat(found, cells)
        for found in (modules(top=top(100, 5), row=row(WIDE)), inserted(cells, top=top(100, 5), row=row(WIDE)))
    )
    bits = np.random.default_rng(1).integers(2, size=(2, 30, 4, 1), dtype=np.uint8)
    runs = [gatesim.Simulator(each, cells, 4).run({"a": bits[0], "b": bits[1]}) for each in (before, after)]
    assert after.cells > before.cells
    for name in ("y", "q"):
        assert (runs[0].outputs[name] == runs[1].outputs[name]).all()
        assert runs[0].outputs[name].any()


def test_what_comes_in_meets_little(cells):
    """A module's inputs are small for whoever drives them: gates inside are behind a buffer as well."""
    found = inserted(cells, top=top(1), row=row(WIDE))
    assert kinds(found["row"]).count("BUF") == 3
    assert kinds(found["top"]).count("BUF") == 0
    net = flat(found, cells)
    assert loads(net, cells).worst[net.net_by_name["n"]] < LIMIT


def test_what_synthesis_saw_is_left(cells):
    """Gates of the same module have been given a driver that is strong enough for them."""
    body = inserted(cells, top=top(100, WIDE), row=row(1))["top"]
    gate = body["cells"]["gate"]["connections"]["Y"]
    assert all(body["cells"][f"near{number}"]["connections"]["A"] == gate for number in range(WIDE))
    assert kinds(body).count("BUF") == 5 + 5


def test_clocks_are_left(cells):
    found = inserted(cells, top=top(700), row=row(1))
    clock = found["top"]["ports"]["clk"]["bits"]
    rows = [each for each in found["top"]["cells"].values() if each["type"] == "row"]
    assert all(each["connections"]["clk"] == clock for each in rows)


def test_pins_of_memories_count(cells):
    design = toy.Design(clk="input clk", a="input a", y="output y")
    design.cell("gate", "INV", "a y")
    for number in range(50):
        design.instance(f"pin{number}", "FORESHIFT_MEMORY_IN", CK="clk", D="y")
    found = inserted(cells, top=design)["top"]
    assert kinds(found).count("BUF") == 3


def test_what_comes_out_of_a_module_is_not_seen_either(cells):
    design = top(1)
    for number in range(WIDE):
        design.cell(f"behind{number}", "INV", f"y z{number}")
    assert kinds(inserted(cells, top=design, row=row(1))["top"]).count("BUF") == 3


def test_large_pins_count_more(cells):
    design = toy.Design(i="input i", y="output y")
    for number in range(30):
        design.cell(f"nand{number}", "NAND", f"1 i y{number or ''}")
    assert kinds(inserted(cells, top=design)["top"]).count("BUF") == 3


def test_gated_clocks_and_those_of_memories_are_left(cells):
    design = toy.Design(clk="input clk", en="input en", d="input d").cell("gate", "ICG", "clk en gated")
    for number in range(WIDE):
        design.cell(f"hold{number}", "DFF", f"d{number} gated - -").cell(f"inv{number}", "INV", f"d d{number}")
        design.instance(f"out{number}", "FORESHIFT_MEMORY_OUT", CK="clk", Q=f"q{number}")
    body = inserted(cells, top=design)["top"]
    clock, gated = body["ports"]["clk"]["bits"], body["cells"]["gate"]["connections"]["GCK"]
    assert all(body["cells"][f"hold{number}"]["connections"]["CK"] == gated for number in range(WIDE))
    assert all(body["cells"][f"out{number}"]["connections"]["CK"] == clock for number in range(WIDE))


def test_constants_are_left(cells):
    design = toy.Design(q="output q").cell("zero", "TIE", "n")
    for number in range(WIDE):
        design.instance(f"row{number}", "row", clk="n", i="n", d="n", y=f"y{number}", q=f"q{number or ''}")
    unclocked = toy.Design(clk="input clk", i="input i", d="input d", y="output y", q="output q")
    unclocked.cell("inv0", "INV", "i y").cell("inv1", "INV", "d q")
    assert kinds(inserted(cells, top=design, row=unclocked)["top"]).count("BUF") == 0
