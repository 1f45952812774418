# SPDX-License-Identifier: Apache-2.0
"""Random layers for speculation units."""

import numpy as np

from config.requantise import Multiplier
from config.speculate import HeadSettings, LapaSettings, Settings, SplsSettings
from golden.models.encoder import layer_inputs
from golden.models.minilm import LayerOperands, attention_weights
from golden.speculate.calibrate import head_settings, quantised
from sim.layer import Layer

KINDS = {"spls": SplsSettings, "lapa": LapaSettings, "dense": Settings}


def operands(config, rng, tokens, attend=None):
    """Random operands, and scales that bring Q̂ and K̂ into range, saturating a few."""
    shape = (config.heads, config.head_width, config.width)
    limit = 1 << 10
    return {
        "x": rng.integers(-128, 128, (tokens, config.width)),
        "wq": rng.integers(-128, 128, shape),
        "wk": rng.integers(-128, 128, shape),
        "bq": rng.integers(-limit, limit, shape[:2]),
        "bk": rng.integers(-limit, limit, shape[:2]),
        "attend": np.ones(tokens, bool) if attend is None else attend,
    }


def scales(config, given):
    """A head's own multipliers: the largest sum becomes 140, beyond what 8 bits hold. The shift of scores is
    not fitted to them: these may saturate as well."""
    operands = LayerOperands(**{name: value for name, value in given.items() if name != "attend"})
    fits = head_settings(operands, config.array.system, config.score_bits)
    return tuple(HeadSettings(_beyond(fit.q), _beyond(fit.k), score_shift=7) for fit in fits)


def _beyond(fit):
    """A tenth more."""
    return Multiplier(min(fit.mul + fit.mul // 10, 65535), fit.shift)


def layer(config, seed, tokens, causal=False, attend=None, **chosen):
    """A random layer for a unit; `chosen` settings of its method."""
    given = operands(config, np.random.default_rng(seed), tokens, attend)
    settings = KINDS[config.method](causal=causal, scales=scales(config, given), **chosen)
    return Layer(settings=settings, **given)


def minilm(config, ids, number, heads=None, **chosen):
    """A layer of MiniLM on a sentence's token ids; all of its heads, or the chosen ones."""
    heads = list(range(config.heads)) if heads is None else heads
    found = quantised(layer_inputs(ids)[number], attention_weights(number))
    settings = head_settings(found, config.array.system, config.score_bits)
    chosen["scales"] = tuple(settings[head] for head in heads)
    return Layer(
        x=found.x.astype(np.int64),
        **{name: getattr(found, name)[heads].astype(np.int64) for name in ("wq", "wk", "bq", "bk")},
        attend=np.ones(len(ids), bool),
        settings=KINDS[config.method](**chosen),
    )
