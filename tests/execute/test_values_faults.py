# SPDX-License-Identifier: Apache-2.0
"""Values where nothing finds room, and with faults planted, each of which must be seen."""

from dataclasses import replace

import pytest
from amaranth.hdl import Const

from tests.execute.attending import ARRAYS, CONFIG, Flow, Seen, check, heads_of, through, unit
from tests.planted import Planted

CROWDED = replace(ARRAYS, scalers=1)


def check_crowded(dut) -> Seen:
    """Contexts are taken so rarely that all places fill up."""
    heads = heads_of(CONFIG, 0.5, seed=2)
    (seen,) = through(dut, CONFIG, CROWDED, [(heads, Flow(rest=0.9))], slow=0.15)
    check(CONFIG, CROWDED, heads, seen)
    return seen


@pytest.mark.parametrize(
    "fault",
    [
        {"opens": lambda opens: ~Const(0, 2)},
        {"count__0": lambda count: count & 1},
        {"item0__payload": lambda beat: beat ^ 1},
        {"item1__ready": lambda ready: Const(1)},
        {"scale0__ready": lambda ready: Const(1)},
        {"settings__payload": lambda settings: settings & ~1},
        {"write__payload": lambda row: row ^ 1 << 7},
    ],
    ids=["opens early", "too few", "code", "beat lost", "scale lost", "head of settings", "V"],
)
def test_a_fault_is_caught(fault) -> None:
    with pytest.raises(AssertionError):
        check_crowded(Planted(unit(CONFIG, CROWDED, words=8, entries=2), **fault))


def test_nothing_is_lost_where_nothing_finds_room() -> None:
    """Without which faults would mean nothing."""
    assert check_crowded(unit(CONFIG, CROWDED, words=8, entries=2)).waited
