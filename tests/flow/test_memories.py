# SPDX-License-Identifier: Apache-2.0
"""The list of memories beside each Verilog file: what a text holds, and what the components ask for."""

from collections import Counter
from typing import Any

import pytest
from amaranth.hdl import Fragment
from amaranth.hdl._ir import build_netlist
from amaranth.hdl._nir import AsyncReadPort, Memory, SyncReadPort, SyncWritePort
from amaranth.lib import wiring

from config.presets import arrays
from hdl.catalogue import describe, units
from hdl.emit import ports_of, verilog_of
from hdl.memories import memories_of, total_bits

TEXT = """\
module top(clk);
  inner first (
    .clk(clk)
  );
  inner second (
    .clk(clk)
  );
  queue last (
    .clk(clk)
  );
endmodule

module inner(clk);
  queue held (
    .clk(clk)
  );
  reg [1:0] table [3:0];
  initial begin
    table[0] = 2'h1;
  end
  assign a = table[b];
  reg flags [9:0];
  always @(posedge clk) begin
    if (c)
      flags[d] <= e;
  end
  assign f = flags[d];
endmodule

module queue(clk);
  reg [15:0] words [63:0];
  always @(posedge clk) begin
    if (write[0])
      words[at][7:0] <= word[7:0];
    if (write[1])
      words[at][15:8] <= word[15:8];
  end
  reg [15:0] _0_;
  always @(posedge clk) begin
    if (read) begin
      _0_ <= words[from];
    end
  end
endmodule
"""


def test_a_text() -> None:
    found = memories_of(TEXT)
    assert found == [
        {
            "module": "inner", "name": "flags", "words": 10, "bits": 1, "instances": 2,
            "ports": [{"direction": "write", "enables": 1}, {"direction": "read", "latency": 0}],
        },
        {
            "module": "queue", "name": "words", "words": 64, "bits": 16, "instances": 3,
            "ports": [{"direction": "write", "enables": 2}, {"direction": "read", "latency": 1}],
        },
    ]  # fmt: skip
    assert total_bits(found) == 2 * 10 + 3 * 64 * 16


Kind = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""Words, bits, enables of each port that writes, latency of each that reads."""


def asked_for(component: wiring.Component) -> Counter[Kind]:
    """Memories of the whole component, each of its parts elaborated for itself."""
    cells = build_netlist(Fragment.get(component, None), ports=ports_of(component)).cells
    ports: dict[int, tuple[list[int], list[int]]] = {
        at: ([], []) for at, cell in enumerate(cells) if isinstance(cell, Memory)
    }
    for cell in cells:
        if isinstance(cell, SyncWritePort):
            ports[cell.memory][0].append(len(set(cell.en)))
        if isinstance(cell, SyncReadPort | AsyncReadPort):
            ports[cell.memory][1].append(int(isinstance(cell, SyncReadPort)))
    return Counter((cells[at].depth, cells[at].width, tuple(w), tuple(r)) for at, (w, r) in ports.items())


def listed(memories: list[dict[str, Any]]) -> Counter[Kind]:
    found: Counter[Kind] = Counter()
    for memory in memories:
        writes = tuple(port["enables"] for port in memory["ports"] if port["direction"] == "write")
        reads = tuple(port["latency"] for port in memory["ports"] if port["direction"] == "read")
        found[memory["words"], memory["bits"], writes, reads] += memory["instances"]
    return found


@pytest.mark.parametrize("name", ["softmax_4", "gelu_2", "hlog_dot_4x4", "spls_4x4", "lapa_4x4", "esact_top_4x4"])
def test_the_list_is_what_a_unit_asks_for(name: str) -> None:
    unit = next(unit for unit in units("tiny") if unit.name == name)
    written = unit.make()
    said = describe(unit, written, verilog_of({name: written})[name])
    found = asked_for(unit.make())
    assert listed(said["memories"]) == found
    assert {(len(writes), latencies) for _, _, writes, latencies in found} == {(1, (1,))}
    assert said["memory_bits"] == sum(words * bits * number for (words, bits, *_), number in found.items()) > 0


def test_sums_of_an_array() -> None:
    config = arrays("tiny")["hlog"]
    unit = next(unit for unit in units("tiny") if unit.name == config.name)
    made = unit.make()
    (memory,) = describe(unit, made, verilog_of({config.name: made})[config.name])["memories"]
    assert (memory["words"], memory["bits"] * memory["instances"]) == (config.depth, config.rows * config.acc_bits)
