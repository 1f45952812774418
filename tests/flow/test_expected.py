# SPDX-License-Identifier: Apache-2.0
"""Area of the accelerators, held against what it was."""

import json
from pathlib import Path

from config.presets import systems
from synth import expected


def test_no_block_is_larger_or_smaller_than_it_was(written: Path) -> None:
    """If it is meant to be: `python -m synth.expected`, and say why where the change is described."""
    found = expected.measure(written / expected.PRESET)
    assert expected.differences(found, json.loads(expected.EXPECTED.read_text(encoding="utf-8"))) == []


def test_every_accelerator_is_watched() -> None:
    known = json.loads(expected.EXPECTED.read_text(encoding="utf-8"))
    assert set(known) == {config.name for config in systems(expected.PRESET).values()}


def test_what_differs_is_said() -> None:
    before = {"a": {"x": 1000.0, "y": 100.0}, "b": {"x": 5.0}}
    assert expected.differences({"a": {"x": 1009.0, "y": 100.0}, "b": {"x": 5.0}}, before) == []
    assert expected.differences({"a": {"x": 1011.0, "y": 98.0}, "c": {"z": 7.0}}, before) == [
        "a, x: 1011 µm², and it was 1000",
        "a, y: 98 µm², and it was 100",
        "b, x: 0 µm², and it was 5",
        "c, z: 7 µm², and it was 0",
    ]
