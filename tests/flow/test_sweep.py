# SPDX-License-Identifier: Apache-2.0
"""`foreshift sweep`: its page, its figures, its pictures."""

import json
import zlib
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pytest

from foreshift import cli, sweep, sweep_results
from foreshift.frontier import at_work, frontier
from foreshift.sweep_results import common
from tasks import head_keys, swept
from tasks.head_keys import Compared, Kept
from tasks.sweeps import SWEEPS, quick
from tasks.swept import Found
from tests.tasks.scripted import Client, Queue

PARTS = ("qkv", "attention", "projection", "ffn", "total", "prediction")


def made_up(request):
    """Answers move the more the less is left; int4 moves them thrice as far."""
    strict = zlib.crc32(json.dumps(asdict(request), sort_keys=True).encode()) % 1000 / 2000
    if request.method == "spls":
        strict = request.setting["s"] / 400
    moved = 10 ** (3 * strict - 4) * (3 if request.setting.get("build", {}).get("system") == "int4" else 1)
    loss = moved if request.task == "language" else None
    return Found(moved, dict.fromkeys(PARTS, 1 - strict), 0.9, loss)


@pytest.fixture
def asked(monkeypatch, tmp_path) -> list:
    """What was measured."""
    monkeypatch.chdir(tmp_path)
    requests = []

    def measured(request):
        requests.append(request)
        return asdict(made_up(request))

    def heads(task, sequences):
        requests.append(task)
        kept = Kept(0.9, 0.01, dict.fromkeys(PARTS, 0.8))
        return asdict(Compared(kept, kept, 0.93))

    monkeypatch.setattr(swept, "measured", measured)
    monkeypatch.setattr(head_keys, "measured", heads)
    monkeypatch.setattr("jobs.runner.as_completed", Queue)
    monkeypatch.setattr(sweep, "workers", lambda: nullcontext(Client()))
    return requests


@pytest.fixture
def output(asked, tmp_path) -> Path:
    return tmp_path / sweep.OUTPUT


def test_all_points_are_in_the_page_and_in_the_figures(output, asked, capsys):
    assert cli.main(["sweep", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads((output / "sweep.json").read_text())
    page = (output / "sweep.md").read_text()
    for name, one in SWEEPS.items():
        found = figures["sweeps"][name]
        assert [each["setting"] for each in found] == [point.setting for point in one.points]
        table = page.partition(f"## {one.title}\n")[2].partition("\n## ")[0]
        assert table.count("\n| ") == 1 + len(one.points)
        for each in found:
            assert each["vision"]["moved"] > 0
            assert each["vision"]["loss"] is None
            assert each["language"]["loss"] > 0
    pictures = list(output.glob("*.png"))
    assert {each.stem for each in pictures} == {"methods", "systems", "windows", "attention"}
    assert all(each.stat().st_size > 5000 for each in pictures)
    for picture in pictures:
        assert f"]({picture.name})" in page
    # What several sweeps hold is measured once.
    assert len(asked) == len({json.dumps(asdict(each)) for each in asked if not isinstance(each, str)}) + 3
    assert len(asked) < 3 * sum(len(one.points) for one in SWEEPS.values())


def test_what_is_claimed_stands_apart(output, asked):
    """No figure of the papers is in a table of measured ones."""
    assert cli.main(["sweep", "--quick"]) == 0
    measured, _, claimed = (output / "sweep.md").read_text().partition("## What the papers claim, not measured here")
    for _, what, figure in sweep_results.CLAIMS:
        assert what not in measured
        assert f"| {what} | {figure} |" in claimed


def test_the_short_form_is_a_part_of_the_long_one(output, asked, capsys):
    assert cli.main(["sweep", "--quick"]) == 0
    short = [each for each in asked if not isinstance(each, str)]
    assert {each.task for each in short} == set(sweep.TASKS)
    assert {each.sequences for each in short} == set(swept.QUICK_SEQUENCES.values())
    for name, one in quick().items():
        assert set(map(str, one.points)) <= set(map(str, SWEEPS[name].points))
        assert 2 <= len(one.points) <= len(SWEEPS[name].points) / 1.6
    assert "| int8 |" in capsys.readouterr().out


def test_goes_on_where_it_was(output, asked, capsys):
    assert cli.main(["sweep", "--quick"]) == 0
    first = capsys.readouterr().out
    kept = (output / sweep.MEASURED).read_text().splitlines(keepends=True)
    assert len(kept) == len(asked)
    asked.clear()
    # The run was killed while a result was being written.
    (output / sweep.MEASURED).write_text("".join(kept[:-3]) + kept[-3][:40])
    assert cli.main(["sweep", "--quick"]) == 0
    assert capsys.readouterr().out == first
    assert len(asked) == 3


def test_equal_work_is_read_between_points():
    line = [(0.5, 0.1), (0.7, 0.01)]
    assert at_work(line, 0.6) == pytest.approx(0.1**1.5)
    assert at_work(line, 0.5) == pytest.approx(0.1)
    assert at_work(line, 0.49) is None
    assert at_work(line[:1], 0.5) is None
    assert common({"a": line, "b": [(0.6, 1), (0.9, 1)], "point": [(0.1, 1)]}) == pytest.approx(0.65)


def test_int4_is_told_from_the_others(output, asked, capsys):
    assert cli.main(["sweep"]) == 0
    table = capsys.readouterr().out.partition("| prediction in |")[2].partition("\n\n")[0]
    rows = {cells[1].strip(): cells[2:5] for cells in (line.split("|") for line in table.splitlines()[2:])}
    for own, others in zip(rows["int4"], rows["HLog, nearest"], strict=True):
        assert float(own) == pytest.approx(3 * float(others), rel=0.02)


def test_a_frontier_is_what_nothing_beats():
    points = [(0.5, 0.3), (0.6, 0.1), (0.6, 0.2), (0.7, 0.1), (0.8, 0.05)]
    assert frontier(points) == [points[0], points[1], points[4]]


def test_a_broken_file_is_refused(output, asked, capsys):
    output.mkdir(parents=True)
    (output / sweep.MEASURED).write_text("nonsense\n")
    assert cli.main(["sweep"]) == 2
    assert "must hold a result on each line, and line 1 is none" in capsys.readouterr().err
