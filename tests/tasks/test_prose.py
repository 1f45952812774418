# SPDX-License-Identifier: Apache-2.0
"""Text to fine-tune on is every docstring of the sources once, and nothing that a pair is made of."""

from pathlib import Path

import pytest

from tasks import corpora, prose
from tasks.likeness import alike, words

FRESH = (
    "Quarrelsome otters ferry marmalade across the frozen estuary at dawn, while a solitary lighthouse keeper tallies "
    "each crossing in a ledger bound with seaweed."
)


@pytest.fixture
def sources(monkeypatch, tmp_path) -> Path:
    """A folder in the place of the installed packages."""
    monkeypatch.setattr(prose, "_sources", lambda: sorted(tmp_path.glob("*.py")))
    prose.texts.cache_clear()
    yield tmp_path
    prose.texts.cache_clear()


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f'def _private():\n    r"""{text}"""\n', encoding="utf-8")


def test_a_docstring_of_a_private_function_is_found_once(sources):
    write(sources, "a.py", FRESH)
    write(sources, "b.py", FRESH)
    write(sources, "c.py", FRESH[:79])
    (sources / "d.py").write_text("def (:\n")
    assert prose.texts() == (FRESH,)


@pytest.mark.parametrize("part", corpora.PARTS)
def test_what_a_pair_is_made_of_is_left_out(sources, part):
    pair = next(each for each in corpora.pairs("numpy", part) if '"""' not in each.rest)
    write(sources, "a.py", pair.rest)
    write(sources, "b.py", f"{pair.summary}\n\n{pair.rest}")
    write(sources, "c.py", f"{pair.rest} otter ledger")
    write(sources, "d.py", FRESH)
    assert alike(*(frozenset(words(text)) for text in (pair.rest, f"{pair.rest} otter ledger")))
    assert prose.texts() == (FRESH,)


def test_sources_are_those_of_python_and_the_packages():
    paths = list(prose._sources())
    assert any(path.parts[-2:] == ("json", "decoder.py") for path in paths)
    for name in prose.PACKAGES:
        assert any(path.parts[-2:] == (name, "__init__.py") for path in paths)
    assert len(set(paths)) == len(paths)
    assert set(prose.versions()) == {"sympy", "networkx"}
