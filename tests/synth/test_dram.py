# SPDX-License-Identifier: Apache-2.0
import pytest

from config.errors import Refusal
from synth import dram


@pytest.mark.parametrize(
    ("kind", "picojoules"), [("lpddr4", 64 * 8), ("lpddr2", 2560), ("ddr3", 4480), ("hbm2", 400)], ids=str
)
def test_eight_bytes(kind, picojoules):
    assert dram.energy_fj(8, kind) == picojoules * 1000


def test_every_kind_is_tested():
    assert list(dram.PJ_PER_BIT) == ["lpddr4", "lpddr2", "ddr3", "hbm2"]


def test_lpddr4_is_the_default():
    assert dram.energy_fj(1000) == 1000 * 8 * 8000


def test_lpddr2_is_within_the_range_of_horowitz():
    assert 1300 <= dram.energy_fj(8, "lpddr2") / 1000 <= 2600


def test_nothing_takes_nothing():
    assert dram.energy_fj(0) == 0


def test_refuses():
    with pytest.raises(Refusal, match=r"^The kind of DRAM must be one of lpddr4, lpddr2, ddr3, hbm2, not 'sdram'\.$"):
        dram.energy_fj(8, "sdram")
    with pytest.raises(Refusal, match=r"^The bytes to and from DRAM must be 0 or more, not -1\.$"):
        dram.energy_fj(-1)
