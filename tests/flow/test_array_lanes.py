# SPDX-License-Identifier: Apache-2.0
"""Arrays of fewer lanes: what is measured, and the page."""

from types import SimpleNamespace

import numpy as np
import pytest

from foreshift import array_lanes
from foreshift.array_lanes import LANES, NAMES, Width
from synth import arrays


@pytest.fixture
def built(monkeypatch):
    """Arrays whose figures follow from their lanes; and those that were built."""
    found = []

    def measure(name, design, cells, x, w, period):
        lanes = design.config.lanes
        return SimpleNamespace(area_per_term=100.0 + lanes, energy=SimpleNamespace(total=period * lanes))

    monkeypatch.setattr(arrays, "measure", measure)
    return found


def measured(built):
    def build(config):
        built.append(config)
        return SimpleNamespace(config=config, timing=SimpleNamespace(period_ns=2.0, megahertz=500.0))

    nothing = np.zeros((1, 1), dtype=np.int64)
    found, period = array_lanes.measure(build, None, (nothing, nothing), lambda words: None)
    assert period == 2.0
    return found


def test_every_array_in_every_width(built):
    found = measured(built)
    assert [(each.name, each.lanes) for each in found] == [(name, lanes) for name in NAMES for lanes in LANES]
    assert found[1] == Width("hlog", 16, 116.0, 32.0, 500.0, 2 * 384 // 16 * (16 + 128))
    assert [config.booth for config in built] == [False] * 8 + [True] * 4


def test_the_page_and_its_picture(built, tmp_path):
    found = measured(built)
    array_lanes.draw(found, tmp_path / "lanes.png")
    assert (tmp_path / "lanes.png").read_bytes().startswith(b"\x89PNG")
    page = array_lanes.markdown(found, {"library": "none"})
    assert "- library: none" in page
    assert "| HLog × HLog | 64 | 164.0 | 128.0 | 500 | 1728 |" in page
    assert array_lanes.as_json(found, {})["widths"][0]["lanes"] == 8
