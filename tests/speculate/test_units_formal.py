# SPDX-License-Identifier: Apache-2.0
"""Stream contract of the records, proved at the smallest unit of each method that predicts."""

from pathlib import Path

import pytest
from amaranth.hdl import Const

from config.speculate import SpeculationConfig
from hdl.speculate.record import Recorder
from hdl.speculate.speculation import SpeculationUnit
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

pytestmark = pytest.mark.formal


def smallest(method: str) -> SpeculationConfig:
    return SpeculationConfig(
        method=method,
        rows=2,
        lanes=1,
        load=1,
        tokens=2,
        width=1,
        heads=1,
        head_width=1,
        window=2,
        score_bits=4,
        slices=(4, 4),
    )


@pytest.mark.parametrize("method", ["spls", "lapa"])
def test_records_are_proved_to_stand_for_all_time(method: str, tmp_path: Path) -> None:
    unit = SpeculationUnit(smallest(method))
    assert check(contract.OfferClaim(unit), folder=tmp_path, depth=2, induction=True)


@pytest.mark.parametrize("method", ["spls", "lapa"])
def test_valid_is_proved_independent_of_ready(method: str, tmp_path: Path) -> None:
    """Of the recorder, whose stream the records are: within these cycles it sends several, and the whole unit none."""
    config = smallest(method)
    claim = contract.IndependenceClaim(Recorder(config), Recorder(config))
    assert check(claim, folder=tmp_path, depth=8, gates=True)


def test_a_record_that_does_not_stand_is_refuted(tmp_path: Path) -> None:
    """A unit that takes its sink for always ready; dense comes to its first record within a few cycles."""
    config = smallest("dense")
    wrong = Planted(SpeculationUnit(config), o__ready=lambda ready: Const(1))
    assert not check(contract.OfferClaim(wrong), folder=tmp_path, depth=14, gates=True)
