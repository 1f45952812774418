# SPDX-License-Identifier: Apache-2.0
"""The simulation with delays: without any it is the one without delays, toggle by toggle; with them it glitches."""

import numpy as np
import pytest

from config.errors import Refusal
from synth import delays, gatesim, liberty, timed
from synth.library import fetch
from tests.synth import toy
from tests.synth.toy import Design

PERIOD_NS = 2.0
PINS = {"INV_X1": "A ZN", "AND2_X1": "A1 A2 ZN", "DFF_X1": "D CK Q QN"}


@pytest.fixture(scope="module")
def cells():
    return liberty.read(fetch() / "stdcells.lib")


@pytest.fixture(autouse=True)
def pins(monkeypatch):
    monkeypatch.setattr(toy, "PINS", toy.PINS | PINS)


def simulator(net, library, folder, found, streams=1, period_ns=PERIOD_NS):
    return timed.Simulator(
        net, library, streams, cells=fetch() / "stdcells.v", delays=found, period_ns=period_ns, work=folder
    )


@pytest.mark.parametrize("block", ["small_gated", "multiplier"])
def test_without_delays_it_counts_what_gatesim_counts(mapped, block, tmp_path):
    """Every net and every cycle, with clock gates and full adders, on two streams, over a window of cycles."""
    net, library, _ = mapped(block)
    plain = gatesim.Simulator(net, library, 2)
    rng = np.random.default_rng(11)
    cycles, start, stop = 120, 5, 110
    stimulus = {port.name: rng.integers(0, 2, (cycles, 2, len(port.nets))) for port in plain.inputs}
    stimulus["rst"] = np.broadcast_to(np.arange(cycles)[:, np.newaxis, np.newaxis] < 2, (cycles, 2, 1)).astype(int)
    found = delays.none(net, library, timed.ARRIVAL_NS)
    ours = simulator(net, library, tmp_path, found, streams=2).run(stimulus, start=start, stop=stop)
    wanted = plain.run(stimulus, start=start, stop=stop)
    assert ours.outputs.keys() == wanted.outputs.keys()
    assert all(np.array_equal(ours.outputs[name], wanted.outputs[name]) for name in wanted.outputs)
    assert wanted.activity.toggles.sum() > 50
    assert np.array_equal(ours.activity.toggles, wanted.activity.toggles)
    assert ours.activity.known.all()
    # Time at one is taken over the same cycles, which begin as much earlier as changes come later.
    shift = timed.ARRIVAL_NS / PERIOD_NS / (stop - start)
    assert np.abs(ours.activity.high - wanted.activity.high).max() <= shift + 1e-12


@pytest.fixture
def hazard(cells):
    """y = a and not a: nothing, but for as long as the inverter takes."""
    design = Design(a="input a", y="output y").cell("u", "INV_X1", "a n").cell("v", "AND2_X1", "a n y")
    return toy.read(design, cells)


def hazardous(net, inverter, gate):
    invert, both = (int(net.groups[kind].cells[0]) for kind in ("INV_X1", "AND2_X1"))
    return {
        (invert, "A", "ZN"): (inverter, inverter),
        (both, "A1", "ZN"): (gate, gate),
        (both, "A2", "ZN"): (gate, gate),
    }


@pytest.mark.parametrize(
    ("inverter", "gate", "pulse"), [(0.3, 0.1, 0.3), (0.5, 0.1, 0.5), (0.1, 0.3, 0.0), (0.0, 0.0, 0.0)]
)
def test_a_glitch_is_as_long_as_what_it_comes_from(cells, hazard, inverter, gate, pulse, tmp_path):
    """And does not leave a gate that takes longer."""
    a = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0])
    rises = np.count_nonzero(np.diff(a) == 1)
    run = simulator(hazard, cells, tmp_path, hazardous(hazard, inverter, gate)).run({"a": a})
    y, count = hazard.net_by_name["y"], len(a) - 1
    assert not run.outputs["y"].any()
    assert run.activity.toggles[y] == (2 * rises / count if pulse else 0)
    assert run.activity.high[y] == pytest.approx(pulse * rises / count / PERIOD_NS, abs=1e-9)
    assert run.activity.toggles[hazard.net_by_name["n"]] == np.count_nonzero(np.diff(a)) / count


