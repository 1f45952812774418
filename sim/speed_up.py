# SPDX-License-Identifier: Apache-2.0
"""What a plan saves of a whole accelerator's time: MiniLM's layers through its RTL, phase by phase, beside `dense`.

text ─► layers under the plans of the chosen settings ─► each alone through the top, checked ─► counters ─┐
                                                       └► multiplications that the plan leaves ───────────┴► table

`python -m sim.speed_up` prints it. "left": share of the dense layer's multiplications; "time": share of the cycles of
`dense` on the same arrays and memory; "arrives": of what the plan removes, as time.
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from config import presets
from config.errors import Refusal
from config.system import SystemConfig
from golden.speculate.work import Sizes, Work
from sim import accelerator, workloads
from sim.planned import LAYERS, SENTENCES
from sim.runner import SimulationError
from sim.stack import Step

METHODS = ("spls", "lapa")
PHASES: dict[str, Callable[[Work], int]] = {
    "generation": lambda work: work.qkv,
    "attention": lambda work: work.attention,
    "projection": lambda work: work.projection,
    "ffn": lambda work: work.ffn,
}
"""Of a layer, by the ends of their counters' names, with what of the work each does."""
PROCESSORS = 2


@dataclass(frozen=True)
class Layer:
    """left, whole: multiplications that the plan leaves, and all of them. counters: by name."""

    left: Work
    whole: Work
    counters: dict[str, int]

    def cycles(self, phase: str = "") -> int:
        """Of a phase, or of the whole layer."""
        return self.counters[f"CYCLES_{phase.upper()}" if phase else "CYCLES"]

    @property
    def hidden(self) -> float:
        """Share of the cycles of prediction that the arrays do not wait for."""
        return self.counters["PREDICTION_HIDDEN"] / max(self.counters["PREDICTION_CYCLES"], 1)


def sizes_of(step: Step) -> Sizes:
    """Of its layer, on its tokens."""
    tokens, width = step.x.shape
    layer, causal = step.layer, step.predictor.settings.causal
    pairs = tokens * (tokens + 1) // 2 if causal else tokens * tokens
    inner, hidden = len(layer.q.w), len(layer.up.w)
    return Sizes(
        tokens, pairs, width, layer.heads, layer.heads, inner // layer.heads, inner * width, 2 * width * hidden
    )


def run(config: SystemConfig, steps: Sequence[Step], **switches: Any) -> list[Layer]:
    """Each step alone, from x in memory to y in memory; two at a time. switches: as of `accelerator.run`.

    Raises AssertionError for a y that is not golden, `SimulationError` if the hardware stands still.
    """
    accelerator.build(config)

    def one(step: Step) -> Layer:
        laid = accelerator.lay_out(config, [step])
        ended = accelerator.run(config, laid, limit=accelerator.limit_of([step]), **switches)
        accelerator.check([step], laid, ended)
        sizes = sizes_of(step)
        return Layer(sizes.left(step.plan.counts), sizes.dense, ended.counters)

    with ThreadPoolExecutor(PROCESSORS) as pool:
        return list(tqdm(pool.map(one, steps), desc=config.name, total=len(steps), unit="layer"))


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
            hidden = sum(each.hidden * each.counters["PREDICTION_CYCLES"] for each in mine)
            hidden /= max(sum(each.counters["PREDICTION_CYCLES"] for each in mine), 1)
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
            work = workloads.workload(systems[method], "minilm", text, tokens=given.tokens, layers=given.layers)
            found[method] = run(systems[method], work.steps, **switches)
    except (Refusal, SimulationError, AssertionError) as error:
        print(f"foreshift: {error}", file=sys.stderr)
        return 1
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
