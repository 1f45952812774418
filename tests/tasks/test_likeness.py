# SPDX-License-Identifier: Apache-2.0
"""Likeness: what is counted at once agrees with a look at each pair of texts."""

import random

import pytest

from tasks.likeness import alike, unlike, words


def test_words_are_told_apart_and_case_is_not() -> None:
    assert words("Return a_b, x2 -- a_b.\n\nNaïve!") == ["return", "a_b", "x2", "a_b", "naïve"]


@pytest.mark.parametrize(
    ("some", "others", "expected"),
    [("abc", "abcde", True), ("abc", "abcdef", False), ("abcd", "abce", True), ("ab", "cd", False), ("", "", True)],
)
def test_three_fifths_of_the_words_make_likeness(some: str, others: str, expected: bool) -> None:
    assert alike(frozenset(some), frozenset(others)) is expected
    assert alike(frozenset(others), frozenset(some)) is expected


def test_likeness_to_what_is_known_and_to_what_came_before() -> None:
    texts = ["one two three", "red green blue", "Red, green; blue!", "up down", "three two one four"]
    assert unlike(texts, ["One, two, three."]) == [False, True, False, True, False]
    assert unlike(texts, []) == [True, True, False, True, False]
    assert unlike([], texts) == []


def test_many_texts_are_compared_as_pairs_are() -> None:
    chance = random.Random(3)
    texts = [" ".join(chance.choices("abcdefghij", k=chance.randrange(9))) for _ in range(120)]
    found = [frozenset(words(text)) for text in texts]
    expected = [not any(alike(found[place], other) for other in found[:place]) for place in range(40, 120)]
    assert unlike(texts[40:], texts[:40]) == expected
    assert 5 < sum(expected) < 75
