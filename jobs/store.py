# SPDX-License-Identifier: Apache-2.0
"""Results of jobs in a file, by what they depend on, so that a run that was interrupted goes on."""

import json
from pathlib import Path
from typing import Any

from config.errors import Refusal

Value = dict[str, Any]
"""What a job gives: anything that JSON can hold."""


class Store:
    """A line of JSON for each result, {"key": …, "value": …}. The last result of a key is the one that counts. A line
    that was cut off when a run was stopped is dropped; raises `Refusal` if any other line is none of these."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Value] = {}
        written = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole, _, torn = written.rpartition("\n")
        if torn:
            path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        for number, line in enumerate(whole.splitlines(), 1):
            self._read(number, line)

    def _read(self, number: int, line: str) -> None:
        try:
            fields = json.loads(line)
            self._known[str(fields["key"])] = dict(fields["value"])
        except (ValueError, TypeError, KeyError) as error:
            raise Refusal(
                f"{self._path} must hold a result on each line, and line {number} is none; remove that line."
            ) from error

    def find(self, key: str) -> Value | None:
        """The result of a job, if it is known."""
        return self._known.get(key)

    def add(self, key: str, value: Value) -> None:
        """Keep a result; it is in the file when this returns."""
        self._known[key] = value
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "value": value}) + "\n")
