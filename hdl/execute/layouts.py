# SPDX-License-Identifier: Apache-2.0
"""What softmax takes and gives: beats of scores, a row's settings, beats of codes."""

from amaranth.hdl import signed
from amaranth.lib import data

from config.execute import PROBABILITY_BITS
from config.requantise import MUL_BITS, SHIFT_BITS

MULTIPLIER = data.StructLayout({"mul": MUL_BITS, "shift": SHIFT_BITS})
"""A factor mul / 2^shift."""

ROW = data.StructLayout({"exponent": MULTIPLIER, "context": MULTIPLIER})
"""Settings of a row: what takes a score to 64ths of an exponent of 2; and what takes a sum of codes times V to the
result, if the row's powers sum up to 2^21."""


def scores_layout(lanes: int, score_bits: int) -> data.StructLayout:
    """A beat of a row: its scores, which of them are kept, and whether it is the row's last one."""
    return data.StructLayout({"scores": data.ArrayLayout(signed(score_bits), lanes), "kept": lanes, "last": 1})


def codes_layout(lanes: int) -> data.StructLayout:
    """The beat's codes, 0 for what is not kept."""
    return data.StructLayout({"codes": data.ArrayLayout(PROBABILITY_BITS, lanes), "last": 1})
