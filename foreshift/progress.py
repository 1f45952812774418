# SPDX-License-Identifier: Apache-2.0
"""What a long command says while it works."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread


class Progress:
    """Lines on stderr that say what is being done, and how long it has been since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, words: str) -> None:
        """Print one line, at once."""
        print(f"[{time.monotonic() - self._start:5.1f} s] {words}", file=sys.stderr, flush=True)

    @contextmanager
    def during(self, words: str, every: float = 30.0) -> Iterator[None]:
        """Print a line, and every so many seconds of the block another one, so that nobody takes it for dead."""
        over = Event()

        def remind() -> None:
            while not over.wait(every):
                self.say("  still at it")

        self.say(words)
        reminder = Thread(target=remind, daemon=True)
        reminder.start()
        try:
            yield
        finally:
            over.set()
            reminder.join()
