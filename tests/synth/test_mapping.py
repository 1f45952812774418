# SPDX-License-Identifier: Apache-2.0
"""Modules that are mapped for speed: of every width there is a netlist, and it computes what they do."""

import numpy as np
import pytest

from hdl.arith.larger import Larger
from hdl.emit import verilog
from hdl.execute.query_feed import FairChoice
from synth import gatesim, liberty, library, mapping, netlist
from synth.gatesim import to_integers

RNG = np.random.default_rng(45)

SCRIPT = """
read_verilog design.v
hierarchy -check -top top
proc
opt
{to_cells}
opt_clean -purge
write_json netlist.json
"""


def simulator(component, ports, folder, streams):
    """Of a component's netlist, mapped as the module of a top for speed, like those of the units."""
    inner = verilog(component, "top_inner")
    whole = (
        f"module top({', '.join(ports)}); top_inner inner({', '.join(f'.{p.split()[-1]}' for p in ports)}); endmodule"
    )
    cells = mapping.to_cells("top", kept=[], trees=[], fast=["inner"], buffered=[])
    path = library.liberty()
    mapping.run_yosys(SCRIPT.format(to_cells=cells), "top", {"design.v": inner + whole}, folder / "map", path)
    known = liberty.read(path)
    return gatesim.Simulator(netlist.read(folder / "map" / "netlist.json", known), known, streams)


# Of these widths ABC's mapper leaves gates without a load.
@pytest.mark.parametrize("bits", [7, 13, 18])
def test_comparison(bits, tmp_path):
    a, b = RNG.integers(1 << bits, size=(2, 1, 4096))
    b = np.where(RNG.random(b.shape) < 0.1, a, b ^ (RNG.random(b.shape) < 0.5) << RNG.integers(bits, size=b.shape))
    word = f"[{bits - 1}:0]"
    ports = [f"input {word} a", f"input {word} b", "output above", f"output {word} o"]
    run = simulator(Larger(bits), ports, tmp_path, a.size).run({"a": np.repeat(a, 2, 0), "b": np.repeat(b, 2, 0)})
    assert np.array_equal(to_integers(run.outputs["above"], signed=False)[0], (a > b)[0])
    assert np.array_equal(to_integers(run.outputs["o"], signed=False)[0], np.maximum(a, b)[0])


def fair(asks, width):
    """What `FairChoice` chooses, cycle by cycle; before, the last one was chosen."""
    last, chosen = width - 1, []
    for ask in asks:
        turn = [(last + 1 + n) % width for n in range(width)]
        last = next((n for n in turn if ask >> n & 1), last)
        chosen.append(1 << last if ask else 0)
    return chosen


@pytest.mark.parametrize("width", [4, 16])
def test_choice(width, tmp_path):
    asks = RNG.integers(1 << width, size=(200, 8)) & RNG.integers(1 << width, size=(200, 8))
    word = f"[{width - 1}:0]"
    ports = ["input clk", "input rst", f"input {word} asks", f"output {word} chosen"]
    found = simulator(FairChoice(width), ports, tmp_path, 8).run({"asks": asks, "rst": np.zeros(200, int)})
    wanted = np.stack([fair(stream, width) for stream in asks.T.tolist()], axis=1)
    assert np.array_equal(to_integers(found.outputs["chosen"], signed=False), wanted)


RESETS = """
module top(input clk, input rst, input load, input [7:0] word, output reg [7:0] low, output reg [7:0] high);
  always @(posedge clk) if (rst) {low, high} <= 16'h00ff; else if (load) {low, high} <= {word, ~word};
endmodule
"""


def test_registers_that_are_reset_have_clock_gates(tmp_path):
    path = library.liberty()
    cells = mapping.to_cells("top", kept=[], trees=[], fast=[], buffered=[])
    mapping.run_yosys(SCRIPT.format(to_cells=cells), "top", {"design.v": RESETS}, tmp_path / "map", path)
    known = liberty.read(path)
    mapped = netlist.read(tmp_path / "map" / "netlist.json", known)
    assert [len(group.cells) for kind, group in mapped.groups.items() if known.cells[kind].gate] == [1]
    rst, load, word = *RNG.integers(2, size=(2, 60, 8)).tolist(), RNG.integers(256, size=(60, 8))
    rst[0] = [1] * 8
    found = gatesim.Simulator(mapped, known, 8).run({"rst": np.array(rst), "load": np.array(load), "word": word})
    low, high = (to_integers(found.outputs[name], signed=False) for name in ("low", "high"))
    for stream in range(8):
        state = (0, 255)
        for now in range(1, 60):
            if rst[now - 1][stream]:
                state = (0, 255)
            elif load[now - 1][stream]:
                state = (int(word[now - 1][stream]), 255 - int(word[now - 1][stream]))
            assert (low[now][stream], high[now][stream]) == state
