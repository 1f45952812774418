# SPDX-License-Identifier: Apache-2.0
"""What a probe writes, and how it is read; whether a simulation writes it, tests/synth/test_replay.py finds out."""

from pathlib import Path

import numpy as np
import pytest

from config.errors import Refusal
from sim.windows import Probe, Record, Windows, file_name

SIGNALS = {"a": 1, "b.c": 30, "wide": 100, "d": 3}
"""a and b.c fit into one word, wide is written by itself, d behind it."""


def words(a: int, c: int, wide: int, d: int) -> bytes:
    """A record of `SIGNALS`, as simulators write what %u asks for."""
    return (a | c << 1).to_bytes(4, "little") + wide.to_bytes(16, "little") + d.to_bytes(4, "little")


def test_words_are_filled_from_below() -> None:
    text = Probe(SIGNALS).text("top")
    assert '"%u", {1\'b0, top.b.c, top.a});' in text
    assert '"%u", {28\'b0, top.wide});' in text
    assert '"%u", {29\'b0, top.d});' in text


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Two windows of two cycles, and half of one."""
    records = [(1, 2**29 + 5, 2**99 + 9, 4), (0, 7, 1, 3), (1, 0, 2**64, 0), (1, 1, 0, 7), (0, 0, 0, 0)]
    (tmp_path / file_name(0)).write_bytes(b"".join(words(*each) for each in records))
    record = Record(tmp_path, SIGNALS, Windows(every=10, length=2))
    assert record.count == 2
    for at, name in enumerate(SIGNALS):
        bits = record.bits(name)
        assert bits.shape == (2, 2, SIGNALS[name])
        values = [sum(int(bit) << n for n, bit in enumerate(each)) for each in bits.reshape(4, -1)]
        assert values == [each[at] for each in records[:4]]


def test_many_signals_are_in_several_files(tmp_path: Path) -> None:
    signals = {f"s{n}": 64 for n in range(1200)}
    assert Probe(signals).text("top").count("$fopen") == 3
    values = np.arange(1200, dtype="<u8")
    for number in range(3):
        (tmp_path / file_name(number)).write_bytes(values[500 * number : 500 * number + 500].tobytes())
    record = Record(tmp_path, signals, Windows(every=1, length=1))
    for n in (0, 499, 500, 1199):
        assert sum(int(bit) << at for at, bit in enumerate(record.bits(f"s{n}")[0, 0])) == n


def test_no_window_is_refused(tmp_path: Path) -> None:
    (tmp_path / file_name(0)).write_bytes(words(0, 0, 0, 0))
    with pytest.raises(Refusal, match="at least one window of 2 cycles"):
        Record(tmp_path, SIGNALS, Windows(every=10, length=2))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"every": 5, "length": 6}, "no longer than their distance 5, not 6"),
        ({"every": 5, "length": 0}, "must be 1 cycle or more"),
        ({"every": 12, "length": 3, "closer": 5}, "closer must be a part of 12, and 3 or more, not 5"),
        ({"every": 12, "length": 3, "closer": 2}, "closer must be a part of 12, and 3 or more, not 2"),
    ],
)
def test_windows_that_are_none_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        Windows(**wrong)
