# SPDX-License-Identifier: Apache-2.0
"""What the tests of the predictors without hardware share."""

from dataclasses import fields

import numpy as np
import torch

from golden.arith.quantise import quantise
from golden.execute import calibrate
from golden.models import transformer

WIDTH, HEADS, HEAD_WIDTH = 12, 3, 4


def differing(ours, twin):
    """The fields in which two plans differ, of whatever library they are."""
    names = [each.name for each in fields(ours)]
    pairs = {name: (getattr(ours, name), getattr(twin, name)) for name in names}
    return [name for name, (one, other) in pairs.items() if not _equal(one, other)]


def _equal(one, other):
    if one is None or other is None:
        return one is other
    return np.array_equal(np.asarray(one), np.asarray(other))


def model(order, causal, **options):
    """Random integer layers that attend sharply, and int64 inputs [5, tokens, WIDTH] for the first of them."""
    converted, batch = converted_model(order, causal, **options)
    return [one.layer for one in converted], batch


def converted_model(order, causal, layers=4, tokens=10, seed=1):
    """Those layers with their scales, and the inputs."""
    rng = np.random.default_rng(seed)
    shape = transformer.Architecture(HEADS, order, causal, 1e-5)
    weights = [random_weights(rng) for _ in range(layers)]
    real = rng.normal(size=(5, tokens, WIDTH))
    ranges, x = [calibrate.Ranges() for _ in weights], real
    for one, seen in zip(weights, ranges, strict=True):
        x = transformer.layer(x, one, shape, watch=seen.watch())
    converted = calibrate.convert(weights, shape, ranges)
    bits = 8 if order == "post" else 16
    return converted, quantise(real, converted[0].x_scale, bits)


def random_weights(rng):
    def matrix(rows, columns, size=0.5):
        return rng.normal(size=(rows, columns)) * size, rng.normal(size=rows) * 0.1

    wq, bq = matrix(WIDTH, WIDTH, 1.0)
    wk, bk = matrix(WIDTH, WIDTH, 1.0)
    wv, bv = matrix(WIDTH, WIDTH)
    wo, bo = matrix(WIDTH, WIDTH)
    w_up, b_up = matrix(2 * WIDTH, WIDTH)
    w_down, b_down = matrix(WIDTH, 2 * WIDTH)
    gains = rng.uniform(0.5, 1.5, (2, WIDTH))
    offsets = rng.normal(size=(2, WIDTH)) * 0.1
    return transformer.LayerWeights(
        wq, bq, wk, bk, wv, bv, wo, bo, w_up, b_up, w_down, b_down, gains[0], offsets[0], gains[1], offsets[1]
    )


def tensor(array):
    return torch.asarray(np.ascontiguousarray(array))
