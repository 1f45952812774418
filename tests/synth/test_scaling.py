# SPDX-License-Identifier: Apache-2.0
"""The rule against the table it comes from: both scaled columns of all nine rows, and how far off each is."""

import pytest

from config.errors import Refusal
from synth import scaling
from synth.scaling import PUBLISHED

# In hundredths of a percent.
DEVIATIONS = {
    "A3": (2.6, -7.5),
    "ELSA": (2.2, 2.7),
    "SpAtten, 1/8 scale": (-1.4, -0.1),
    "DTATrans": (-0.3, 0.3),
    "Energon": (-0.3, 1.0),
    "Sanger": (-1.0, -6.0),
    "DOTA": (-3.3, -14.6),
    "FACT": (-1.1, -6.7),
    "SOFA": (0.2, 0.6),
}


def ours(row):
    return (
        scaling.scaled_efficiency(row.gops, row.core_w, row.node_nm),
        scaling.scaled_area_efficiency(row.gops, row.area_mm2, row.node_nm),
    )


def test_the_table_has_nine_rows():
    assert [row.name for row in PUBLISHED] == list(DEVIATIONS)
    assert sum(row.gops for row in PUBLISHED) == 36669
    assert sum(row.scaled_gops_per_w for row in PUBLISHED) == 47421
    assert sum(row.scaled_gops_per_mm2 for row in PUBLISHED) == 10602


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.name)
def test_efficiency_is_the_published_one(row):
    assert round(ours(row)[0]) == row.scaled_gops_per_w


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.name)
def test_area_efficiency_is_the_published_one(row):
    assert round(ours(row)[1]) == (682 if row.name == "DOTA" else row.scaled_gops_per_mm2)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.name)
def test_deviations(row):
    published = row.scaled_gops_per_w, row.scaled_gops_per_mm2
    found = tuple(round(1e4 * (mine / theirs - 1), 1) for mine, theirs in zip(ours(row), published, strict=True))
    assert found == DEVIATIONS[row.name]


def test_by_hand():
    assert scaling.scaled_power(1.21, 40) == pytest.approx(0.7)
    assert scaling.scaled_area(1.0, 55) == pytest.approx((28 / 55) ** 2)
    assert (scaling.scaled_power(3.0, 28), scaling.scaled_area(3.0, 28)) == (3.0, 3.0)


def test_refuses():
    with pytest.raises(Refusal, match=r"^The node that is scaled must be one of 22, 28, 40, 45, 55 nm, not 65\.$"):
        scaling.scaled_area(1.0, 65)
    with pytest.raises(Refusal, match=r"^The node that is scaled must be one of 22, 28, 40, 45, 55 nm, not 180\.$"):
        scaling.scaled_power(1.0, 180)
    with pytest.raises(Refusal, match=r"^The power that is scaled must be above 0, not 0 W\.$"):
        scaling.scaled_efficiency(1.0, 0, 28)
    with pytest.raises(Refusal, match=r"^The area that is scaled must be above 0, not -1 mm²\.$"):
        scaling.scaled_area_efficiency(1.0, -1, 28)
