# SPDX-License-Identifier: Apache-2.0
"""Layers for Sanger's unit: random ones, and such as lie on the edge of what is kept."""

import numpy as np

from config.sanger import SangerConfig
from config.speculate import SangerSettings
from golden.execute.scales import Scale
from sim.sanger import Layer

TINY = SangerConfig(rows=4, lanes=4, load=2, tokens=16, heads=2, head_width=4)
EDGES = (0, 1, 16384, 32767, 65535)


def layer(config, seed, tokens, *, heads=None, width=None, attend=None, causal=False, threshold=None, exponent=None):
    """Random rows of any size; by default, all heads at full width, and an exponent that tells their scores apart."""
    rng = np.random.default_rng(seed)
    heads, width = heads or config.heads, width or config.head_width
    q, k = rng.integers(-128, 128, (2, heads, tokens, width)) >> rng.integers(0, 4, (2, heads, 1, 1))
    if exponent is None:
        # Largest scores become some 64 to 4096 steps.
        spread = 2.0 ** rng.uniform(-8, -2, heads) / width
        shift = np.minimum(15 - np.ceil(np.log2(spread)), 40).astype(np.int64)
        exponent = Scale(np.floor(spread * 2.0**shift).astype(np.int64), shift)
    return Layer(
        q=q,
        k=k,
        attend=np.ones(tokens, bool) if attend is None else attend,
        exponent=exponent,
        settings=SangerSettings(
            causal=causal,
            threshold=int(rng.integers(40_000)) >> int(rng.integers(12)) if threshold is None else threshold,
        ),
    )


def smaller(config, rng):
    """Heads and width of a layer that a unit is too large for."""
    return {"heads": int(rng.integers(1, config.heads + 1)), "width": int(rng.integers(1, config.head_width + 1))}


def any_layer(config, seed):
    """Any legal layer of a unit: its size, mask, threshold and exponents, the ends of their ranges often."""
    rng = np.random.default_rng([20_261, seed])
    tokens = int(rng.choice([rng.integers(1, config.tokens + 1), config.tokens]))
    shape = smaller(config, rng) if seed % 2 else {"heads": config.heads}
    exponent = None
    if seed % 3 == 2:
        heads = shape["heads"]
        exponent = Scale(rng.integers(1 << 16, size=heads) >> rng.integers(0, 17, heads), rng.integers(1, 41, heads))
    return layer(
        config,
        [seed, tokens],
        tokens,
        **shape,
        attend=rng.random(tokens) < rng.choice([0.5, 2]),
        causal=bool(rng.integers(2)),
        threshold=int(rng.choice(EDGES)) if seed % 4 == 1 else None,
        exponent=exponent,
    )


def halves(tokens=5, threshold=16384):
    """Powers of 2^21, 2^20, 2^20 and nothing: each of the smaller ones is a quarter of the row, to the last bit."""
    q, k = np.zeros((2, 1, tokens, 1), np.int64)
    q[:] = 16
    k[0, :, 0] = [127] * (tokens - 3) + [16, 32, 16]
    # One more or less in a score is 64 steps.
    exponent = Scale(np.array([1]), np.array([2]))
    return Layer(q, k, np.arange(tokens) >= tokens - 3, exponent, SangerSettings(threshold=threshold))


def equal(config, tokens, threshold):
    """Rows and keys all alike: every power is the largest."""
    q = np.full((config.heads, tokens, config.head_width), -77)
    exponent = Scale(np.full(config.heads, 65535), np.full(config.heads, 1))
    return Layer(q, q, np.ones(tokens, bool), exponent, SangerSettings(threshold=threshold))
