# SPDX-License-Identifier: Apache-2.0
"""How wide a row should be: what a term costs in arrays of fewer lanes, where fewer share what is behind their sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from config.array import ArrayConfig
from foreshift.power_results import Table
from foreshift.predictor_costs import HEAD_WIDTH, TOKENS
from synth import arrays, liberty
from synth.report import lines_of
from synth.stimulus import Integers

LANES = (8, 16, 32, 64)
NAMES = ("hlog", "aloc", "int8_booth")
"""Of the arrays in `arrays.TITLES`."""


@dataclass(frozen=True)
class Width:
    """lanes: of a row. area: µm² a term. energy: fJ a term. mhz: none where nothing was timed. cycles: of Q̂ of a head,
    the latency apart."""

    name: str
    lanes: int
    area: float
    energy: float
    mhz: float | None
    cycles: int


def measure(
    build: Callable[[ArrayConfig], arrays.Design],
    cells: liberty.Library,
    operands: tuple[Integers, Integers],
    say: Callable[[str], None],
) -> tuple[list[Width], float]:
    """All widths, and the period in ns at which their energy is taken. build: maps and times an array. operands: x and
    w, of which the arrays compute the product."""
    designs = {}
    for name in NAMES:
        for lanes in LANES:
            config = replace(arrays.configurations()[name], lanes=lanes)
            say(f"mapping and timing {config.name}")
            designs[name, lanes] = build(config)
    period = arrays.common_period(list(designs.values()))
    found = []
    for (name, lanes), design in designs.items():
        say(f"simulating the netlist of {design.config.name}")
        result = arrays.measure(name, design, cells, *operands, period)
        mhz = design.timing.megahertz if design.timing else None
        found.append(Width(name, lanes, result.area_per_term, result.energy.total, mhz, _cycles(design.config)))
    return found, period


def _cycles(config: ArrayConfig) -> int:
    """For each group of rows, each slice of the width: weights, and then a token a cycle."""
    groups, slices = -(-HEAD_WIDTH // config.rows), -(-config.terms // config.lanes)
    return groups * slices * (config.rows // config.load + TOKENS)


def table(found: Sequence[Width]) -> Table:
    """Head first."""
    rows: Table = [("array", "lanes", "area per term µm²", "energy per term fJ", "fmax MHz", "cycles of Q̂ of a head")]
    for each in found:
        clock = "–" if each.mhz is None else f"{each.mhz:.0f}"
        numbers = (f"{each.area:.1f}", f"{each.energy:.1f}", clock, str(each.cycles))
        rows.append((arrays.TITLES[each.name], str(each.lanes), *numbers))
    return rows


def markdown(found: Sequence[Width], conditions: Mapping[str, object]) -> str:
    """The page; its picture is lanes.png."""
    lines = ["# Lanes of an array", ""]
    lines += [f"- {name}: {value}" for name, value in conditions.items()]
    lines += ["", "![area and energy per term against lanes](lanes.png)", "", *lines_of(table(found)), ""]
    return "\n".join(lines)


def as_json(found: Sequence[Width], conditions: Mapping[str, object]) -> dict[str, Any]:
    """All figures, and the conditions under which they hold."""
    return {"conditions": dict(conditions), "widths": [asdict(each) for each in found]}


def draw(found: Sequence[Width], path: Path) -> None:
    """Area and energy of a term over lanes, a line for each array."""
    from matplotlib.figure import Figure

    from foreshift.pictures import save

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, what, title in zip(
        figure.subplots(1, 2), ("area", "energy"), ("area per term, µm²", "energy per term, fJ"), strict=True
    ):
        for name in NAMES:
            own = [each for each in found if each.name == name]
            axes.plot([e.lanes for e in own], [getattr(e, what) for e in own], marker="o", label=arrays.TITLES[name])
        axes.set_xscale("log", base=2)
        axes.set_xticks(LANES, [str(lanes) for lanes in LANES])
        axes.set(xlabel="lanes of a row", title=title, ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8)
    save(figure, path)
