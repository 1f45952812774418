# SPDX-License-Identifier: Apache-2.0
"""Softmax at the lines and codes with rows of V: codes, scales and contexts are golden, whatever comes when."""

import numpy as np
import pytest
from amaranth.hdl import Const

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.execute.values import Values
from tests.arith import simulate
from tests.execute.attending import SCORE_BITS, Flow, Head, check, through
from tests.planted import Planted

CONFIG = ItemsConfig(
    lines=2, lanes=4, banks=4, tokens=8, heads=2, chunk=8, record=4, sets=2, ports=1, queue=16, allocation="dynamic"
)
ARRAYS = PeArraysConfig(lines=2, lanes=4, rows=4, terms=64, keys=8, scalers=2)
TOP = (1 << (SCORE_BITS - 1)) - 1


def unit(config: ItemsConfig = CONFIG, arrays: PeArraysConfig = ARRAYS, **others: int) -> Values:
    return Values(config, arrays, score_bits=SCORE_BITS, **others)


def head(rng: np.random.Generator, config: ItemsConfig, density: float, *, size: int = SCORE_BITS - 1) -> Head:
    """Scores of up to `size` bits and a sign; an exponent that tells them apart, mostly; contexts within int8, mostly."""
    tokens = config.tokens
    kept = rng.random((tokens, tokens)) < density
    kept[~kept.any(axis=1), int(rng.integers(tokens))] = True
    scores = rng.integers(-1 << size, 1 << size, (tokens, tokens))
    mul = int(rng.integers(1, 1 << 16))
    shift = int(np.clip(mul.bit_length() + size - rng.integers(6, 11), 1, 40))
    v = rng.integers(-128, 128, (tokens, config.lanes))
    return Head(scores, kept, v, (mul, shift), (int(rng.integers(1 << 14, 1 << 16)), int(rng.integers(20, 26))))


def heads_of(config: ItemsConfig, density: float, seed: int = 0) -> list[Head]:
    rng = np.random.default_rng(seed)
    return [head(rng, config, density) for _ in range(config.heads)]


FLOWS = {
    "at once": Flow(),
    "gaps": Flow(gap=0.4, late=0.4),
    "rests": Flow(rest=0.5),
    "all": Flow(gap=0.3, late=0.5, rest=0.6, flight=3),
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
def test_contexts_are_golden(density: float, flow: str) -> None:
    heads = heads_of(CONFIG, density)
    seen = through(unit(), CONFIG, ARRAYS, heads, FLOWS[flow])
    check(CONFIG, ARRAYS, heads, seen)
    assert FLOWS[flow].rest or not seen.waited
