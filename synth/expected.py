# SPDX-License-Identifier: Apache-2.0
"""Area of every accelerator at `tiny`, block by block, and what it was: a change that costs area does not go unseen.

`python -m synth.expected` writes down what it is now, build/rtl/tiny being what `make verilog` has written.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from config.presets import systems
from synth import liberty, library, pieces, system

PRESET = "tiny"
EXPECTED = Path(__file__).with_name("expected.json")
ALLOWED = 0.01
"""Share by which an area may differ."""

Areas = dict[str, dict[str, float]]
"""Accelerator → block → µm² of its cells."""


def measure(folder: Path) -> Areas:
    """Of the accelerators of `PRESET`, whose Verilog is in a folder. Raises `Refusal` if a tool fails."""
    path = library.liberty()
    cells, blocks = liberty.read(path), pieces.shares(system.BLOCKS)
    names = [config.name for config in systems(PRESET).values()]
    designs = [pieces.Design((folder / f"{name}.v").read_text(encoding="utf-8"), name, blocks) for name in names]
    found: Areas = {}
    for name, design, mapped in zip(names, designs, pieces.map_all(designs, path), strict=True):
        areas = found.setdefault(name, {})
        for piece, count in design.counts.items():
            own = mapped[piece].body["cells"].values()
            area = sum(cells.cells[cell["type"]].area for cell in own if cell["type"] in cells.cells)
            areas[blocks[piece]] = areas.get(blocks[piece], 0.0) + count * area
    return found


def differences(found: Areas, expected: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What differs by more than `ALLOWED`, one sentence each."""
    said = []
    for name in sorted(found.keys() | expected.keys()):
        mine, before = found.get(name, {}), expected.get(name, {})
        for block in sorted(mine.keys() | before.keys()):
            now, then = mine.get(block, 0.0), before.get(block, 0.0)
            if abs(now - then) > ALLOWED * then:
                said.append(f"{name}, {block}: {now:.0f} µm², and it was {then:.0f}")
    return said


def main() -> int:
    found = measure(Path("build/rtl") / PRESET)
    rounded = {name: {block: round(area) for block, area in areas.items()} for name, areas in found.items()}
    EXPECTED.write_text(json.dumps(rounded, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
