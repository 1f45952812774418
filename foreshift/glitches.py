# SPDX-License-Identifier: Apache-2.0
"""The energy of leaf blocks with glitches beside that without: the table of docs/power.md.

    python -m foreshift.glitches [BLOCK ...]

Maps every block (or those named), simulates its netlist on operands of a real model with and without the delays of its
cells, and prints the table. Needs OpenSTA, Icarus Verilog, and about ten minutes.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from config import presets
from config.errors import Refusal, require
from config.execute import FRACTION_BITS
from foreshift.demo import DEFAULT_TEXT, HEAD, LAYER
from golden.execute.scales import multipliers
from golden.models import minilm
from golden.speculate import compare
from hdl.emit import verilog
from hdl.execute.scores import score_bits
from hdl.speculate.unit import DotUnit
from synth import arrays, execution, glitch, liberty, library, mapping
from synth.glitch import Cells, Glitches

FOLDER = Path("build/glitches")
PRESET = "minilm"


def blocks() -> dict[str, Callable[[Cells], Glitches]]:
    """Each block by name, and what measures it."""
    ids = minilm.tokens(DEFAULT_TEXT).ids
    head = minilm.head_inputs(minilm.embed(ids), minilm.attention_weights(LAYER), HEAD)
    predicted = compare.predict("int8", head)
    x, w = head.x.astype(np.int64), head.wq.astype(np.int64)
    attention = presets.attention(PRESET)
    assert attention is not None

    def row(name: str) -> Callable[[Cells], Glitches]:
        return lambda cells: _row(name, cells, x, w)

    def line(name: str) -> Callable[[Cells], Glitches]:
        return lambda cells: glitch.line(name, attention.arrays, cells, x, w, FOLDER / name)

    def requantiser(cells: Cells) -> Glitches:
        acc_bits = arrays.configurations()[arrays.YARDSTICK].acc_bits + 1
        sums = x @ w.T + head.bq
        return glitch.requantiser(
            sums, acc_bits, multipliers(predicted.q_multiplier.real), cells, FOLDER / "requantiser"
        )

    def power(cells: Cells) -> Glitches:
        # A score's unit in the exponent of two.
        scale = multipliers(predicted.score_unit * np.log2(np.e) * (1 << FRACTION_BITS))
        return glitch.softmax_power(
            predicted.scores, score_bits(attention.arrays.lanes), scale, cells, FOLDER / "power"
        )

    return {
        **{name: row(name) for name in arrays.configurations()},
        **{name: line(name) for name in ("dot_line", "pe_line")},
        "requantiser": requantiser,
        "softmax_power": power,
    }


def _row(name: str, cells: Cells, x: np.ndarray, w: np.ndarray) -> Glitches:
    config = arrays.configurations()[name]
    text = str(verilog(DotUnit(config), config.name))
    mapped = mapping.map_design(text, config.name, FOLDER / config.name, cells.liberty, cells.library)
    return glitch.row(mapped, config, cells, x, w, FOLDER / f"{config.name}_row")


def table(found: Iterable[Glitches]) -> list[str]:
    """Lines of Markdown."""
    head = (
        "block",
        "cells",
        "toggles a cycle",
        "with glitches",
        "fJ per",
        "",
        "with glitches",
        "times",
        "QN tied",
        "times",
    )
    lines = [f"| {' | '.join(head)} |", "|---|---:|---:|---:|---|---:|---:|---:|---:|---:|"]
    for one in found:
        settled, timed = one.settled, one.timed
        cells = (
            one.block,
            str(one.cells),
            f"{settled.toggles:.0f}",
            f"{timed.toggles:.0f}",
            one.operation,
            f"{settled.energy:.1f}",
            f"{timed.energy:.1f}",
            f"{one.ratio:.3f}",
            f"{timed.joint:.1f}",
            f"{timed.joint / settled.joint:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    known = blocks()
    parser.add_argument("blocks", nargs="*", metavar="BLOCK", help=f"one of {', '.join(known)}")
    chosen = parser.parse_args().blocks or list(known)
    for name in chosen:
        require(name in known, f"A block must be one of {', '.join(known)}, not {name!r}.")
    folder = library.fetch()
    path = folder / "stdcells.lib"
    cells = Cells(path, liberty.read(path), folder / "stdcells.v", execution.PERIOD_NS)
    found = []
    for name in chosen:
        print(f"{name}", file=sys.stderr, flush=True)
        found.append(known[name](cells))
    print("\n".join(table(found)))


if __name__ == "__main__":
    try:
        main()
    except Refusal as refusal:
        print(f"foreshift: {refusal}", file=sys.stderr)
        sys.exit(2)
