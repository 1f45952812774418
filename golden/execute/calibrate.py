# SPDX-License-Identifier: Apache-2.0
"""From float weights and the ranges of a few real inputs to layers in integers.

    float layer ─► `Ranges` ─┐
    float weights ───────────┴─► `convert` ─► layers in integers, and the scales of what goes in and comes out

What is free in hardware is used: every output of a matrix product has a scale of its own; so has every channel that a
norm gives, since gains and weights take it up; and what goes into and comes out of GELU has a zero point, which biases
take up, and one of two scales. Trained models have a few channels that are many times as large as all others, and they
matter.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from config.errors import require
from config.execute import (
    EPS_BITS,
    FRACTION_BITS,
    GAIN_BITS,
    GELU_TABLES,
    LARGEST_PROBABILITY,
    NORMAL_BITS,
    STREAM_BITS,
)
from config.formats import OPERAND_BITS
from config.requantise import MAX_SHIFT, MIN_SHIFT
from golden.arith.quantise import LARGEST_CODE, round_half_up
from golden.arrays import Array, to_numpy
from golden.execute.gelu import Steps, table
from golden.execute.layer import Layer
from golden.execute.layer_norm import Norm
from golden.execute.linear import Linear
from golden.execute.scales import Scale, multipliers
from golden.models.transformer import Architecture, LayerWeights

Floats = NDArray[np.float64]
LARGEST_BIAS = 1 << 30
LARGEST_EPS = (1 << EPS_BITS) - 1
LARGEST_SUM = (1 << (STREAM_BITS - 1)) - 1
CHANNELS = ("x", "norm1", "norm2", "hidden", "active")
"""Tensors with a range for each channel."""
WHOLE = ("x", "norm1", "norm2", "sum1", "sum2")
"""Tensors whose range is never cut: their outliers matter."""
HEADS = ("q", "k", "v")
"""Tensors with a range for each head."""
GELU_FLOOR = -4.0
"""Below it GELU is less than 1/7000, so values further down need no code of their own."""
EQUALISE = 0.85
"""How much of a channel's range goes into its scale; the rest stays in the activations, where weights are large."""


@dataclass
class Ranges:
    """The smallest and largest values that each tensor of a layer had, by name: of `CHANNELS` per channel [D], of
    `HEADS` per head [H], of others [1].

    percentile: 100 takes the extremes themselves, min-max calibration. Less leaves that much of each batch beyond, at
    either end, to saturate, except in `WHOLE`, and takes the furthest of the batches.
    """

    percentile: float = 100.0
    low: dict[str, Floats] = field(default_factory=dict)
    high: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(
            50 < self.percentile <= 100,
            f"percentile must be above 50 and at most 100, not {self.percentile}; 100 takes the extremes.",
        )

    def watch(self, attend: Array | None = None) -> Callable[[str, Array], None]:
        """What to give to `transformer.layer`; attend: bool [..., T], tokens that count."""

        def see(name: str, tensor: Array) -> None:
            if name == "scores":
                return
            axis = {**dict.fromkeys(CHANNELS, -1), **dict.fromkeys(HEADS, -3)}.get(name)
            values = _lines(tensor, attend, axis)
            cut = 100.0 if name in WHOLE else self.percentile
            low, high = (
                (values.min(1), values.max(1)) if cut == 100 else np.percentile(values, [100 - cut, cut], axis=1)
            )
            self.low[name] = np.minimum(self.low.get(name, np.inf), low)
            self.high[name] = np.maximum(self.high.get(name, -np.inf), high)

        return see

    def largest(self, name: str) -> Floats:
        """Magnitudes, above 0."""
        require(name in self.low, f"Ranges must hold the tensor {name}, and do not; watch a run of the float layer.")
        return np.maximum(np.maximum(-self.low[name], self.high[name]), 1e-9)


def _lines(tensor: Array, attend: Array | None, axis: int | None) -> Floats:
    """All values of the tokens that count, a line for each index of `axis`, or one."""
    # Tokens first: heads stand before them.
    values: Floats = to_numpy(tensor)
    values = np.moveaxis(values, -3, -2) if axis == -3 else values
    if attend is not None:
        values = values[to_numpy(attend)]
    if axis is None:
        return values.reshape(1, -1)
    return np.moveaxis(values, -1 if axis == -1 else -2, 0).reshape(values.shape[-1 if axis == -1 else -2], -1)


