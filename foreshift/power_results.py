# SPDX-License-Identifier: Apache-2.0
"""The energy of a layer in each accelerator as tables, as figures and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synth import scaling, system
from synth.ledger import BESIDE, Ledger
from synth.report import aligned, lines_of

NODE_NM = 45
CLAIMED = {
    ("spls", "spatten"): 2.95,
    ("spls", "sanger"): 2.26,
    ("lapa", "spatten"): 3.52,
    ("lapa", "sanger"): 3.24,
    ("lapa", "fact"): 2.79,
}
"""Attention energy of the second over that of the first, as the papers of ESACT and LAPA have it."""
CLAIMED_SHARES = {"lapa": ("52 %", "46 %")}
"""What the paper gives its speculation unit of area and of power."""
NAMES = {"spls": "ESACT", "lapa": "LAPA", "fact": "FACT", "sanger": "Sanger", "spatten": "SpAtten", "dense": "dense"}
Table = list[tuple[str, ...]]
ByMethod = Mapping[str, Mapping[str, float]]


def summary(ledgers: Sequence[Ledger]) -> Table:
    """A line for each accelerator, head first."""
    table: Table = [
        (
            *("accelerator", "cycles", "cells µJ", "memories µJ", "chip µJ", "attention µJ", "DRAM µJ"),
            *("prediction %", "cells mm²", "memories mm²", "TOPS/W", "at 28 nm, scaled"),
        )
    ]
    for each in ledgers:
        cells, memories = (sum(area[n] for area in each.area.values()) for n in range(2))
        table.append(
            (
                NAMES[each.account.method],
                f"{each.cycles:.0f}",
                f"{each.cells * 1e-3:.1f}",
                f"{(each.chip - each.cells) * 1e-3:.1f}",
                f"{each.chip * 1e-3:.1f}",
                f"{each.attention * 1e-3:.2f}",
                f"{each.lines['DRAM'].total * 1e-3:.1f}",
                f"{100 * each.prediction:.1f}",
                f"{cells:.3f}",
                f"{memories:.3f}",
                f"{each.tops_per_watt:.2f}",
                f"{scaled(each):.2f}",
            )
        )
    return table


def scaled(each: Ledger) -> float:
    """Effective TOPS/W at 28 nm by the rule of `synth.scaling`: scaled, not measured."""
    return each.tops_per_watt / scaling.scaled_power(1.0, NODE_NM)


def ratios(ledgers: Sequence[Ledger]) -> Table:
    """Attention energy of the baselines over ours, beside what the papers claim, head first; of those that were
    measured."""
    by_method = {each.account.method: each for each in ledgers}
    table: Table = [("attention energy", "measured", "claimed", "chip energy")]
    for (ours, other), claimed in CLAIMED.items():
        if ours in by_method and other in by_method:
            mine, theirs = by_method[ours], by_method[other]
            table.append(
                (
                    f"{NAMES[other]} : {NAMES[ours]}",
                    f"{theirs.attention / mine.attention:.2f}",
                    f"{claimed:.2f}",
                    f"{theirs.chip / mine.chip:.2f}",
                )
            )
    return table


def shares(ledgers: Sequence[Ledger]) -> Table:
    """Prediction's part of each accelerator, beside what a paper says, head first; those that predict."""
    table: Table = [
        (
            "prediction's share",
            "of cells' area",
            "of area with memories",
            "of energy",
            "claimed: area",
            "claimed: power",
        )
    ]
    for each in ledgers:
        method = each.account.method
        if method != "dense":
            of_cells, of_all = (_share(each, parts) for parts in ((0,), (0, 1)))
            claimed = CLAIMED_SHARES.get(method, ("–", "–"))
            table.append(
                (NAMES[method], *(f"{100 * part:.1f} %" for part in (of_cells, of_all, each.prediction)), *claimed)
            )
    return table


def _share(each: Ledger, parts: Sequence[int]) -> float:
    """Prediction's, of the area of cells (0), of memories (1)."""
    own, whole = 0.0, 0.0
    for block, area in each.area.items():
        mine = sum(area[part] for part in parts)
        whole += mine
        own += mine if block.startswith(system.PREDICTION) else 0.0
    return own / whole


def blocks(ledgers: Sequence[Ledger]) -> Table:
    """nJ of a layer, block by block, cells and memories together, head first."""
    table: Table = [("block", *(NAMES[each.account.method] for each in ledgers))]
    for block in (*system.BLOCKS, *BESIDE):
        table.append((block, *(f"{each.lines[block].total:.0f}" for each in ledgers)))
    return table


def causes(ledgers: Sequence[Ledger]) -> Table:
    """nJ of a layer by cause, head first; the clock's part is one of internal and switching."""
    names = {
        "internal": "cells: internal",
        "switching": "cells: switching",
        "clock": "of both, clock pins and gates",
        "leakage": "cells: leakage",
        "accesses": "memories: accesses",
        "memory_leakage": "memories: leakage",
    }
    table: Table = [("cause", *(NAMES[each.account.method] for each in ledgers))]
    for cause, title in names.items():
        table.append((title, *(f"{each.causes[cause]:.0f}" for each in ledgers)))
    return table


