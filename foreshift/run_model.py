# SPDX-License-Identifier: Apache-2.0
"""`foreshift run-model`: all layers of a real model on a text, computed by the RTL in simulation, and compared."""

import json
import sys
from argparse import Namespace

from config import presets
from config.errors import Refusal, require
from foreshift.accelerator import Accelerator, Result
from foreshift.demo import DEFAULT_TEXT, Progress

SHOWN = (
    ("BUSY_ARRAY1", "array 1 works"),
    ("BUSY_ARRAY2", "array 2 works"),
    ("STALL_WEIGHTS", "waits for weights"),
    ("STALL_ROWS", "waits for rows"),
    ("STALL_PLAN", "waits for the plan"),
    ("PREDICTION_CYCLES", "prediction works"),
    ("BYTES_READ", "bytes read"),
    ("BYTES_WRITTEN", "bytes written"),
)


def run(args: Namespace) -> None:
    """Prints what came of it. Raises Refusal for a model, method or preset that is none, and for a text too short."""
    require(
        args.preset in presets.PRESETS and bool(presets.systems(args.preset)),
        f"The preset must be one that has accelerators, tiny or minilm, not {args.preset!r}; choose one of them.",
    )
    unit, progress = Accelerator(args.preset, args.method), Progress()
    require(
        args.preset != "tiny",
        "Real models need the preset minilm, and tiny is too small for them; leave --preset out.",
    )
    if args.layers is not None and args.layers < 1:
        raise Refusal(f"layers must be 1 or more, not {args.layers}; leave it out for all.")
    progress.say(f"{args.model}: integers, plans, every tensor")
    found = unit.workload(args.model, args.text or DEFAULT_TEXT, tokens=args.tokens, layers=args.layers)
    tokens, layers = len(found.steps[0].x), len(found.steps)
    progress.say(f"{unit.config.name}: {layers} layers of {tokens} tokens in simulation; building takes minutes, once")
    result = unit.simulate(found.steps, overlap=not args.no_overlap, eager=not args.no_overlap)
    progress.say("equal to the golden model in every value")
    figures = _figures(args, result, tokens, layers, found.likeness(result.y))
    print(json.dumps(figures, indent=2) if args.json else _table(figures), file=sys.stdout)


def _figures(args: Namespace, result: Result, tokens: int, layers: int, likeness: float) -> dict[str, object]:
    return {
        "model": args.model,
        "method": args.method,
        "tokens": tokens,
        "layers": layers,
        "cycles": result.cycles,
        "cosine_to_float": likeness,
        "prediction_hidden": result.hidden,
        "counters": result.counters,
        "cycles_per_second": result.rate,
    }


def _table(figures: dict[str, object]) -> str:
    counters = figures["counters"]
    assert isinstance(counters, dict)
    lines = [
        f"{figures['model']} on {figures['method']}, {figures['layers']} layers, {figures['tokens']} tokens",
        f"  {'cycles':20}{figures['cycles']:>12}",
        *(f"  {text:20}{counters[name]:>12}" for name, text in SHOWN),
        f"  {'of prediction hidden':20}{figures['prediction_hidden']:>12.3f}",
        f"  {'cosine to float':20}{figures['cosine_to_float']:>12.4f}",
    ]
    return "\n".join(lines)
