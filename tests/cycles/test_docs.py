# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/cycles.md are those of the model."""

from pathlib import Path

from golden.cycles import answer as cycles
from golden.cycles.shapes import MODELS
from sim import minilm, speculation
from tests.cycles.test_prediction import RECORDED, model_of

PAGE = Path("docs/cycles.md")


def millions(count):
    """Three digits or more."""
    return f"{count / 1e6:.2f}" if count < 1e8 else f"{count / 1e6:.0f}"


def text(pays):
    return "never" if pays is None else f"{pays[0]} – {pays[1]}"


def line(shape):
    """Of the table of named models."""
    preset = "minilm" if shape.name == "minilm-l6" else "paper"
    cells = [shape.name, str(shape.typical)]
    for method in ("spls", "lapa"):
        statistics = cycles.EXAMPLES[method]
        hardware = cycles.hardware(shape, shape.typical, method, preset)
        found = cycles.answer(shape, shape.typical, hardware, statistics)
        pays = cycles.pays(cycles.sweep(shape, method, statistics, preset))
        if method == "spls":
            cells.append(millions(found.dense_total * shape.layers))
        cells += [millions(each * shape.layers) for each in (found.prediction.layer, found.overlapped)]
        cells += [f"{found.speed_up:.2f}", text(pays)]
        wide = cycles.hardware(shape, shape.typical, method, preset, wider=2)
        pays = cycles.pays(cycles.sweep(shape, method, statistics, preset, wider=2))
        cells += [f"{cycles.answer(shape, shape.typical, wide, statistics).speed_up:.2f}", text(pays)]
    return f"| {' | '.join(cells)} |"


def test_named_models():
    page = PAGE.read_text().splitlines()
    first = page.index(line(MODELS["minilm-l6"]))
    assert page[first : first + len(MODELS)] == [line(shape) for shape in MODELS.values()]


def test_one_head_of_minilm():
    page = PAGE.read_text()
    for method, cycles_ in RECORDED.items():
        config, layer = minilm.single_head(method)
        found = model_of(config, layer, speculation.golden_plan(config, layer)).layer
        assert f"| {method.upper()} | {cycles_} | {found} |\n" in page


def test_examples():
    page = PAGE.read_text()
    spls, lapa = cycles.EXAMPLES["spls"], cycles.EXAMPLES["lapa"]
    assert f"SPLS q {spls.queries}, κ {spls.keys}, σ {spls.scores}; " in page
    assert f"LAPA κ {lapa.keys}, σ {lapa.scores}, v {lapa.visited[0]:g}; all else 1." in page
