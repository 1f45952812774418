# SPDX-License-Identifier: Apache-2.0
"""Whole units under every rhythm of their six streams, one after the other: no deadlock, and the same records."""

from itertools import combinations, product

import pytest

from config.speculate import METHODS, SYSTEM_OF, SpeculationConfig
from sim import speculation
from sim.dot import Rhythm
from tests.speculate import layers

STREAMS = ("settings", "x", "w", "scale", "address", "o")
CHOSEN = {
    "spls": {"k": 1, "k_similarity": 1, "s": 200, "f": 1},
    "lapa": {"eta": (128, 64)},
    "dense": {},
    "fact": {"k": 1},
}


def config_of(method: str) -> SpeculationConfig:
    """Two blocks of two rows, two heads."""
    shape = {"rows": 2, "lanes": 1, "load": 1, "tokens": 4, "width": 2, "heads": 2, "head_width": 1}
    return SpeculationConfig(method, **shape, window=2, score_bits=4, slices=(4, 4))


def rhythms(length: int, together: int) -> list[Rhythm]:
    """Every pattern of so many cycles with at least one in which a stream does not rest, on each `together` of the
    streams; the others never rest."""
    patterns = [bits for bits in product((0, 1), repeat=length) if not all(bits)]
    return [
        Rhythm(0.9, 0.9, tuple(zip(names, chosen, strict=True)))
        for names in combinations(STREAMS, together)
        for chosen in product(patterns, repeat=together)
    ]


def run(method: str, length: int, together: int) -> None:
    """A rhythm has one cycle of its length without a rest, so that each stream becomes slower by that factor at most:
    and so does the unit, as one stream after the other has to wait."""
    chosen = rhythms(length, together)
    config = config_of(method)
    layer = layers.layer(config, 5, 3, **CHOSEN[method])
    results = speculation.run(config, [(layer, rhythm) for rhythm in chosen])
    # The first rhythm is the one without a rest.
    assert not any(any(bits) for _, bits in chosen[0].rests)
    assert max(result.cycles for result in results) <= length * results[0].cycles


@pytest.mark.parametrize("length", [3, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize("method", ["dense", *(pytest.param(name, marks=pytest.mark.long) for name in SYSTEM_OF)])
def test_every_rhythm_of_each_stream(method: str, length: int) -> None:
    """All 7 of three or 15 of four cycles on each of the streams: the last record has left in time, and each equals
    the golden."""
    run(method, length, 1)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_every_rhythm_of_two_streams(method: str) -> None:
    """All 7 × 7 of three cycles, on every two of them."""
    run(method, 3, 2)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_every_rhythm_of_all_streams(method: str) -> None:
    """All 3 to the power of six of two cycles."""
    run(method, 2, 6)
