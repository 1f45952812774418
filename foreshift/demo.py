# SPDX-License-Identifier: Apache-2.0
"""`foreshift demo`: predict the attention of a real sentence in RTL simulation, and draw it beside the truth.

    sentence ─► tokens ─► embedding ─► int8 X, W_Q, W_K of one head ─┬─► HLog array, simulated ─┐
                                                                     ├─► ALOC array, simulated ─┼─► pictures, figures
                                                                     └─► golden: int8, int4, pot ┘

Every product that the simulation gives is checked against the golden model, entry by entry.
"""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import presets
from config.array import SYSTEMS
from foreshift import plans as planning
from foreshift.demo_results import PLANS, Findings, Run, Shares, staged, summary, write
from foreshift.pictures import SYSTEM_NAMES
from foreshift.progress import Progress
from golden.models import minilm
from golden.speculate import compare
from sim import dot

DEFAULT_TEXT = (
    "The king gave his daughter a crown because she had saved the castle, and the people loved their queen for it."
)
OUTPUT = Path("build/demo")
ARRAY = presets.arrays("minilm")["hlog"]  # the arrays that `sim.dot` simulates all have its rows and lanes
LAYER = 0
HEAD = 4  # looks at what is near and what is meant: `his` finds the king and `she` the daughter
RECALL_AT = (2, 4, 8)
SIMULATED = ("hlog", "aloc")
PRODUCTS = ("Q", "K", "scores")  # the order in which a prediction multiplies

Simulate = Callable[[str, NDArray[Any], NDArray[Any]], Any]


class MismatchError(Exception):
    """The simulated hardware and the golden model disagree: a bug in one of them, never the user's doing."""


class SimulatedDot:
    """The golden dot's stand-in: multiplies in RTL simulation, checks every entry, and keeps the figures in `runs`."""

    def __init__(self, simulate: Simulate, progress: Progress) -> None:
        self._simulate = simulate
        self._progress = progress
        self.runs: list[Run] = []

    def __call__(self, system: str, x: NDArray[Any], w: NDArray[Any]) -> NDArray[np.int64]:
        """x [T, D] times w [N, D] in `system`, int64 [T, N]. Raises MismatchError unless golden agrees."""
        product = PRODUCTS[sum(run.system == system for run in self.runs)]
        (rows, depth), columns = x.shape, len(w)
        what = f"{SYSTEM_NAMES[system]} array, {product}"
        self._progress.say(f"simulating the {what}: {rows} × {depth} by {depth} × {columns}")
        result = self._simulate(system, x.astype(np.int8), w.astype(np.int8))
        simulated = np.asarray(result.y, dtype=np.int64)
        check_equal(what, simulated, compare.golden_dot(system, x, w))
        busy = rows * depth * columns / (result.cycles * ARRAY.rows * ARRAY.lanes)
        self.runs.append(Run(system, product, rows, depth, columns, result.cycles, result.seconds, busy))
        self._progress.say(f"  equal to the golden model; {result.cycles} cycles in {result.seconds:.2f} s")
        return simulated


def check_equal(what: str, simulated: NDArray[np.int64], golden: NDArray[np.int64]) -> None:
    """Raise MismatchError, with the first index that differs, unless both are equal in shape and in every entry."""
    if simulated.shape != golden.shape:
        raise MismatchError(f"{what}: the simulation gives shape {simulated.shape}, the golden model {golden.shape}")
    wrong = np.argwhere(simulated != golden)
    if len(wrong):
        first = tuple(int(index) for index in wrong[0])
        raise MismatchError(
            f"{what}: {len(wrong)} of {golden.size} entries differ, the first at {list(first)}: "
            f"{simulated[first]} in simulation, {golden[first]} in the golden model"
        )


def run(args: Namespace) -> None:
    """The subcommand: demonstrate `args.text`, or a sentence of ours when it is None."""
    demonstrate(DEFAULT_TEXT if args.text is None else args.text)


def demonstrate(text: str, output: Path = OUTPUT, head: int = HEAD, simulate: Simulate = dot.run) -> Findings:
    """Predict head `head` of layer 0 on `text` and write pictures and figures to `output`.

    Writes attention.png, recall.png, plans.png, demo.md, stimulus.npz and demo.json, all or none. Raises Refusal for a
    sentence that is empty or too long, and for an `output` that cannot be written; MismatchError when the simulation is
    wrong.
    """
    progress = Progress()
    sentence = minilm.tokens(text)
    with staged(output) as folder:
        findings = predict_sentence(text, sentence, head, simulate, progress)
        progress.say("planning the layer with both speculation units' golden models, and drawing")
        plans = planning.predict(minilm.embed(sentence.ids), minilm.attention_weights(LAYER))
        planning.draw(folder / PLANS, f"Plans of MiniLM-L6, layer {LAYER}", plans)
        work = planning.table(plans)
        write(findings, work, folder)
    progress.say(f"done: {output / 'demo.md'}")
    print(f"{summary(findings)}\n\n{work}")
    return findings


def predict_sentence(text: str, sentence: minilm.Tokens, head: int, simulate: Simulate, progress: Progress) -> Findings:
    """Everything between the sentence and the pictures."""
    progress.say(f"{len(sentence.pieces)} tokens; embedding them and quantising layer {LAYER}, head {head}")
    x, weights = minilm.embed(sentence.ids), minilm.attention_weights(LAYER)
    inputs = minilm.head_inputs(x, weights, head)
    simulated = SimulatedDot(simulate, progress)
    predictions = {
        system: compare.predict(system, inputs, simulated if system in SIMULATED else compare.golden_dot)
        for system in SYSTEMS
    }
    progress.say("measuring the other heads with the golden model")
    exact = minilm.exact_scores(x, weights, head)
    every = [_recall_of_head(x, weights, each) for each in range(minilm.HEADS)]
    mean = {
        system: {k: float(np.mean([one[system][k] for one in every])) for k in every[0][system]} for system in SYSTEMS
    }
    return Findings(
        text=text,
        tokens=sentence.pieces,
        layer=LAYER,
        head=head,
        array_rows=ARRAY.rows,
        array_lanes=ARRAY.lanes,
        inputs=inputs,
        exact=exact,
        predictions=predictions,
        recall=_recall(exact, predictions),
        recall_all_heads=mean,
        runs=tuple(simulated.runs),
    )


def _recall_of_head(x: minilm.Floats, weights: minilm.AttentionWeights, head: int) -> Shares:
    inputs = minilm.head_inputs(x, weights, head)
    predictions = {system: compare.predict(system, inputs) for system in SYSTEMS}
    return _recall(minilm.exact_scores(x, weights, head), predictions)


def _recall(exact: NDArray[np.float64], predictions: dict[str, compare.Prediction]) -> Shares:
    """System to k to share, for every k that leaves something out."""
    return {
        system: {k: compare.topk_recall(exact, one.scores, k) for k in RECALL_AT if k < len(exact)}
        for system, one in predictions.items()
    }
