# SPDX-License-Identifier: Apache-2.0
"""`foreshift eval`: its page, its figures, its picture."""

import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from config import settings
from foreshift import cli, evaluation, evaluation_results
from tasks import measure, tuner
from tasks.benchmarks import BENCHMARKS, benchmark
from tasks.measure import FLOAT, Result
from tasks.methods import METHODS
from tasks.prepared import MODELS
from tasks.tuner import Trial
from tests.tasks.scripted import Client, Queue

PARTS = ("qkv", "attention", "projection", "ffn", "total", "prediction")


def made_up(name, method, setting, *, loss=0.004):
    """A result that leaves half of everything."""
    which = benchmark(name)
    loss = {FLOAT: 0, "spatten": 0.02}.get(method, loss)
    score = 20 * (1 + loss) if which.lower_is_better else 0.8 * (1 - loss)
    more = {"mrr": 0.9, "cosine": 0.987} if which.task == "retrieval" else {}
    return Result(name, method, setting, score, {} if method == FLOAT else dict.fromkeys(PARTS, 0.5), more)


@pytest.fixture
def asked(monkeypatch, tmp_path) -> list:
    """What was measured; SpAtten loses too much whatever is tried. A tuned file stands in for the project's own."""
    monkeypatch.chdir(tmp_path)
    requests = []

    def measured(request):
        requests.append(request)
        return asdict(made_up(request.benchmark, request.method, request.setting))

    file = {name: dict.fromkeys(MODELS.values(), each.rungs[0]) for name, each in METHODS.items()}
    monkeypatch.setattr(settings, "_contents", lambda: file)
    monkeypatch.setattr(measure, "measured", measured)
    monkeypatch.setattr(
        tuner, "tried", lambda task, method, layer: {"trials": [asdict(Trial(0, 1)) for _ in METHODS[method].rungs]}
    )
    monkeypatch.setattr("jobs.runner.as_completed", Queue)
    monkeypatch.setattr(evaluation, "workers", lambda: nullcontext(Client()))
    return requests


@pytest.fixture
def output(asked, tmp_path) -> Path:
    return tmp_path / evaluation.OUTPUT


def test_the_short_form_takes_the_settings_of_the_file(output, asked, capsys):
    assert cli.main(["eval"]) == 0
    printed = capsys.readouterr().out
    assert [line.split("  ")[0] for line in printed.splitlines()[1:]] == [each.title for each in METHODS.values()]
    assert {each.part for each in asked} == {"test"}
    assert all(each.setting.items() >= METHODS[each.method].rungs[0].items() for each in asked if each.method != FLOAT)
    page = (output / "eval.md").read_text()
    assert "A short form" in page
    assert "| LAPA | 79.7 % | 0.900 | 0.987 |" in page
    for which in BENCHMARKS:
        assert f"| {which.name} | {which.metric} | " in page
    assert (output / "eval.png").stat().st_size > 5000
    assert not list(output.parent.glob("*.tmp*"))


def test_the_full_form_tunes_on_calibration_data_and_reports_on_test_data(output, asked, capsys):
    assert cli.main(["eval", "--full", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures) == [*(which.name for which in BENCHMARKS), "tuned"]
    for which in BENCHMARKS:
        entry = figures[which.name]
        assert entry["fact"]["left"]["total"] == 0.5
        assert entry["spatten"] is None
        assert entry["float"] in (20, 0.8)
    tuned = {(each["task"], method) for method, found in figures["tuned"].items() for each in found}
    assert tuned == {(task, method) for task in MODELS for method in METHODS if method not in ("dense", "spatten")}
    tested = {(each.benchmark, each.method) for each in asked if each.part == "test"}
    assert len(tested) == 26 * len(METHODS)  # floating point, and all but SpAtten
    assert {each.method for each in asked if each.part == "calibration"} == {FLOAT, *METHODS} - {"dense"}
    page = (output / "eval.md").read_text()
    assert page.count("none |") == len(BENCHMARKS)
    assert json.loads((output / "eval.json").read_text()) == figures


def test_the_full_form_writes_the_file_that_the_short_one_reads(output, asked, monkeypatch, capsys):
    assert cli.main(["eval", "--full"]) == 0
    written = output / "settings.json"
    monkeypatch.setattr(settings, "_contents", lambda: json.loads(written.read_text()))
    for method in ("spls", "lapa", "fact"):
        for model in MODELS.values():
            assert settings.chosen(method, model)
    asked.clear()
    assert cli.main(["eval"]) == 0
    assert "spatten" in {each.method for each in asked}  # nothing better was found than what is in the file


def test_a_second_run_measures_nothing(output, asked, capsys):
    assert cli.main(["eval", "--full"]) == 0
    first = capsys.readouterr().out
    asked.clear()
    assert cli.main(["eval", "--full"]) == 0
    assert capsys.readouterr().out == first
    assert not asked


def test_dense_stands_in_where_nothing_is_good():
    dense = [replace(made_up(which.name, "dense", {}), left=dict.fromkeys(PARTS, 1.0)) for which in BENCHMARKS]
    references = [made_up(which.name, FLOAT, {}).score for which in BENCHMARKS]
    row = evaluation_results.Row("fact", "FACT", [None] * 26, dense, references)
    assert row.mean("total") == 1
    assert row.loss("vision") == pytest.approx(0.004)
    strict = [made_up(which.name, "fact", {}) for which in BENCHMARKS]
    row = evaluation_results.Row("fact", "FACT", strict, dense, references)
    assert row.mean("total", "language") == pytest.approx(0.5)


def test_losses_are_counted_benchmark_by_benchmark():
    found = [made_up(which.name, "spatten" if n % 5 == 0 else "fact", {}) for n, which in enumerate(BENCHMARKS)]
    references = [made_up(which.name, FLOAT, {}).score for which in BENCHMARKS]
    row = evaluation_results.Row("fact", "FACT", found, found, references)
    assert [row.good(task) for task in ("retrieval", "language", "vision", None)] == [
        "8 of 10",
        "8 of 10",
        "4 of 6",
        "20 of 26",
    ]
    assert row.loss("retrieval") == pytest.approx((2 * 0.02 + 8 * 0.004) / 10)


def test_a_broken_file_is_refused_before_anything_is_written(output, capsys):
    output.mkdir(parents=True)
    (output / evaluation.MEASURED).write_text("nonsense\n")
    assert cli.main(["eval"]) == 2
    assert "must hold a result on each line, and line 1 is none" in capsys.readouterr().err
    assert sorted(path.name for path in output.iterdir()) == [evaluation.MEASURED]
