# SPDX-License-Identifier: Apache-2.0
"""The memories are what CACTI and the flow gave, fitted: every coefficient, every stated deviation, every shape."""

import csv
from pathlib import Path

import numpy as np
import pytest

from config.errors import Refusal
from synth import liberty, library, sram
from synth.sram import macro
from tests.synth import flip_flops

HERE = Path(__file__).parent
FIGURES = ("area_um2", "read_fj", "write_fj", "leakage_nw")


def columns(name):
    rows = list(csv.DictReader((HERE / name).read_text(encoding="utf-8").splitlines()))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


CACTI, FLIP_FLOPS = columns("cacti45.csv"), columns("flip_flops45.csv")


def srams():
    """CACTI's figures in the units of the model."""
    return {
        "area_um2": CACTI["area_mm2"] * 1e6,
        "read_fj": CACTI["read_nj"] * 1e6,
        "write_fj": CACTI["write_nj"] * 1e6,
        "leakage_nw": (CACTI["leakage_mw"] + CACTI["gate_leakage_mw"]) * 1e6,
    }


def fitted(values, *terms):
    """Coefficients of least relative error, to four digits."""
    scaled = np.stack(terms, axis=1) / values[:, np.newaxis]
    found = np.linalg.lstsq(scaled, np.ones(len(values)), rcond=None)[0]
    return tuple(float(f"{value:.4g}") for value in found)


def test_srams_are_fitted_to_cacti():
    words, bits, of = CACTI["words"], CACTI["bits"], srams()
    assert fitted(of["area_um2"], bits, bits * words) == sram._AREA
    assert fitted(of["read_fj"], bits, bits * words**sram._READ_POWER) == sram._READ
    assert fitted(of["write_fj"], bits, bits * words**sram._WRITE_POWER) == sram._WRITE
    assert fitted(of["leakage_nw"], np.ones_like(words), bits * words) == sram._LEAKAGE


@pytest.mark.parametrize("figure", FIGURES)
def test_flip_flops_are_fitted_to_the_flow(figure):
    words, bits = FLIP_FLOPS["words"], FLIP_FLOPS["bits"]
    coefficients = getattr(sram, f"_FLIP_FLOP_{figure.split('_')[0].upper()}")
    assert fitted(FLIP_FLOPS[figure], bits, bits * words, words) == coefficients


def deviation(table, of, model, figure):
    pairs = zip(table["words"].astype(int).tolist(), table["bits"].astype(int).tolist(), strict=True)
    return np.array([getattr(model(*pair), figure) for pair in pairs]) / of[figure] - 1


@pytest.mark.parametrize(
    ("figure", "largest", "mean"),
    [("area_um2", 33, 9), ("read_fj", 34, 14), ("write_fj", 36, 16), ("leakage_nw", 31, 10)],
)
def test_deviation_from_cacti_is_the_stated_one(figure, largest, mean):
    found = 100 * deviation(CACTI, srams(), macro, figure)
    assert (round(np.abs(found).max()), round(np.sqrt((found**2).mean()))) == (largest, mean)


@pytest.mark.parametrize(("figure", "largest"), [("area_um2", 2), ("read_fj", 13), ("write_fj", 7), ("leakage_nw", 4)])
def test_deviation_from_the_flow_is_the_stated_one(figure, largest):
    found = 100 * deviation(FLIP_FLOPS, FLIP_FLOPS, sram._flip_flops, figure)
    assert round(np.abs(found).max()) == largest


@pytest.mark.parametrize("shape", [(4, 4), (8, 16)])
def test_flip_flops_measured_again(shape, tmp_path):
    path = library.fetch() / "stdcells.lib"
    found = flip_flops.measure(*shape, path, liberty.read(path), tmp_path / "map")
    row = flip_flops.SHAPES.index(shape)
    assert [found[figure] for figure in FIGURES] == pytest.approx([FLIP_FLOPS[f][row] for f in FIGURES], rel=1e-5)


def test_worked_by_hand():
    found = macro(1024, 64)
    assert found.kind == "SRAM"
    assert found.area_um2 == pytest.approx(64 * (21.01 + 0.8303 * 1024))
    assert found.read_fj == pytest.approx(64 * (14.25 + 0.5511 * 2**7.5))
    assert found.write_fj == pytest.approx(64 * (6.630 + 4.694 * 32))
    assert found.leakage_nw == pytest.approx(2.530 + 0.004945 * 65536)


def test_deep_memories_are_banks():
    one, two = macro(16384, 64), macro(32768, 64)
    assert two.area_um2 == pytest.approx(2 * one.area_um2)
    assert two.leakage_nw == pytest.approx(2 * one.leakage_nw)
    # Half of 64 wires, along a side of the square of both.
    wires = 32 * 375.7 * (2 * one.area_um2) ** 0.5 / 1000
    assert two.read_fj - one.read_fj == pytest.approx(wires)
    assert two.write_fj - one.write_fj == pytest.approx(wires)


@pytest.mark.parametrize(
    ("kilobytes", "picojoules", "ours"), [(8, 10, 7.3), (32, 20, 19.0), (1024, 100, 83.7)], ids=str
)
def test_beside_the_caches_of_horowitz(kilobytes, picojoules, ours):
    found = macro(kilobytes * 128, 64).read_fj / 1000
    assert round(found, 1) == ours
    assert 0.7 < found / picojoules < 1.0


@pytest.mark.parametrize(
    ("words", "bits", "kind"),
    [(31, 1024, "flip-flops"), (32, 15, "flip-flops"), (32, 16, "SRAM"), (512, 1, "SRAM"), (1, 795, "flip-flops")],
)
def test_small_memories_are_flip_flops(words, bits, kind):
    assert macro(words, bits).kind == kind


@pytest.mark.parametrize("kind", ["SRAM", "flip-flops"])
def test_more_of_anything_costs_more(kind):
    shapes = [
        (words, bits) for words in (1, 2, 7, 16, 31, 32, 100, 5000, 16384, 16385, 50000) for bits in (1, 8, 16, 700)
    ]
    found = {shape: macro(*shape) for shape in shapes if macro(*shape).kind == kind}
    pairs = [(a, b) for a in found for b in found if a != b and a[0] <= b[0] and a[1] <= b[1]]
    assert len(pairs) > 40
    for a, b in pairs:
        for figure in FIGURES:
            assert 0 < getattr(found[a], figure) < getattr(found[b], figure), (a, b, figure)


@pytest.mark.parametrize("words", [0, -1, 1.5, True, "8"])
def test_refuses_no_number_of_words(words):
    with pytest.raises(Refusal, match=rf"^The words of a memory must be a positive integer, not {words!r}\.$"):
        macro(words, 8)


def test_refuses_words_without_bits():
    with pytest.raises(Refusal, match=r"^The bits of a word of a memory must be a positive integer, not 0\.$"):
        macro(8, 0)
