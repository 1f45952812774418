# SPDX-License-Identifier: Apache-2.0
"""The prover can be trusted: it finds what is false, and does not take an empty or unfinished proof for one."""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from tests.formal.prove import check

pytestmark = pytest.mark.formal


class Counter(wiring.Component):
    """Counts steps of at most 2 from 0, 4 bits; the claim is that it stays below a limit."""

    def __init__(self, limit: int, largest_step: int = 2):
        self._limit, self._largest_step = limit, largest_step
        super().__init__({"step": In(2)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(4)
        m.d.comb += [Assume(self.step <= 2), Assume(self.step <= self._largest_step), Assert(count < self._limit)]
        m.d.sync += count.eq(count + self.step)
        return m


def test_what_holds_holds(tmp_path: Path) -> None:
    assert check(Counter(7), folder=tmp_path, depth=4)


def test_what_is_false_is_refuted_with_a_waveform(tmp_path: Path) -> None:
    verdict = check(Counter(6), folder=tmp_path, depth=4)
    assert not verdict
    assert "Assert failed" in str(verdict)
    assert (verdict.folder / "engine_0" / "trace.vcd").is_file()


def test_one_false_claim_of_two_is_refuted(tmp_path: Path) -> None:
    assert not check(Counter(7), Counter(6), folder=tmp_path, depth=4)


def test_induction_is_for_all_time(tmp_path: Path) -> None:
    assert check(Counter(1, largest_step=0), folder=tmp_path, depth=1, induction=True)
    assert not check(Counter(6), folder=tmp_path, depth=4, induction=True)


def test_induction_that_does_not_go_through_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)no verdict.*Temporal induction failed!"):
        check(Counter(15), folder=tmp_path, depth=4, induction=True)


def test_contradicting_assumptions_are_no_proof(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no verdict"):
        check(Counter(7, largest_step=-1), folder=tmp_path, depth=4)
