# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest

from config.errors import Refusal
from synth.boolean import Function, parse


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("A", lambda a, b, c: a),
        ("!A", lambda a, b, c: not a),
        ("A'", lambda a, b, c: not a),
        ("(A B)'", lambda a, b, c: not (a and b)),
        ("A B C", lambda a, b, c: a and b and c),
        ("A * B + C", lambda a, b, c: (a and b) or c),
        ("A + B & C", lambda a, b, c: a or (b and c)),
        ("A & B ^ C", lambda a, b, c: a and (b != c)),
        ("A | B'C", lambda a, b, c: a or (not b and c)),
        ("!(A ^ B) (C)", lambda a, b, c: (a == b) and c),
        ("!!A & 1 | 0", lambda a, b, c: a),
        ("((A & B) | (C & (A | B)))", lambda a, b, c: a + b + c >= 2),
    ],
)
def test_parse(text, model):
    function = parse(text)
    for values in itertools.product((0, 1), repeat=3):
        named = dict(zip("ABC", values, strict=True))
        assert function.table[tuple(named[name] for name in function.names)] == bool(model(*values))


@pytest.mark.parametrize("text", ["", "A &", "(A", "A)", "& A", "A ? B", "'A"])
def test_parse_refuses(text):
    with pytest.raises(Refusal, match=r"^A Liberty function must be a Boolean expression, not ['\"]"):
        parse(text)


def test_names_keep_their_order():
    assert parse("D & (B | D) ^ A").names == ("D", "B", "A")


def test_probability_of_independent_variables():
    duty = {"A": np.array([0.5, 1.0]), "B": np.array([0.25, 0.5])}
    assert parse("A & B").probability(duty).tolist() == [0.125, 0.5]
    assert parse("A | B").probability(duty).tolist() == [0.625, 1.0]
    assert parse("A ^ B").probability(duty).tolist() == [0.5, 0.5]


def test_difference():
    majority = parse("(A B) + C (A + B)")
    sensitive = majority.difference("C")
    assert set(sensitive.names) == {"A", "B"}
    assert sensitive.table.tolist() == [[False, True], [True, False]]


def test_substitute():
    function: Function = parse("Q & QN").substitute({"QN": parse("!Q").node})
    assert function.names == ("Q",)
    assert not function.table.any()
