# SPDX-License-Identifier: Apache-2.0
"""Which texts say nearly the same: the rule that keeps copies of a text from being counted as texts of their own."""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from golden.arrays import Array

LIKENESS = 0.6
"""Texts are alike where so large a share of the words of both is common to both."""


def words(text: str) -> list[str]:
    """The words of a text in their order, without regard to case."""
    return re.findall(r"\w+", text.casefold())


def alike(some: frozenset[str], others: frozenset[str]) -> bool:
    """Whether most of the words of both are common to both."""
    return bool(_most(len(some & others), len(some | others)))


def unlike(texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    """Of each text, whether it is alike to none of the known texts, and to none of the texts before it."""
    found = [frozenset(words(text)) for text in (*known, *texts)]
    sizes = np.array([len(each) for each in found])
    holders = _holders(found, frozenset().union(*found[len(known) :]))
    result = []
    # A look at each pair of sets would take half a minute; so the words that a text shares with each other are counted.
    for place in range(len(known), len(found)):
        shared = [holders[word] for word in found[place]]
        common = np.bincount(np.concatenate([np.zeros(0, np.int64), *shared]), minlength=place)[:place]
        result.append(not _most(common, sizes[:place] + sizes[place] - common).any())
    return result


def _most(common: Array, either: Array) -> Array:
    return common >= LIKENESS * either


def _holders(found: Sequence[frozenset[str]], wanted: frozenset[str]) -> dict[str, NDArray[np.int64]]:
    """The places of the texts that hold each wanted word."""
    result = defaultdict(list)
    for place, each in enumerate(found):
        for word in each & wanted:
            result[word].append(place)
    return {word: np.array(places) for word, places in result.items()}
