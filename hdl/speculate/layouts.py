# SPDX-License-Identifier: Apache-2.0
"""What travels through the dot-product array."""

from amaranth.hdl import signed
from amaranth.lib import data

from config.array import ArrayConfig
from hdl.speculate.lanes import lane_of


def weights_layout(config: ArrayConfig) -> data.ArrayLayout:
    """A transfer of weights: for `load` rows, one w code per lane."""
    return data.ArrayLayout(data.ArrayLayout(lane_of(config).w_code, config.lanes), config.load)


def beat_layout(config: ArrayConfig) -> data.StructLayout:
    """An x beat: `code`, one x code per lane; `clear`: the first tile of a sum, start from 0; `emit`: the last tile of
    a sum, send the totals; `last`: the last beat of its tile."""
    return data.StructLayout(
        {"code": data.ArrayLayout(lane_of(config).x_code, config.lanes), "clear": 1, "emit": 1, "last": 1}
    )


def integers_layout(config: ArrayConfig) -> data.StructLayout:
    """`beat_layout` before coding: `value`, one integer per lane, in place of `code`."""
    integers = data.ArrayLayout(signed(config.system.bits), config.lanes)
    return data.StructLayout({"value": integers, "clear": 1, "emit": 1, "last": 1})


def totals_layout(config: ArrayConfig) -> data.StructLayout:
    """A result: `total`, one accumulator per row; `last`, copied from the beat."""
    return data.StructLayout({"total": data.ArrayLayout(signed(config.acc_bits), config.rows), "last": 1})


def tag_layout(config: ArrayConfig) -> data.StructLayout:
    """What the control of a stage knows of the beat in it; `offset`: it is the beat of zeros behind new weights;
    `beat`: its number in the tile."""
    beat_bits = max(1, (config.depth - 1).bit_length())
    return data.StructLayout({"valid": 1, "offset": 1, "clear": 1, "emit": 1, "last": 1, "beat": beat_bits})


def control_layout(stages: int) -> data.StructLayout:
    """What a row is told: `enable` per register stage; of the beat in front of the last stage: `offset`, it is the
    offset; `clear`, its sum starts from 0."""
    return data.StructLayout({"enable": stages, "offset": 1, "clear": 1})
