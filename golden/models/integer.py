# SPDX-License-Identifier: Apache-2.0
"""A whole model in integers: calibrated on a few real inputs, and run with any plan.

x float ─► int8 or 16 bits ─► layer 0 ─► layer 1 ─► … ─► float
                                 ▲ plan     ▲ plan
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from config.errors import require
from golden.arith.quantise import quantise
from golden.arrays import Array, namespace
from golden.execute import calibrate
from golden.execute.layer import Layer, execute
from golden.models import transformer
from golden.models.transformer import Architecture, LayerWeights, Watch
from golden.speculate.plan import Plan, Planner, all_critical

PERCENTILE = 99.999
"""Of what goes into and comes out of GELU, of Q, K, V and the context: measured on MiniLM, see docs/numerics.md."""


@dataclass(frozen=True)
class Batch:
    """x: float [B, T, D], what the first layer is given. attend: bool [B, T], tokens that are no padding."""

    x: Array
    attend: Array


@dataclass(frozen=True)
class IntegerModel:
    """Layers that fit each other; arrays of the library that `x` comes in once `like` was called."""

    shape: Architecture
    weights: tuple[LayerWeights, ...]
    layers: tuple[calibrate.Converted, ...]

    def like(self, x: Array) -> list[Layer]:
        """The layers with their arrays in the library and on the device of `x`."""
        xp = namespace(x)
        return [each.layer.map(lambda value: xp.asarray(value, device=x.device)) for each in self.layers]

    @property
    def bits(self) -> int:
        """Of what goes from layer to layer."""
        return 8 if self.shape.order == "post" else 16

    def codes(self, x: Array) -> Array:
        """What the first layer is given, int64 [B, T, D]."""
        return quantise(x, self.layers[0].x_scale, self.bits)

    def real(self, codes: Array) -> Array:
        """float64 [B, T, D]: what the last layer's output stands for."""
        xp = namespace(codes)
        return xp.astype(codes, xp.float64) * xp.asarray(self.layers[-1].y_scale, device=codes.device)


def build(
    weights: Sequence[LayerWeights],
    shape: Architecture,
    batches: Iterable[Batch],
    percentile: float = PERCENTILE,
    choose: Callable[[int, Array], Plan] | None = None,
) -> IntegerModel:
    """Runs the float model on the batches, finds the ranges of its tensors, and converts it. choose: the plan of a
    layer, by its number, from what Q, K and V are made of; for a model that was trained to be run so. Raises `Refusal`
    without a batch, and for weights that are not finite."""
    ranges = [calibrate.Ranges(percentile) for _ in weights]
    given = list(batches)
    require(bool(given), "Calibration must be given at least one batch, and was given none; a few real inputs do.")
    for batch in given:
        x = batch.x
        for number, (one, seen) in enumerate(zip(weights, ranges, strict=True)):
            plan = None if choose is None else partial(choose, number)
            x = transformer.layer(
                x, one.like(x), shape, attend=batch.attend, watch=seen.watch(batch.attend), choose=plan
            )
    return IntegerModel(shape, tuple(weights), tuple(calibrate.convert(weights, shape, ranges)))


Plans = Callable[[int, Array], Plan | Planner]
"""The plan of a layer, by its number, for tokens that may be attended to, bool [B, T]."""


def run(
    model: IntegerModel, layers: Sequence[Layer], codes: Array, attend: Array, plans: Plans | None = None, **watch: Any
) -> Array:
    """The last layer's output, int64 [B, T, D], for codes [B, T, D]. plans: dense ones if there are none. watch: what
    `execute` is given, with the number of the layer before the name: `watch=see` calls see(0, "q", …)."""
    for number, layer in enumerate(layers):
        plan = dense(attend, model.shape) if plans is None else plans(number, attend)
        codes = execute(codes, layer, plan, watch=_numbered(number, watch.get("watch")))
    return codes


def _numbered(number: int, see: Callable[[int, str, Array], None] | None) -> Watch | None:
    return None if see is None else lambda name, tensor: see(number, name, tensor)


def dense(attend: Array, shape: Architecture) -> Plan:
    """Every pair that may attend."""
    xp = namespace(attend)
    tokens = attend.shape[-1]
    rows = xp.arange(tokens, device=attend.device)
    pairs = attend[..., None, None, :] & ((rows[None, :] <= rows[:, None]) | (not shape.causal))
    return all_critical(xp.broadcast_to(pairs, (*attend.shape[:-1], shape.heads, tokens, tokens)))
