# SPDX-License-Identifier: Apache-2.0
"""A memory of flip-flops, one read and one write port, mapped onto the 45 nm cells, measured as one port works."""

from pathlib import Path

import numpy as np

from synth import gatesim, liberty, mapping, netlist, power
from synth.energy import INPUT_SLEW_NS

SHAPES = [(words, bits) for words in (2, 4, 8, 16, 32) for bits in (4, 16, 32)]
CYCLES = 2000
# The energies are of accesses and the leakage is apart, so that any period does.
PERIOD_NS = 1.0

RTL = """
module top_words(input clk, input we, input [{A}-1:0] wa, input [{B}-1:0] d, input re, input [{A}-1:0] ra,
                 output reg [{B}-1:0] q);
  reg [{B}-1:0] word [0:{W}-1];
  always @(posedge clk) begin
    if (we) word[wa] <= d;
    if (re) q <= word[ra];
  end
endmodule
module top(input clk, input we, input [{A}-1:0] wa, input [{B}-1:0] d, input re, input [{A}-1:0] ra,
           output [{B}-1:0] q);
  top_words words(clk, we, wa, d, re, ra, q);
endmodule
"""
SCRIPT = """
read_verilog design.v
hierarchy -check -top top
proc
opt
memory
opt
{to_cells}
opt_clean -purge
write_json netlist.json
"""


def measure(words: int, bits: int, path: Path, library: liberty.Library, folder: Path) -> dict[str, float]:
    """Area in µm², fJ of a read and of a write of random words, leakage in nW. The clock of a port that stands still
    is counted with the other port's work for the write, which holds the words' clock gates, and not for the read."""
    address = (words - 1).bit_length()
    text = RTL.format(A=address, B=bits, W=words)
    cells = mapping.to_cells("top", kept=["words"], trees=[], fast=[], buffered=[])
    mapping.run_yosys(SCRIPT.format(to_cells=cells), "top", {"design.v": text}, folder, path)
    net = netlist.read(folder / "netlist.json", library)
    idle, write, read = (_energy(net, library, words, bits, *ports) for ports in ((0, 0), (1, 0), (0, 1)))
    area = sum(library.cells[kind].area * len(group.cells) for kind, group in net.groups.items())
    # fJ each nanosecond are µW.
    leakage = idle.total.leakage / PERIOD_NS * 1e3
    return {
        "area_um2": area,
        "read_fj": _dynamic(read) - _dynamic(idle),
        "write_fj": _dynamic(write),
        "leakage_nw": leakage,
    }


def _energy(net: netlist.Netlist, library: liberty.Library, words: int, bits: int, we: int, re: int) -> power.Power:
    """While the words, random, are written or read or neither, in random order; they are filled first."""
    rng = np.random.default_rng(words * bits)
    fill, cycles = 4 * words, 4 * words + CYCLES
    later = np.arange(cycles) >= fill

    def drawn(limit: int, now: int) -> np.ndarray:
        return np.where(later, now * rng.integers(0, limit, cycles), 0)

    stimulus = {
        "we": np.where(later, we, 1),
        "wa": np.where(later, drawn(words, we), np.arange(cycles) % words),
        "d": np.where(later, drawn(1 << bits, we), rng.integers(0, 1 << bits, cycles)),
        "re": np.where(later, re, 0),
        "ra": drawn(words, re),
    }
    run = gatesim.Simulator(net, library, 1).run(stimulus, start=fill + 1)
    return power.estimate(net, library, run.activity, PERIOD_NS, input_slew_ns=INPUT_SLEW_NS, joint_states=True)


def _dynamic(found: power.Power) -> float:
    return found.total.internal + found.total.switching + found.ports
