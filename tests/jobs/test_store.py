# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run, and what it depends on."""

import json

import pytest

from config.errors import Refusal
from jobs.sources import closure, fingerprint
from jobs.store import Store


def test_results_are_found_again(tmp_path):
    path = tmp_path / "folder" / "results.jsonl"
    Store(path).add("a", {"x": 1.5, "y": None})
    Store(path).add("b", {"x": 2})
    Store(path).add("a", {"x": 3})
    store = Store(path)
    assert (store.find("a"), store.find("b"), store.find("c")) == ({"x": 3}, {"x": 2}, None)


def test_a_torn_line_is_dropped(tmp_path):
    path = tmp_path / "results.jsonl"
    Store(path).add("a", {"x": 1})
    Store(path).add("b", {"x": 2})
    path.write_text(path.read_text()[:-3])
    store = Store(path)
    assert (store.find("a"), store.find("b")) == ({"x": 1}, None)
    store.add("b", {"x": 4})
    assert Store(path).find("b") == {"x": 4}


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", "null", json.dumps({"key": "x"}), json.dumps({"key": "x", "value": 3})]
)
def test_a_file_of_something_else_is_refused(line, tmp_path):
    path = tmp_path / "results.jsonl"
    Store(path).add("a", {"x": 1})
    path.write_text(f"{path.read_text()}{line}\n")
    before = path.read_text()
    with pytest.raises(Refusal) as refusal:
        Store(path)
    assert str(refusal.value) == f"{path} must hold a result on each line, and line 2 is none; remove that line."
    assert path.read_text() == before


def package(root):
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "a" / "__init__.py").write_text("")
    (root / "a" / "one.py").write_text("import numpy\nfrom b import two\n\n\ndef f():\n    import a.late\n")
    (root / "a" / "late.py").write_text("x = 1\n")
    (root / "a" / "other.py").write_text("y = 1\n")
    (root / "b" / "two.py").write_text("from a.one import f\n")


def test_the_closure_is_what_is_imported(tmp_path):
    package(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in closure("a.one", tmp_path)}
    assert names == {"a/__init__.py", "a/one.py", "a/late.py", "b/two.py"}


def test_a_fingerprint_changes_with_what_it_is_of(tmp_path):
    package(tmp_path)
    data = tmp_path / "weights"
    data.write_bytes(b"1")

    def now(*more):
        return fingerprint("a.one", *more, data=[data], root=tmp_path)

    before = now("numpy 1")
    (tmp_path / "a" / "other.py").write_text("y = 2\n")
    assert now("numpy 1") == before
    found = {before, now("numpy 2")}
    (tmp_path / "a" / "late.py").write_text("x = 2\n")
    found.add(now("numpy 1"))
    data.write_bytes(b"2")
    found.add(now("numpy 1"))
    assert len(found) == 4
