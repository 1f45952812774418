# SPDX-License-Identifier: Apache-2.0
"""The search for the strictest good setting, and what it keeps of a run that was interrupted."""

import json
from collections import Counter
from concurrent.futures import Future

import pytest

from config.errors import Refusal
from tasks import search
from tasks.benchmarks import BENCHMARKS, benchmark
from tasks.methods import METHODS
from tasks.search import FLOAT, Result, Store, best, fixed, steps

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


class Pool:
    """Runs at once what it is given, in this process, and gives up after so many."""

    def __init__(self, runs: int = 10**6) -> None:
        self.runs = runs

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        return None

    def submit(self, function, *args):
        if not self.runs:
            raise KeyboardInterrupt
        self.runs -= 1
        future = Future()
        future.set_result(function(*args))
        return future


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
    monkeypatch.setattr(search, "_pool", lambda processes: Pool())
    return counts


def test_finds_the_strictest_good_setting(measured, tmp_path):
    store, seen = Store(tmp_path / "measured.jsonl"), []
    search.search(METHODS, LIMITS, store, seen.append)
    for which in BENCHMARKS:
        limit = LIMITS[which.task]
        assert best(which, "fact", limit, store).place == (3,)
        assert best(which, "spls", limit, store).place == (3, 0, 0)
        assert best(which, "dense", limit, store).place == ()
    assert set(measured.values()) == {1}
    assert len(seen) == len(measured)


def test_goes_on_where_it_was(measured, tmp_path, monkeypatch):
    path = tmp_path / "measured.jsonl"
    monkeypatch.setattr(search, "_pool", lambda processes: Pool(40))
    with pytest.raises(KeyboardInterrupt):
        search.search(METHODS, LIMITS, Store(path), lambda result: None)
    assert 0 < len(path.read_text().splitlines()) <= 40
    kept = len(path.read_text().splitlines())
    monkeypatch.setattr(search, "_pool", lambda processes: Pool())
    search.search(METHODS, LIMITS, Store(path), lambda result: None)
    again = [args for args, count in measured.items() if count > 1]
    assert len(again) == 40 - kept
    assert len(path.read_text().splitlines()) == len(measured)


def test_a_fixed_setting_is_measured_everywhere(measured, tmp_path):
    fixed({"lapa": (2, 3)}, LIMITS, Store(tmp_path / "measured.jsonl"), lambda result: None)
    assert len(measured) == 2 * 26
    assert ("vision/digits", "lapa", (2, 3), 7) in measured


def test_other_sources_are_measured_anew(tmp_path, monkeypatch):
    path = tmp_path / "measured.jsonl"
    result = made_up("vision/digits", "fact", (2,), 7)
    Store(path).add(result)
    assert Store(path).find("vision/digits", "fact", (2,), 7) == result
    assert Store(path).find("vision/digits", "fact", (2,), 8) is None
    monkeypatch.setattr(search, "fingerprint", lambda: "others")
    assert Store(path).find("vision/digits", "fact", (2,), 7) is None


def test_a_torn_line_is_measured_again(tmp_path):
    """What a run wrote when it was stopped."""
    path = tmp_path / "measured.jsonl"
    first, second = (made_up("vision/digits", "fact", (place,), 7) for place in (1, 2))
    Store(path).add(first)
    Store(path).add(second)
    path.write_text(path.read_text()[:-20])
    store = Store(path)
    assert store.find("vision/digits", "fact", (1,), 7) == first
    assert store.find("vision/digits", "fact", (2,), 7) is None
    store.add(second)
    assert Store(path).find("vision/digits", "fact", (2,), 7) == second


def test_lines_of_other_sources_may_look_otherwise(tmp_path):
    path = tmp_path / "measured.jsonl"
    path.write_text(json.dumps({"version": "earlier", "other": 1}) + "\n")
    assert Store(path).all("vision/digits", "fact", 7) == []


@pytest.mark.parametrize("line", ["{", "[]", "3", json.dumps({"benchmark": "x"})])
def test_a_file_of_something_else_is_refused(line, tmp_path):
    path = tmp_path / "measured.jsonl"
    Store(path).add(made_up("vision/digits", "fact", (2,), 7))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(Refusal) as refusal:
        Store(path)
    assert str(refusal.value) == f"{path} must hold a measurement on each line, and line 2 is none; remove that line."


def test_loss_of_more_than_allowed_is_not_good(measured, tmp_path):
    """Where even the mildest setting loses too much there is none."""
    store, which = Store(tmp_path / "measured.jsonl"), benchmark("vision/digits")
    store.add(made_up(which.name, FLOAT, (), 7))
    store.add(made_up(which.name, "fact", (4,), 7))
    assert best(which, "fact", 7, store) is None
    store.add(made_up(which.name, "fact", (1,), 7))
    store.add(made_up(which.name, "fact", (2,), 7))
    assert best(which, "fact", 7, store).place == (2,)


def test_a_fingerprint_is_of_the_sources(tmp_path, monkeypatch):
    folder = tmp_path / "golden"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(search, "ROOT", tmp_path)
    before = search.fingerprint()
    (folder / "notes.txt").write_text("nothing")
    assert search.fingerprint() == before
    (folder / "a.py").write_text("x = 2\n")
    assert search.fingerprint() != before
