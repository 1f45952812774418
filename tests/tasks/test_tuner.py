# SPDX-License-Identifier: Apache-2.0
"""The tuner: which settings it tries, which it chooses, and what it keeps of a run that was interrupted."""

import itertools
from collections import Counter
from dataclasses import asdict

import pytest
import torch

from jobs.runner import follow
from jobs.store import Store
from tasks import measure, prepared, tuner
from tasks.benchmarks import benchmark
from tasks.measure import FLOAT, Request, Result, known
from tasks.methods import METHODS
from tasks.tuner import STEPS, Trial, distance, frontier, of_task, tune
from tests.tasks.scripted import Client, Queue

LIMITS = {"retrieval": 5, "language": 2, "vision": 7}


def test_a_frontier_trades_work_for_answers_layer_by_layer():
    """Halving the second layer's work costs less than a fifth of the first's; the rung that is worse in both is not
    taken."""
    first = [Trial(0, 1), Trial(0.02, 0.8), Trial(0.05, 0.9)]
    second = [Trial(0, 1), Trial(0.01, 0.5), Trial(0.5, 0.4)]
    assert frontier([first, second]) == [(0, 0), (0, 1), (1, 1), (1, 2)]


def test_a_frontier_is_thinned_out_evenly():
    layer = [Trial((n / 40) ** 2, 1 - n / 40) for n in range(41)]
    line = frontier([layer])
    assert STEPS - 2 <= len(line) <= STEPS
    assert (line[0], line[-1]) == ((0,), (40,))
    lefts = [layer[n].left for (n,) in line]
    assert lefts == sorted(lefts, reverse=True)
    assert max(one - other for one, other in itertools.pairwise(lefts)) <= 3 / 40 + 1e-9


def test_mildest_where_nothing_is_gained():
    assert frontier([[Trial(0, 1), Trial(0.1, 1)]]) == [(0,)]


@pytest.fixture
def made_up(monkeypatch):
    """FACT: each layer at rung n moves answers by n² and leaves 1 - n/10 of itself; each step of any layer loses 0.1 %.
    Counts how often everything is asked for."""
    counts = Counter()
    rungs = [rung["k"] for rung in METHODS["fact"].rungs]

    def tried(task, method, layer):
        counts[task, method, layer] += 1
        return {"trials": [asdict(Trial(n**2 * (1 + layer), 1 - n / 40)) for n in range(len(rungs))]}

    def measured(request):
        counts[request.key] += 1
        assert request.part == "calibration"
        which = request.benchmark
        steps = sum(rungs.index(k) for k in _list(request.setting.get("k", [])))
        score = 20 * (1 + 0.001 * steps) if benchmark(which).lower_is_better else 0.8 * (1 - 0.001 * steps)
        left = {} if request.method == FLOAT else {"total": 1 - steps / 40}
        return asdict(Result(which, request.method, request.setting, score, left))

    monkeypatch.setattr(tuner, "tried", tried)
    monkeypatch.setattr(measure, "measured", measured)
    monkeypatch.setattr("jobs.runner.as_completed", Queue)
    return counts


def _list(value):
    return value if isinstance(value, list) else [value] * 4


@pytest.mark.parametrize("task", LIMITS)
def test_chooses_the_strictest_setting_within_the_budget(task, made_up, tmp_path):
    (choice,) = follow(Client(), [tune(task, "fact", LIMITS)], Store(tmp_path / "measured.jsonl"))
    assert (choice.task, choice.method) == (task, "fact")
    assert 0.007 < choice.loss <= 0.01
    steps = [METHODS["fact"].rungs.index({"k": k}) for k in _list(choice.setting["k"])]
    assert choice.loss == pytest.approx(0.001 * sum(steps))
    assert choice.left == pytest.approx(1 - sum(steps) / 40)
    # The answers depend more on the later layers.
    assert steps == sorted(steps, reverse=True)
    assert set(made_up.values()) == {1}


def test_nothing_is_chosen_where_even_the_mildest_loses_too_much(made_up, monkeypatch, tmp_path):
    monkeypatch.setattr(tuner, "ALLOWED", -0.001)
    assert follow(Client(), [tune("vision", "fact", LIMITS)], Store(tmp_path / "measured.jsonl")) == [None]


def test_goes_on_where_it_was(made_up, tmp_path):
    path = tmp_path / "measured.jsonl"
    with pytest.raises(KeyboardInterrupt):
        follow(Client(17), [tune("vision", "fact", LIMITS)], Store(path))
    kept = len(path.read_text().splitlines())
    assert 0 < kept <= 17
    (choice,) = follow(Client(), [tune("vision", "fact", LIMITS)], Store(path))
    assert choice.loss <= 0.01
    again = [what for what, count in made_up.items() if count > 1]
    assert len(again) == 17 - kept


def test_other_sources_are_measured_anew(made_up, tmp_path, monkeypatch):
    store, request = Store(tmp_path / "measured.jsonl"), Request("vision/digits", FLOAT, {}, 7, "calibration")
    follow(Client(), [tune("vision", "fact", LIMITS)], store)
    assert known(store, request).score == 0.8
    assert known(store, Request("vision/digits", FLOAT, {}, 8, "calibration")) is None
    assert known(store, Request("vision/digits", FLOAT, {}, 7)) is None
    monkeypatch.setattr(measure, "version", lambda task, weights: "others")
    assert known(store, request) is None


def test_answers_that_are_the_same_are_not_apart():
    chance = torch.Generator().manual_seed(1)
    for task, shape in {"retrieval": (2, 5, 384), "language": (2, 5, 192), "vision": (2, 64, 64)}.items():
        y = torch.randn(shape, generator=chance, dtype=torch.float64)
        other = torch.randn(shape, generator=chance, dtype=torch.float64)
        assert abs(distance(task, y, y)) < 1e-6
        assert distance(task, y, y + 0.1 * other) < distance(task, y, other)


def test_trying_a_rung_in_one_layer_moves_the_answers_and_saves_its_work():
    """The first rung of SPLS keeps every key; it merges equal rows only."""
    found = tuner.tried("vision", "fact", 2)["trials"]
    assert found[0] == {"moved": pytest.approx(0, abs=1e-6), "left": 1}
    lefts = [each["left"] for each in found]
    assert lefts == sorted(lefts, reverse=True)
    assert 0.9 < lefts[-1] < 1
    assert found[-1]["moved"] > found[2]["moved"] > 0


def test_benchmarks_of_a_task():
    assert [len(of_task(task)) for task in LIMITS] == [10, 10, 6]


def test_layers_of_a_trained_model_are_tried_among_others_as_it_was_trained():
    setting = prepared.fine_tuned("vision", "spls")[1]["setting"]
    others = tuner._others("vision", "spls-trained")
    assert [each["s"] for each in others] == setting["s"]
    assert METHODS["spls-trained"].setting(others) == {**setting, "k": [0.35] * 4, "k_similarity": [0.12] * 4}
    assert tuner._others("vision", "spls") == [METHODS["spls"].rungs[0]] * 4
