# SPDX-License-Identifier: Apache-2.0
"""Kept Verilog is that of today's sources and parameters."""

from pathlib import Path

import pytest

from config.formats import HLogFormat
from hdl.arith.hlog import HLogEncoder
from hdl.emit import verilog
from sim import emitted


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(emitted, "CACHE", tmp_path / "rtl")
    return tmp_path / "rtl"


def encoder(rounding: str) -> HLogEncoder:
    return HLogEncoder(HLogFormat(rounding=rounding))


def test_a_text_is_made_once_and_is_what_would_be_made_now(kept: Path) -> None:
    made = []

    def make() -> HLogEncoder:
        made.append(encoder("nearest"))
        return made[-1]

    texts = [emitted.emitted(make, "encoder", "nearest") for _ in range(2)]
    assert texts == [verilog(encoder("nearest"), "encoder")] * 2
    assert len(made) == 1
    assert [path.suffix for path in kept.iterdir()] == [".v"]


def test_other_parameters_and_other_sources_are_another_text(monkeypatch: pytest.MonkeyPatch) -> None:
    first = emitted.emitted(lambda: encoder("nearest"), "encoder", "nearest")
    assert emitted.emitted(lambda: encoder("truncate"), "encoder", "truncate") != first
    monkeypatch.setattr(emitted, "_version", lambda: "of tomorrow")
    assert emitted.emitted(lambda: encoder("truncate"), "encoder", "nearest") != first
