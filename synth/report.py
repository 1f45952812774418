# SPDX-License-Identifier: Apache-2.0
"""The comparison of arrays as a table and as a picture."""

from collections.abc import Mapping
from pathlib import Path

from synth.arrays import TITLES, YARDSTICK, Result

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
    table = rows(results)
    widths = [max(len(row[i]) for row in table) for i in range(len(_HEAD))]
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
