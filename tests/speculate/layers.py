# SPDX-License-Identifier: Apache-2.0
"""Random layers for speculation units."""

import numpy as np

from config.requantise import Multiplier
from config.speculate import HeadSettings, LapaSettings, Settings, SplsSettings
from golden.speculate import dense, lapa, spls
from golden.speculate.compare import calibrate
from golden.speculate.array import dot
from sim.layer import Layer


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
    """A head's own multipliers: the largest sum becomes 140, beyond what 8 bits hold."""
    found = []
    for head in range(config.heads):
        pair = []
        for w, bias in ((given["wq"], given["bq"]), (given["wk"], given["bk"])):
            fit = calibrate(dot(given["x"], w[head], config.array.system) + bias[head])
            pair.append(Multiplier(min(fit.mul + fit.mul // 10, 65535), fit.shift))
        found.append(HeadSettings(*pair, score_shift=7))
    return tuple(found)


def layer(config, seed, tokens, causal=False, attend=None, **chosen):
    """A random layer for a unit; `chosen` settings of its method."""
    given = operands(config, np.random.default_rng(seed), tokens, attend)
    kinds = {"spls": SplsSettings, "lapa": LapaSettings, "dense": Settings}
    settings = kinds[config.method](causal=causal, scales=scales(config, given), **chosen)
    return Layer(settings=settings, **given)


def plan(config, layer):
    """What the golden model decides."""
    given = {name: getattr(layer, name) for name in ("x", "wq", "wk", "settings", "bq", "bk", "attend")}
    match config.method:
        case "spls":
            return spls.predict(**given, window=config.window, score_bits=config.score_bits)
        case "lapa":
            return lapa.predict(**given, slices=config.slices)
        case _:
            return dense.predict(**given)
