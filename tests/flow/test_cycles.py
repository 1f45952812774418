# SPDX-License-Identifier: Apache-2.0
"""The cycles of a head, and how they are shown."""

import json

from foreshift import cycles

HEADS = [cycles.Head("spls", 8000, 6000), cycles.Head("lapa", 10240, 10239)]


def test_tables() -> None:
    assert cycles.text(HEADS).splitlines() == [
        "One head of MiniLM, alone",
        "unit  cycles  array busy",
        "SPLS    8000      75.0 %",
        "LAPA   10240     100.0 %",
    ]
    page = cycles.markdown(HEADS)
    assert page.startswith("## Cycles of one head of MiniLM\n\n")
    assert page.endswith(
        "\n\n| unit | cycles | array busy |\n|---|---:|---:|\n| SPLS | 8000 | 75.0 % |\n| LAPA | 10240 | 100.0 % |\n"
    )


def test_figures_survive_json() -> None:
    figures = json.loads(json.dumps(cycles.as_json(HEADS)))
    assert figures[0] == {"method": "spls", "cycles": 8000, "busy": 6000, "busy_share": 0.75}
    assert cycles.from_json(figures) == HEADS
