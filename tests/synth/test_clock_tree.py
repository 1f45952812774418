# SPDX-License-Identifier: Apache-2.0
import pytest

from config.errors import Refusal
from synth import clock_tree, liberty
from synth.library import fetch


@pytest.fixture(scope="module")
def nangate():
    return liberty.read(fetch() / "stdcells.lib")


def test_no_buffer_where_the_root_drives_all(nangate):
    found = clock_tree.estimate(clock_tree.LOAD_FF, nangate)
    assert (found.count, found.levels, found.buffers) == (0, 0, 0)
    assert found.pins == pytest.approx(clock_tree.LOAD_FF * nangate.voltage**2)


def test_levels_until_the_root_drives_all(nangate):
    buffer = nangate.cells["CLKBUF_X2"].pins["A"]
    own = (buffer.rise_cap + buffer.fall_cap) / 2
    found = clock_tree.estimate(100_000.0, nangate)
    # 2500 of them have more pins than one buffer drives; so have those that drive them.
    second = -int(-2500 * own // clock_tree.LOAD_FF)
    third = -int(-second * own // clock_tree.LOAD_FF)
    assert (found.count, found.levels) == (2500 + second + (third if second * own > clock_tree.LOAD_FF else 0), 3)
    assert found.area_um2 == pytest.approx(found.count * nangate.cells["CLKBUF_X2"].area)
    # Each charges its own pin at least.
    assert found.buffers > found.count * own * nangate.voltage**2


def test_twice_the_pins_take_twice_the_charge(nangate):
    one, two = clock_tree.estimate(500.0, nangate), clock_tree.estimate(1000.0, nangate)
    assert two.pins == pytest.approx(2 * one.pins)
    assert two.buffers > one.buffers


def test_pins_have_some_capacitance(nangate):
    with pytest.raises(Refusal, match="must have 0 fF or more, not -1"):
        clock_tree.estimate(-1, nangate)
