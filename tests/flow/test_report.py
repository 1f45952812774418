# SPDX-License-Identifier: Apache-2.0
"""`foreshift report`: what follows from several commands' figures, and the page that holds everything."""

import json
import re
from argparse import Namespace

import pytest

from foreshift import cycles, demo, design_space, power, predictor_costs, provenance, report, synthesis

TERMS = {
    "hlog": 300.0,
    "aloc": 200.0,
    "pot": 190.0,
    "int8": 700.0,
    "int8_booth": 400.0,
    "int4": 120.0,
    "int4_booth": 90,
}
ARRAYS = {
    "arrays": [
        {"name": name, "energy": {"encode": fj / 4, "front": fj / 4, "rows": fj / 2, "internal": fj}}
        for name, fj in TERMS.items()
    ]
}
DEMO = {"recall_all_heads": {name: {"4": 0.5, "8": 0.75} for name in ("hlog", "aloc", "pot", "int8", "int4")}}
PHASES = {"load": 1000.0, "generation": 100e3, "attention": 50e3, "projection": 30e3, "ffn": 200e3}
WHOLE = {"qkv": 1.0, "attention": 1.0, "projection": 1.0, "ffn": 1.0}
HALF = {"qkv": 0.5, "attention": 0.5, "projection": 1.0, "ffn": 0.5}


def accelerator(chip, prediction, left):
    blocks = {"prediction: array": {"cells": 10e3, "memories": 2e3}, "array 1": {"cells": 1.0, "memories": 0.0}}
    area = {name: {"cells": 0.25, "memories": 0.5} for name in blocks}
    return {
        "chip_nj": chip,
        "prediction": prediction,
        "phases_nj": PHASES,
        "left": left,
        "blocks_nj": blocks,
        "area_mm2": area,
    }


POWER = {
    "preset": "minilm",
    "accelerators": {"spls": accelerator(220e3, 0.1, HALF), "dense": accelerator(381e3, 0.0, WHOLE)},
}
SWEEP = {
    "sweeps": {
        "system": [
            {
                "at": {"prediction in": system, "s": n},
                "method": "spls",
                "setting": {},
                "retrieval": {"moved": 0.1 / n, "left": dict.fromkeys(WHOLE, 0.1 * n)},
            }
            for system in ("HLog, nearest", "int8")
            for n in (1, 2, 5)
        ],
        "other": [
            {"at": {"k": 1}, "method": "unknown here", "setting": {}, "retrieval": {"moved": 1.0, "left": WHOLE}},
        ],
    }
}


HEADS = [cycles.Head("spls", 8000, 6000), cycles.Head("lapa", 10240, 10239)]


def known():
    return design_space.Known(POWER, SWEEP, predictor_costs.terms(ARRAYS))


def test_a_score_costs_its_terms():
    found = {each.system: each for each in predictor_costs.costs(ARRAYS, DEMO)}
    assert found["hlog"].score == pytest.approx(0.3 * 32)
    assert found["hlog"].from_x == pytest.approx(0.3 * (32 + 2 * 384 * 32 / 128))
    assert found["int8"].layer == pytest.approx(0.4 * 224 * 12 * 128 * 128 * 1e-6)
    assert found["int4"].score == pytest.approx(0.09 * 32)
    page = predictor_costs.markdown(list(found.values()), POWER)
    assert "| HLog × HLog (ESACT) | 9.60 | 67.2 | 13.21 | 50.0 % | 75.0 % |" in page
    assert "| ESACT | 12.00 | 61.0 | 10.0 % | 0.250 | 0.500 |" in page


def test_energy_follows_the_work_that_is_left():
    assert design_space.estimate(POWER, "dense", WHOLE) == pytest.approx(381.0)
    halved = 1 + 50 + 25 + 30 + 100
    assert design_space.estimate(POWER, "spls", HALF) == pytest.approx(halved + 22)
    assert design_space.estimate(POWER, "spls", HALF, 1.5) == pytest.approx(halved + 22 + 6)
    assert design_space.check(POWER)[1] == ("ESACT", "220.0", "228.0", "+3.6 %")


def test_another_number_system_takes_another_array():
    found = design_space.lines(known(), "system", "prediction in")
    apart = [other[0] - own[0] for own, other in zip(found["HLog, nearest"], found["int8"], strict=True)]
    assert apart == pytest.approx([12 * (400 / 300 - 1)] * 3)