def text(ledgers: Sequence[Ledger]) -> str:
    """The tables for a terminal."""
    return "\n\n".join(
        aligned(table) for table in (summary(ledgers), ratios(ledgers), blocks(ledgers)) if len(table) > 1
    )


def speeds(ledgers: Sequence[Ledger], clocks: ByMethod) -> Table:
    """MHz of each block, head first; no rows where nothing was timed."""
    methods = [each.account.method for each in ledgers if clocks[each.account.method]]
    table: Table = [("block", *(NAMES[method] for method in methods))]
    for block in system.BLOCKS:
        found = [clocks[method].get(block) for method in methods]
        if any(found):
            table.append((block, *("–" if each is None else f"{each:.0f}" for each in found)))
    return table


def markdown(ledgers: Sequence[Ledger], clocks: ByMethod, conditions: Mapping[str, object]) -> str:
    """A page with the conditions and all tables."""
    lines = ["# Energy of a layer: every accelerator, from its own activity", ""]
    lines += [f"- {name}: {value}" for name, value in conditions.items()]
    lines += [f"- pins observed: {100 * min(each.account.annotated for each in ledgers):.0f} %", ""]
    lines += ["![energy and area by block](power.png)", "", *lines_of(summary(ledgers)), ""]
    if len(ratios(ledgers)) > 1:
        lines += ["## Beside what the papers claim", "", *lines_of(ratios(ledgers)), ""]
    if len(shares(ledgers)) > 1:
        lines += ["## Prediction's share", "", *lines_of(shares(ledgers)), ""]
    lines += ["## By block, nJ of a layer", "", *lines_of(blocks(ledgers)), ""]
    lines += ["## By cause, nJ of a layer", "", *lines_of(causes(ledgers)), ""]
    if len(fastest := speeds(ledgers, clocks)) > 1:
        lines += ["## Clock by block, MHz", ""]
        lines += ["Of the worst path that ends in a block; no wires.", "", *lines_of(fastest), ""]
    return "\n".join(lines)


def as_json(
    ledgers: Sequence[Ledger], left: ByMethod, clocks: ByMethod, conditions: Mapping[str, object]
) -> dict[str, Any]:
    """All figures, and the conditions under which they hold. left: shares of the dense work, by part. clocks: MHz by
    block."""
    return {
        "conditions": dict(conditions),
        "accelerators": {
            each.account.method: {
                "name": each.account.name,
                "cycles": each.cycles,
                "windows": each.account.windows,
                "annotated": each.account.annotated,
                "chip_nj": each.chip,
                "cells_nj": each.cells,
                "attention_nj": each.attention,
                "phases_nj": each.phases,
                "left": dict(left[each.account.method]),
                "clocks_mhz": dict(clocks[each.account.method]),
                "prediction": each.prediction,
                "tops_per_watt": each.tops_per_watt,
                "tops_per_watt_scaled_to_28nm": scaled(each),
                "blocks_nj": {
                    name: {"cells": line.cells, "memories": line.memories} for name, line in each.lines.items()
                },
                "causes_nj": each.causes,
                "area_mm2": {name: {"cells": area[0], "memories": area[1]} for name, area in each.area.items()},
            }
            for each in ledgers
        },
        "claimed": {f"{ours} over {other}": claimed for (ours, other), claimed in CLAIMED.items()},
    }


def plot(ledgers: Sequence[Ledger], path: Path) -> None:
    """Energy of a layer and area, block by block, a bar for each accelerator."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(13, 2.2 + 0.55 * len(ledgers)), layout="constrained", sharey=True)
    energy = {block: [each.lines[block].total * 1e-3 for each in ledgers] for block in (*system.BLOCKS, "clock tree")}
    area = {block: [sum(each.area[block]) for each in ledgers] for block in system.BLOCKS}
    colours = dict(zip(energy, pyplot.get_cmap("tab20").colors, strict=False))
    for side, values, label in ((axes[0], energy, "energy of a layer, µJ"), (axes[1], area, "area, mm²")):
        begin = [0.0] * len(ledgers)
        for block, widths in values.items():
            side.barh(range(len(ledgers)), widths, left=begin, label=block, color=colours[block], height=0.7)
            begin = [start + width for start, width in zip(begin, widths, strict=True)]
        for position, end in enumerate(begin):
            side.text(end, position, f" {end:.3g}", va="center", fontsize=9)
        side.set_xlabel(f"{label}; cells and memories")
        side.set_xlim(0, max(begin) * 1.1)
        side.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(ledgers)), [NAMES[each.account.method] for each in ledgers])
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
