# SPDX-License-Identifier: Apache-2.0
"""SPLS and LAPA in other number systems than their own, against definitions written out entry by entry."""

from functools import cache

import numpy as np
import pytest

from config.array import number_system
from config.requantise import Multiplier
from config.speculate import HeadSettings, LapaSettings, SplsSettings
from golden.speculate import lapa, operands, planner, spls

TOKENS, WIDTH, HEADS, HEAD_WIDTH = 9, 10, 2, 5
LEVELS = [0, *sorted({1 << n for n in range(8)} | {3 << n for n in range(6)})]


def signed(value, magnitude):
    return -magnitude if value < 0 else magnitude


def nearest(value):
    return signed(value, min(LEVELS, key=lambda level: (abs(level - abs(value)), -level)))


def nearest_down(value):
    return signed(value, min(LEVELS, key=lambda level: (abs(level - abs(value)), level)))


def truncate(value):
    return signed(value, max(level for level in LEVELS if level <= abs(value)))


def power(value):
    return signed(value, max((1 << n for n in range(8) if 1 << n <= abs(value)), default=0))


def whole(value):
    return value


def sixteenth(value):
    return min(7, (value + 8) // 16)


SYSTEMS = {
    ("hlog", "nearest"): (nearest, nearest),
    ("hlog", "nearest_down"): (nearest_down, nearest_down),
    ("hlog", "truncate"): (truncate, truncate),
    ("pot", "nearest"): (power, power),
    ("int8", "nearest"): (whole, whole),
    ("int4", "nearest"): (sixteenth, sixteenth),
    ("aloc", "nearest"): (whole, power),
}
"""What becomes of the two operands of a product."""


def given(seed=3):
    rng = np.random.default_rng(seed)
    found = {
        "x": rng.integers(-128, 128, (TOKENS, WIDTH)),
        "wq": rng.integers(-128, 128, (HEADS, HEAD_WIDTH, WIDTH)),
        "wk": rng.integers(-128, 128, (HEADS, HEAD_WIDTH, WIDTH)),
        "bq": rng.integers(-30000, 30000, (HEADS, HEAD_WIDTH)),
        "bk": rng.integers(-30000, 30000, (HEADS, HEAD_WIDTH)),
    }
    # Neighbours alike, so that rows are similar.
    found["x"][1::2] = np.clip(found["x"][:-1:2] + rng.integers(-6, 7, (TOKENS // 2, WIDTH)), -128, 127)
    return {name: array.tolist() for name, array in found.items()}


def product(system, x, w):
    first, second = SYSTEMS[system]
    return sum(first(a) * second(b) for a, b in zip(x, w, strict=True))


def code(total, multiplier):
    return max(-128, min(127, (total * multiplier.mul + (1 << multiplier.shift - 1)) >> multiplier.shift))


def projected(system, head, which, multiplier):
    """Q̂ or K̂: a bias is worth as much in all systems, and a sum of int4 is worth 256 of int8's."""
    data = given()
    sums = []
    for row in data["x"]:
        for w, bias in zip(data[f"w{which}"][head], data[f"b{which}"][head], strict=True):
            own = (bias + 128) // 256 if system[0] == "int4" else bias
            sums.append(product(system, row, w) + own)
    return np.reshape([code(each, multiplier) for each in sums], (TOKENS, HEAD_WIDTH)).tolist()


@cache
def scales_of(system):
    data = {name: np.asarray(value) for name, value in given().items()}
    weights = planner.Weights(**{name: data[name] for name in ("wq", "wk", "bq", "bk")})
    return planner.head_scales(data["x"], weights, number_system(system[0], rounding=system[1]), 8)


def best(scores, count):
    return set(sorted(range(TOKENS), key=lambda key: (-scores[key], key))[:count])


def spls_defined(system, settings):
    """Kept keys [H, T, T] and references [H, T], for windows of 4."""
    mask, references = np.zeros((HEADS, TOKENS, TOKENS), bool), np.tile(np.arange(TOKENS), (HEADS, 1))
    for head, scale in enumerate(settings.scales):
        q, k = projected(system, head, "q", scale.q), projected(system, head, "k", scale.k)
        scores = [[max(-128, min(127, product(system, key, query) >> scale.score_shift)) for key in k] for query in q]
        compared = np.zeros((TOKENS, TOKENS), int)
        for row in range(TOKENS):
            for key in best(scores[row], settings.k_similarity):
                compared[row, key] = scores[row][key]
            near = []
            for earlier in range(row // 4 * 4, row):
                apart = abs(compared[row] - compared[earlier]).sum()
                sizes = abs(compared[row]).sum() + abs(compared[earlier]).sum()
                if references[head, earlier] == earlier and 256 * apart <= settings.s * sizes:
                    near.append((apart, earlier))
            if near:
                references[head, row] = min(near)[1]
            else:
                mask[head, row, list(best(scores[row], settings.k))] = True
    return mask, references


@pytest.mark.parametrize("system", SYSTEMS, ids=" ".join)
def test_spls_in_any_system(system):
    settings = SplsSettings(scales=scales_of(system), k=5, k_similarity=3, s=90, f=1)
    plan = spls.predict(**arrays(), settings=settings, window=4, system=number_system(system[0], rounding=system[1]))
    mask, references = spls_defined(system, settings)
    assert np.array_equal(plan.reference, references)
    assert np.array_equal(plan.mask, mask)
    assert 0 < (references != np.arange(TOKENS)).sum() < HEADS * TOKENS * 3 / 4


def arrays():
    return {name: np.asarray(value) for name, value in given().items()}


@pytest.mark.parametrize(("name", "slices"), [("aloc", (8,)), ("aloc", (2, 6)), ("pot", (8,)), ("pot", (6, 2))])
def test_lapa_codes_q_alone_or_both(name, slices):
    system = (name, "nearest")
    settings = LapaSettings(scales=scales_of(system), eta=(110, 80)[: len(slices)])
    plan = lapa.predict(**arrays(), settings=settings, slices=slices, system=number_system(name))
    for head, scale in enumerate(settings.scales):
        q, k = projected(system, head, "q", scale.q), projected(system, head, "k", scale.k)
        for row, query in enumerate(q):
            sums, left, low = [0] * TOKENS, set(range(TOKENS)), 8
            for bits, eta in zip(slices, settings.eta, strict=True):
                high, low = low, low - bits
                for key in range(TOKENS):
                    part = [(value >> low << low) - (0 if high == 8 else value >> high << high) for value in k[key]]
                    sums[key] += product(system, part, query)
                top, bottom = max(sums[key] for key in left), min(sums[key] for key in left)
                left = {key for key in left if 256 * (top - sums[key]) <= eta * (top - bottom)}
            assert set(np.flatnonzero(plan.mask[head, row])) == left


def test_their_own_systems_are_the_default():
    scales = (HeadSettings(Multiplier(300, 20), Multiplier(250, 20), 6),)
    for module, settings, system in (
        (spls, SplsSettings(scales=scales, k=5, k_similarity=5), "hlog"),
        (lapa, LapaSettings(scales=scales), "aloc"),
    ):
        usual = module.predict(**arrays(), settings=settings)
        named = module.predict(**arrays(), settings=settings, system=number_system(system))
        assert np.array_equal(usual.mask, named.mask)


def test_a_bias_in_the_wrong_units_is_seen(monkeypatch):
    """A planted fault: int4 adds int8's biases as they are, at the scales that it has without."""
    scales_of(("int4", "nearest"))
    monkeypatch.setattr(operands, "in_units", lambda bias, system: bias)
    with pytest.raises(AssertionError):
        test_spls_in_any_system(("int4", "nearest"))


def test_coding_the_other_operand_is_seen(monkeypatch):
    """A planted fault: ALOC codes K̂ in place of Q̂."""
    monkeypatch.setattr(lapa, "predicted_scores", lambda q, k, system: operands.dot(q, k, system))
    with pytest.raises(AssertionError):
        test_lapa_codes_q_alone_or_both("aloc", (8,))


@pytest.mark.parametrize("name", ["hlog", "aloc", "pot", "int8", "int4"])
def test_units_of_a_sum(name):
    system = number_system(name)
    biases = np.array([-129, -128, -1, 0, 127, 128, 300])
    expected = [-1, 0, 0, 0, 0, 1, 1] if name == "int4" else biases.tolist()
    assert operands.in_units(biases, system).tolist() == expected
    assert system.unit_bits == (8 if name == "int4" else 0)
