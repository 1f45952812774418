# SPDX-License-Identifier: Apache-2.0
"""`foreshift simulate`: layers of a random model through the RTL of an accelerator, over AXI, and compared.

seed ─► model, input ─┬─► golden layers ──────────────────────► y ─┐
                      └─► memory ─► RTL in Verilator ─► memory ─► y ─┴─► equal; cycles, counters
"""

import json
import os
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

from config.errors import Refusal, require
from foreshift import run_results
from foreshift.accelerator import Accelerator
from foreshift.progress import Progress
from golden.models.transformer import ORDERS
from sim import runner
from sim.stack import random_steps


def run(args: Namespace) -> None:
    """Prints what came of it. Raises Refusal for what the accelerator is not built for."""
    unit, progress = Accelerator(args.preset, args.method), Progress()
    tokens = _checked(unit, args)
    if args.waves:
        _require_writable(args.waves)
        os.environ[runner.WAVES] = "1"
    progress.say(f"{args.layers} random layers, {tokens} tokens: integers, plans, every tensor")
    steps = random_steps(unit.config, args.order, tokens, args.layers, args.seed, causal=args.causal)
    with progress.during(f"building the simulation of {unit.config.name}, which is kept: minutes, the first time"):
        unit.build()
    with progress.during(f"simulating {unit.config.name}"):
        result = unit.simulate(steps, overlap=not args.no_overlap, eager=not args.no_overlap)
    progress.say(f"equal to the golden model in all {result.y.size} values of the last layer")
    if result.waves:
        path = args.waves or result.waves
        if args.waves:
            shutil.move(result.waves, path)
        progress.say(f"waveforms: {path}")
    found = _figures(args, tokens) | run_results.figures(result)
    print(json.dumps(found, indent=2) if args.json else run_results.table(_heading(found), found))


def _checked(unit: Accelerator, args: Namespace) -> int:
    """Tokens of a sequence."""
    most = unit.config.tokens
    tokens = most if args.tokens is None else args.tokens
    require(1 <= tokens <= most, f"tokens must be 1 to {most}, not {tokens}; the hardware has no more.")
    require(args.layers >= 1, f"layers must be 1 or more, not {args.layers}; raise it.")
    require(args.seed >= 0, f"seed must be 0 or more, not {args.seed}; choose another one.")
    require(
        args.order in ORDERS,
        f"order must be {' or '.join(ORDERS)}, where the norms stand, not {args.order!r}; choose one of them.",
    )
    return tokens


def _require_writable(path: Path) -> None:
    """Before minutes of work, not behind them."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise Refusal(f"The file of waveforms must be one that can be written, and {path} cannot; choose another one.")


def _figures(args: Namespace, tokens: int) -> dict[str, Any]:
    return {
        "preset": args.preset,
        "method": args.method,
        "tokens": tokens,
        "layers": args.layers,
        "order": args.order,
        "causal": args.causal,
        "seed": args.seed,
        "overlap": not args.no_overlap,
    }


def _heading(found: dict[str, Any]) -> str:
    order = f"{found['order']}, causal" if found["causal"] else found["order"]
    return f"{found['method']}, {found['preset']}: {found['layers']} layers ({order}), {found['tokens']} tokens"
