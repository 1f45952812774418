# SPDX-License-Identifier: Apache-2.0
"""What goes into Sanger's unit, and what its parts hand each other."""

from amaranth.hdl import signed
from amaranth.lib import data

from config.execute import POWER_BITS
from config.formats import OPERAND_BITS
from config.sanger import SangerConfig
from config.speculate import PROBABILITY_UNITY
from hdl.speculate.socket import token_shape

THRESHOLD_BITS = (PROBABILITY_UNITY - 1).bit_length()
BOUND_BITS = POWER_BITS
"""Powers of 2^21 are kept in any case: nothing else is above 2^21 - 1, the largest bound."""


def settings_layout(config: SangerConfig) -> data.StructLayout:
    """A layer's settings. `tokens`: length of the sequence; `heads`: how many; each from 1 to what the unit is built
    for. `causal`: keys up to the row itself only. `threshold`: in 65536ths of a probability, as in `SangerSettings`."""
    return data.StructLayout(
        {
            "tokens": range(config.tokens + 1),
            "heads": range(config.heads + 1),
            "causal": 1,
            "threshold": THRESHOLD_BITS,
        }
    )


def query_layout(config: SangerConfig) -> data.StructLayout:
    """A beat of Q: `value`, one int8 per lane, zeros beyond the head. A row takes head_slices beats, one behind the
    other; rows rising, head by head."""
    return data.StructLayout({"value": data.ArrayLayout(signed(OPERAND_BITS), config.lanes)})


def key_layout(config: SangerConfig) -> data.StructLayout:
    """A beat of K, likewise; `attend`: the key may be attended to, the same in all of its beats."""
    return data.StructLayout({"value": data.ArrayLayout(signed(OPERAND_BITS), config.lanes), "attend": 1})


def score_tag_layout(config: SangerConfig) -> data.StructLayout:
    """What is known of a beat whose totals come out of the array: the `block` of queries, the `key`, whether it may be
    attended to (`attend`), and whether it is the block's `last`."""
    return data.StructLayout({"block": range(config.blocks), "key": token_shape(config.plan), "attend": 1, "last": 1})


def column_layout(config: SangerConfig) -> data.StructLayout:
    """Scores of one key against a block of `rows` queries. `sum`: per row, of 4-bit operands; `valid`: per row, it
    exists and may attend to the key; `last`: last column of the block."""
    return data.StructLayout(
        {"sum": data.ArrayLayout(signed(config.sum_bits), config.rows), "valid": config.rows, "last": 1}
    )


def powers_layout(config: SangerConfig) -> data.ArrayLayout:
    """Powers of a chunk's keys, 0 to 2^21."""
    return data.ArrayLayout(POWER_BITS + 1, config.rows)


def waiting_layout(config: SangerConfig) -> data.StructLayout:
    """A chunk of a row that waits for the row's bound; `valid`: there is one, `last`: of the row's."""
    return data.StructLayout({"tag": data.StructLayout({"valid": 1, "last": 1}), "powers": powers_layout(config)})
