# SPDX-License-Identifier: Apache-2.0
"""A client that runs jobs at once, in this process: for tests of what follows from results."""


class Client:
    """Runs what it is given, and is interrupted after so many."""

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
