# SPDX-License-Identifier: Apache-2.0
"""The search for the strictest good setting, and what it keeps of a run that was interrupted."""

from collections import Counter

import pytest

from jobs.store import Store
from tasks import search
from tasks.benchmarks import BENCHMARKS, benchmark
from tasks.methods import METHODS
from tasks.search import FLOAT, Result, best, fixed, known, steps

LIMITS = {"retrieval": 5, "language": 2, "vision": 7}


def tried(lengths, good):
    """The places that are tried, and the last good one."""
    generator, places, last = steps(lengths), [], None
    try:
        place = next(generator)
        while True:
            places.append(place)
            last = place if good(place) else last
            place = generator.send(good(place))
    except StopIteration:
        return places, last


@pytest.mark.parametrize("limit", range(-1, 10))
def test_one_axis_is_cut_in_halves(limit):
    places, last = tried([10], lambda place: place[0] <= limit)
    assert last == (None if limit < 0 else (limit,))
    assert len(places) <= 4
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("second", range(7))
def test_axes_follow_each_other(first, second):
    _, last = tried([5, 7], lambda place: place[0] <= first and place[1] <= second)
    assert last == (first, second)


def test_nothing_good_ends_at_once():
    places, last = tried([8, 8], lambda place: False)
    assert last is None
    assert places[-1] == (0, 0)
    assert len(places) == 3


def test_no_axes_are_no_steps():
    assert tried([], lambda place: True) == ([], None)


class Client:
    """Runs at once what it is given, in this process, and is interrupted after so many."""

    def __init__(self, runs: int = 10**6) -> None:
        self.runs = runs

    def submit(self, function, *args, pure):
        if not self.runs:
            raise KeyboardInterrupt
        self.runs -= 1
        return Answer(function(*args))


class Answer:
    """A result that is there."""

    def __init__(self, value) -> None:
        self.value = value

    def result(self):
        return self.value


class Queue(list):
    """What is done, in the order in which it came."""

    add = list.append

    def __iter__(self):
        while self:
            yield self.pop(0)


def made_up(name, method, place, limit):
    """A loss of 0.3 % per step, nothing for floating point; what is left falls likewise."""
    which, step = benchmark(name), sum(place)
    score = 20 * (1 + 0.003 * step) if which.lower_is_better else 0.8 * (1 - 0.003 * step)
    setting = {} if method == FLOAT else METHODS[method].setting(place)
    return Result(name, method, place, setting, limit, score, {} if method == FLOAT else {"total": 1 - 0.05 * step})


@pytest.fixture
def measured(monkeypatch):
    """How often each measurement was made."""
    counts = Counter()

    def evaluate(*args):
        counts[args] += 1
        return made_up(*args)

    monkeypatch.setattr(search, "evaluate", evaluate)
    monkeypatch.setattr("jobs.runner.as_completed", Queue)
    return counts


def test_finds_the_strictest_good_setting(measured, tmp_path):
    store, seen = Store(tmp_path / "measured.jsonl"), []
    search.search(Client(), METHODS, LIMITS, store, seen.append)
    for which in BENCHMARKS:
        limit = LIMITS[which.task]
        assert best(which, "fact", limit, store).place == (3,)
        assert best(which, "spls", limit, store).place == (3, 0, 0)
        assert best(which, "dense", limit, store).place == ()
    assert set(measured.values()) == {1}
    assert len(seen) == len(measured)


def test_goes_on_where_it_was(measured, tmp_path):
    path = tmp_path / "measured.jsonl"
    with pytest.raises(KeyboardInterrupt):
        search.search(Client(70), METHODS, LIMITS, Store(path), lambda result: None)
    assert 0 < len(path.read_text().splitlines()) <= 70
    kept = len(path.read_text().splitlines())
    search.search(Client(), METHODS, LIMITS, Store(path), lambda result: None)
    again = [args for args, count in measured.items() if count > 1]
    assert len(again) == 70 - kept
    assert len(path.read_text().splitlines()) == len(measured)


def test_a_fixed_setting_is_measured_everywhere(measured, tmp_path):
    fixed(Client(), {"lapa": (2, 3)}, LIMITS, Store(tmp_path / "measured.jsonl"), lambda result: None)
    assert len(measured) == 2 * 26
    assert ("vision/digits", "lapa", (2, 3), 7) in measured


def test_other_sources_are_measured_anew(measured, tmp_path, monkeypatch):
    store = Store(tmp_path / "measured.jsonl")
    fixed(Client(), {"fact": (2,)}, LIMITS, store, lambda result: None)
    assert known(store, "vision/digits", "fact", (2,), 7) == made_up("vision/digits", "fact", (2,), 7)
    assert known(store, "vision/digits", "fact", (2,), 8) is None
    monkeypatch.setattr(search, "version", lambda: "others")
    assert known(store, "vision/digits", "fact", (2,), 7) is None


def test_loss_of_more_than_allowed_is_not_good(measured, tmp_path):
    """Where even the mildest setting loses too much there is none."""
    store, which = Store(tmp_path / "measured.jsonl"), benchmark("vision/digits")
    fixed(Client(), {"fact": (4,)}, LIMITS, store, lambda result: None)
    assert best(which, "fact", 7, store) is None
    for place in (1, 2):
        fixed(Client(), {"fact": (place,)}, LIMITS, store, lambda result: None)
    assert best(which, "fact", 7, store).place == (2,)
