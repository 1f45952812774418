# SPDX-License-Identifier: Apache-2.0
"""Units of shapes that nobody chose: whatever `SpeculationConfig` allows lints clean and equals the golden plans."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config.errors import Refusal
from config.speculate import METHODS, SYSTEM_OF, UNITY, WINDOWS, SpeculationConfig
from sim import dot, speculation
from tests.speculate import layers

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
MASTER_SEED = 20_260
UNITS, LAYERS, MOST_TOKENS = 64, 3, 24


def slices(rng):
    """1 to 3 positive widths that add up to 8."""
    cuts = sorted(rng.choice(np.arange(1, 8), rng.integers(0, 3), replace=False).tolist())
    return tuple(high - low for low, high in zip([0, *cuts], [*cuts, 8], strict=True))


def any_config(seed):
    """A small legal unit; the methods take turns."""
    rng = np.random.default_rng([MASTER_SEED, seed])
    rows = int(rng.choice([2, 4, 8]))
    return SpeculationConfig(
        method=METHODS[seed % len(METHODS)],
        rows=rows,
        lanes=int(rng.integers(1, 9)),
        load=int(rng.choice([load for load in (1, 2, 4, 8) if load <= rows])),
        tokens=rows * int(rng.integers(1, MOST_TOKENS // rows + 1)),
        width=int(rng.integers(1, 21)),
        heads=int(rng.integers(1, 4)),
        head_width=int(rng.integers(1, 11)),
        window=int(rng.choice([window for window in WINDOWS if window <= rows])),
        score_bits=int(rng.integers(4, 13)),
        slices=slices(rng),
    )


def fraction(rng):
    """0 to 256, and the ends often."""
    return int(rng.choice([0, UNITY, rng.integers(UNITY + 1), rng.integers(UNITY + 1)]))


def any_settings(config, rng):
    """What a layer chooses of its method."""
    match config.method:
        case "spls":
            k = int(rng.integers(1, config.tokens + 2))
            return {
                "k": k,
                "k_similarity": int(rng.integers(1, k + 1)),
                "s": fraction(rng),
                "f": int(rng.integers(1, config.heads + 2)),
            }
        case "lapa":
            return {"eta": tuple(fraction(rng) for _ in range(config.rounds))}
        case "fact":
            return {"k": int(rng.integers(1, config.tokens + 2))}
        case _:
            return {}


def any_layer(config, seed, number):
    rng = np.random.default_rng([MASTER_SEED, seed, number])
    tokens = int(rng.integers(1, config.tokens + 1))
    attend = rng.random(tokens) < rng.choice([0.6, 2])
    causal = bool(rng.integers(2))
    chosen = any_settings(config, rng)
    shape = layers.smaller(config, rng) if number % 2 else config
    return layers.layer(shape, [seed, number], tokens, causal=causal, attend=attend, **chosen)


# In a sequence of one block, the order of tiles does not depend on its length.
ONE_BLOCK = """`verilator_config
lint_off -rule UNUSEDSIGNAL -file "*" -match "Signal is not used: 'settings'*"
"""


def lint(config, source, folder):
    """What Verilator says of a unit beyond what is waived."""
    extra = folder / "extra.vlt"
    extra.write_text(ONE_BLOCK if config.blocks == 1 else "`verilator_config\n")
    command = ["verilator", "--lint-only", "-Wall", str(ROOT / "hdl/lint/waivers.vlt"), str(extra), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("seed", range(UNITS))
def test_equals_golden(seed, tmp_path):
    config = any_config(seed)
    source = speculation.build(config) / f"{config.name}.v"
    assert lint(config, source, tmp_path) == "", config
    flows = list(dot.FLOWS.values())
    given = [(any_layer(config, seed, n), flows[(seed + n) % len(flows)]) for n in range(LAYERS)]
    assert len(speculation.run(config, given)) == LAYERS


ILLEGAL = {
    "method": ["esact", ""],
    "rows": [0, 1, 3, 6, 256],
    "load": [0, 3, 16],
    "lanes": [0, -1],
    "tokens": [0, 1, 8200],
    "width": [0, 8193],
    "heads": [0, 129],
    "head_width": [0, 257],
    "window": [0, 3, 32],
    "score_bits": [3, 17],
    "slices": [(), (8, 0), (4, 3), (2, 2, 2, 2), [4, 4]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ILLEGAL for value in ILLEGAL[name]])
def test_illegal_ones_are_refused(name, value):
    """One wrong parameter in any of the units: a sentence says which, and what to do."""
    for seed in range(UNITS):
        with pytest.raises(Refusal, match=r"(?s)^\w.* must .*not .*; .*\.$") as refused:
            replace(any_config(seed), **{name: value})
        assert name in str(refused.value)


def test_there_is_everything_among_them():
    """Units with a single token block, a single round, one lane, a head narrower than the array and one wider."""
    configs = [any_config(seed) for seed in range(UNITS)]
    assert all(isinstance(config, SpeculationConfig) for config in configs)
    assert {config.rows for config in configs} == {2, 4, 8}
    for method in SYSTEM_OF:
        mine = [config for config in configs if config.method == method]
        assert {config.blocks == 1 for config in mine} == {True, False}
        assert {config.lanes == 1 for config in mine} == {True, False}
        assert {config.head_width < config.rows for config in mine} == {True, False}
        assert {config.groups == 1 for config in mine} == {True, False}
        assert {config.width_slices == 1 for config in mine} == {True, False}
    assert {config.window for config in configs if config.method == "spls"} >= {1, 2, 4}
    assert {config.rounds for config in configs if config.method == "lapa"} == {1, 2, 3}
