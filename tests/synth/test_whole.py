# SPDX-License-Identifier: Apache-2.0
"""Pieces put together again: clocks of blocks, with paths from piece to piece."""

import pytest

from config.errors import Refusal
from synth import library, pieces, whole

REGISTER = """module top_NAME(clk, rst, d, q);
  input clk;
  wire clk;
  input rst;
  wire rst;
  input [7:0] d;
  wire [7:0] d;
  output [7:0] q;
  reg [7:0] q;
  always @(posedge clk) if (rst) q <= 8'd0; else q <= d;
endmodule

"""


def text(chain, reset):
    """A register, a chain of so many pieces that add, and a register behind it in another piece."""
    links = "".join(f"  top_add link{n} (\n    .a(w{n}),\n    .y(w{n + 1})\n  );\n" for n in range(chain))
    wires = "".join(f"  wire [7:0] w{n};\n" for n in range(chain + 1))
    return f"""// SPDX-License-Identifier: Apache-2.0
module top(aclk, aresetn, i, o, through);
  input aclk;
  wire aclk;
  input aresetn;
  wire aresetn;
  input [7:0] i;
  wire [7:0] i;
  output [7:0] o;
  wire [7:0] o;
  output through;
  wire through;
  assign through = i[0];
{wires}
  top_hold before (
    .clk(aclk),
    .rst({reset}),
    .d(i),
    .q(w0)
  );
{links}  top_last after (
    .clk(aclk),
    .rst(aresetn),
    .d(w{chain}),
    .q(o)
  );
endmodule

module top_add(a, y);
  input [7:0] a;
  wire [7:0] a;
  output [7:0] y;
  wire [7:0] y;
  assign y = a + 8'd85;
endmodule

{REGISTER.replace("NAME", "hold")}{REGISTER.replace("NAME", "last")}"""


BLOCK_OF = {"": "top", "hold": "before", "add": "chain", "last": "after"}


def clocks(chain, work, reset="aresetn"):
    design = pieces.Design(text(chain, reset), "top", BLOCK_OF)
    (mapped,) = pieces.map_all([design], library.liberty())
    return whole.clocks(mapped, BLOCK_OF, work, library.liberty())


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(pieces, "CACHE", tmp_path / "mapped")


def test_a_path_leads_through_several_pieces(tmp_path):
    short, long = clocks(1, tmp_path / "short"), clocks(4, tmp_path / "long")
    assert set(short) == set(long) == {"before", "after"}
    assert short["before"] == long["before"]
    periods = [1e3 / found["after"] for found in (short, long)]
    assert periods[1] > 1.5 * periods[0]


def test_a_reset_is_a_path_like_any_other(tmp_path):
    late, early = clocks(4, tmp_path / "late", "w4[7]"), clocks(4, tmp_path / "early")
    assert 1e3 / late["before"] > 1.5e3 / early["before"]


def test_a_netlist_that_cannot_be_timed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "CLOCK", "no_such_port")
    with pytest.raises(Refusal, match="OpenSTA must time piece"):
        clocks(1, tmp_path / "whole")
