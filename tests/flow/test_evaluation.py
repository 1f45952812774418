# SPDX-License-Identifier: Apache-2.0
"""`foreshift eval`: its page, its figures, its picture."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from foreshift import cli, evaluation, evaluation_results
from tasks import search
from tasks.benchmarks import BENCHMARKS, benchmark
from tasks.methods import METHODS
from tasks.search import FLOAT, Result
from tests.tasks.test_search import Client, Queue

PARTS = ("qkv", "attention", "projection", "ffn", "total", "prediction")


def made_up(name, method, place, limit):
    """Each step loses 0.4 %, SpAtten 2 % from the start; and leaves 5 % less of everything."""
    which, step = benchmark(name), sum(place)
    loss = 0 if method == FLOAT else 0.004 * step + 0.02 * (method == "spatten")
    score = 20 * (1 + loss) if which.lower_is_better else 0.8 * (1 - loss)
    if method == FLOAT:
        return Result(name, method, place, {}, limit, score, {})
    return Result(
        name, method, place, METHODS[method].setting(place), limit, score, dict.fromkeys(PARTS, 1 - step / 20)
    )


@pytest.fixture
def output(monkeypatch, tmp_path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "evaluate", made_up)
    monkeypatch.setattr("jobs.runner.as_completed", Queue)
    monkeypatch.setattr(evaluation, "workers", lambda: nullcontext(Client()))
    return tmp_path / evaluation.OUTPUT


def test_the_short_form(output, capsys):
    assert cli.main(["eval"]) == 0
    printed = capsys.readouterr().out
    assert [line.split("  ")[0] for line in printed.splitlines()[1:]] == [each.title for each in METHODS.values()]
    page = (output / "eval.md").read_text()
    assert "A short form" in page
    for which in BENCHMARKS:
        assert f"| {which.name} | {which.metric} | " in page
    assert (output / "eval.png").stat().st_size > 5000
    assert not list(output.parent.glob("*.tmp*"))


def test_the_full_form_reports_the_best_setting_that_is_good(output, capsys):
    assert cli.main(["eval", "--full", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures) == [which.name for which in BENCHMARKS]
    for name, entry in figures.items():
        # Two steps of 0.4 % are within 1 %, three are not.
        assert entry["fact"]["left"]["total"] == 1 - 2 / 20, name
        assert entry["fact"]["setting"] == METHODS["fact"].setting((2,))
        assert entry["spatten"] is None
        assert entry["float"] in (20, 0.8)
    page = (output / "eval.md").read_text()
    assert page.count("none |") == len(BENCHMARKS)
    assert json.loads((output / "eval.json").read_text()) == figures


def test_a_second_run_measures_nothing(output, capsys, monkeypatch):
    assert cli.main(["eval", "--full"]) == 0
    first = capsys.readouterr().out

    def never(*args):
        raise AssertionError(args)

    monkeypatch.setattr(search, "evaluate", never)
    assert cli.main(["eval", "--full"]) == 0
    assert capsys.readouterr().out == first


def test_dense_stands_in_where_nothing_is_good():
    dense = [made_up(which.name, "dense", (), 5) for which in BENCHMARKS]
    row = evaluation_results.Row("fact", "FACT", [None] * 26, dense, [1.0] * 26)
    assert row.mean("total") == 1
    assert row.good("vision") == "0 of 6"
    assert row.loss("vision") == pytest.approx(0.2)
    strict = [made_up(which.name, "fact", (4,), 5) for which in BENCHMARKS]
    row = evaluation_results.Row("fact", "FACT", strict, dense, [1.0] * 26)
    assert row.mean("total", "language") == pytest.approx(0.8)
    assert row.good("retrieval") == "10 of 10"


def test_a_broken_file_is_refused_before_anything_is_written(output, capsys):
    output.mkdir(parents=True)
    (output / evaluation.MEASURED).write_text("nonsense\n")
    assert cli.main(["eval"]) == 2
    assert "must hold a result on each line, and line 1 is none" in capsys.readouterr().err
    assert sorted(path.name for path in output.iterdir()) == [evaluation.MEASURED]
