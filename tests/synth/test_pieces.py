# SPDX-License-Identifier: Apache-2.0
import pytest

from config.errors import Refusal
from synth import pieces
from synth.pieces import Design, Instance

TEXT = """// SPDX-License-Identifier: Apache-2.0
module top(clk, a, y);
  input clk;
  wire clk;
  input [3:0] a;
  wire [3:0] a;
  output y;
  wire y;
  wire [1:0] between;
  top_pair one (
    .a(a[1:0]),
    .y(between[0])
  );
  top_pair two (
    .a(a[3:2]),
    .y(between[1])
  );
  top_leaf last (
    .a(between),
    .y(y)
  );
endmodule

module top_leaf(a, y);
  input [1:0] a;
  wire [1:0] a;
  output y;
  wire y;
  assign y = &a;
endmodule

module top_pair(a, y);
  input [1:0] a;
  wire [1:0] a;
  output y;
  reg signed [0:0] y;
  reg [2:0] store [1:0];
  top_leaf inner (
    .a(a),
    .y(y)
  );
endmodule
"""


def test_all_pieces_in_their_places():
    design = Design(TEXT, "top", ["leaf"])
    assert design.instances == [
        Instance("", ""),
        Instance("one.inner", "leaf"),
        Instance("two.inner", "leaf"),
        Instance("last", "leaf"),
    ]
    assert design.counts == {"": 1, "leaf": 3}
    assert design.parts("") == {"one.inner": "leaf", "two.inner": "leaf", "last": "leaf"}


def test_what_dissolves_is_part_of_what_holds_it():
    design = Design(TEXT, "top", ["pair"])
    assert design.counts == {"": 1, "pair": 2}
    assert design.parts("") == {"one": "pair", "two": "pair"}
    widths = design.widths("pair")
    assert widths["inner.a"] == 2
    assert widths["y"] == 1
    assert widths["store[1]"] == 3
    assert design.widths_joined("")["two.a"] == 2
    assert "two.inner.a" not in design.widths_joined("")


def test_a_piece_is_known_by_its_text_whatever_design_it_is_from():
    other = TEXT.replace("top", "another")
    here, there = Design(TEXT, "top", ["leaf", "pair"]), Design(other, "another", ["leaf", "pair"])
    for piece in ("", "leaf", "pair"):
        assert here.text(piece) == there.text(piece)
    assert here.text("leaf").startswith("module piece_leaf(")
    assert "assign y = &a" not in here.text("pair")
    assert "(* blackbox, keep *)\nmodule piece_leaf(a, y);\n  input [1:0] a;\n  output y;\nendmodule" in here.text(
        "pair"
    )
    assert "assign y = &a" in Design(TEXT, "top", ["pair"]).text("pair")


def test_there_must_be_such_a_top():
    with pytest.raises(Refusal, match="must have a module other, and has none"):
        Design(TEXT, "other", [])


def test_pieces_count_in_one_block():
    assert pieces.shares({"x": ("a", "b"), "y": ("c",)}) == {"a": "x", "b": "x", "c": "y"}
