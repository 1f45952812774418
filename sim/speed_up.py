# SPDX-License-Identifier: Apache-2.0
"""What a plan saves of a whole accelerator's time: MiniLM's layers through its RTL, phase by phase, beside `dense`.

text ─► layers under the plans of the chosen settings ─┬► all behind one doorbell, checked: counters of each ─┐
                                                       └► multiplications that the plan leaves ────────────────┴► table

`python -m sim.speed_up` prints it. "left": share of the dense layer's multiplications; "time": share of the cycles of
`dense` on the same arrays and memory; "arrives": of what the plan removes, as time.
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from config import presets
from config.errors import Refusal
from config.system import SystemConfig
from golden.speculate.work import Sizes, Work
from sim import accelerator, workloads
from sim.planned import LAYERS, SENTENCES
from sim.runner import SimulationError
from sim.stack import Step

METHODS = ("spls", "lapa", "fact", "sanger", "spatten")
PHASES: dict[str, Callable[[Work], int]] = {
    "generation": lambda work: work.qkv,
    "attention": lambda work: work.attention,
    "projection": lambda work: work.projection,
    "ffn": lambda work: work.ffn,
}
"""Of a layer, by the ends of their counters' names, with what of the work each does."""


@dataclass(frozen=True)
class Layer:
    """left, whole: multiplications that the plan leaves, and all of them. counters: by name."""

    left: Work
    whole: Work
    counters: dict[str, int]

    def cycles(self, phase: str = "") -> int:
        """Of a phase, or of the whole layer."""
        return self.counters[f"CYCLES_{phase.upper()}" if phase else "CYCLES"]


def sizes_of(step: Step) -> Sizes:
    """Of its layer, on its tokens."""
    tokens, width = step.x.shape
    layer, causal = step.layer, step.predictor.settings.causal
    pairs = tokens * (tokens + 1) // 2 if causal else tokens * tokens
    inner, hidden = len(layer.q.w), len(layer.up.w)
    return Sizes(
        tokens, pairs, width, layer.heads, layer.heads, inner // layer.heads, inner * width, 2 * width * hidden
    )


def run(config: SystemConfig, work: workloads.Workload, **switches: Any) -> list[Layer]:
    """All steps, from the first x in memory to each y in memory. switches: as of `accelerator.run`.

    Raises AssertionError for a y that is not golden, `SimulationError` if the hardware stands still.
    """
    steps = work.steps
    laid = accelerator.lay_out(config, steps, every=True)
    ended = accelerator.run(config, laid, limit=accelerator.limit_of(steps), watch=True, **switches)
    accelerator.check(steps, laid, ended)
    found, before = [], dict.fromkeys(accelerator.COUNTER_NAMES, 0)
    for step, counters in zip(steps, ended.seen, strict=True):
        sizes = sizes_of(step)
        own = {name: count - before[name] for name, count in counters.items()}
        found.append(Layer(sizes.left(step.plan.counts), sizes.dense, own))
        before = counters
    return found


def arrives(left: float, time: float) -> float:
    """Share of what is removed that is saved; 1 if nothing is."""
    return (1 - time) / (1 - left) if left < 1 else 1.0


def table(found: dict[str, list[Layer]]) -> Iterator[str]:
    """Of each method but `dense`, layer by layer and all together; see the module."""
    columns = [f"{phase} {what}" for phase in PHASES for what in ("left", "time")]
    yield "| method | layer | " + " | ".join(columns) + " | left | cycles | time | speed-up · left | arrives | hidden |"
    yield "|---|---|" + "---:|" * (len(columns) + 6)
    exact = found["dense"]
    for method, layers in found.items():
        rows = [(str(n), [layer], [exact[n]]) for n, layer in enumerate(layers)]
        for name, mine, theirs in (*rows, ("all", layers, exact)):
            cells = []
            for phase, part in PHASES.items():
                cells.append(sum(part(each.left) for each in mine) / sum(part(each.whole) for each in mine))
                cells.append(sum(each.cycles(phase) for each in mine) / sum(each.cycles(phase) for each in theirs))
            left = sum(each.left.total for each in mine) / sum(each.whole.total for each in mine)
            cycles = sum(each.cycles() for each in mine)
            time = cycles / sum(each.cycles() for each in theirs)
            hidden = accelerator.hidden(*(each.counters for each in mine)) or 0.0
            yield (
                f"| {method} | {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + f" | {left:.3f} | {cycles} | "
                f"{time:.3f} | {left / time:.3f} | {arrives(left, time):.3f} | {hidden:.3f} |"
            )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sim.speed_up", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--layers", type=int, default=LAYERS, help="how many layers")
    parser.add_argument("--tokens", type=int, default=None, help="how many tokens; as many as there is room for")
    parser.add_argument("--sentence", type=int, default=0, choices=range(len(SENTENCES)), help="which text")
    parser.add_argument("--no-overlap", action="store_true", help="prediction first, then all else")
    given = parser.parse_args(arguments)
    systems, found = presets.systems("minilm"), {}
    text = inspect.getdoc(SENTENCES[given.sentence]) or ""
    switches = {"overlap": not given.no_overlap, "eager": not given.no_overlap}
    try:
        for method in ("dense", *given.methods):
            print(f"{systems[method].name}: {given.layers} layers in simulation", file=sys.stderr, flush=True)
            work = workloads.workload(systems[method], "minilm", text, tokens=given.tokens, layers=given.layers)
            found[method] = run(systems[method], work, **switches)
    except (Refusal, SimulationError, AssertionError) as error:
        print(f"foreshift: {error}", file=sys.stderr)
        return 1
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
