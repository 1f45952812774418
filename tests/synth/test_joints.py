# SPDX-License-Identifier: Apache-2.0
"""Two leaves in a row, and one in a branch that dissolves: what each drives, added up by hand."""

import numpy as np
import pytest

from synth import joints, pieces
from tests.synth import toy

TEXT = """module top(a, y);
  top_leaf one (
  );
  top_leaf two (
  );
  top_branch branch (
  );
endmodule

module top_branch();
  top_leaf inner (
  );
endmodule

module top_leaf(i, o);
endmodule
"""
LEAF = toy.Design(i="input i", o="output o").cell("u", "INV", "i o").cell("v", "NAND", "o i n")
# one.o drives a NAND's B, 4 fF, and two.i; two.o an output of the top alone; inner.o an XOR, 2 fF, and a memory.
TOP = (
    toy.Design(
        **{
            "a": "input a",
            "y": "output q",
            "one.i": "output a",
            "one.o": "input p",
            "two.i": "output p",
            "two.o": "input q",
            "branch.inner.i": "output a",
            "branch.inner.o": "input r",
            "store.memory.in[0].pin.D": "output r",
        }
    )
    .cell("w", "NAND", "a p s")
    .cell("x", "XOR", "s r t")
)
PIN = 2.0
"""fF of an INV, of a NAND's A, of an XOR, of a flip-flop's D."""
LARGE = 4.0
"""Of a NAND's B."""
BEHIND_I = PIN + LARGE


@pytest.fixture(scope="module")
def found(cells):
    netlists = {"": toy.read(TOP, cells), "leaf": toy.read(LEAF, cells)}
    return joints.outside(pieces.Design(TEXT, "top", ["leaf"]), netlists, cells)


def test_what_a_piece_drives_below_it(found):
    for port in ("one.i", "two.i", "branch.inner.i"):
        assert found[""][port] == pytest.approx([BEHIND_I])


def test_a_memorys_pin_is_a_flip_flops(found):
    assert found[""]["store.memory.in[0].pin.D"] == pytest.approx([PIN])


def test_an_output_of_the_whole_drives_nothing_known(found):
    assert found[""]["y"] == pytest.approx([0.0])


def test_a_pieces_output_drives_the_mean_of_its_places(found):
    one, two, inner = LARGE + BEHIND_I, 0.0, PIN + PIN
    assert found["leaf"]["o"] == pytest.approx([(one + two + inner) / 3])
    assert set(found["leaf"]) == {"o"}


def test_loads_are_charged(cells, found):
    from synth.slews import loads

    leaf = toy.read(LEAF, cells)
    alone = loads(leaf, cells).worst
    joined = loads(leaf, cells, port_loads=found["leaf"]).worst
    net = leaf.ports["o"].nets[0]
    assert joined[net] - alone[net] == pytest.approx(found["leaf"]["o"][0])
    assert np.count_nonzero(joined != alone) == 1
