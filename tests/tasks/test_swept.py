# SPDX-License-Identifier: Apache-2.0
"""Sweeps on a real model: what each option of a predictor does there, and what is counted."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from config.errors import Refusal
from golden.speculate import spls
from golden.speculate.plan import all_critical
from tasks import head_keys, measure, swept
from tasks.prepared import BUILD, built, prepared
from tasks.sweeps import SLICES, SPLS, SWEEPS, SYSTEMS, Point
from tasks.sweeps import spls as changed
from tasks.swept import Recall, evaluate

COUNT = 4


def found(point):
    return evaluate(point.request("vision", COUNT))


def of_spls(without="", **settings):
    return found(Point({}, "spls", changed(**settings), without))


@pytest.fixture(scope="module")
def base():
    return of_spls()


def test_what_a_setting_leaves_out_is_as_usual(base):
    named = of_spls(system="hlog", rounding="nearest")
    assert named == base
    assert built({BUILD: {"window": 4}}, spls.SYSTEM) == {"window": 4, "system": spls.SYSTEM}
    with pytest.raises(Refusal, match="number system must be one of"):
        built({BUILD: {"system": "int7"}}, spls.SYSTEM)


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "HLog, nearest"])
def test_number_systems_change_the_plan(name, base):
    other = of_spls(**SYSTEMS[name])
    assert 0 < other.left["total"] < 1
    assert other != base


def test_keys_are_found_the_better_the_finer_the_system():
    """All of them keep as many keys, so recall is all that differs."""
    keys = {"window": 1, "f": 2.0, "k": 0.12}
    recall = {name: of_spls(**keys, **system).recall for name, system in SYSTEMS.items()}
    assert recall["int8"] > recall["HLog, nearest"] > recall["power of two"]
    assert recall["int8"] > recall["int4"]


def test_steps_that_lose_nothing_cost_work_alone(base):
    for step, part in (("keys", "qkv"), ("projections", "projection")):
        other = of_spls(step)
        assert (other.moved, other.recall) == (base.moved, base.recall)
        assert {name for name, left in other.left.items() if left > base.left[name]} == {part, "total"}
    assert of_spls("projections").left["projection"] == 1


def test_steps_are_what_they_are_called(base):
    for point in SWEEPS["steps"].points[1:]:
        part = {"without top k": "attention", "without similar rows": "ffn", "without FFN copies": "ffn"}
        if point.at["steps"] in part:
            assert found(point).left[part[point.at["steps"]]] > base.left[part[point.at["steps"]]]


@pytest.mark.parametrize("slices", SLICES)
def test_rounds_of_lapa(slices):
    point = next(each for each in SWEEPS["slices"].points if each.at == {"slices": slices, "η": 128})
    result = found(point)
    assert 0 < result.left["attention"] < 0.9
    assert 0.3 < result.recall < 1


def test_dense_finds_everything_and_moves_nothing():
    result = found(Point({}, "dense", {}))
    assert result.moved == pytest.approx(0, abs=1e-6)
    assert (result.recall, result.left["total"], result.loss) == (1, 1, None)


def test_recall_by_hand():
    """Of two rows, one keeps its largest and its smallest key, the other nothing."""
    tally = Recall()
    q = torch.tensor([[[[1, 0], [0, 1]]]])
    k = torch.tensor([[[[5, 1], [3, 1]]]])
    mask = torch.tensor([[[[True, False], [False, False]]]])
    tally.see(all_critical(mask), q, k)
    assert (tally.kept, tally.hits) == (1, 1)
    tally.see(all_critical(mask.flip(-1)), q, k)
    assert (tally.kept, tally.hits) == (2, 1)


def test_the_language_model_tells_its_perplexity():
    point = Point({}, "fact", {"k": 0.05})
    given = swept.sample("language", 3)
    result = evaluate(point.request("language", 3))
    assert 2 < given.perplexity < 100
    assert result.loss > 0.005
    assert abs(evaluate(Point({}, "dense", {}).request("language", 3)).loss) < 1e-9


def test_requests_are_kept_by_what_they_depend_on(monkeypatch):
    request = Point({"any": 1}, "spls", SPLS).request("vision", COUNT)
    keys = {
        each.job().key
        for each in (
            request,
            replace(request, task="language"),
            replace(request, setting=changed(window=4)),
            replace(request, without="keys"),
            replace(request, sequences=5),
        )
    }
    assert len(keys) == 5
    assert Point({"another table": 2}, "spls", SPLS).request("vision", COUNT).job().key in keys
    assert measure.version("vision", module="tasks.swept") != measure.version("vision")
    monkeypatch.setattr(swept, "version", lambda task, module: "others")
    assert request.job().key not in keys


def test_keys_are_shared_out_by_what_they_are_worth():
    gains = np.array([[0.9, 0.05, 0.03, 0.02], [0.3, 0.25, 0.25, 0.2]])
    assert head_keys.shared_out(gains, 5).tolist() == [1, 4]
    assert head_keys.shared_out(gains, 6).tolist() == [2, 4]
    assert head_keys.shared_out(gains, 2).tolist() == [1, 1]
    # A key that has to be taken first may be worth less than the next.
    assert head_keys.shared_out(np.array([[0.5, 0.0, 0.4], [0.3, 0.1, 0.1]]), 4).tolist() == [1, 3]


def test_a_k_per_head_keeps_as_many_keys():
    result = head_keys.compare("vision", COUNT)
    assert result.own.left["attention"] == pytest.approx(result.one.left["attention"])
    assert 0.1 < result.one.mass < 1
    assert 0.3 < result.needed <= 1
    assert head_keys.Compared.of(asdict(result)) == result


def test_a_k_per_head_keeps_more_where_it_was_chosen():
    given = swept.sample("vision", COUNT)
    gains = head_keys.worth(prepared("vision"), given.x, given.attend)
    one, own = ([choose(each) for each in gains] for choose in (_ones, _own))
    assert [counts.sum() for counts in own] == [counts.sum() for counts in one]
    assert head_keys.mass(gains, own) > head_keys.mass(gains, one)


def _ones(gains):
    return np.full(len(gains), 13)


def _own(gains):
    return head_keys.shared_out(gains, 13 * len(gains))


def test_worth_adds_up_to_everything():
    """The probabilities of all keys of a row are 1, in whichever order."""
    given = swept.sample("vision", COUNT)
    for gains in head_keys.worth(prepared("vision"), given.x, given.attend):
        assert gains.sum(axis=1) == pytest.approx(np.ones(len(gains)))
        assert gains[:, :8].sum() > gains[:, -8:].sum()
