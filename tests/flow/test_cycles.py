# SPDX-License-Identifier: Apache-2.0
"""The cycles of a head: how they are shown, and that the report shows those that were measured."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from foreshift import cycles, demo, report, synthesis

HEADS = [cycles.Head("spls", 8000, 6000), cycles.Head("lapa", 10240, 10239)]


def test_tables() -> None:
    assert cycles.text(HEADS).splitlines() == [
        "One head of MiniLM, alone",
        "unit  cycles  array busy",
        "SPLS    8000      75.0 %",
        "LAPA   10240     100.0 %",
    ]
    page = cycles.markdown(HEADS)
    assert page.startswith("## Cycles of one head of MiniLM\n\n")
    assert page.endswith(
        "\n\n| unit | cycles | array busy |\n|---|---:|---:|\n| SPLS | 8000 | 75.0 % |\n| LAPA | 10240 | 100.0 % |\n"
    )


def test_figures_survive_json() -> None:
    figures = json.loads(json.dumps(cycles.as_json(HEADS)))
    assert figures[0] == {"method": "spls", "cycles": 8000, "busy": 6000, "busy_share": 0.75}
    assert cycles.from_json(figures) == HEADS


@pytest.mark.parametrize("measured", [True, False], ids=["measured", "results without cycles"])
def test_report_prints_what_was_measured(
    measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And measures what was not."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "demo.md").write_text("# Demo\n")
    output = tmp_path / "report"
    output.mkdir()
    for page in ("arrays.md", "speculation.md", "execution.md"):
        (output / page).write_text(f"# {page}\n")

    def write(figures: dict[str, object]) -> None:
        (output / "speculation.json").write_text(json.dumps(figures))

    monkeypatch.setattr(demo, "OUTPUT", tmp_path / "demo")
    monkeypatch.setattr(synthesis, "OUTPUT", output)
    monkeypatch.setattr(report, "PARTS", [(title, output, "arrays.md", "make") for title in ("one", "other")])
    full = {synthesis.HEADS: cycles.as_json(HEADS)}
    runs: list[Namespace] = []
    monkeypatch.setattr(synthesis, "run", lambda args: (runs.append(args), write(full)))
    write(full if measured else {"units": []})
    report.run(Namespace())
    assert len(runs) == (0 if measured else 1)
    assert f"{cycles.text(HEADS)}\n{output / 'report.html'}\n" == capsys.readouterr().out


def test_the_page_holds_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    page = report.html("# Title\n\n![what it shows](a.png)\n\n| x | y |\n|---|---:|\n| 1 | 2 |\n", tmp_path)
    assert '<img alt="what it shows" src="data:image/png;base64,cGljdHVyZQ==" />' in page
    assert '<td style="text-align: right;">2</td>' in page
    assert page.startswith("<!doctype html>")


def test_what_was_not_measured_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("demo.md", "arrays.md", "speculation.md", "execution.md"):
        (tmp_path / name).write_text("# Page\n\nmeasured\n")
    (tmp_path / "speculation.json").write_text(json.dumps({synthesis.HEADS: cycles.as_json(HEADS)}))
    monkeypatch.setattr(demo, "OUTPUT", tmp_path)
    monkeypatch.setattr(synthesis, "OUTPUT", tmp_path)
    monkeypatch.setattr(report, "PARTS", [(title, tmp_path, page, how) for title, _, page, how in report.PARTS])
    report.run(Namespace())
    page = (tmp_path / "report.md").read_text()
    assert "Not measured here: `make power` takes hours." in page
    assert page.count("measured\n") == 4
    (tmp_path / "power.md").write_text("# Page\n\nof all accelerators\n")
    report.run(Namespace())
    page = (tmp_path / "report.md").read_text()
    assert "Not measured here" not in page
    assert "of all accelerators" in page
    assert "<h2" in (tmp_path / "report.html").read_text()
