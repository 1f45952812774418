# SPDX-License-Identifier: Apache-2.0
"""`foreshift run-model`: all layers of a real model on a text, computed by the RTL in simulation, and compared."""

import json
from argparse import Namespace
from typing import Any

from config.errors import require
from foreshift import run_results
from foreshift.accelerator import Accelerator
from foreshift.demo import DEFAULT_TEXT
from foreshift.progress import Progress


def run(args: Namespace) -> None:
    """Prints what came of it. Raises Refusal for a model, method or preset that is none, and for a text too short."""
    unit, progress = Accelerator(args.preset, args.method), Progress()
    require(
        args.preset != "tiny",
        "Real models need the preset minilm, and tiny is too small for them; leave --preset out.",
    )
    require(
        args.layers is None or args.layers >= 1,
        f"layers must be 1 or more, not {args.layers}; leave it out for all.",
    )
    progress.say(f"{args.model}: integers, plans, every tensor")
    text = DEFAULT_TEXT if args.text is None else args.text
    found = unit.workload(args.model, text, tokens=args.tokens, layers=args.layers)
    tokens, layers = len(found.steps[0].x), len(found.steps)
    with progress.during(f"building the simulation of {unit.config.name}, which is kept: many minutes, the first time"):
        unit.build()
    with progress.during(f"simulating {layers} layers of {tokens} tokens"):
        result = unit.simulate(found.steps, overlap=not args.no_overlap, eager=not args.no_overlap)
    progress.say(f"equal to the golden model in all {result.y.size} values of the last layer")
    figures = _figures(args, tokens, layers, found.likeness(result.y)) | run_results.figures(result)
    print(json.dumps(figures, indent=2) if args.json else _table(figures))


def _figures(args: Namespace, tokens: int, layers: int, likeness: float) -> dict[str, Any]:
    return {
        "model": args.model,
        "method": args.method,
        "preset": args.preset,
        "tokens": tokens,
        "layers": layers,
        "overlap": not args.no_overlap,
        "cosine_to_float": likeness,
    }


def _table(figures: dict[str, Any]) -> str:
    heading = f"{figures['model']}, {figures['method']}: {figures['layers']} layers, {figures['tokens']} tokens"
    return run_results.table(heading, figures, cosine_to_float=f"{figures['cosine_to_float']:.4f}")
