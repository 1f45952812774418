# SPDX-License-Identifier: Apache-2.0
"""Turns an unsupported Python away. Imported first, and plain enough that any Python 3.6 or later can read it."""

import sys
from typing import NoReturn

OLDEST = (3, 11)
NEWEST = (3, 14)


def refuse(sentence: str) -> NoReturn:
    """Print one sentence for the person at the keyboard and end with exit status 2."""
    print("foreshift: " + sentence, file=sys.stderr)
    sys.exit(2)


def refusal(version: "tuple[int, ...]", executable: str) -> str:
    """The sentence about this (major, minor, micro), or an empty one if it is supported."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return ""
    wanted = "python{}.{}".format(*(OLDEST if tuple(version[:2]) < OLDEST else NEWEST))
    return (
        "Python {}.{} to {}.{} is needed, but {} is {}.{}.{}: install another beside it "
        "(Debian, Ubuntu: `apt-get install {}`; else python.org) and run `make PYTHON={} ...`."
    ).format(*OLDEST, *NEWEST, executable, *version[:3], wanted, wanted)


_SENTENCE = refusal(sys.version_info[:3], sys.executable)
if _SENTENCE:
    refuse(_SENTENCE)
