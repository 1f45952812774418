# SPDX-License-Identifier: Apache-2.0
"""Random layers for speculation units."""

from dataclasses import replace

import numpy as np

from config.requantise import Multiplier
from config.speculate import HeadSettings
from golden.models.minilm import LayerOperands
from golden.speculate.calibrate import head_settings
from sim.layer import KINDS, Layer


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


def smaller(config, rng):
    """A unit of the same kind, for layers of any width, number of heads and width of those up to `config`'s."""
    sizes = {name: int(rng.integers(1, getattr(config, name) + 1)) for name in ("width", "heads", "head_width")}
    return replace(config, **sizes)


def layer(config, seed, tokens, causal=False, attend=None, **chosen):
    """A random layer for a unit; `chosen` settings of its method."""
    given = operands(config, np.random.default_rng(seed), tokens, attend)
    settings = KINDS[config.method](causal=causal, scales=scales(config, given), **chosen)
    return Layer(settings=settings, **given)