@dataclass(frozen=True)
class Converted:
    """A layer in integers, and scales: a real value is integer · scale. Of what goes in and comes out, of each channel
    [D] (post) or of all [1] (pre); and of what Q, K and V are made of, of each channel."""

    layer: Layer
    x_scale: Floats
    y_scale: Floats
    qkv_scale: Floats


def convert(
    weights: Sequence[LayerWeights], shape: Architecture, ranges: Sequence[Ranges], *, equalise: float = EQUALISE
) -> list[Converted]:
    """All layers of a model. Raises `Refusal` for weights that are not finite."""
    layers = [one.map(lambda tensor: to_numpy(tensor).astype(np.float64)) for one in weights]
    for each in (tensor for one in layers for tensor in vars(one).values()):
        require(bool(np.isfinite(each).all()), "Weights must be finite, and one is a NaN or an infinity; check them.")
    post = shape.order == "post"
    inputs = [
        _channels(seen.largest("x"), _qkv(w), equalise) if post else seen.largest("x").max(keepdims=True) / LARGEST_SUM
        for w, seen in zip(layers, ranges, strict=True)
    ]
    last = ranges[-1].largest("norm2") / LARGEST_CODE if post else ranges[-1].largest("sum2") / LARGEST_SUM
    outputs = [*inputs[1:], last]
    return [
        _Conversion(w, shape, seen, x_scale, y_scale, equalise).converted()
        for w, seen, x_scale, y_scale in zip(layers, ranges, inputs, outputs, strict=True)
    ]


@dataclass(frozen=True)
class _Conversion:
    w: LayerWeights
    shape: Architecture
    ranges: Ranges
    x_scale: Floats
    y_scale: Floats
    equalise: float

    def converted(self) -> Converted:
        w, post, heads = self.w, self.shape.order == "post", self.shape.heads
        head_width = w.wq.shape[0] // heads
        q, k, v = (self.ranges.largest(name) / LARGEST_CODE for name in HEADS)
        context = self.ranges.largest("context") / LARGEST_CODE
        sum1 = self.ranges.largest("sum1") / LARGEST_SUM
        sum2 = self.ranges.largest("sum2") / LARGEST_SUM if post else self.y_scale
        norm1 = _channels(self.ranges.largest("norm1"), w.w_up if post else _qkv(w), self.equalise)
        norm2 = self.y_scale if post else _channels(self.ranges.largest("norm2"), w.w_up, self.equalise)
        first, second = (self.x_scale, norm1) if post else (norm1, norm2)
        hidden, active, choice = self._gelu()
        hidden_scale, hidden_zero, active_scale, active_zero = (
            np.array([getattr(each, name) for each in steps])[choice]
            for steps in (hidden, active)
            for name in ("scale", "zero")
        )
        exponent = q * k / math.sqrt(head_width) * math.log2(math.e) * (1 << FRACTION_BITS)
        down = _linear(w.w_down, w.b_down, active_scale, sum2, STREAM_BITS)
        layer = Layer(
            order=self.shape.order,
            heads=heads,
            q=_linear(w.wq, w.bq, first, np.repeat(q, head_width)),
            k=_linear(w.wk, w.bk, first, np.repeat(k, head_width)),
            v=_linear(w.wv, w.bv, first, np.repeat(v, head_width)),
            o=_linear(w.wo, w.bo, np.repeat(context, w.wo.shape[1]), sum1, STREAM_BITS),
            up=_linear(w.w_up, w.b_up + hidden_zero * hidden_scale, second, hidden_scale),
            down=_without_zero(down, active_zero),
            exponent=_by_head(exponent),
            context=_by_head(v / (context * LARGEST_PROBABILITY)),
            stream1=multipliers(self.x_scale / sum1),
            stream2=multipliers((second if post else sum1) / sum2),
            norm1=_norm(w.gain1, w.offset1, norm1, self.shape.eps, sum1 if post else self.x_scale),
            norm2=_norm(w.gain2, w.offset2, norm2, self.shape.eps, sum2 if post else sum1),
            gelu=np.stack([table(*steps) for steps in zip(hidden, active, strict=True)]),
            gelu_choice=choice,
            # Beyond the limit everything but 0 saturates anyway.
            skip=multipliers(np.minimum(self.x_scale / self.y_scale, LARGEST_SUM)),
        )
        return Converted(layer, self.x_scale, self.y_scale, first)

    def _gelu(self) -> tuple[list[Steps], list[Steps], NDArray[np.int64]]:
        """The steps of what goes into and comes out of each table, and the table of each channel."""
        low, high = self.ranges.low, self.ranges.high
        bottom = np.maximum(low["hidden"], GELU_FLOOR)
        choice = _parted(np.maximum(high["hidden"], -bottom))
        groups = [choice == table for table in range(GELU_TABLES)]
        hidden = [_steps(bottom[group], high["hidden"][group]) for group in groups]
        active = [_steps(low["active"][group], high["active"][group]) for group in groups]
        return hidden, active, choice


