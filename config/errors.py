# SPDX-License-Identifier: Apache-2.0
"""The one error by which the project turns bad input away."""


class Refusal(ValueError):
    """Input that the project will not work with.

    The message is one clear sentence: what must hold, what was given, and what to do. It is written for the person
    who typed the input, so the command prints it alone, without a traceback, and ends with exit status 2.
    """


def require(condition: bool, sentence: str) -> None:
    """Raise `Refusal(sentence)` unless `condition` holds."""
    if not condition:
        raise Refusal(sentence)