def test_lines_are_compared_where_answers_have_moved_as_far():
    assert design_space.energy_at([(100.0, 0.1), (200.0, 0.001)], 0.01) == pytest.approx(150.0)
    assert design_space.energy_at([(100.0, 0.1), (200.0, 0.001)], 0.2) is None
    page = design_space.markdown(known())
    assert "381.0 µJ dense" in page
    assert "unknown" not in page


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """What the other commands leave behind."""
    monkeypatch.chdir(tmp_path)
    for folder in (synthesis.OUTPUT, demo.OUTPUT, design_space.SETTINGS.parent):
        folder.mkdir(parents=True)
    for page in ("arrays.md", "lanes.md", "speculation.md", "execution.md"):
        picture = "![a picture](arrays.png)" if page == "arrays.md" else ""
        (synthesis.OUTPUT / page).write_text(
            f"# Title\n\n{picture}\n\n## Of {page}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
        )
    (synthesis.OUTPUT / "arrays.png").write_bytes(b"\x89PNG")
    (synthesis.OUTPUT / "arrays.json").write_text(json.dumps(ARRAYS))
    figures = {synthesis.HEADS: cycles.as_json(HEADS)}
    (synthesis.OUTPUT / "speculation.json").write_text(json.dumps(figures))
    (demo.OUTPUT / "demo.md").write_text("# Demo\n\nA head.\n")
    (demo.OUTPUT / "demo.json").write_text(json.dumps(DEMO))
    return synthesis.OUTPUT


@pytest.mark.parametrize("measured", [True, False], ids=["measured", "results without cycles"])
def test_what_is_not_there_is_measured(measured, pages, monkeypatch, capsys):
    figures = (pages / "speculation.json").read_text()
    runs = []
    monkeypatch.setattr(
        synthesis, "run", lambda args: (runs.append(args), (pages / "speculation.json").write_text(figures))
    )
    if not measured:
        (pages / "speculation.json").write_text("{}")
    report.run(Namespace())
    assert len(runs) == (0 if measured else 1)
    assert f"{cycles.text(HEADS)}\n{synthesis.OUTPUT / 'report.html'}\n" == capsys.readouterr().out


def test_the_page_holds_its_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    page = report.html("# Title\n\n![what it shows](a.png)\n\n| x | y |\n|---|---:|\n| 1 | 2 |\n", tmp_path)
    assert '<img alt="what it shows" src="data:image/png;base64,cGljdHVyZQ==" />' in page
    assert '<td style="text-align: right;">2</td>' in page
    assert page.startswith("<!doctype html>")


def test_what_was_not_measured_is_said(pages):
    report.run(Namespace())
    text = (pages / "report.md").read_text()
    assert "Not measured here: `make power` takes hours." in text
    assert "Not measured here: `make power report` takes hours." in text
    assert "Not measured here: `make power sweep report` takes hours." in text
    assert "### Of arrays.md" in text
    assert "# Title" not in text


def test_the_page_needs_no_other_file(pages):
    (pages / "power.md").write_text("# Energy\n\nOf a layer.\n")
    (power.OUTPUT / "power.json").write_text(json.dumps(POWER))
    design_space.SETTINGS.write_text(json.dumps(SWEEP))
    report.run(Namespace())
    page = (pages / "report.html").read_text()
    assert re.findall(r'src="(?!data:)', page) == []
    assert page.count("data:image/png;base64,") == 2
    assert "<td>ESACT</td>" in page
    assert "Not measured here" not in page
    for title, *_ in report.PARTS:
        assert f">{title}</h2>" in page
    assert f"<li>commit: {provenance.commit()}</li>" in page


def test_one_file_has_all_figures(pages):
    (power.OUTPUT / "power.json").write_text(json.dumps(POWER))
    design_space.SETTINGS.write_text(json.dumps(SWEEP))
    report.run(Namespace())
    found = json.loads((pages / "report.json").read_text())
    assert set(found) == {"made", "power", "derived", "arrays", "speculation", "demo", "sweep"}
    assert found["power"] == POWER
    assert [each["system"] for each in found["derived"]["predictors"]] == list(predictor_costs.ARRAYS)
    assert found["derived"]["space"]["ESACT"]
    assert found["made"]["commit"] == provenance.commit()


def test_only_a_models_layers_are_taken_further(pages):
    (power.OUTPUT / "power.json").write_text(json.dumps(POWER | {"preset": "tiny"}))
    design_space.SETTINGS.write_text(json.dumps(SWEEP))
    report.run(Namespace())
    assert not (pages / "longer.md").exists()
    assert not (pages / "space.md").exists()
