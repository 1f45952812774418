# SPDX-License-Identifier: Apache-2.0
"""What goes into SpAtten's unit, and what its parts hand each other."""

from amaranth.hdl import signed
from amaranth.lib import data

from config.execute import DIVISOR_BITS, POWER_BITS, PROBABILITY_BITS
from config.formats import OPERAND_BITS
from config.spatten import DIGIT_BITS, SpattenConfig
from config.speculate import UNITY

SHARE_BITS = 2 * PROBABILITY_BITS
"""Of a probability in units of 1/65280: 0 to 65280."""


def settings_layout(config: SpattenConfig) -> data.StructLayout:
    """A layer's settings. `first`: of its batch; nothing is dropped, whatever the shares say. `tokens`: length of the
    sequence; `heads`: how many; each from 1 to what the unit is built for, the same in all layers of a batch.
    `drop_tokens`: of the tokens that may be attended to, how many 256ths are dropped by the time the layer starts;
    `drop_heads`: of the heads, likewise; as in `SpattenSettings`."""
    return data.StructLayout(
        {
            "first": 1,
            "tokens": range(config.tokens + 1),
            "heads": range(config.heads + 1),
            "drop_tokens": range(UNITY),
            "drop_heads": range(UNITY),
        }
    )


def total_layout(config: SpattenConfig) -> data.StructLayout:
    """A row of softmax. `total`: sum of its powers, 0 without keys, else 2^21 or more; `attend`: its token is no
    padding: else it counts for nothing; `last`: the layer's last row."""
    return data.StructLayout({"total": POWER_BITS + config.tokens.bit_length(), "attend": 1, "last": 1})


def codes_layout(config: SpattenConfig) -> data.ArrayLayout:
    """Softmax codes of a chunk of a row's keys, 0 for what is not kept or does not exist. A row has as many chunks as
    the sequence, in rising order."""
    return data.ArrayLayout(PROBABILITY_BITS, config.rows)


def context_layout(config: SpattenConfig) -> data.StructLayout:
    """Results of a row in a head. `value`: one int8 per lane, zeros beyond the head; `head`: which; `attend`: the row's
    token is no padding: else they count for nothing; `last`: the layer's last beat."""
    return data.StructLayout(
        {
            "value": data.ArrayLayout(signed(OPERAND_BITS), config.lanes),
            "head": range(config.heads),
            "attend": 1,
            "last": 1,
        }
    )


def scale_layout(config: SpattenConfig) -> data.StructLayout:
    """What takes a row's codes to shares. `reciprocal`: 2^30 over the total's top 16 bits, up to 2^15; `over`: bits
    that the total has over 22; `counts`: the row counts; `last`: it is the layer's last."""
    return data.StructLayout(
        {"reciprocal": DIVISOR_BITS, "over": range(config.tokens.bit_length()), "counts": 1, "last": 1}
    )


def words_layout(config: SpattenConfig) -> data.ArrayLayout:
    """A chunk of sums as they are searched, in whole digits, unsigned."""
    return data.ArrayLayout(config.digits * DIGIT_BITS, config.rows)


def number_of(chunks: int) -> range:
    """The number of a chunk. A single one has a number as well: no port is without bits."""
    return range(max(chunks, 2))


def chunks_of(config: SpattenConfig) -> int:
    """Chunks of tokens, or of heads, whichever are more."""
    return max(config.blocks, config.head_chunks)
