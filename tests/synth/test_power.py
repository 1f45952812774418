# SPDX-License-Identifier: Apache-2.0
"""Sums worked out by hand for the toy library (1 V; see `toy.py` for its tables), then properties on the real one."""

import numpy as np
import pytest

from config.errors import Refusal
from synth import gatesim, netlist, power, slews
from synth.activity import Activity
from tests.synth import toy
from tests.synth.toy import Design


def activity(net, **values):
    """Toggles per cycle and share of time high of nets by name; the others rest at zero."""
    toggles, high = np.zeros(net.nets), np.zeros(net.nets)
    for name, (rate, duty) in values.items():
        toggles[net.net_by_name[name]], high[net.net_by_name[name]] = rate, duty
    return Activity(toggles, high, np.ones(net.nets, dtype=bool))


def inverters(cells):
    return toy.read(Design(a="input a", y="output y").cell("u", "INV", "a n").cell("v", "INV", "n y"), cells)


def test_loads(cells):
    net = inverters(cells)
    load = slews.loads(net, cells, output_load_ff=7.0)
    assert [load.worst[net.net_by_name[name]] for name in "any"] == pytest.approx([2.0, 2.0, 7.0])
    load = slews.loads(net, cells, cells.wire_loads["short"], {"n": 3, "y": 0})
    assert [load.worst[net.net_by_name[name]] for name in "any"] == pytest.approx([2.0 + 2.0, 3 * 2.0 + 8.0, 0.0])


def test_transition_times(cells):
    net = inverters(cells)
    found = slews.transitions(net, cells, slews.loads(net, cells, output_load_ff=10.0), input_slew_ns=0.2)
    rise, fall = found[:, net.net_by_name["n"]]
    assert (rise, fall) == pytest.approx((0.1 + 0.2 / 2 + 0.02, 0.2 + 0.2 + 0.04))
    # The second inverter rises where the first one falls.
    assert found[:, net.net_by_name["y"]] == pytest.approx([0.1 + fall / 2 + 0.1, 0.2 + rise + 0.2])


def test_transition_time_is_the_slowest(cells):
    design = Design(a="input a", b="input b", y="output y")
    net = toy.read(design.cell("u", "INV", "a m").cell("v", "INV", "m n").cell("x", "NAND", "n b y"), cells)
    found = slews.transitions(net, cells, slews.loads(net, cells))
    slow = found[1, net.net_by_name["n"]]
    assert found[0, net.net_by_name["y"]] == pytest.approx(0.1 + slow / 2)


def test_constants_do_not_switch(cells):
    design = Design(b="input b", y="output y").cell("t", "TIE", "z").cell("x", "NAND", "z b y")
    net = toy.read(design, cells)
    found = slews.transitions(net, cells, slews.loads(net, cells), input_slew_ns=0.0)
    assert found[:, net.net_by_name["y"]] == pytest.approx([0.1, 0.2])


def test_inverters(cells):
    net = inverters(cells)
    found = power.estimate(net, cells, activity(net, a=(0.5, 0.5), n=(0.5, 0.5), y=(0.25, 0.5)), 2.0, output_load_ff=8)
    assert found.internal == pytest.approx([0.5 * 2.0, 0.25 * 2.0])  # the mean of 1 and 3 fJ per toggle
    assert found.switching == pytest.approx([0.5 * 2.0 / 2, 0.25 * 8.0 / 2])
    assert found.leakage == pytest.approx([0.006, 0.006])  # 3 nW for 2 ns
    assert found.ports == pytest.approx(0.5 * 2.0 / 2)
    assert found.total.total == pytest.approx(1.5 + 0.5 + 1.0 + 0.012)
    assert found.milliwatts == pytest.approx(found.total.total / 2.0 * 1e-3)
    assert (found.total.clock, found.total.cells, found.total.area, found.annotated) == (0.0, 2, 2.0, 1.0)


def test_fanout_scale_multiplies_a_load(cells):
    net = inverters(cells)
    rates = activity(net, n=(1.0, 0.5))
    one, many = (power.estimate(net, cells, rates, 1.0, fanout_scale=scale) for scale in ({}, {"n": 16}))
    assert many.switching == pytest.approx(one.switching * [16, 1])


def test_arcs_share_an_output_by_what_may_have_caused_it(cells):
    net = toy.read(Design(a="input a", b="input b", y="output y").cell("x", "NAND", "a b y"), cells)
    found = power.estimate(net, cells, activity(net, a=(1.0, 0.5), b=(0.5, 0.25), y=(0.4, 0.875)), 1.0)
    # A passes while B is high (a quarter of 1.0), B while A is (half of 0.5): 2 and 8 fJ count alike.
    assert found.internal == pytest.approx([0.4 * 5.0])


