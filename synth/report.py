# SPDX-License-Identifier: Apache-2.0
"""The comparison of arrays, and units by sub-block, as tables and as pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth import execution, hierarchy, lines
from synth.arrays import TITLES, YARDSTICK, Result
from synth.speculation import PARTS, Unit

_HEAD = (
    "array",
    "area per term µm²",
    "of int8",
    "registers %",
    "fmax MHz",
    "energy per term fJ",
    "of int8",
    "front / rows %",
    "QN tied to Q fJ",
    "partial sums kbit",
)


def rows(results: list[Result]) -> list[tuple[str, ...]]:
    """The table, head first, every cell as text."""
    yardstick = next(result for result in results if result.name == YARDSTICK)
    table: list[tuple[str, ...]] = [_HEAD]
    for result in results:
        spent = result.energy
        shared = (spent.encode + spent.front) / spent.total
        table.append(
            (
                TITLES[result.name],
                f"{result.area_per_term:.1f}",
                f"{result.area_per_term / yardstick.area_per_term:.3f}",
                f"{100 * result.register_share:.0f}",
                f"{result.timing.megahertz:.0f}" if result.timing else "no OpenSTA",
                f"{spent.total:.1f}",
                f"{spent.total / yardstick.energy.total:.3f}",
                f"{100 * shared:.0f} / {100 * (1 - shared):.0f}",
                f"{spent.joint:.1f}",
                f"{result.memory_bits / 1000:.0f}",
            )
        )
    return table


def text(results: list[Result]) -> str:
    """The table for a terminal."""
    return aligned(rows(results))


def aligned(table: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def markdown(results: list[Result], conditions: Mapping[str, object]) -> str:
    """A page with the conditions, the table and the blocks."""
    table = rows(results)
    lines = ["# Dot-product arrays: area, clock, energy", ""]
    lines += [f"- {name}: {value}" for name, value in conditions.items()]
    lines += ["", "![area and energy per term](arrays.png)", "", _line(table[0]), "|---|" + "---:|" * (len(_HEAD) - 1)]
    lines += [_line(row) for row in table[1:]]
    lines += [
        "",
        "## Blocks",
        "",
        "| array | encode | front | one row | registers of a row |",
        "|---|---:|---:|---:|---:|",
    ]
    for result in results:
        blocks = result.blocks
        areas = [f"{blocks[name].area:.0f}" for name in ("encode", "front", "row")]
        lines.append(_line((TITLES[result.name], *areas, str(blocks["row"].registers))))
    lines += ["", "Block areas in µm². What each figure means and leaves out: docs/results.md and docs/power.md.", ""]
    return "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def plot(results: list[Result], path: Path) -> None:
    """Area and energy per term, side by side, with the block or cause that each part belongs to."""
    from matplotlib import pyplot

    names = [TITLES[result.name] for result in results]
    positions = range(len(results))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.6), layout="constrained", sharey=True)
    products = [result.area / result.area_per_term for result in results]
    shares = {
        "registers": [result.register_area / n for result, n in zip(results, products, strict=True)],
        "logic": [(result.area - result.register_area) / n for result, n in zip(results, products, strict=True)],
    }
    causes = {
        "clock": [result.energy.clock for result in results],
        "internal": [result.energy.internal - result.energy.clock for result in results],
        "switching": [result.energy.switching for result in results],
        "leakage": [result.energy.leakage for result in results],
    }
    for axes, parts, label in ((left, shares, "area per term, µm²"), (right, causes, "energy per term, fJ")):
        begin = [0.0] * len(results)
        for part, values in parts.items():
            axes.barh(positions, values, left=begin, label=part, height=0.7)
            begin = [start + value for start, value in zip(begin, values, strict=True)]
        for position, end in enumerate(begin):
            axes.text(end, position, f" {end:.0f}", va="center", fontsize=9)
        axes.set_xlabel(label)
        axes.set_xlim(0, max(begin) * 1.12)
        axes.legend(frameon=False, loc="lower right")
        axes.spines[["top", "right"]].set_visible(False)
    left.set_yticks(positions, names)
    left.invert_yaxis()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


_UNIT_HEAD = ("sub-block", "area µm²", "% of unit", "registers %", "flip-flops", "memory bits", "fmax MHz", "instances")


def unit_title(unit: Unit) -> str:
    """A unit by method, preset and shape of its array."""
    return f"{unit.config.method.upper()}, {unit.preset}: {unit.config.rows} rows × {unit.config.lanes} lanes"


def unit_rows(unit: hierarchy.Unit[Any]) -> list[tuple[str, ...]]:
    """The table of a unit, head first, the whole last, every cell as text."""
    whole = unit.total
    table: list[tuple[str, ...]] = [_UNIT_HEAD]
    for part in (*unit.parts, whole):
        repeated = [f"{n} {name}" for name, n in part.instances.items() if n > 1]
        table.append(
            (
                part.name,
                f"{part.area_um2:.0f}",
                f"{100 * part.area_um2 / whole.area_um2:.1f}",
                f"{100 * part.register_share:.0f}",
                str(part.registers),
                str(part.memory_bits),
                _megahertz(part),
                ", ".join(repeated) or "1",
            )
        )
    return table


def _megahertz(part: hierarchy.Part) -> str:
    return f"{part.fmax_mhz:.0f}" if part.fmax_mhz else "not timed"


def units_text(units: list[Unit]) -> str:
    """The tables of all units for a terminal."""
    return "\n\n".join(f"{unit_title(unit)}\n{aligned(unit_rows(unit))}" for unit in units)


def units_markdown(units: list[Unit], conditions: Mapping[str, object]) -> str:
    """A page with the conditions and a table per unit."""
    lines = ["# Speculation units: area, memory, clock", ""]
    lines += [f"- {name}: {value}" for name, value in conditions.items()]
    lines += ["", "![area by sub-block](speculation.png)", ""]
    for unit in units:
        lines += _section(unit_title(unit), unit)
    return "\n".join(lines)


def _section(title: str, unit: hierarchy.Unit[Any]) -> list[str]:
    """A unit's table with a title above it."""
    return [f"## {title}", "", *lines_of(unit_rows(unit), last="---"), ""]


