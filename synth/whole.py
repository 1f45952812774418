# SPDX-License-Identifier: Apache-2.0
"""An accelerator's pieces as one netlist, and its clock, block by block, with paths that lead from piece to piece."""

from collections.abc import Mapping
from pathlib import Path

from synth import hierarchy, verilog
from synth.pieces import Mapped, named

CLOCK = "aclk"


def clocks(mapped: Mapping[str, Mapped], block_of: Mapping[str, str], work: Path, liberty: Path) -> dict[str, float]:
    """MHz of each block: of the worst path that ends in it, no wires. mapped: the pieces, by name. work: a folder.

    Raises `Refusal` if OpenSTA cannot time it.
    """
    top = named("")
    modules = {named(piece): one.body for piece, one in mapped.items()}
    owner = {path: block for path, block, _ in hierarchy.instances(modules, block_of, top)}
    work.mkdir(parents=True, exist_ok=True)
    return hierarchy.clocks("".join(verilog.written(modules)), top, owner, work, liberty, clock=CLOCK)
