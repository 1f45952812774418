# SPDX-License-Identifier: Apache-2.0
"""Batches for SpAtten's unit: layers that make anything of what they are left, often the same of several tokens."""

import numpy as np

from config.spatten import SpattenConfig
from config.speculate import SpattenSettings
from sim.spatten import Seen, batch

TINY = SpattenConfig(rows=4, lanes=4, tokens=16, heads=2, head_width=4, layers=4)
POWER = 1 << 21


def anything(seed, heads, width):
    """A softmax and a context that a layer with the mask of its plan could have, with ties and with extremes."""

    def observe(plan, number):
        rng = np.random.default_rng([seed, number])
        mask, tokens = plan.mask, plan.mask.shape[-1]
        computed = mask.any(-1, keepdims=True)
        of_codes = [0, 3, 90, 255] if rng.integers(2) else rng.integers(0, 256, 4)
        codes = np.where(mask, rng.choice(of_codes, mask.shape), 0)
        totals = [rng.integers(POWER, tokens * POWER + 1, computed.shape), tokens * POWER, POWER]
        total = np.where(computed, totals[int(rng.integers(3))], 0)
        context = rng.integers(-128, 128, (tokens, heads, width)) >> rng.choice([0, 4, 8])
        context = np.where(np.swapaxes(computed, 0, 1), context, 0)
        return Seen(codes, total, context.reshape(tokens, -1))

    return observe


def equal(width, code=255, total=POWER, value=-128):
    """The same is told of all tokens that are kept, and of all heads."""

    def observe(plan, number):
        computed = plan.mask.any(-1)
        tokens = computed.shape[-1]
        context = np.where(computed.T[..., None], np.full((tokens, len(computed), width), value), 0)
        return Seen(np.where(plan.mask, code, 0), np.where(computed, total, 0)[..., None], context.reshape(tokens, -1))

    return observe


def rising(rng, layers, most=255):
    """Shares of a batch."""
    return (0, *sorted(int(n) for n in rng.integers(0, most + 1, layers - 1)))


def any_batch(config, seed):
    """Any legal batch of a unit: its size, its padding, what it drops, in what order its rows come; in a quarter of
    them everything ties."""
    rng = np.random.default_rng([20_263, seed])
    tokens = int(rng.choice([rng.integers(1, config.tokens + 1), config.tokens]))
    heads = int(rng.choice([rng.integers(1, config.heads + 1), config.heads]))
    width = int(rng.choice([rng.integers(1, config.head_width + 1), config.head_width]))
    layers = int(rng.integers(1, config.layers + 1))
    most = int(rng.choice([0, 128, 255]))
    settings = SpattenSettings(tokens=rising(rng, layers, most), heads=rising(rng, layers, most))
    attend = rng.random(tokens) < rng.choice([0.5, 0.9, 2])
    observe = anything(seed, heads, width) if rng.integers(4) else equal(width)
    return batch(settings, attend, heads, observe, seed if seed % 2 else None)