_EXECUTION_HEAD = (
    "unit",
    "area µm²",
    "registers %",
    "flip-flops",
    "memory bits",
    "fmax MHz",
    "energy per product fJ",
    "built for",
)
_ENERGY_HEAD = (
    "line",
    "internal",
    "of it clock",
    "switching",
    "leakage",
    "total",
    "QN tied to Q",
    "cycles",
    "products",
)

Units = Mapping[tuple[str, str], execution.Unit]
"""By preset and name."""
Energies = Mapping[str, Mapping[str, lines.Energy]]
"""Of the lines, by preset and module."""


def execution_rows(units: Units, energies: Energies) -> list[tuple[str, ...]]:
    """The units that compute a layer, and below attention its blocks, one in a line, head first, every cell as text."""
    table: list[tuple[str, ...]] = [_EXECUTION_HEAD]
    for (preset, name), unit in units.items():
        title = f"{execution.TITLES[name]}, {preset}"
        table.append((title, *_figures(unit.total), "", execution.shape(unit.config)))
        for block in execution.blocks(unit):
            _, module = execution.LINES.get(block.name, ("", ""))
            energy = energies.get(preset, {}).get(module)
            spent, whole = (f"{energy.total:.0f}" if energy else ""), "one of them" if module else ""
            table.append((f"· {block.name}", *_figures(block), spent, whole))
    return table


def _figures(part: hierarchy.Part) -> tuple[str, ...]:
    share = f"{100 * part.register_share:.0f}"
    return f"{part.area_um2:.0f}", share, str(part.registers), str(part.memory_bits), _megahertz(part)


def execution_text(units: Units, energies: Energies) -> str:
    """The table for a terminal."""
    return aligned(execution_rows(units, energies))


def execution_markdown(units: Units, energies: Energies, conditions: Mapping[str, object]) -> str:
    """A page with the conditions, all units in a table, what a product takes in each line, and a table per unit."""
    text = ["# Execution units: area, memory, clock, energy of the lines", ""]
    text += [f"- {name}: {value}" for name, value in conditions.items()]
    text += ["", *lines_of(execution_rows(units, energies), last="---"), ""]
    text += ["## Energy of a product in a line, fJ", "", *lines_of(_energy_rows(energies), last="---:"), ""]
    for (preset, name), unit in units.items():
        text += _section(f"{execution.TITLES[name]}, {preset}", unit)
    return "\n".join(text)


def _energy_rows(energies: Energies) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [_ENERGY_HEAD]
    for preset, found in energies.items():
        for line, (_, module) in execution.LINES.items():
            one = found[module]
            split = one.internal, one.clock, one.switching, one.leakage, one.total, one.joint
            table.append(
                (f"{line}, {preset}", *(f"{value:.1f}" for value in split), str(one.cycles), str(one.products))
            )
    return table


def lines_of(table: list[tuple[str, ...]], last: str = "---:") -> list[str]:
    """A table, head first; last: alignment of its last column."""
    head, *rest = table
    return [_line(head), "|---|" + "---:|" * (len(head) - 2) + f"{last}|", *map(_line, rest)]


def units_plot(units: list[Unit], path: Path) -> None:
    """Share of each sub-block in its unit's area, one bar per unit."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 1.6 + 0.6 * len(units)), layout="constrained")
    begin = [0.0] * len(units)
    colours = pyplot.get_cmap("tab20").colors
    for colour, name in zip(colours, PARTS, strict=False):
        areas = [sum(part.area_um2 for part in unit.parts if part.name == name) for unit in units]
        values = [100 * area / unit.total.area_um2 for area, unit in zip(areas, units, strict=True)]
        axes.barh(range(len(units)), values, left=begin, label=name, color=colour, height=0.7)
        begin = [start + value for start, value in zip(begin, values, strict=True)]
    for position, unit in enumerate(units):
        axes.text(100, position, f" {unit.total.area_um2 / 1000:.0f}k µm²", va="center", fontsize=9)
    axes.set_yticks(range(len(units)), [unit_title(unit) for unit in units])
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xlabel("share of the unit's cell area, % (memories apart)")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.3), ncols=7, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
