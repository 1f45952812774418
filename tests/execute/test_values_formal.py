# SPDX-License-Identifier: Apache-2.0
"""Proofs: a line begins no item whose beats its PE line would not take at once. The units' Verilog is lint-clean."""

import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.emit import verilog_of
from hdl.execute import sums_ahead
from hdl.execute.attention import Attention
from hdl.execute.context import ContextLine
from hdl.execute.sums_ahead import SumsAhead
from tests.formal.prove import check

WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"
DISTANCE = 3
"""Cycles from taking a key to its beat: whatever it is, it is the same for both ends of an item."""


def arrays(groups: int) -> PeArraysConfig:
    return PeArraysConfig(lines=2, lanes=groups, terms=1, keys=1)


class BeatClaim(wiring.Component):
    """A line as `GatherLine` is one, given items when and keys as the solver likes, in front of a PE line with its
    reader: each beat is taken in its cycle."""

    def __init__(self, ahead: SumsAhead, line: ContextLine):
        self._ahead, self._line = ahead, line
        super().__init__({"gives": In(1), "takes": In(1), "ends": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ahead, m.submodules.line = ahead, line = self._ahead, self._line
        room, idle, fresh, ended = Signal(init=1), Signal(init=1), Signal(), Signal()
        taken, follows = Signal(), Signal()
        m.d.comb += [
            taken.eq(~idle & self.takes),
            follows.eq(~room & ahead.opens),
            ahead.advance.eq(1),
            ahead.room.eq(room),
            ahead.ended.eq(ended),
            ahead.scaled.eq(room & self.gives),
            line.scale.valid.eq(1),
            line.o.ready.eq(1),
        ]
        with m.If(taken):
            m.d.sync += fresh.eq(0)
        with m.If(idle | (taken & self.ends)):
            m.d.sync += [idle.eq(~follows), room.eq(room | follows), fresh.eq(1)]
        with m.If(room & self.gives):
            m.d.sync += room.eq(0)
        m.d.sync += ended.eq(taken & self.ends)
        beat = Cat(taken, fresh, self.ends)
        for stage in range(DISTANCE):
            later = Signal(3, name=f"beat{stage}")
            m.d.sync += later.eq(beat)
            beat = later
        m.d.comb += [Cat(line.i.valid, line.i.payload.first, line.i.payload.last).eq(beat)]
        m.d.comb += Assert(~line.i.valid | line.i.ready)
        return m


def claim(groups: int, believed: int | None = None) -> BeatClaim:
    """Of an array of so many groups, or one that is believed to have other ones."""
    config = arrays(groups)
    return BeatClaim(SumsAhead(arrays(believed or groups), scales=4), ContextLine(config))


@pytest.mark.formal
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_every_beat_is_taken_at_once(groups: int, tmp_path: Path) -> None:
    assert check(claim(groups), folder=tmp_path, depth=24 + 4 * groups, gates=True)


@pytest.mark.formal
def test_an_image_that_is_too_fast_is_refuted(tmp_path: Path) -> None:
    assert not check(claim(3, believed=2), folder=tmp_path, depth=40, gates=True)


@pytest.mark.formal
def test_a_place_too_many_is_refuted(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sums_ahead, "PLACES", 3)
    assert not check(claim(2), folder=tmp_path, depth=40, gates=True)


ITEMS = ItemsConfig(lines=2, lanes=4, banks=4, tokens=8, heads=2, chunk=8, record=4, ports=1, queue=16)


@pytest.mark.parametrize("corners", [False, True], ids=["", "corners"])
def test_verilog_is_lint_clean(corners: bool, tmp_path: Path) -> None:
    unit = Attention(ITEMS, PeArraysConfig(lines=2, lanes=4, terms=64, keys=8, scalers=2), tiles=corners)
    (text,) = verilog_of({"attention": unit}, corners=corners).values()
    path = tmp_path / "attention.v"
    path.write_text(text)
    assert "\\" not in text, "names that Verilog reserves"
    command = ["verilator", "--lint-only", "-Wall", str(WAIVERS), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
