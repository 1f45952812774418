# SPDX-License-Identifier: Apache-2.0
"""The corpora: the same at each reading, without overlap, and their pairs fit for retrieval."""

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import Refusal
from tasks import corpora
from tasks.corpora import CORPORA, Docstring, Pair
from tasks.split import share

DIGEST = """
import hashlib
from tasks import corpora
text = repr([corpora.docstrings(name) for name in corpora.CORPORA]) + repr(corpora.pairs("stdlib.data"))
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_what_is_imported_before_makes_no_difference() -> None:
    """SciPy, once it is imported, adds to this docstring of NumPy's."""
    texts = {each.name: each.text for each in corpora.docstrings("numpy")}
    assert "Array API Standard Support" in texts["numpy.sinc"]


def test_another_process_reads_the_same() -> None:
    text = repr([corpora.docstrings(name) for name in CORPORA]) + repr(corpora.pairs("stdlib.data"))
    root = str(Path(corpora.__file__).parents[1])
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": root}
    other = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


def test_no_object_and_no_text_is_in_two_corpora() -> None:
    every = [each for name in CORPORA for each in corpora.docstrings(name)]
    assert len({each.name for each in every}) == len(every)
    assert len({each.text for each in every}) == len(every)


@pytest.mark.parametrize("corpus", CORPORA)
def test_docstrings_are_sorted_and_steady(corpus: str) -> None:
    names = [each.name for each in corpora.docstrings(corpus)]
    assert names == sorted(names)
    assert len(names) >= 150
    assert not corpora.UNSTEADY & set(names)


@pytest.mark.parametrize("corpus", CORPORA)
def test_pairs_are_sorted_and_fit_for_retrieval(corpus: str) -> None:
    test, calibration = (corpora.pairs(corpus, part) for part in corpora.PARTS)
    assert 80 <= len(test) <= corpora.PAIRS
    assert len(calibration) >= 25
    assert not {pair.name for pair in test} & {pair.name for pair in calibration}
    for pairs in (test, calibration):
        assert [pair.name for pair in pairs] == sorted(pair.name for pair in pairs)
    for pair in (*test, *calibration):
        assert 20 <= len(pair.summary) <= 240
        assert len(pair.rest) >= 80
        assert " ".join(pair.summary.split()) == pair.summary
        assert pair.summary.rstrip(".").casefold() not in " ".join(pair.rest.split()).casefold()


def test_a_limit_takes_evenly() -> None:
    every = corpora.pairs("numpy", limit=10**6)
    for limit in (1, 7, len(every), len(every) + 1):
        taken = corpora.pairs("numpy", limit=limit)
        places = [every.index(pair) for pair in taken]
        assert len(taken) == min(limit, len(every))
        gaps = {later - sooner for sooner, later in itertools.pairwise([*places, len(every)])}
        assert max(gaps) - min(gaps) <= 1


def halves(text: str) -> tuple[str, str] | None:
    found = corpora.pair(Docstring("module.name", text))
    assert found is None or isinstance(found, Pair)
    return found and (found.summary, found.rest)


REST = "A rest that says at some length what the object is good for, and what else there is to know of it."


@pytest.mark.parametrize(
    ("start", "summary", "before"),
    [
        ("Return the sum of a few numbers.", "Return the sum of a few numbers.", ""),
        ("Return the sum\n  of a few numbers.", "Return the sum of a few numbers.", ""),
        ("add(x, y=(1, 2))\n\nReturn the sum of numbers.", "Return the sum of numbers.", ""),
        ("add(x,\n    y) -> z\nadd(x)\nReturn the sum of numbers.", "Return the sum of numbers.", ""),
        ("Return the sum of numbers. It may overflow.", "Return the sum of numbers.", "It may overflow.\n\n"),
    ],
)
def test_a_docstring_is_cut_after_its_first_sentence(start: str, summary: str, before: str) -> None:
    assert halves(f"{start}\n\n{REST}") == (summary, before + REST)


@pytest.mark.parametrize(
    "text",
    [
        "add(x, y) -> z",
        "Too short.\n\n" + REST,
        "Return the sum of a few numbers.\n\nAnd little else.",
        f"Return the sum of a few numbers.\n\nReturn the Sum\nof a few numbers: {REST}",
        f"A summary {'that goes on and on ' * 15}.\n\n{REST}",
        "",
    ],
)
def test_a_docstring_without_two_halves_is_no_pair(text: str) -> None:
    assert halves(text) is None


def test_of_two_that_say_nearly_the_same_the_first_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "Here is another text altogether, long enough to be a rest, and with none of those many words inside."
    given = (
        Docstring("m.amax", f"Return the maximum of an array along an axis.\n\n{REST}"),
        Docstring("m.amin", f"Return the minimum of an array along an axis.\n\n{other}"),
        Docstring("m.sort", f"Put all elements into ascending order.\n\n{REST.upper()}"),
        Docstring("m.tile", f"Lay copies side by side until done.\n\n{other}"),
    )
    monkeypatch.setattr(corpora, "docstrings", lambda corpus: given)
    found = corpora._paired.__wrapped__("numpy")
    assert [pair.name for pair in found] == ["m.amax", "m.tile"]


def test_shares_are_spread_evenly_and_known() -> None:
    assert share("numpy.sum") == int(hashlib.sha256(b"numpy.sum").hexdigest()[:8], 16) / 2**32
    shares = [share(str(i)) for i in range(4000)]
    for part in range(4):
        assert 900 < sum(part / 4 <= each < (part + 1) / 4 for each in shares) < 1100


def test_versions_name_what_the_texts_depend_on() -> None:
    assert set(corpora.versions()) == {"python", "numpy", "scipy", "torch", "scikit-learn"}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: corpora.docstrings("pandas"), "A corpus must be one of numpy, scipy.stats, "),
        (lambda: corpora.pairs("pandas"), "A corpus must be one of numpy, scipy.stats, "),
        (lambda: corpora.pairs("numpy", "train"), "A part must be one of test, calibration, not 'train'; choose one."),
        (lambda: corpora.pairs("numpy", limit=0), "The limit must be at least 1, not 0; ask for one pair or more."),
    ],
)
def test_what_there_is_not_is_refused(call, sentence: str) -> None:
    with pytest.raises(Refusal) as refusal:
        call()
    assert str(refusal.value).startswith(sentence)
