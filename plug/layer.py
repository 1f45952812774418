# SPDX-License-Identifier: Apache-2.0
"""A layer's prediction from X and the weights, before Q, K and V exist.

    X ─► int8 ─┐                                   ┌─► (rotated) ─► int8 ─┐
    W ─► int8 ─┴─► dot ─► + bias ─► requantise ─► Q̂, K̂ ───────────────────┴─► choose ─► plan

The same golden functions as `golden.speculate.spls.predict` and its like, and for a whole sequence that all rows see,
without rotation, the same plan to the bit, with scales as `golden.speculate.calibrate` finds them. A batch has scales
of its own per sequence, and a causal mask has the scales of `plug.sight`.

Rotary position embedding: Q̂ and K̂ are requantised to int8 first, then rotated, and rounded to int8 again. In hardware
that is a rotation unit behind the requantiser, two 8-bit multiplications per element of Q̂ and K̂ against D additions
for the element itself, and a table of sines and cosines; the array and the scores stay as they are. Heads of Q that
share a head of K share K̂, which is predicted once.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from config.array import NumberSystem
from golden.arith.quantise import round_half_up
from golden.arith.requantise import requantise
from golden.arrays import split_heads
from golden.speculate.array import dot
from golden.speculate.compare import calibrate
from plug.attention import repeated
from plug.families import Layer, Projection
from plug.predictors import Predictor
from plug.sight import Selection, Sight, Tensor, by_row, quantised, step

Rotate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of q and k [B, H, T, dh], rotated by their positions."""


class Weights:
    """int8 W [H·dh, D] of a projection, symmetric as a whole, and its bias; coded again when the weights change."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._seen: Tensor | None = None

    def read(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """W int64 within int8, its scale, and the real-valued bias or none."""
        weight, bias = self._projection.read()
        # Versions do not tell of what is written through `.data`: the content itself does.
        seen = self._seen
        if seen is None or seen.device != weight.device or not torch.equal(seen, weight):
            largest = weight.double().abs().max()
            self._found = quantised(weight, largest), step(largest)
            self._seen = weight.detach().clone()
        return *self._found, bias


def predicted(
    predictor: Predictor,
    x: Tensor,
    q: Weights,
    k: Weights,
    layer: Layer,
    sight: Sight,
    rotate: Rotate | None,
) -> Selection:
    """What the predictor decides for X [B, T, D]; `predictor.system` says in which numbers."""
    system = predictor.system
    assert system is not None
    everything = torch.ones((x.shape[0], layer.heads, x.shape[1]), dtype=torch.bool, device=x.device)
    largest = sight.largest_key(x.double().abs().amax(-1)[:, None, :])

    def run(rows: Tensor, largest_x: Tensor) -> Selection:
        codes, scale = quantised(x, largest_x.amax(1, keepdim=True)), step(largest_x)[..., None]
        sums_q = _sums(codes, scale, q, layer.heads, system)
        sums_k = _sums(codes, scale, k, layer.key_heads, system)
        return _chosen(predictor, sums_q, sums_k, sight, rows & everything, rotate)

    return by_row([largest.expand(*everything.shape)], everything, run)


def _sums(x: Tensor, x_scale: Tensor, weights: Weights, heads: int, system: NumberSystem) -> Tensor:
    """[B, h, T, dh], bias included. x_scale: [B, h, 1, 1]."""
    w, w_scale, bias = weights.read()
    sums: Tensor = split_heads(dot(x, w, system), heads)
    if bias is None:
        return sums
    scale = x_scale[:, :1] * w_scale
    return sums + round_half_up(bias.double().reshape(heads, 1, -1) / scale)


def _chosen(
    predictor: Predictor, sums_q: Tensor, sums_k: Tensor, sight: Sight, wanted: Tensor, rotate: Rotate | None
) -> Selection:
    # Heads that share K̂ may be at different scales of it at a time, as they run through the rows.
    sums_k = repeated(sums_k, sums_q.shape[1])
    largest_q = sight.largest_row(sums_q.abs().amax(-1))
    largest_k = sight.largest_key(sums_k.abs().amax(-1))

    def run(rows: Tensor, most_q: Tensor, most_k: Tensor) -> Selection:
        q, k = _requantised(sums_q, most_q), _requantised(sums_k, most_k)
        if rotate is None:
            return predictor.choose(q, k, sight, rows)
        return predictor.select(*rotate(q.double(), k.double()), sight, rows)

    return by_row([largest_q, largest_k], wanted, run)


def _requantised(sums: Tensor, largest: Tensor) -> Tensor:
    """int8 as int64. largest: [B, h, 1] of the sums."""
    found = [_multiplier(int(each)) for each in largest.flatten().tolist()]
    mul, shift = (
        torch.tensor(values, device=sums.device).reshape(*largest.shape, 1) for values in zip(*found, strict=True)
    )
    result: Tensor = requantise(sums, mul, shift)
    return result


@lru_cache(maxsize=4096)
def _multiplier(largest: int) -> tuple[int, int]:
    found = calibrate(np.asarray([largest], dtype=np.int64))
    return found.mul, found.shift
