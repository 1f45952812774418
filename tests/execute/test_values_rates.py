# SPDX-License-Identifier: Apache-2.0
"""Values of other shapes, and at what rate keys and items leave."""

from dataclasses import replace

import numpy as np
import pytest

from tests.execute.attending import ARRAYS, CONFIG, FLOWS, Flow, check, check_all, head, heads_of, through, unit

SHAPES = {
    "four lines": ({"lines": 4, "banks": 8, "heads": 1, "sets": 1}, {"scalers": 4}, {}),
    "a scaler, few places": ({"heads": 1, "sets": 1}, {"scalers": 1}, {"words": 8, "entries": 2}),
    "banks as lines": ({"banks": 2, "lanes": 1}, {"scalers": 1}, {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(shape: str) -> None:
    items, array, others = SHAPES[shape]
    config = replace(CONFIG, **items)
    arrays = replace(ARRAYS, lines=config.lines, lanes=config.lanes, keys=config.chunk, **array)
    flows = {name: FLOWS[name] for name in ("at once", "all")}
    heads = [heads_of(config, density, seed=1) for density in (0.0, 0.7)]
    check_all(config, arrays, heads, unit(config, arrays, **others), flows=flows)


def test_short_rows_come_as_fast_as_contexts_leave() -> None:
    """Rows of one key: an item of a line every `groups` + 2 cycles, and no faster, or beats would have to wait."""
    config = replace(CONFIG, lanes=12, heads=4, sets=4)
    arrays = replace(ARRAYS, lanes=12, scalers=1)
    rng = np.random.default_rng(5)
    heads = [head(rng, config, 0.0) for _ in range(config.heads)]
    (seen,) = through(unit(config, arrays), config, arrays, [(heads, Flow())])
    check(config, arrays, heads, seen)
    assert not seen.waited
    for cycles in seen.beat_cycles:
        assert set(np.diff(cycles)[-8:].tolist()) == {arrays.groups + 2}


def test_long_rows_come_without_a_pause() -> None:
    config = replace(CONFIG, tokens=32, chunk=32, heads=1, sets=1)
    arrays = replace(ARRAYS, keys=32)
    rng = np.random.default_rng(6)
    # Half of the rows, no code of 0.
    kept = np.arange(config.tokens)[:, None] % 2 == np.zeros(config.tokens, dtype=int)
    heads = [replace(head(rng, config, 1.0), kept=kept, exponent=(1, 14)) for _ in range(config.heads)]
    (seen,) = through(unit(config, arrays), config, arrays, [(heads, Flow())])
    check(config, arrays, heads, seen)
    for cycles in seen.beat_cycles:
        assert cycles[-1] - cycles[0] + 1 <= 1.05 * len(cycles)