def _qkv(w: LayerWeights) -> Floats:
    return np.concatenate([w.wq, w.wk, w.wv])


def _channels(largest: Floats, w: Floats, equalise: float) -> Floats:
    """Scales [D] of channels whose values are at most `largest`, and are multiplied by the columns of w."""
    weight = np.maximum(np.abs(w).max(axis=0), 1e-9)
    shape = largest**equalise / weight ** (1 - equalise)
    return np.asarray(shape * (largest / shape).max() / LARGEST_CODE)


def _parted(largest: Floats) -> NDArray[np.int64]:
    """1 for the channels with a coarse scale, 0 for the others, which are as fine as the largest of them allows: as
    many of the largest as leave the least sum of squared steps."""
    order = np.argsort(-largest, kind="stable")
    falling = largest[order]
    coarse = np.arange(len(largest))
    squares = coarse * falling[0] ** 2 + (len(largest) - coarse) * falling**2
    choice = np.zeros(len(largest), dtype=np.int64)
    choice[order[: int(np.argmin(squares))]] = 1
    return choice


def _steps(low: Floats, high: Floats) -> Steps:
    """256 steps from the lowest to the highest, 0 included among them."""
    half = 1 << (OPERAND_BITS - 1)
    bottom, top = min(low.min(initial=0.0), 0.0), max(high.max(initial=0.0), 1e-9)
    scale = (top - bottom) / (2 * half - 1)
    return Steps(float(scale), round(-half - bottom / scale))


def _by_head(factors: Floats) -> Scale:
    return multipliers(factors).map(lambda values: values[:, None, None])


def _linear(w: Floats, b: Floats, x_scale: Floats, y_scale: Floats, bits: int = OPERAND_BITS) -> Linear:
    """Weights symmetric, each output with its own scale, which leaves its bias within int32."""
    w = w * x_scale
    largest = np.abs(w).max(axis=1)
    scale = np.where(largest > 0, largest / LARGEST_CODE, y_scale)
    scale = np.maximum(scale, np.abs(b) / LARGEST_BIAS)
    by = multipliers(scale / y_scale)
    codes = np.clip(round_half_up(w / scale[:, None]), -LARGEST_CODE, LARGEST_CODE)
    return Linear(codes, round_half_up(b / scale), by.mul, by.shift, bits)


def _without_zero(layer: Linear, zero: NDArray[np.int64]) -> Linear:
    """The layer for inputs whose codes are higher by `zero` [D]."""
    return Linear(layer.w, layer.bias - layer.w @ zero, layer.mul, layer.shift, layer.bits)


def _norm(gain: Floats, offset: Floats, y_scale: Floats, eps: float, x_scale: Floats) -> Norm:
    """Gain and offset with as many fraction bits as fit: |gain| below 2^15, |offset| below 2^30."""
    unit = 1 << NORMAL_BITS
    gains, offsets = gain / y_scale / unit, offset / y_scale
    largest = max(float(np.abs(gains).max()) * 2, float(np.abs(offsets).max()) / (1 << GAIN_BITS - 2), 1e-9)
    shift = min(max(GAIN_BITS - math.frexp(largest)[1], MIN_SHIFT), MAX_SHIFT)
    return Norm(
        gain=np.clip(round_half_up(gains * 2.0**shift), -LARGEST_SUM, LARGEST_SUM),
        offset=round_half_up(offsets * 2.0**shift),
        shift=shift,
        # Beyond what the hardware holds: a layer whose sums hardly vary in their own units.
        eps=round(min(len(gain) ** 2 * eps / float(x_scale.max()) ** 2, LARGEST_EPS)),
    )