def test_rising_and_falling_have_their_own_delays(cells, tmp_path):
    net = toy.read(Design(a="input a", y="output y").cell("u", "INV_X1", "a y"), cells)
    found = {(0, "A", "ZN"): (0.7, 0.2)}
    run = simulator(net, cells, tmp_path, found).run({"a": np.array([1, 1, 0, 1])})
    # Up 0.1 + 0.7 ns behind its edge, down 0.1 + 0.2 ns behind the next.
    assert run.activity.high[net.net_by_name["y"]] == pytest.approx((PERIOD_NS - 0.7 + 0.2) / 3 / PERIOD_NS)


def test_a_cell_without_its_delays_is_refused(cells, hazard, tmp_path):
    found = hazardous(hazard, 0.3, 0.1)
    del found[int(hazard.groups["AND2_X1"].cells[0]), "A2", "ZN"]
    with pytest.raises(Refusal, match=r"^Every cell of top must have its delays, but a AND2_X1 has none\.$"):
        simulator(hazard, cells, tmp_path, found).run({"a": np.array([0, 1, 0])})


def test_a_path_that_stands_still_needs_no_delay(cells, tmp_path):
    design = Design(a="input a", b="input b", y="output y").cell("v", "AND2_X1", "a b y")
    net = toy.read(design, cells)
    sim = simulator(net, cells, tmp_path, {(0, "A2", "ZN"): (0.1, 0.1)})
    run = sim.run({"a": np.zeros(4, int), "b": np.array([0, 1, 0, 1])})
    assert not run.activity.toggles[net.net_by_name["y"]]


def test_a_delay_that_does_not_fit_is_refused(cells, hazard, tmp_path):
    found = hazardous(hazard, 0.3, 0.1) | {(int(hazard.groups["INV_X1"].cells[0]), "A", "Q"): (0.1, 0.1)}
    with pytest.raises(Refusal, match=r"^vvp must simulate top, but said 'SDF WARNING: .*'; see "):
        simulator(hazard, cells, tmp_path, found).run({"a": np.array([0, 1, 0])})


def test_what_is_unknown_is_refused(cells, tmp_path, monkeypatch):
    """A flip-flop that does not begin with zero, in the cycle before the first clock edge."""
    monkeypatch.setattr(timed, "_from_zero", lambda path: path.read_text())
    net = toy.read(Design(clk="input clk", d="input d", q="output q").cell("r", "DFF_X1", "d clk q -"), cells)
    sim = simulator(net, cells, tmp_path, delays.none(net, cells, timed.ARRIVAL_NS))
    with pytest.raises(Refusal, match=r"^Every output of top must be known at the end of every cycle; one is not\.$"):
        sim.run({"d": np.ones(5, int)})


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (3, 3), (1, 9)])
def test_no_window_is_refused(cells, hazard, start, stop, tmp_path):
    sim = simulator(hazard, cells, tmp_path, hazardous(hazard, 0.3, 0.1))
    with pytest.raises(Refusal, match=rf"^The counted cycles must lie within 1..4 .*, not {start}..{stop}"):
        sim.run({"a": np.array([0, 1, 0, 1])}, start=start, stop=stop)


def test_a_period_without_room_for_the_inputs_is_refused(cells, hazard, tmp_path):
    with pytest.raises(Refusal, match=r"^The clock period must be at least 0\.4 ns, not 0\.3 ns\.$"):
        simulator(hazard, cells, tmp_path, hazardous(hazard, 0.3, 0.1), period_ns=0.3)


def test_without_icarus_it_is_named(cells, hazard, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match=r"^Icarus Verilog is missing, .*as root: make system-glitch"):
        simulator(hazard, cells, tmp_path, hazardous(hazard, 0.3, 0.1))


VCD = """$timescale 1ps $end
$var wire 1 ! n2 $end
$var wire 1 " n3 $end
$var wire 1 ! n4 $end
$enddefinitions $end
#99
$dumpvars
0!
1"
$end
#100
1!
#150
0!
1!
#170
0!
0"
#180
0"
#200
1!
"""


def test_counts_of_a_file():
    """From 100 to 200: at the end a change no longer counts, there and back in no time was never there twice."""
    assert timed.counts(iter(VCD.splitlines(keepends=True)), 100, 200) == {"n2": (4, 70), "n4": (4, 70), "n3": (1, 70)}
    assert timed.counts(iter(VCD.splitlines(keepends=True)), 160, 201) == {"n2": (2, 11), "n4": (2, 11), "n3": (1, 10)}


def test_unknown_in_a_file_is_refused():
    with pytest.raises(Refusal, match=r"^Every net must be known while it is counted; n3 is x at 180\.$"):
        timed.counts(iter(VCD.replace('#180\n0"', '#180\nx"').splitlines(keepends=True)), 100, 200)