def test_leakage_by_state(cells):
    net = toy.read(Design(a="input a", b="input b", y="output y").cell("x", "NAND", "a b y"), cells)
    found = power.estimate(net, cells, activity(net, a=(0.0, 0.5), b=(0.0, 0.25)), 1.0)
    both, not_a = 0.5 * 0.25, 0.5
    assert found.leakage == pytest.approx([1e-3 * (both * 20 + not_a * 4 + (1 - both - not_a) * 10)])


def flop(cells):
    design = Design(clk="input clk", d="input d", q="output q").cell("r", "DFF", "d clk q nq")
    return toy.read(design, cells)


@pytest.mark.parametrize(("joint", "data"), [(False, 0.25**2 + 0.75**2), (True, 1.0)])
def test_flip_flop(cells, joint, data):
    net = flop(cells)
    rates = activity(net, clk=(2.0, 0.5), d=(0.6, 0.25), q=(0.5, 0.25), nq=(0.5, 0.75))
    found = power.estimate(net, cells, rates, 1.0, joint_states=joint)
    clock = 2.0 * (0.25 * 3.0 + 0.75 * 1.0)
    outputs = 2 * 0.5 * 3.0
    # An edge of D takes 1 fJ in either state of Q. Pins taken as independent lose the share in which QN would equal Q.
    assert found.internal == pytest.approx([clock + 0.6 * data + outputs])
    assert found.clock == pytest.approx([clock])


def test_clock_gate_counts_as_clock(cells):
    design = Design(clk="input clk", en="input en", d="input d", q="output q")
    net = toy.read(design.cell("g", "ICG", "clk en c").cell("r", "DFF", "d c q -"), cells)
    run = gatesim.Simulator(net, cells, 1).run({"en": np.array([0, 1, 0, 0, 1]), "d": np.zeros(5, dtype=int)})
    found = power.estimate(net, cells, run.activity, 1.0)
    split = found.by_kind()
    assert split["ICG"].clock == pytest.approx(split["ICG"].internal + split["ICG"].switching)
    assert split["ICG"].switching == pytest.approx(0.5 * (2 * 1 / 4) * 1.0)  # one pulse in four cycles, into 1 fF
    assert split["DFF"].clock == pytest.approx(2 * 1 / 4 * 1.0)


def test_by_module(cells):
    pair = Design(i="input i", o="output o").cell("a", "INV", "i m").cell("b", "INV", "m o")
    top = Design(w="input w", z="output z").instance("p", "pair", i="w", o="y").cell("$abc$1$blif.cc:7$2", "INV", "y z")
    net = netlist.from_json(toy.text({"top": top, "pair": pair}), cells)
    found = power.estimate(net, cells, activity(net, w=(1, 0.5)), 1.0)
    assert {name: split.cells for name, split in found.by_module().items()} == {"": 1, "p": 2}
    assert found.by_kind()["INV"].cells == 3


def test_reports_what_was_not_observed(cells):
    net = inverters(cells)
    known = np.ones(net.nets, dtype=bool)
    known[net.net_by_name["y"]] = False
    rates = activity(net, y=(1.0, 0.5))
    found = power.estimate(net, cells, Activity(rates.toggles, rates.high, known), 1.0)
    assert found.annotated == 0.75
    assert found.total.internal == 0.0


def test_refuses(cells):
    net = inverters(cells)
    with pytest.raises(Refusal, match="must be positive, not 0 ns"):
        power.estimate(net, cells, activity(net), 0)
    with pytest.raises(Refusal, match="it has no 'nowhere'"):
        power.estimate(net, cells, activity(net), 1.0, fanout_scale={"nowhere": 2})
    with pytest.raises(Refusal, match="must be of this netlist's"):
        power.estimate(net, cells, Activity(np.zeros(1), np.zeros(1), np.ones(1, dtype=bool)), 1.0)


def test_idle_rows_cost_nothing_but_leakage(mapped):
    """On the real cells: rows whose clock gate is shut spend energy on the gate and the root of the clock only."""
    net, library, _ = mapped("small_gated")
    rng = np.random.default_rng(5)
    stimulus = {"x": np.zeros((100, 8), dtype=int), "rst": np.zeros(100, dtype=int), "en": np.zeros(100, dtype=int)}
    sim = gatesim.Simulator(net, library, 8)
    idle = power.estimate(net, library, sim.run(stimulus).activity, 1.0).by_kind()
    busy = stimulus | {"x": rng.integers(0, 1 << 32, (100, 8)), "en": np.full(100, 15)}
    active = power.estimate(net, library, sim.run(busy).activity, 1.0).by_kind()
    assert idle["DFF_X1"].internal == idle["DFF_X1"].switching == idle["FA_X1"].internal == 0.0
    assert 0.0 < idle["CLKGATE_X1"].internal < active["CLKGATE_X1"].internal
    assert idle["DFF_X1"].leakage > 0.0
    # A flip-flop of this library takes 3 to 8 fJ a cycle for its clock, whatever its data.
    flops = active["DFF_X1"]
    assert 3.0 < flops.clock / flops.cells < 8.0
