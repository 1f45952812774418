# SPDX-License-Identifier: Apache-2.0
"""The units beside the PE arrays, each from its configuration."""

from dataclasses import asdict

from amaranth.lib import wiring

from config.units import GeluConfig, LayerNormConfig, ResidualConfig, SoftmaxConfig, UnitConfig
from hdl.execute.gelu import GeluUnit
from hdl.execute.layer_norm import LayerNormUnit
from hdl.execute.residual import ResidualUnit
from hdl.execute.softmax import SoftmaxUnit

_KINDS = {
    SoftmaxConfig: SoftmaxUnit,
    LayerNormConfig: LayerNormUnit,
    GeluConfig: GeluUnit,
    ResidualConfig: ResidualUnit,
}


def unit_of(config: UnitConfig) -> wiring.Component:
    """The unit that a configuration describes."""
    return _KINDS[type(config)](**asdict(config))
