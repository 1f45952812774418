# SPDX-License-Identifier: Apache-2.0
"""Holds synth.power against the OpenSTA inside OpenROAD: same netlists, same cells, same activity.

    python -m tools.openroad_power [--python COMMAND]

COMMAND runs a Python that can `import openroad` (PyPI: openroad 0.0.1; needs glibc 2.38 or later); docs/power.md says
how to get one. Prints a table and ends with exit status 1 where internal, switching or leakage power differ by more
than 2 %.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import Refusal, require
from synth import gatesim, liberty, netlist, power, saif
from synth.activity import Activity
from synth.library import fetch
from tests.synth import blocks

FOLDER = Path("build/openroad-power")
CHECKED = ("multiplier", "tree", "gated", "mixed")
STREAMS, CYCLES, SKIPPED = 16, 1000, 10
LIMIT = 0.02
CLOCK_NS = 1.0

# Ideal edges and bare outputs; then slow edges and loaded outputs.
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("", {}),
    "slow, loaded": (
        "set_input_transition 0.05 [all_inputs]; set_clock_transition 0.03 [all_clocks]; set_load 10 [all_outputs]",
        {"input_slew_ns": 0.05, "clock_slew_ns": 0.03, "output_load_ff": 10.0},
    ),
}

SCRIPT = """
from openroad import Design, Tech
tech = Tech()  # must outlive the design
design = Design(tech)
for command in '''
read_lef {cells}/rtk-tech.lef
read_lef {cells}/stdcells.lef
read_liberty {cells}/stdcells.lib
read_verilog {net}
link_design {top}
create_clock -name clk -period {period} [get_ports clk]
{settings}
read_saif -scope {top} {activity}
report_activity_annotation
report_power -digits 7
'''.strip().splitlines():
    design.evalTclString(command)
"""


def activity_of(net: netlist.Netlist, library: liberty.Library) -> Activity:
    """Random data on every input, resets only at the start."""
    sim = gatesim.Simulator(net, library, STREAMS)
    rng = np.random.default_rng(1)
    stimulus = {port.name: rng.integers(0, 2, (CYCLES, STREAMS, len(port.nets))) for port in sim.inputs}
    for name in stimulus.keys() & {"rst", "arst"}:
        stimulus[name] = np.broadcast_to(np.arange(CYCLES)[:, np.newaxis] < 2, (CYCLES, STREAMS)).astype(int)
    return sim.run(stimulus, start=SKIPPED).activity


def openroad(python: str, top: str, folder: Path, settings: str) -> tuple[float, float, float]:
    """Internal, switching and leakage power in µW."""
    script = SCRIPT.format(
        cells=fetch().resolve(),
        net=(folder / "net.v").resolve(),
        activity=(folder / "activity.saif").resolve(),
        top=top,
        period=CLOCK_NS,
        settings=settings,
    )
    done = subprocess.run([*shlex.split(python), "-c", script], capture_output=True, text=True)
    total = re.search(r"^Total +(\S+) +(\S+) +(\S+)", done.stdout, re.MULTILINE)
    if done.returncode or total is None or "ERROR" in done.stdout:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise Refusal(f"{python} must be a Python that can run OpenROAD; it said: {said}. See docs/power.md.")
    require(
        re.search(r"unannotated +0\b", done.stdout) is not None,
        f"Every pin of {top} must have been annotated in OpenROAD, and some were not: {done.stdout}",
    )
    internal, switching, leakage = (float(figure) * 1e6 for figure in total.groups())
    return internal, switching, leakage


def compare(python: str) -> Iterator[tuple[str, str, str, float, float]]:
    """Block, setting, kind of power, ours and OpenROAD's in µW."""
    library = liberty.read(fetch() / "stdcells.lib")
    for block in CHECKED:
        folder = FOLDER / block
        blocks.synthesise(block, fetch() / "stdcells.lib", folder)
        net = netlist.read(folder / "net.json", library)
        activity = activity_of(net, library)
        samples = (CYCLES - SKIPPED) * STREAMS
        (folder / "activity.saif").write_text(saif.to_text(net, activity, samples, int(CLOCK_NS * 1000)))
        for name, (settings, options) in SETTINGS.items():
            split = power.estimate(net, library, activity, CLOCK_NS, **options).total
            ours = (split.internal / CLOCK_NS, split.switching / CLOCK_NS, split.leakage / CLOCK_NS)
            theirs = openroad(python, block, folder, settings)
            for kind, one, other in zip(("internal", "switching", "leakage"), ours, theirs, strict=True):
                yield block, name, kind, one, other


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", default=sys.executable, metavar="COMMAND", help="runs a Python with openroad")
    worst = 0.0
    print("| block | setting | power | synth.power, µW | OpenROAD, µW | difference |\n|---|---|---|---|---|---|")
    for block, setting, kind, ours, theirs in compare(parser.parse_args().python):
        worst = max(worst, abs(ours / theirs - 1))
        print(f"| {block} | {setting} | {kind} | {ours:.3f} | {theirs:.3f} | {100 * (ours / theirs - 1):+.3f} % |")
    return int(worst > LIMIT)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refusal as refusal:
        print(f"openroad_power: {refusal}", file=sys.stderr)
        sys.exit(2)
